"""The directory of a store: which files belong together, how large they are, and who may write.

Readers open a file, read and close it: whoever writes may take any file away at any time.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from pysniff.errors import FileError, PysniffError, WriteError

_NAME = re.compile(r"(\d{8,18})\.pcapng")
PAGE = 4096  # what a disk gives away
# How often the lock is tried, and seconds between.
_TRIES, _PAUSE = 10, 0.01


@dataclass(frozen=True, slots=True, order=True)
class SegmentFiles:
    """The files of one segment; later ones have larger numbers."""

    directory: Path
    number: int

    @property
    def packets(self) -> Path:
        return self.directory / f"{self.number:08d}.pcapng"

    @property
    def index(self) -> Path:
        return self.directory / f"{self.number:08d}.index"

    @property
    def tables(self) -> Path:
        """Compression tables of conversations that began before it (tables.py)."""
        return self.directory / f"{self.number:08d}.tables"

    @property
    def names(self) -> Path:
        """What its packets, and those before it, call addresses (naming.py)."""
        return self.directory / f"{self.number:08d}.names"

    @property
    def keylog(self) -> Path:
        """Secrets of the TLS connections in it (secrets_file.py)."""
        return self.directory / f"{self.number:08d}.keylog"

    def size(self) -> int:
        """Bytes on disk, in whole pages, but for tables and names: another process writes those."""
        return sum(pages(size_of(path)) for path in (self.packets, self.index, self.keylog))

    def remove(self) -> None:
        for path in (self.packets, self.keylog, self.tables, self.names, self.index):
            path.unlink(missing_ok=True)


def pages(size: int) -> int:
    """Bytes on disk of a file with so many."""
    return -(-size // PAGE) * PAGE


def size_of(path: Path) -> int:
    """0 for a file that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def segments(directory: Path) -> list[SegmentFiles]:
    """Oldest first; raise FileError where there is no directory to look into."""
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        raise FileError(f"{directory}: {error.strerror}", hint="record one with pysniff --store DIR") from None
    numbers = [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]
    return [SegmentFiles(directory, number) for number in sorted(numbers)]


def is_empty(directory: Path) -> bool:
    """Whether nobody ever recorded into it: what lies there is no store. Raises as segments() does."""
    return not segments(directory) and not (directory / "lock").exists()


def read_from(path: Path, at: int, size: int = -1) -> bytes:
    """Bytes of a file from `at` on; raise FileNotFoundError where it is gone."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if size < 0:
            size = max(os.fstat(fd).st_size - at, 0)
        return os.pread(fd, size, at)
    finally:
        os.close(fd)


class Lock:
    """Held by the one that writes; the system gives it back when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._taken():
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise WriteError(
                f"{directory}: process {holder or 'unknown'} records into it already",
                hint="give another directory, or ask it with pysniff query",
            )
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._fd)

    def _taken(self) -> bool:
        """Who asks whether anybody records holds it for microseconds: that is waited for."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                sleep(_PAUSE)
            else:
                return True
        return False


def create(directory: Path) -> None:
    """Make the directory, for its owner alone; raise WriteError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{directory}: {error.strerror}") from None


def strange(directory: Path) -> PysniffError | None:
    """Why a directory cannot be a store: it holds files of others."""
    # The last one: what a worker keeps beside its packets (cluster/worker/configuration_file.py).
    allowed = re.compile(r"\d{8,18}\.(pcapng|index|tables|names|keylog)|lock|.*\.part|worker\.json")
    others = [path.name for path in directory.iterdir() if not allowed.fullmatch(path.name)]
    if others:
        return WriteError(
            f"{directory}: holds other files, like {sorted(others)[0]}", hint="give a directory of its own"
        )
    return None
