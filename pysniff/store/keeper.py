"""A process of low priority beside one that records: reads the HTTP/2 and TLS in finished segments, once, and writes
the tables that the next segment begins with (tables.py), so that the older one can be dropped; so it does with what
tells names (naming_keeper.py).

`python -m pysniff.store.keeper DIRECTORY TOTAL EACH FROM TOTAL EACH SECRETS`: bytes that all files of tables may take,
and one; what the store must have before any is written; the first two of names. SECRETS is 1 where the store keeps
secrets: then TLS is decrypted here, and tables have plain text of it (HTTP/2's within); otherwise they never have. It
ends with its standard input, of which a byte says that a segment is finished. It holds no lock, and whoever ends it
loses nothing but time: the next one goes on from the newest file.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pysniff import recollection
from pysniff.dissectors import known as dissectors
from pysniff.errors import FileError
from pysniff.resumption import Resumption
from pysniff.secrets import Secrets
from pysniff.store import sidecar, tables
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.directory import SegmentFiles, segments
from pysniff.store.going_on import GoingOn
from pysniff.store.later import Later
from pysniff.store.naming_keeper import NameKeeper
from pysniff.store.secrets_reading import StoredSecrets

_DECRYPTING = frozenset(one.protocol for one in dissectors()["tcp"] if one.decrypts)
# Looks by itself so often, in seconds, for a byte that did not come.
_POLL = 1.0


class Keeper:
    """`step()` after `step()`. `total`, `each`, `secrets`: as of the module. `is_over`: asked while it reads.

    `patient_from`: the store is left alone before it has so many bytes, and then its newer half is: the longer it
    waits, the fewer conversations go on. None: everything is read at once.
    """

    def __init__(
        self,
        directory: Path,
        total: int,
        each: int,
        is_over: Callable[[], bool] = lambda: False,
        *,
        patient_from: int | None = None,
        secrets: bool = False,
    ) -> None:
        self._directory = directory
        self._total = total
        self._each = each
        self._patient_from = patient_from
        self._catalogue = Catalogue(directory)
        self._later = Later(self._catalogue, tables.remembering())
        self._stored = StoredSecrets(directory, follows=True) if secrets else None
        known = Secrets(kept=self._stored.sources if self._stored is not None else ())
        self._reading = GoingOn(is_over, known)
        self._done = -1  # the segment that was read last
        self._written: Sequence[Resumption] = ()  # what the file of the next one has
        self._begin()

    def _begin(self) -> None:
        """Go on behind the newest tables."""
        for files in reversed(segments(self._directory)):
            states = tables.load(files)
            if self._stored is None:  # an earlier recording may have kept secrets, and decrypted
                states = {name: _bare(one) for name, one in states.items()}
            if states or files.tables.exists():
                self._done = files.number - 1
                self._written = [*states.values()]
                self._reading.resume(states.values())
                return

    def step(self) -> bool:
        """Read the next segment that is finished, if there is one; whether there was."""
        every = segments(self._directory)
        after = [files for files in every if files.number > self._done]
        if len(after) < 2 or self._has_time(every, len(after)):
            return False
        files, following, *_ = after
        chapter = self._catalogue.chapter(files)
        if self._stored is not None:
            self._stored.reach(files.number)
        if chapter is not None:
            self._later.look(chapter, after[1:-1])
            self._reading.read(chapter, self._later)
            self._shrink(chapter)
        self._done = files.number
        self._written = self._reading.states(every[0].number)
        if self._written or (chapter is not None and tables.promises(chapter.index.rows, chapter.index.protocols)):
            self._put(following, self._written)
        return True

    def _has_time(self, every: Sequence[SegmentFiles], left: int) -> bool:
        """Whether the next segment is not dropped soon; `left`: those that were not read."""
        if self._patient_from is None:
            return False
        return left <= len(every) // 2 or sum(files.size() for files in every) < self._patient_from

    def _shrink(self, chapter: Chapter) -> None:
        """Who said nothing in a segment goes on in a later one, and has tables there."""
        names = {row.tobytes() for row in chapter.index.rows["name"]}
        here = [one for one in self._written if tables.name_of(one) in names]
        if len(here) < len(self._written) and names and chapter.files.tables.exists():
            self._put(chapter.files, here)

    def _put(self, files: SegmentFiles, states: Sequence[Resumption]) -> None:
        room = self._total - tables.disk_use(self._directory)
        sidecar.put(files, files.tables, room, lambda most: tables.encoded(states, min(most, self._each))[0])


def _bare(one: Resumption) -> Resumption:
    """Without the plain text of what was encrypted."""
    return one._replace(state=recollection.bare(one.state)) if one.protocol in _DECRYPTING else one


def _is_over(patience: float) -> bool:
    """Whether the one that records is gone; waits so many seconds for a byte of it."""
    try:
        ready, _, _ = select.select([0], [], [], patience)
        return bool(ready) and not os.read(0, 4096)
    except OSError:
        return True


def _ends_now() -> bool:
    return _is_over(0)


def main(words: Sequence[str]) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # absolute: the one that records may have taken precedence
    directory = Path(words[0])
    total, each, begin, names_total, names_each, secrets = map(int, words[1:])
    parent = os.getppid()
    steps: list[Callable[[], bool]] = [
        Keeper(directory, total, each, _ends_now, patient_from=begin, secrets=bool(secrets)).step,
        NameKeeper(directory, names_total, names_each, _ends_now).step,
    ]
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
