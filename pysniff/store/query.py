"""A question to a store: which conversations may have an answer, their packets dissected, the entries that match.

What the index rules out is not read. What is read gives the entries, and the ids, that reading everything gives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from pysniff.capture.clock import PacketClock
from pysniff.entry import Entry
from pysniff.kfl.plan import Known, Plan, plan
from pysniff.ledger import Ledger
from pysniff.limits import DEFAULT, Limits
from pysniff.protobuf.schema import NOTHING, Schemas
from pysniff.sniffer import Sniffer
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.chosen import may_match
from pysniff.store.named import named
from pysniff.store.passage import Passage

if TYPE_CHECKING:
    from pysniff.kfl import Filter

# A follower looks for new packets so often, in seconds: writers flush every 0.2 s.
POLL = 0.1
# What lies between the parts of one exchange, where one is in fragments, in nanoseconds.
FRAGMENTED = DEFAULT.idle_udp + DEFAULT.fragment_wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`start`, `end`: nanoseconds, both included, of entries' timestamps. `flows`: names of the only ones wanted.
    `node`: with this ids begin.

    `after`: only segments with larger numbers.
    """

    filter: Filter
    start: int | None = None
    end: int | None = None
    limit: int | None = None
    newest_first: bool = False
    follow: bool = False
    flows: frozenset[bytes] = frozenset()
    after: int = 0
    decode_as: Mapping[tuple[str, int], str] = field(default_factory=dict)
    proto: Schemas = NOTHING
    limits: Limits = DEFAULT
    node: str = "local"


