"""Which conversations of a segment go on behind it, as the indexes of later segments tell: of the others nothing need
be kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pysniff.limits import DEFAULT
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.columns import Bools, Words
from pysniff.store.directory import SegmentFiles
from pysniff.store.rows import ENDED, UNKNOWN


class Later:
    """`look()` before questions about a segment. `protocols`: of the conversations that matter; those that nobody knows
    yet do, too."""

    def __init__(self, catalogue: Catalogue, protocols: frozenset[str]) -> None:
        self._catalogue = catalogue
        self._protocols = protocols
        self._names: dict[int, Words] = {}  # of the conversations in a segment, by its number
        self._newest = 0
        self._every: Words = np.zeros(0, np.uint64)

    def look(self, chapter: Chapter, finished: Sequence[SegmentFiles]) -> None:
        """`finished`: the segments behind it that grow no more."""
        self._newest = max(self._newest, chapter.index.latest)
        numbers = {files.number for files in finished}
        self._names = {number: names for number, names in self._names.items() if number in numbers}
        for files in finished:
            if files.number not in self._names and (later := self._catalogue.chapter(files)) is not None:
                self._names[files.number] = _names(later, self._protocols)
                self._newest = max(self._newest, later.index.latest)
        parts = list(self._names.values())
        self._every = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)

    def going_on(self, chapter: Chapter) -> Bools:
        """Of each row whether its conversation goes on, or may; one that has said nothing yet has no name."""
        rows = chapter.index.rows
        found: Bools = (rows["marks"] & ENDED == 0) & (rows["end"] + DEFAULT.idle >= self._newest)
        found |= np.isin(rows["name"].view(np.uint64), self._every) | (rows["lead"] == UNKNOWN)
        return found

    def may_go_on(self, name: bytes, end: int) -> bool:
        """The same of one that said nothing in that segment, and was heard of last at a time."""
        number = np.frombuffer(name, np.uint64)[0]
        place = int(np.searchsorted(self._every, number))
        return (place < len(self._every) and self._every[place] == number) or end + DEFAULT.idle >= self._newest


def _names(chapter: Chapter, protocols: frozenset[str]) -> Words:
    """Of the conversations in a segment that matter."""
    rows = chapter.index.rows
    numbers = [number for number, name in enumerate(chapter.index.protocols) if not name or name in protocols]
    found: Words = rows["name"].view(np.uint64)[np.isin(rows["protocol"], numbers)]
    return found
