"""Where an export goes: a file that gets its name when it is whole, or anything that takes bytes as they come.

An old file of that name stays as it is until the new one is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

from pysniff.errors import WriteError
from pysniff.writing import write_whole

_BUFFER = 256 * 1024  # bytes


class Target:
    """`path`: "-" is standard output. `whole`: half the file is worth nothing, so it is written under another name.

    Nothing is opened before the first write() or finish(). Raises WriteError; a reader that closed its end of a pipe
    is a BrokenPipeError as everywhere.
    """

    def __init__(self, path: str, *, whole: bool) -> None:
        self.label = "standard output" if path == "-" else path
        self._path = path
        self._stream: BinaryIO | None = None
        self._temporary = ""
        self._old_mode: int | None = None
        self._whole = whole
        if path == "-":
            if sys.stdout is None:
                raise WriteError("standard output is closed")
            self._stream = sys.stdout.buffer
        else:
            self._look()

    def write(self, data: bytes) -> None:
        """Take the next bytes; what need not be whole is there for readers at once."""
        stream = self._opened()
        try:
            write_whole(stream, data)
            if not self._temporary:
                stream.flush()
        except OSError as error:
            self._fail(error)

    def finish(self) -> None:
        """Everything was written: the file gets its name."""
        stream = self._opened()
        try:
            stream.flush()
            if self._path != "-":
                stream.close()
            if self._temporary:
                Path(self._temporary).replace(self._path)
        except OSError as error:
            self._fail(error)

    def drop(self) -> None:
        """Leave no trace of what was written under another name."""
        if self._stream is None or self._path == "-":
            return
        try:
            self._stream.close()
        except OSError:  # the disk is full, for one: it is closed all the same
            pass
        if self._temporary:
            Path(self._temporary).unlink(missing_ok=True)

    def _look(self) -> None:
        """Raise now what would fail after hours of capturing; see what is there already."""
        try:
            # What a link points at is replaced, not the link.
            self._path = os.path.realpath(self._path)
            if not (parent := Path(self._path).parent).is_dir():
                raise WriteError(f"{self.label}: {parent} is no directory")
            mode = Path(self._path).stat().st_mode
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._fail(error)
        if stat.S_ISDIR(mode):
            raise WriteError(f"{self.label}: {os.strerror(errno.EISDIR)}")
        if stat.S_ISREG(mode):
            self._old_mode = stat.S_IMODE(mode)
        else:
            self._whole = False  # a pipe or a device is written to, never replaced

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            try:
                self._stream = self._open()
            except (OSError, ValueError) as error:
                self._fail(error)
        return self._stream

    def _open(self) -> BinaryIO:
        if not self._whole:
            return open(self._path, "wb")
        temporary = str(Path(self._path).with_name(f".pysniff-{secrets.token_hex(4)}.part"))
        stream = open(temporary, "xb", buffering=_BUFFER)  # noqa: SIM115 - finish() or drop() closes it
        self._temporary = temporary
        if self._old_mode is not None:
            os.fchmod(stream.fileno(), self._old_mode)
        return stream

    def _fail(self, error: OSError | ValueError) -> NoReturn:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise error
        raise WriteError(f"{self.label}: {getattr(error, 'strerror', None) or error}") from None
