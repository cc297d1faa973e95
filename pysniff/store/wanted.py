"""What of each segment a question wants: the conversations that may have an answer, and what has to be read for them.

What came before a conversation in the segments before is wanted with it, and so is what tells the names of addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pysniff.kfl.plan import Known, Plan
from pysniff.limits import DEFAULT
from pysniff.store import naming
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.chosen import may_match
from pysniff.store.columns import TCP
from pysniff.store.directory import SegmentFiles
from pysniff.store.named import named
from pysniff.store.naming import Naming
from pysniff.store.question import Question

# What lies between the parts of one exchange, where one is in fragments, in nanoseconds.
FRAGMENTED = DEFAULT.idle_udp + DEFAULT.fragment_wait

# A segment that was read, rows of it that were not, and up to which packet.
Fresh = tuple[Chapter, np.ndarray, int | None]


class Wanted:
    """Of one question. `streams`: the only conversations wanted, None for any."""

    def __init__(self, catalogue: Catalogue, question: Question) -> None:
        self._catalogue = catalogue
        self._question = question
        # Names of the only conversations wanted.
        self._names = question.flows or named(question.filter.tree)
        self.streams = None if self._names is None else {name.hex() for name in self._names}
        self._behind: list[Chapter] = []  # that were chosen of, where not all of them is wanted
        self._noted: dict[SegmentFiles, Naming | None] = {}

    def chapters(self, bounds: Plan, missed: Callable[[SegmentFiles], None]) -> Iterator[Chapter]:
        """The segments with what is wanted of each, oldest first; one at a time where all of it is.

        `missed`: is told of one that is gone.
        """
        if self._is_everything(bounds):
            for files in self._catalogue.look():
                chapter = self._catalogue.chapter(files)
                if chapter is not None:
                    chapter.names = self._naming(files)
                    yield chapter
                else:
                    missed(files)
            return
        chapters = self._catalogue.chapters()
        for chapter in chapters:
            chapter.choose(self._of(chapter, bounds))
        if (
            self._names is not None
            and not any(chapter.has_chosen() for chapter in chapters)
            and any(chapter.names_may_differ() for chapter in chapters)
        ):
            # In fragments, or under a clock that went wrong, a conversation has another name in the index.
            for chapter in chapters:
                chapter.choose(np.ones(len(chapter.index.rows), np.bool_))
        _link(chapters)
        _in_time(chapters, bounds.start, bounds.end)
        _in_time(chapters, self._question.since, None)
        self._choose_names(chapters)
        self._behind = chapters
        yield from chapters

    def go_on(self, chapter: Chapter, bounds: Plan, position: int) -> list[Fresh]:
        """Choose of a segment that has grown, or is new; which rows of which segments, up to which packet, are wanted
        by now and were not when they were read.

        `position`: so many packets of the newest segment were read.
        """
        if self._is_everything(bounds):
            return []
        chapter.choose(self._of(chapter, bounds))
        chapter.choose_too(naming.tells(chapter.index, self._question.decode_as))
        same = bool(self._behind) and self._behind[-1].files == chapter.files
        older = self._behind[:-1] if same else self._behind
        before = [(one, one.chosen) for one in older]
        _link([*older, chapter])
        fresh: list[tuple[Chapter, np.ndarray, int | None]] = [
            (one, _fresh(one, chosen), None) for one, chosen in before
        ]
        if same:
            fresh.append((chapter, _fresh(chapter, self._behind[-1].chosen), position))
        self._behind = [*older, chapter]
        return [(one, rows, until) for one, rows, until in fresh if rows.any()]

    def forget(self, oldest: SegmentFiles) -> None:
        """Segments before this one are gone."""
        self._behind = [chapter for chapter in self._behind if chapter.files >= oldest]

    def begin_before(self, time_ns: int, last: Chapter) -> bool:
        """Whether something up to that time may stand behind what was read last: a clock is set back, or an older
        capture is recorded behind a newer one."""
        behind = (one for one in self._behind if one.files.number >= last.files.number)
        return any(one.index.earliest <= time_ns and (one is not last or len(one.index.late)) for one in behind)

    def _is_everything(self, bounds: Plan) -> bool:
        timeless = bounds.start is None and bounds.end is None and self._question.since is None
        return timeless and isinstance(bounds.tree, Known) and bounds.tree.value is not False and self._names is None

    def _of(self, chapter: Chapter, bounds: Plan) -> np.ndarray:
        question = self._question
        wanted = may_match(bounds, chapter.index, question.decode_as)
        if self._names is not None:
            names = np.array([np.void(name) for name in self._names], np.dtype("V8"))
            wanted &= np.isin(chapter.index.rows["name"], names)
        return wanted

    # Names of addresses

    def _naming(self, files: SegmentFiles) -> Naming | None:
        """What is noted beside a segment; where protocols are forced on ports, other answers than were seen there may
        count."""
        if self._question.decode_as:
            return None
        if files not in self._noted:
            self._noted[files] = naming.load(files)
        return self._noted[files]

    def _choose_names(self, chapters: Sequence[Chapter]) -> None:
        """What tells names before the last conversation that is wanted; nothing where it is noted."""
        follows = self._question.follow
        until = [number for number, one in enumerate(chapters) if follows or one.has_chosen() or one.has_shared()]
        streams: set[bytes] = set()  # a message may have begun in an earlier segment
        for chapter in reversed(chapters[: until[-1] + 1 if until else 0]):
            chapter.names = self._naming(chapter.files)
            if chapter.is_to_be_told():
                rows = naming.tells(chapter.index, self._question.decode_as)
                chapter.choose_too(rows)
                streams |= chapter.continued(rows & (chapter.index.rows["transport"] == TCP))
            if streams:
                chapter.choose_ends(streams)


def _fresh(chapter: Chapter, chosen: np.ndarray | None) -> np.ndarray:
    """The rows that are chosen by now, beside those that were, which stay so."""
    assert chapter.chosen is not None and chosen is not None
    chapter.chosen[: len(chosen)] |= chosen
    fresh: np.ndarray = chapter.chosen.copy()
    fresh[: len(chosen)] &= ~chosen
    return fresh


def _link(chapters: Sequence[Chapter]) -> None:
    """Take with a conversation what is the same one, or may be, in the segments before."""
    wanted: set[bytes] = set()
    for chapter in reversed(chapters):
        if wanted:
            chapter.choose_ends(wanted)
        wanted |= chapter.continued()


def _in_time(chapters: Sequence[Chapter], start: int | None, end: int | None) -> None:
    """Leave out conversations that said nothing between these times."""
    if start is None and end is None:
        return
    within: set[bytes] = set()
    # A part of a conversation may be in fragments, which no row has.
    margin = FRAGMENTED if any(chapter.has_shared() for chapter in chapters) else 0
    first = None if start is None else start - margin
    last = None if end is None else end + margin
    for chapter in chapters:
        within |= chapter.ends_within(first, last)
    for chapter in chapters:
        chapter.keep_ends(within)
