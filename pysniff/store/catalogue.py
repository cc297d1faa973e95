"""The segments of a store as one reader sees them: their indexes, and which conversations of each are wanted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pysniff.store.columns import Ints
from pysniff.store.directory import SegmentFiles, read_from, segments
from pysniff.store.index import Index
from pysniff.store.naming import Naming
from pysniff.store.rebuild import Made, load
from pysniff.store.rows import JOINED, OLD, ROW, SHARED_FLOW

_ENDS = ["transport", "size", "address_a", "address_b", "port_a", "port_b"]
_PACKED = np.dtype([(name, ROW[name]) for name in _ENDS])
ENDS_SIZE = _PACKED.itemsize


class Chapter:
    """One segment: `chosen` says of each row whether its packets are wanted; None: everything is.

    `names`: what is noted of names of addresses; None: that is to be found out from its packets.
    """

    __slots__ = ("files", "index", "chosen", "names")

    def __init__(self, files: SegmentFiles, index: Index) -> None:
        self.files = files
        self.index = index
        self.chosen: np.ndarray | None = None
        self.names: Naming | None = None

    def choose(self, rows: np.ndarray) -> None:
        self.chosen = rows

    def choose_too(self, rows: np.ndarray) -> None:
        """These besides."""
        assert self.chosen is not None
        self.chosen = self.chosen | rows

    def is_to_be_told(self) -> bool:
        """Whether its packets are to be asked what they tell of names."""
        return self.names is None or self.names.told is None

    def has_chosen(self) -> bool:
        return self.chosen is not None and bool(self.chosen.any())

    def names_may_differ(self) -> bool:
        """Whether a conversation here may have another name than the one that dissecting gives it."""
        return bool(len(self.index.late)) or self.has_shared()

    def has_shared(self) -> bool:
        """Whether there are packets that may be anybody's."""
        return bool((self.index.flows == SHARED_FLOW).any())

    def ends(self) -> np.ndarray:
        """Of each row who talks to whom, as bytes that are equal for the same pair of ends in the same order."""
        packed = np.empty(len(self.index.rows), _PACKED)
        for name in _ENDS:
            packed[name] = self.index.rows[name]
        return packed.view(f"V{ENDS_SIZE}")

    def continued(self, rows: np.ndarray | None = None) -> set[bytes]:
        """Ends of the wanted conversations, or of those in some rows, that are older than their first packet here, or
        may be."""
        rows = self.chosen if rows is None else rows
        if rows is None:
            return set()
        rows = rows & (self.index.rows["marks"] & (OLD | JOINED) != 0)
        return _as_set(self.ends()[rows]) if rows.any() else set()

    def having_ends(self, wanted: set[bytes]) -> np.ndarray:
        """Of each row whether its ends are among these, in either order."""
        return np.isin(self.ends(), _as_array(both_ways(wanted)))

    def choose_ends(self, wanted: set[bytes]) -> None:
        if self.chosen is not None and not self.chosen.all():
            self.chosen = self.chosen | self.having_ends(wanted)

    def ends_within(self, start: int | None, end: int | None) -> set[bytes]:
        """Ends of the wanted conversations with packets between these times."""
        assert self.chosen is not None
        rows = self.chosen.copy()
        if start is not None:
            rows &= self.index.rows["end"] >= start
        if end is not None:
            rows &= self.index.rows["begin"] <= end
        return _as_set(self.ends()[rows]) if rows.any() else set()

    def keep_ends(self, wanted: set[bytes]) -> None:
        assert self.chosen is not None
        self.chosen = self.chosen & self.having_ends(wanted)

    def numbers(self, since: int = 0) -> Ints:
        """The packets that are wanted, by number, from one of them on."""
        flows = self.index.flows[since:]
        if self.chosen is None:
            return np.arange(since, since + len(flows))
        count = len(self.chosen)
        rows = np.append(self.chosen, [True, False])  # those that may be anybody's; those that are nobody's
        places = np.where(flows < count, flows, np.where(flows == SHARED_FLOW, count, count + 1))
        return np.flatnonzero(rows[places]) + since


def _as_set(ends: np.ndarray) -> set[bytes]:
    text = np.ascontiguousarray(ends).tobytes()
    return {text[at : at + ENDS_SIZE] for at in range(0, len(text), ENDS_SIZE)}


def _as_array(ends: set[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(sorted(ends)), f"V{ENDS_SIZE}")


def both_ways(ends: set[bytes]) -> set[bytes]:
    """With a and b in either order: who sent the first packet is not the same for every segment."""
    found = set(ends)
    for text in ends:
        found.add(text[:2] + text[18:34] + text[2:18] + text[36:38] + text[34:36])
    return found


class Catalogue:
    """Reads indexes as they are asked for, and again where they have grown."""

    def __init__(self, directory: Path, after: int = 0) -> None:
        self.directory = directory
        self._after = after
        self._made: Made = {}  # indexes that had to be made again

    def look(self) -> list[SegmentFiles]:
        """The segments that are there now, oldest first; raise FileError without a directory."""
        return [files for files in segments(self.directory) if files.number > self._after]

    def chapters(self) -> list[Chapter]:
        return [chapter for files in self.look() if (chapter := self.chapter(files)) is not None]

    def chapter(self, files: SegmentFiles) -> Chapter | None:
        """One segment; None where it is gone."""
        every = segments(self.directory)
        last = bool(every) and files == every[-1]
        before = [one for one in every if one.number < files.number]
        try:
            growing = last and self.is_recorded()
            return Chapter(files, load(files, growing=growing, before=before, made=self._made))
        except FileNotFoundError:
            return None

    def news(self, last: Chapter | None, position: int) -> Iterator[Chapter]:
        """The last segment that was read, grown, if it has, and those behind it."""
        every = self.look()
        if last is not None and any(files == last.files for files in every):
            chapter = self.chapter(last.files)
            if chapter is not None and len(chapter.index.offsets) > position:
                yield chapter
        for files in every:
            if last is None or files.number > last.files.number:
                chapter = self.chapter(files)
                if chapter is not None and len(chapter.index.offsets):
                    yield chapter

    def is_recorded(self) -> bool:
        """Whether a process records into the store now."""
        try:
            fd = os.open(self.directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def capture_source(self, otherwise: str = "file") -> str:
        """Where the packets came from, as their entries say it; `otherwise` where there are none."""
        for files in reversed(self.look()):
            index = Index()
            try:
                index.extend(read_from(files.index, 0))
            except FileNotFoundError:
                continue
            if index.source:
                return index.source
        return otherwise
