"""Secrets out of files: key logs, also those that grow, and what captures bring with them.

Nobody waits for these: each look at a file is one stat(2), and a read where it has grown.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pysniff.errors import FileError, OptionError
from pysniff.limits import KIB, MIB
from pysniff.secrets import Secret, SecretSource
from pysniff.tls.keylog import KeyLog

if TYPE_CHECKING:
    from pysniff.capture.files import CaptureFile

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# Bytes of one key log, in all: as many secrets as are kept (secrets.py) have a sixth of them.
LARGEST = 256 * MIB
# Bytes a look: about 1,300 lines, which take 3 ms. What a file has when it is first seen is read at once.
_LOOK = 256 * KIB
_HINT = "--keylog takes the file that SSLKEYLOGFILE names"
# Block types of decryption secrets (draft-ietf-opsawg-pcapng): ours, and the others' names.
_TLS_KEY_LOG = 0x544C534B
_OTHERS = {
    0x5353484B: "SSH",
    0x57474B4C: "WireGuard",
    0x5A4E574B: "ZigBee",
    0x5A415053: "ZigBee",
    0x55414B4C: "OPC UA",
}


def key_logs(paths: Paths, follow: bool = False) -> list[SecretSource]:
    """A source for each file; raise FileError."""
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    return [KeyLogFile(path, follow) for path in paths]


class KeyLogFile:
    """A key log; where it may grow (`follow`), it need not exist yet, and one that was cut or replaced is read anew.

    `notices`: what a person should know, in order. Raises FileError at once for what can be no key log.
    """

    name = "keylog"

    def __init__(self, path: str | os.PathLike[str], follow: bool = False) -> None:
        self.path = os.fspath(path)
        self._place = Path(path)
        self.notices: list[str] = []
        self._follow = follow
        self._log = KeyLog()
        self._fd = -1
        self._position = 0
        self._seen: tuple[int, ...] = ()
        self._read = 0
        self._is_over = False
        self._told = ""
        if self.path == "-":
            raise OptionError("--keylog -: a key log cannot come from standard input", hint=_HINT)
        self._open(strict=True)

    def __repr__(self) -> str:
        return f"KeyLogFile({self.path!r}, follow={self._follow})"

    @property
    def complete(self) -> bool:
        return self._is_over or not self._follow

    @property
    def secrets(self) -> int:
        """How many were found."""
        return self._log.secrets

    @property
    def useless(self) -> Counter[str]:
        """Lines of no use, by reason."""
        return self._log.useless

    def take(self) -> list[Secret]:
        if self._is_over:
            return []
        if not self._follow:
            return self._whole()
        if not self._changed():
            return []
        found = self._grown()
        if self._replaced():
            found += self._log.end()
            self._close()
            self._open(strict=False)
            found += self._grown()
        return found

    def close(self) -> None:
        """Let go of the file; nothing comes any more."""
        self._is_over = True
        self._close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)

    def _whole(self) -> list[Secret]:
        found: list[Secret] = []
        while data := self._chunk(MIB):
            found += self._log.feed(data)
        self.close()
        return found + self._log.end()

    def _grown(self) -> list[Secret]:
        """What stands behind what was read, a look's share of it."""
        if self._fd < 0:
            return []
        found: list[Secret] = []
        budget = LARGEST if self._position == 0 else _LOOK
        while budget > 0 and (data := self._chunk(min(budget, _LOOK))):
            budget -= len(data)
            found += self._log.feed(data)
        if budget <= 0:
            self._seen = ()  # there may be more
        return found

    def _chunk(self, size: int) -> bytes:
        try:
            data = os.read(self._fd, min(size, LARGEST - self._read))
        except OSError as error:
            self._note(f"{self.path}: {error.strerror}: no more secrets are read from it")
            self._is_over = True
            return b""
        self._read += len(data)
        self._position += len(data)
        if self._read >= LARGEST:
            self._note(f"{self.path}: more than {LARGEST // MIB} MiB of secrets; the rest is not read")
            self._is_over = True
        return data

    def _changed(self) -> bool:
        """Whether the file at the path is another than at the last look, or has changed."""
        try:
            status = self._place.stat()
        except OSError:  # between removal and new creation, or not there yet
            return False
        now = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        changed, self._seen = now != self._seen, now
        return changed

    def _replaced(self) -> bool:
        """Whether another file is to be read, or this one from the start; what it had is read."""
        if self._fd < 0:
            return True
        here = os.fstat(self._fd)
        exchanged = bool(self._seen) and self._seen[:2] != (here.st_dev, here.st_ino)
        if not exchanged and here.st_size >= self._position:
            return False
        self._note(f"{self.path} was {'replaced' if exchanged else 'truncated'}: reading it from the start")
        return True

    def _open(self, *, strict: bool) -> None:
        """Open what is there; where it is none: raise, or say so once and wait for another."""
        self._position = 0
        try:
            # A pipe that nobody writes to would keep us waiting.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            if not self._follow:
                raise FileError(f"{self.path}: {error.strerror}", hint=_HINT) from None
            return
        except (OSError, ValueError) as error:
            self._refuse(f"{self.path}: {getattr(error, 'strerror', None) or error}", strict)
            return
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            self._refuse(f"{self.path}: {_kind(status.st_mode)}, and a key log is a file that is read again", strict)
            return
        self._fd = fd

    def _refuse(self, why: str, strict: bool) -> None:
        if strict:
            raise FileError(why, hint=_HINT)
        self._note(why)

    def _note(self, text: str) -> None:
        # A file that is cut again and again says it once.
        if text != self._told:
            self.notices.append(text)
        self._told = text

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "it is a pipe"
    return "it is a directory" if stat.S_ISDIR(mode) else "it is no regular file"


class CaptureSecrets:
    """Decryption secrets blocks of the captures that are being read. `others`: blocks of other protocols, by name."""

    name = "pcapng"

    def __init__(self, files: Sequence[CaptureFile]) -> None:
        self.others: Counter[str] = Counter()
        self._log = KeyLog()
        self._files = files

    @property
    def complete(self) -> bool:
        """A capture that had secrets, and is not read to its end, may have more."""
        return not (self._log.secrets and any(file.reads_on for file in self._files))

    @property
    def secrets(self) -> int:
        return self._log.secrets

    @property
    def useless(self) -> Counter[str]:
        return self._log.useless

    def take(self) -> Iterable[Secret]:
        found: list[Secret] = []
        for file in self._files:
            for kind, text in file.take_secrets():
                if kind == _TLS_KEY_LOG:
                    found += self._log.feed(text) + self._log.end()
                else:
                    self.others[_OTHERS.get(kind, f"type {kind:#x}")] += 1
        return found