class Query:
    """Iterate for the entries that match, as they are found; close() or leave the `with` to end it early.

    `notices`: what a person should know, in order. `ledger`: the account of what was dissected. `packets_read`,
    `packets_pruned`: of those in the store; `packets_damaged`, `segments_dropped`: what could not be read, since the
    disk or the writer took it.
    """

    def __init__(self, directory: Path, question: Question) -> None:
        self._question = question
        self.notices: list[str] = []
        self._catalogue = Catalogue(directory, question.after)
        self._not_matching = 0
        self._finishing = Event()
        self._catalogue.look()  # a wrong path is said at once
        self._stopped = Event()
        self._plan = self._bounded(plan(question.filter.tree))
        # Names of the only conversations wanted, None for any.
        self._names = question.flows or named(question.filter.tree)
        self._passages: list[Passage] = []
        self._behind: list[Chapter] = []  # that a follower has read, where not all of them is wanted
        self._left = question.limit
        self._batches = self._run()
        self._entries = (entry for batch in self._batches for entry in batch)

    @property
    def ledger(self) -> Ledger:
        """Of the newest pass over the store; newest_first takes several."""
        ledger = self._passages[-1].ledger if self._passages else Sniffer().ledger
        ledger.pruned_packets = self.packets_pruned
        ledger.store_unread = self.packets_damaged + sum(one.packets_dropped for one in self._passages)
        ledger.not_matching, ledger.filter_errors = self._not_matching, self._question.filter.errors
        return ledger

    @property
    def packets_read(self) -> int:
        return sum(one.packets_read for one in self._passages)

    @property
    def packets_pruned(self) -> int:
        return sum(one.packets_pruned for one in self._passages)

    @property
    def packets_damaged(self) -> int:
        return sum(one.packets_damaged for one in self._passages)

    @property
    def segments_dropped(self) -> int:
        return sum(one.segments_dropped for one in self._passages)

    def batches(self) -> Iterator[list[Entry]]:
        """Entries in the lists in which they come: none is empty."""
        return self._batches

    def stop(self) -> None:
        """End soon; safe in a signal handler and other threads."""
        self._stopped.set()

    def finish(self) -> None:
        """Follow no longer than what is there now; safe as stop()."""
        self._finishing.set()

    def close(self) -> None:
        self.stop()
        self._entries.close()
        self._batches.close()

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _bounded(self, found: Plan) -> Plan:
        """The plan within the times that were asked for."""
        question = self._question
        starts = [time for time in (found.start, question.start) if time is not None]
        ends = [time for time in (found.end, question.end) if time is not None]
        return Plan(found.tree, max(starts, default=None), min(ends, default=None))

    def _run(self) -> Generator[list[Entry], None, None]:
        source = self._backwards() if self._question.newest_first else self._forwards()
        for batch in source:
            if self._left is not None:
                batch = batch[: self._left]
                self._left -= len(batch)
            if batch:
                yield batch
            if self._left == 0 or self._stopped.is_set():
                return

    def _matching(self, entries: Sequence[Entry], bounds: Plan) -> list[Entry]:
        start, end, matches = bounds.start, bounds.end, self._question.filter.matches
        flows = {name.hex() for name in self._names} if self._names is not None else None
        found = [
            entry
            for entry in entries
            if (start is None or entry.time_ns >= start)
            and (end is None or entry.time_ns <= end)
            and (flows is None or entry.stream in flows)
            and matches(entry)
        ]
        self._not_matching += len(entries) - len(found)
        return found

    # Forwards

    def _forwards(self) -> Iterator[list[Entry]]:
        bounds = self._plan
        passage = self._passage()
        for chapter in self._chapters(bounds):
            yield from self._read(passage, chapter, bounds)
            if self._stopped.is_set() or self._over(passage, bounds):
                break
        if self._question.follow and not self._stopped.is_set():
            yield from self._follow(passage, bounds)
        yield self._matching(passage.close(), bounds)

    def _read(self, passage: Passage, chapter: Chapter, bounds: Plan) -> Iterator[list[Entry]]:
        for entries in passage.read(chapter):
            found = self._matching(entries, bounds)
            if found:
                yield found
            if self._stopped.is_set() or self._over(passage, bounds):
                return

    def _over(self, passage: Passage, bounds: Plan) -> bool:
        """Whether nothing behind can be within the bounds any more."""
        end, last = bounds.end, passage.last
        if end is None or last is None or passage.time <= end or not passage.settled(end):
            return False
        # A clock is set back, or an older capture is recorded behind a newer one.
        behind = (one for one in self._behind if one.files.number >= last.files.number)
        return not any(one.index.earliest <= end and (one is not last or len(one.index.late)) for one in behind)

    def _passage(self) -> Passage:
        question = self._question
        sniffer = Sniffer(
            limits=question.limits,
            node=question.node,
            decode_as=question.decode_as,
            proto=question.proto,
            capture_source=self._catalogue.capture_source(),
        )
        passage = Passage(sniffer, self.notices)
        self._passages.append(passage)
        return passage

    def _chapters(self, bounds: Plan) -> Iterator[Chapter]:
        """The segments with what is wanted of each, oldest first; one at a time where all of it is."""
        if self._is_everything(bounds):
            for files in self._catalogue.look():
                chapter = self._catalogue.chapter(files)
                if chapter is not None:
                    yield chapter
                else:
                    self._passages[-1].missed(files)
            return
        chapters = self._catalogue.chapters()
        for chapter in chapters:
            chapter.choose(self._wanted(chapter, bounds))
        if (
            self._names is not None
            and not any(chapter.has_chosen() for chapter in chapters)
            and any(chapter.names_may_differ() for chapter in chapters)
        ):
            # In fragments, or under a clock that went wrong, a conversation has another name in the index.
            for chapter in chapters:
                chapter.choose(np.ones(len(chapter.index.rows), np.bool_))
        _link(chapters)
        _in_time(chapters, bounds)
        self._behind = chapters
        yield from chapters

    def _is_everything(self, bounds: Plan) -> bool:
        timeless = bounds.start is None and bounds.end is None
        return timeless and isinstance(bounds.tree, Known) and bounds.tree.value is not False and self._names is None

    def _wanted(self, chapter: Chapter, bounds: Plan) -> np.ndarray:
        question = self._question
        wanted = may_match(bounds, chapter.index, question.decode_as)
        if self._names is not None:
            names = np.array([np.void(name) for name in self._names], np.dtype("V8"))
            wanted &= np.isin(chapter.index.rows["name"], names)
        return wanted

    # Following

    def _follow(self, passage: Passage, bounds: Plan) -> Iterator[list[Entry]]:
        """What comes from now on: without a hole and without a duplicate, for the Sniffer goes on."""
        clock = PacketClock()
        while not self._stopped.is_set() and not self._over(passage, bounds):
            last = self._finishing.is_set()
            moved = False
            for chapter in self._catalogue.news(passage.last, passage.position):
                moved = True
                yield from self._read_on(passage, chapter, bounds)
            if moved:
                clock.saw(passage.time)
                self._forget(passage)
                continue
            if last:
                return
            self._stopped.wait(POLL)
            found = self._matching(passage.advance(clock.now()), bounds)
            if found:
                yield found

    def _forget(self, passage: Passage) -> None:
        """What is known of segments that are gone."""
        there = self._catalogue.look()
        if there:
            passage.trim(there[0].number)
            self._behind = [chapter for chapter in self._behind if chapter.files >= there[0]]

    def _read_on(self, passage: Passage, chapter: Chapter, bounds: Plan) -> Iterator[list[Entry]]:
        """What is new in a segment, and older packets of conversations that were not wanted until now."""
        if not self._is_everything(bounds):
            chapter.choose(self._wanted(chapter, bounds))
            same = bool(self._behind) and self._behind[-1].files == chapter.files
            older = self._behind[:-1] if same else self._behind
            before = [(one, one.chosen) for one in older]
            _link([*older, chapter])
            for one, chosen in before:
                yield from self._catch_up(passage, one, chosen)
            if same:
                yield from self._catch_up(passage, chapter, self._behind[-1].chosen, passage.position)
            self._behind = [*older, chapter]
        yield from self._read(passage, chapter, bounds)

    def _catch_up(
        self, passage: Passage, chapter: Chapter, chosen: np.ndarray | None, until: int | None = None
    ) -> Iterator[list[Entry]]:
        """Read what is wanted of a segment by now, and was not when it was read."""
        assert chapter.chosen is not None and chosen is not None
        chapter.chosen[: len(chosen)] |= chosen
        fresh = chapter.chosen.copy()
        fresh[: len(chosen)] &= ~chosen
        if fresh.any():
            for entries in passage.read_again(chapter, fresh, until):
                found = self._matching(entries, self._plan)
                if found:
                    yield found

    # Backwards

    def _backwards(self) -> Iterator[list[Entry]]:
        """Newest first: times cut into windows at the beginnings of segments, each a question of its own."""
        chapters = self._catalogue.chapters()
        cuts = sorted({chapter.index.earliest for chapter in chapters if len(chapter.index.offsets)})
        upper = self._plan.end
        size = 1
        while cuts:
            cuts, window = cuts[:-size], cuts[-size:]
            size *= 2
            lower = window[0] if cuts else None
            start = max([time for time in (self._plan.start, lower) if time is not None], default=None)
            bounds = Plan(self._plan.tree, start, upper)
            found: dict[str, Entry] = {}
            for entry in self._within(bounds):
                found.pop(entry.id, None)
                found[entry.id] = entry
            newest = list(found.values())
            newest.reverse()  # of those with one time, the last one comes first
            yield sorted(newest, key=lambda entry: -entry.time_ns)
            if lower is None or (self._plan.start is not None and lower <= self._plan.start):
                return
            upper = lower - 1

    def _within(self, bounds: Plan) -> Iterator[Entry]:
        passage = self._passage()
        for chapter in self._chapters(bounds):
            for batch in self._read(passage, chapter, bounds):
                yield from batch
            if self._stopped.is_set() or self._over(passage, bounds):
                return
        yield from self._matching(passage.close(), bounds)


def _link(chapters: Sequence[Chapter]) -> None:
    """Take with a conversation what is the same one, or may be, in the segments before."""
    wanted: set[bytes] = set()
    for chapter in reversed(chapters):
        if wanted:
            chapter.choose_ends(wanted)
        wanted |= chapter.continued()


def _in_time(chapters: Sequence[Chapter], bounds: Plan) -> None:
    """Leave out conversations that said nothing within the bounds."""
    if bounds.start is None and bounds.end is None:
        return
    within: set[bytes] = set()
    # A part of a conversation may be in fragments, which no row has.
    margin = FRAGMENTED if any(chapter.has_shared() for chapter in chapters) else 0
    start = None if bounds.start is None else bounds.start - margin
    end = None if bounds.end is None else bounds.end + margin
    for chapter in chapters:
        within |= chapter.ends_within(start, end)
    for chapter in chapters:
        chapter.keep_ends(within)
