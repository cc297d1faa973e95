"""Has a keeper (keeper.py) beside a recording while one is needed, and says what it missed.

It is needed when conversations that cannot be read on without what came before go on behind a segment, and the store
has grown to half of what it may: until then nothing is dropped soon.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pysniff.store import tables
from pysniff.store.directory import PAGE, SegmentFiles, segments
from pysniff.store.index import Index

# Of the limit, for tables: where they are needed, that much is kept free for them. In a small store it is more, so that
# there are some pages for each segment.
_SHARE, _LARGEST_SHARE = 20, 8
_PAGES = 4
# Seconds before one that died is started again.
_AGAIN = 60.0
# Seconds that a recording with time waits for the tables of one segment, before it waits no more.
_PATIENCE = 120.0


class Keeping:
    """`missed`: segments that were dropped before their conversations' tables were kept. `wait`: drop none so while
    the keeper is at work. Words for a person go to `notices`."""

    def __init__(self, directory: Path, limit: int, segment_size: int, notices: list[str], *, wait: bool) -> None:
        count = limit // segment_size + 2
        self._directory = directory
        self._limit = limit
        self._total = min(max(limit // _SHARE, count * _PAGES * PAGE), limit // _LARGEST_SHARE)
        self._each = max(self._total // count // PAGE * PAGE, PAGE)
        self._notices = notices
        self._wait = wait
        self._promising: set[int] = set()  # segments behind which such a conversation may go on
        self._found = False  # files of an earlier recording
        self._needed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.missed = 0

    def tidy(self) -> None:
        """Remove what belongs to no segment."""
        known = {files.tables.name for files in segments(self._directory)}
        for path in self._directory.glob("*.tables"):
            if path.name in known:
                self._found = True
            else:
                path.unlink(missing_ok=True)

    def reserved(self) -> int:
        """Bytes of the limit that are the keeper's, whatever it does meanwhile."""
        used = tables.disk_use(self._directory) if self._needed or self._found else 0
        return max(used, self._total) if self._needed else used

    def finished(self, files: SegmentFiles, index: Index) -> None:
        """A segment is complete."""
        if tables.promises(index.rows, index.protocols):
            self._promising.add(files.number)

    def is_due(self, used: int) -> bool:
        """Whether it is needed from now on, where the store has so many bytes: reserved() is more then."""
        if self._needed or not self._promising or used < self._limit // 2:
            return False
        self._needed = True
        return True

    def look(self) -> None:
        """Tell the keeper to look for a finished segment; have one, if it is needed."""
        if not self._needed:
            return
        process = self._process
        if process is not None and process.poll() is None:
            self._poke(process)
        elif process is None or time.monotonic() >= self._started + _AGAIN:
            if process is not None:
                _end(process)
                self._notices.append(f"the process that keeps HTTP/2's tables ended with {process.returncode}: another")
            self._start()

    def dropping(self, files: SegmentFiles, following: SegmentFiles) -> None:
        """A segment is about to be dropped, and `following` is the oldest one then."""
        if files.number not in self._promising:
            return
        self._promising.remove(files.number)
        deadline = time.monotonic() + _PATIENCE
        while self._wait and not following.tables.exists():
            if self._process is None or self._process.poll() is not None:
                break
            if time.monotonic() > deadline:
                self._wait = False
            time.sleep(0.005)
        self.missed += not following.tables.exists()

    def close(self) -> None:
        """Nothing is dropped any more: the next recording's goes on where this one is."""
        process, self._process = self._process, None
        if process is None:
            return
        _end(process)
        for path in self._directory.glob("*.tables.*.part"):
            path.unlink(missing_ok=True)

    def _start(self) -> None:
        words = [str(self._directory.absolute()), str(self._total), str(self._each)]
        command = [sys.executable, "-m", "pysniff.store.keeper", *words]
        self._started = time.monotonic()
        null = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True, bufsize=0
            )
        except OSError as error:
            self._notices.append(f"the process that keeps HTTP/2's tables cannot be started: {error.strerror}")
            self._needed = False
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
