"""Goes through finished segments, once, and notes beside each what addresses were called when it began and what its
packets tell of that (naming.py); keeper.py is the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from pysniff.entry import Entry
from pysniff.limits import MIB, Limits
from pysniff.names import Learnt, Lesson
from pysniff.packet import Block
from pysniff.sniffer import Sniffer
from pysniff.store import naming, naming_datagrams, sidecar
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.columns import Ints
from pysniff.store.directory import PAGE, segments
from pysniff.store.naming import Naming, Told
from pysniff.store.passage import Passage, part

# Nothing is shown here: what messages carry is not kept.
LIMITS = Limits(body_bytes=0, decoded_bytes=0, waiting_bytes=MIB, held_total=32 * MIB, conversations=16_384)
# Names that one segment may tell here; what tells more is read again by whoever asks.
_MOST = 100_000


class NameKeeper:
    """`step()` after `step()`. `total`, `each`: bytes that all of these files may take, and one. `is_over`: asked while
    it reads; then the process ends."""

    def __init__(self, directory: Path, total: int, each: int, is_over: Callable[[], bool] = lambda: False) -> None:
        self._directory = directory
        self._total = total
        self._each = each
        self._is_over = is_over
        self._catalogue = Catalogue(directory)
        self._names = Learnt()
        self._passage = _Listening(Sniffer(limits=LIMITS))  # for all but datagrams
        self._datagrams = naming_datagrams.Datagrams(LIMITS)
        self._done = -1  # the segment that was read last
        self._begin()

    def _begin(self) -> None:
        """Go on behind the newest one whose names are noted; read it for the messages that go on behind it."""
        for files in reversed(segments(self._directory)):
            known = naming.load(files)
            if known is not None and known.told is not None:
                for lesson in (*known.before, *(told.lesson for told in known.told)):
                    self._learn(lesson)
                chapter = self._catalogue.chapter(files)
                for _ in self._read(chapter) if chapter is not None else ():
                    pass
                self._done = files.number
                return

    def _learn(self, lesson: Lesson) -> bool:
        return self._names.learn(lesson.address, lesson.name, lesson.time_ns)

    def step(self) -> bool:
        """Read the next segment that is finished, if there is one; whether there was."""
        after = [files for files in segments(self._directory) if files.number > self._done]
        if len(after) < 2:
            return False
        if self._room() < PAGE:
            return False  # until an older one is dropped: who skips this one is waited for in vain when it goes
        files = after[0]
        before = list(self._names)
        chapter = self._catalogue.chapter(files)
        told: list[Told] = []
        for one in self._read(chapter) if chapter is not None else ():
            if self._learn(one.lesson) and len(told) <= _MOST:
                told.append(one)
        self._done = files.number
        names = Naming(before, told if len(told) <= _MOST else None)
        if before or told or (chapter is not None and naming.tells(chapter.index).any()):
            sidecar.put(files, files.names, self._room(), lambda most: naming.encoded(names, min(most, self._each))[0])
        self._passage.forget(files.number)
        return True

    def _read(self, chapter: Chapter) -> Iterator[Told]:
        tell = naming.tells(chapter.index)
        datagrams = tell & naming_datagrams.are_datagrams(chapter.index)
        told = self._datagrams.told(chapter, datagrams) if datagrams.any() else []
        chapter.choose(tell & ~datagrams)
        for _ in self._passage.read(chapter):
            if self._is_over():
                raise SystemExit
        found = sorted([*told, *self._passage.take()], key=lambda one: one.packet)
        for one, clock in zip(found, accumulate([one.clock for one in found], max), strict=True):
            yield one._replace(clock=clock)

    def _room(self) -> int:
        return self._total - naming.disk_use(self._directory)


class _Listening(Passage):
    """Feeds packet after packet, and notes what each one tells."""

    def __init__(self, sniffer: Sniffer) -> None:
        super().__init__(sniffer)
        self._told: list[Told] = []
        self._news: list[Lesson] = []
        sniffer.names.news = self._news

    def take(self) -> list[Told]:
        """What was told since this was last asked."""
        told, self._told = self._told, []
        return told

    def _feed(self, block: Block, numbers: Ints, chapter: Chapter) -> Iterator[list[Entry]]:
        for place, number in enumerate(numbers.tolist()):
            yield from super()._feed(part(block, place, place + 1), numbers[place : place + 1], chapter)
            if self._news:
                self._told += [Told(number, self._fed, lesson) for lesson in self._news]
                self._news.clear()
