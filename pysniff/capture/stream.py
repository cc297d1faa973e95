"""The bytes of a file, of a pipe, or of a file that still grows, as they come.

A stream never waits longer than WAIT without giving control back, and ends at once when it is closed.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from threading import RLock

from pysniff.errors import FileError, ReadError
from pysniff.limits import KIB

# Bytes a read. Measured: with more, glibc gives the memory back and faults it in anew for every block.
CHUNK = 64 * KIB
WAIT = 0.15  # seconds


class Event(Enum):
    """What a stream says instead of bytes."""

    QUIET = "quiet"  # nothing for now
    ANEW = "anew"  # another file stands in the place of the one that was followed


class Wake:
    """Ends a wait from a signal handler or another thread."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self.called = False
        self._released = False

    def call(self) -> None:
        self.called = True
        if not self._released:
            try:
                os.write(self._writer, b"\0")
            except OSError:  # full or closed: whoever waits is awake already
                pass

    def release(self) -> None:
        if not self._released:
            self._released = True
            os.close(self.reader)
            os.close(self._writer)


class Stream:
    """`path` "-" is stdin. `size`: bytes of a regular file, else None. `position`: bytes read so far."""

    def __init__(self, path: str, follow: bool = False) -> None:
        self.path = path
        self.position = 0
        self.notices: list[str] = []
        self._fd = self._open()
        status = os.fstat(self._fd)
        self.regular = stat.S_ISREG(status.st_mode)
        self.follow = follow and self.regular and path != "-"
        self.size = status.st_size if self.regular else None
        self._wake = Wake()
        self._running = False
        self._releasing = RLock()  # a signal handler may come in between

    @property
    def label(self) -> str:
        return "standard input" if self.path == "-" else self.path

    @property
    def closed(self) -> bool:
        return self._wake.called

    def head(self, size: int = CHUNK) -> bytes:
        """The first bytes of a regular file, without moving on."""
        try:
            return os.pread(self._fd, size, os.lseek(self._fd, 0, os.SEEK_CUR))
        except OSError as error:
            raise FileError(f"{self.label}: {error.strerror}") from None

    def part(self, offset: int, size: int) -> bytes:
        """Some bytes of a regular file, without moving on; b"" behind its end, or once it is closed."""
        try:
            return os.pread(self._fd, size, offset) if self._fd >= 0 else b""
        except OSError:  # the reading itself says it
            return b""

    def chunks(self) -> Iterator[bytes | Event]:
        """Yield bytes until the end, or until close()."""
        self._running = True
        try:
            while not self._wake.called:
                if not self.regular and not self._readable():
                    yield Event.QUIET
                    continue
                data = self._read()
                if data:
                    self.position += len(data)
                    yield data
                elif not self.follow:
                    return
                elif self._replaced():
                    yield Event.ANEW
                else:
                    self._sleep()
                    yield Event.QUIET
        finally:
            self._running = False
            self._release()

    def close(self) -> None:
        """End chunks(); callable from anywhere."""
        self._wake.call()
        if not self._running:
            self._release()

    def _open(self) -> int:
        if self.path == "-":
            if os.isatty(0):
                raise FileError("standard input is a terminal", hint="pipe a capture into it")
            return os.dup(0)
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except (OSError, ValueError) as error:
            raise FileError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileError(f"{self.path}: is a directory", hint="name the capture files in it")
        return fd

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, CHUNK)
        except BlockingIOError:  # a pipe that somebody else made non-blocking, and emptied
            return b""
        except OSError as error:
            raise ReadError(f"{self.label}: {error.strerror}") from None

    def _readable(self) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.register(self._wake.reader, select.POLLIN)
        return any(fd == self._fd for fd, _ in poller.poll(WAIT * 1000))

    def _sleep(self) -> None:
        select.select([self._wake.reader], [], [], WAIT)

    def _replaced(self) -> bool:
        """Whether the followed file was cut or exchanged; then it is open anew."""
        here = os.fstat(self._fd)
        try:
            there = Path(self.path).stat()
        except OSError:  # between removal and new creation
            return False
        self.size = there.st_size
        exchanged = (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)
        if not exchanged and there.st_size >= self.position:
            return False
        self.notices.append(f"{self.label} was {'replaced' if exchanged else 'truncated'}: reading it from the start")
        try:
            fd = self._open()
        except FileError:
            self.notices.pop()
            return False
        os.close(self._fd)
        self._fd = fd
        self.position = 0
        return True

    def _release(self) -> None:
        with self._releasing:  # close() may come from another thread
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
            self._wake.release()
