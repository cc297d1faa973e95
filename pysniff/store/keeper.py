"""A process of low priority beside one that records: reads the HTTP/2 in finished segments, once, and writes the tables
that the next segment begins with (tables.py), so that the older one can be dropped; so it does with what tells names
(naming_keeper.py).

`python -m pysniff.store.keeper DIRECTORY TOTAL EACH [TOTAL EACH]`: bytes that all files of tables may take, and one,
and the same of names; 0 where there is no need. It ends with its standard input, of which a byte says that a segment
is finished. It holds no lock, and whoever ends it loses nothing but time: the next one goes on from the newest file.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pysniff.errors import FileError
from pysniff.limits import KIB, MIB, Limits
from pysniff.resumption import Resumption
from pysniff.sniffer import Sniffer
from pysniff.store import sidecar, tables
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.directory import SegmentFiles, segments
from pysniff.store.naming_keeper import NameKeeper
from pysniff.store.passage import Passage
from pysniff.store.rows import KEPT, UNKNOWN

# Nothing is shown here: what calls carry is not kept.
LIMITS = Limits(body_bytes=0, decoded_bytes=0, waiting_bytes=MIB, held_total=32 * MIB, conversations=16_384)
# Payload of a half before which a conversation that nobody knows yet may still be one of ours.
_UNDECIDED = 256 * KIB
# Looks by itself so often, in seconds, for a byte that did not come.
_POLL = 1.0


class Keeper:
    """`step()` after `step()`. `total`, `each`: bytes, as of the module. `is_over`: asked while it reads."""

    def __init__(self, directory: Path, total: int, each: int, is_over: Callable[[], bool] = lambda: False) -> None:
        self._directory = directory
        self._total = total
        self._each = each
        self._is_over = is_over
        self._catalogue = Catalogue(directory)
        self._sniffer = Sniffer(limits=LIMITS)
        self._passage = Passage(self._sniffer)
        self._protocols = tables.remembering()
        self._done = -1  # the segment that was read last
        self._written: Sequence[Resumption] = ()  # what the file of the next one has
        # From an earlier process: conversations that have said nothing since, and until when they may.
        self._silent: dict[bytes, Resumption] = {}
        self._until = 0
        self._begin()

    def _begin(self) -> None:
        """Go on behind the newest tables."""
        for files in reversed(segments(self._directory)):
            states = tables.load(files)
            if states or files.tables.exists():
                self._done = files.number - 1
                self._written = [*states.values()]
                self._silent = states
                self._passage.resume(states.values())
                return

    def step(self) -> bool:
        """Read the next segment that is finished, if there is one; whether there was."""
        every = segments(self._directory)
        after = [files for files in every if files.number > self._done]
        if len(after) < 2:
            return False
        files, following, *_ = after
        chapter = self._catalogue.chapter(files)
        if chapter is not None:
            self._read(chapter)
        self._done = files.number
        self._write(following, every[0].number)
        return True

    def _read(self, chapter: Chapter) -> None:
        chapter.choose(_ours(chapter, self._protocols))
        for _ in self._passage.read(chapter):
            if self._is_over():
                raise SystemExit
        self._passage.advance(self._passage.time)
        names = {row.tobytes() for row in chapter.index.rows["name"]}
        for name in names & self._silent.keys():
            del self._silent[name]
        if not self._until:
            self._until = self._passage.time + LIMITS.idle
        elif self._passage.time > self._until:
            self._silent = {}
        self._shrink(chapter.files, names)

    def _shrink(self, files: SegmentFiles, names: set[bytes]) -> None:
        """Who said nothing in a segment goes on in a later one, and has tables there."""
        here = [one for one in self._written if tables.name_of(one) in names]
        if len(here) < len(self._written) and names and files.tables.exists():
            self._put(files, here)

    def _write(self, files: SegmentFiles, oldest: int) -> None:
        """What goes on behind what was read; `oldest`: the segment that is."""
        states = self._sniffer.remember()
        self._written = [*states, *self._silent.values()]
        names = {int.from_bytes(tables.name_of(one), sys.byteorder) for one in self._written}
        self._passage.forget(oldest, names)
        self._put(files, self._written)

    def _put(self, files: SegmentFiles, states: Sequence[Resumption]) -> None:
        room = self._total - tables.disk_use(self._directory)
        sidecar.put(files, files.tables, room, lambda most: tables.encoded(states, min(most, self._each))[0])


def _ours(chapter: Chapter, protocols: frozenset[str]) -> np.ndarray:
    """The rows to read: of these protocols, of nobody knows yet which, and the handshakes of what has said nothing."""
    rows = chapter.index.rows
    numbers = [number for number, name in enumerate(chapter.index.protocols) if name in protocols]
    young = (rows["until_a"] < _UNDECIDED) & (rows["until_b"] < _UNDECIDED) & (rows["marks"] & KEPT != 0)
    unsure = (rows["protocol"] == 0) & young
    wanted: np.ndarray = (rows["transport"] == 6) & (
        np.isin(rows["protocol"], numbers) | unsure | (rows["lead"] == UNKNOWN)
    )
    return wanted


def _is_over(patience: float) -> bool:
    """Whether the one that records is gone; waits so many seconds for a byte of it."""
    try:
        ready, _, _ = select.select([0], [], [], patience)
        return bool(ready) and not os.read(0, 4096)
    except OSError:
        return True


def main(words: Sequence[str]) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # absolute: the one that records may have taken precedence
    directory, *sizes = words
    total, each, names_total, names_each = [*map(int, sizes), 0, 0][:4]
    parent = os.getppid()
    steps: list[Callable[[], bool]] = []
    if total:
        steps.append(Keeper(Path(directory), total, each, lambda: _is_over(0)).step)
    if names_total:
        steps.append(NameKeeper(Path(directory), names_total, names_each, lambda: _is_over(0)).step)
    while True:
        try:
            moved = False
            for step in steps:
                moved |= step()
        except (FileError, FileNotFoundError):
            moved = False
        if _is_over(0 if moved else _POLL) or os.getppid() != parent:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
