"""Has a keeper (keeper.py) beside a recording while one is needed, and says what it missed.

It is needed when conversations that cannot be read on without what came before go on behind a segment, and the store
has grown to half of what it may: until then nothing is dropped soon. What segments tell of names is noted earlier, for
until then every query reads it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pysniff.limits import MIB
from pysniff.store import naming, tables
from pysniff.store.directory import PAGE, SegmentFiles, segments
from pysniff.store.index import Index

# Of the limit, for tables: where they are needed, that much is kept free for them. In a small store it is more, so that
# there are some pages for each segment.
_SHARE, _LARGEST_SHARE = 20, 8
_PAGES = 4
# Tables are needed once a store has this part of its limit.
_FULL = 2
# The same for names.
_NAMES_SHARE, _LARGEST_NAMES_SHARE = 50, 16
_NAMES_PAGES = 2
# Bytes of a store in which a query may look for names by itself: one of a hundred packets tells some, and takes 40 us.
UNNOTED = 16 * MIB
# Seconds before one that died is started again.
_AGAIN = 60.0
# Seconds that a recording with time waits for the tables of one segment, before it waits no more.
_PATIENCE = 120.0


class Keeping:
    """`missed`: segments that were dropped before their conversations' tables were kept; `names_missed`: before their
    names were noted. `wait`: drop none so while the keeper is at work. `secrets`: the store keeps secrets. Words for a
    person go to `notices`."""

    def __init__(
        self, directory: Path, limit: int, segment_size: int, notices: list[str], *, wait: bool, secrets: bool = False
    ) -> None:
        self._directory = directory
        self._share(limit, segment_size)
        self._notices = notices
        self._wait = wait
        self._secrets = secrets
        self._promising: set[int] = set()  # segments behind which such a conversation may go on
        self._telling: set[int] = set()  # segments that tell names
        self._found = False  # files of an earlier recording
        self._needed = False  # for tables
        self._names_needed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.missed = 0
        self.names_missed = 0

    def _share(self, limit: int, segment_size: int) -> None:
        """What of a store is for tables, and for names."""
        count = limit // segment_size + 2
        self._limit = limit
        self._total = min(max(limit // _SHARE, count * _PAGES * PAGE), limit // _LARGEST_SHARE)
        self._each = max(self._total // count // PAGE * PAGE, PAGE)
        self._names_total = min(max(limit // _NAMES_SHARE, count * _NAMES_PAGES * PAGE), limit // _LARGEST_NAMES_SHARE)
        self._names_each = max(self._names_total // count // PAGE * PAGE, PAGE)

    def resize(self, limit: int, segment_size: int) -> None:
        """The store has another limit: another keeper, if there is one, with another share of it."""
        self._share(limit, segment_size)
        if self._process is not None:
            self.close()
            self._start()

    def tidy(self) -> None:
        """Remove what belongs to no segment."""
        every = segments(self._directory)
        known = {files.tables.name for files in every} | {files.names.name for files in every}
        for path in (*self._directory.glob("*.tables"), *self._directory.glob("*.names")):
            if path.name in known:
                self._found = True
            else:
                path.unlink(missing_ok=True)

    def reserved(self) -> int:
        """Bytes of the limit that are the keeper's, whatever it does meanwhile."""
        writes = self._needed or self._names_needed or self._found
        used = tables.disk_use(self._directory) if writes else 0
        names = naming.disk_use(self._directory) if writes else 0
        return (max(used, self._total) if self._needed else used) + (
            max(names, self._names_total) if self._names_needed else names
        )

    def finished(self, files: SegmentFiles, index: Index) -> None:
        """A segment is complete."""
        if tables.promises(index.rows, index.protocols):
            self._promising.add(files.number)
        if naming.tells(index).any():
            self._telling.add(files.number)

    def is_due(self, used: int) -> bool:
        """Whether it is needed from now on, where the store has so many bytes: reserved() is more then."""
        before = self._needed, self._names_needed
        half = self._limit // _FULL
        self._needed |= bool(self._promising) and used >= half
        self._names_needed |= bool(self._telling) and used >= min(half, UNNOTED)
        return before != (self._needed, self._names_needed)

    def look(self) -> None:
        """Tell the keeper to look for a finished segment; have one, if it is needed."""
        if not self._needed and not self._names_needed:
            return
        process = self._process
        if process is not None and process.poll() is None:
            self._poke(process)
        elif process is None or time.monotonic() >= self._started + _AGAIN:
            if process is not None:
                _end(process)
                self._notices.append(
                    f"the process that keeps tables and names ended with {process.returncode}: another"
                )
            self._start()

    def dropping(self, files: SegmentFiles, following: SegmentFiles) -> None:
        """A segment is about to be dropped, and `following` is the oldest one then."""
        if files.number in self._telling:
            self._telling.remove(files.number)
            # Without room for the file nobody can tell whether it was read.
            if naming.disk_use(self._directory) + self._names_each <= self._names_total:
                self.names_missed += not self._is_there(files.names)
        if files.number in self._promising:
            self._promising.remove(files.number)
            self.missed += not self._is_there(following.tables)

    def _is_there(self, path: Path) -> bool:
        """Whether the keeper wrote it; who has time waits for it."""
        deadline = time.monotonic() + _PATIENCE
        if self._wait and self._process is not None:
            self._poke(self._process)
        while self._wait and not path.exists():
            if self._process is None or self._process.poll() is not None:
                break
            if time.monotonic() > deadline:
                self._wait = False
            time.sleep(0.005)
        return path.exists()

    def close(self) -> None:
        """Nothing is dropped any more: the next recording's goes on where this one is."""
        process, self._process = self._process, None
        if process is None:
            return
        _end(process)
        for path in (*self._directory.glob("*.tables.*.part"), *self._directory.glob("*.names.*.part")):
            path.unlink(missing_ok=True)

    def _start(self) -> None:
        sizes = (self._total, self._each, self._limit // _FULL, self._names_total, self._names_each, int(self._secrets))
        words = [str(self._directory.absolute()), *map(str, sizes)]
        command = [sys.executable, "-m", "pysniff.store.keeper", *words]
        self._started = time.monotonic()
        null = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True, bufsize=0
            )
        except OSError as error:
            self._notices.append(f"the process that keeps tables and names cannot be started: {error.strerror}")
            self._needed = self._names_needed = False
            return
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)

    @staticmethod
    def _poke(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            try:
                process.stdin.write(b".")
            except OSError:
                pass  # it has bytes enough to look, or it is gone


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
