"""A directory for a store that is needed for one run: for its owner alone, and removed at the run's end.

Whoever uses one holds a lock on it, which the system gives back however a process ends. So one whose lock is free, and
into which nobody records, is left over from a run that was killed: the next one removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pysniff.errors import WriteError
from pysniff.store import Store

_PREFIX = "pysniff-web-"


@contextmanager
def temporary_store() -> Iterator[Path]:
    """The directory, while the block runs. Raises WriteError."""
    folder = Path(tempfile.gettempdir())
    _remove_orphans(folder)
    try:
        path, lock = _made(folder)
    except OSError as error:
        raise WriteError(
            f"{folder}: {error.strerror}", hint="set TMPDIR to a folder with room, or give --store DIR"
        ) from None
    try:
        yield path
    finally:
        _remove(path)
        os.close(lock)


def _made(folder: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor that locks it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))  # with mode 0700
        lock = _locked(path)
        if lock is not None:
            return path, lock
        # Somebody took it for an orphan in between, and it is gone, or will be soon.


def _locked(path: Path) -> int | None:
    """A descriptor that locks a directory of this user; None where it is none, or another process has it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here, there = os.fstat(fd), os.lstat(path)
        if here.st_uid == os.geteuid() and stat.S_IMODE(here.st_mode) == 0o700 and os.path.samestat(here, there):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _remove_orphans(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{_PREFIX}*"):
            if (lock := _locked(path)) is not None:
                # What it started may be writing still, for a moment.
                if not Store(path).is_recorded():
                    _remove(path)
                os.close(lock)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
