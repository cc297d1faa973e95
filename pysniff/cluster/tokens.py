"""The token that worker and hub share: from a file, from the environment, or made once and kept in a file.

Whoever holds it may read all traffic, so a file that others could read is refused.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from pysniff.errors import FileError, OptionError

VARIABLE = "PYSNIFF_TOKEN"
# RFC 6750 §2.1, b64token; 16 characters are the fewest that cannot be guessed.
_FORM = re.compile(r"[A-Za-z0-9._~+/-]{16,256}=*", re.ASCII)
_FILE_BYTES = 4096


def find_token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The file's token, or else the environment's, or None; raise FileError or OptionError where it is no good."""
    if file is not None:
        return read_token(file)
    text = environment.get(VARIABLE, "").strip()
    return _checked(text, VARIABLE) if text else None


def read_token(file: Path) -> str:
    """The token that a file of its owner holds; raise FileError."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        number = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}", hint="name a file that holds the token") from None
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{file} is not a regular file", hint="name a file that holds the token")
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o077:
            raise FileError(f"{file} may be read by others", hint=f"chmod 600 {file}, and own it")
        data = os.read(number, _FILE_BYTES)
    finally:
        os.close(number)
    return _checked(data.decode("ascii", "replace").strip(), str(file))


def kept_token(file: Path) -> str:
    """The token of a file, which is made where it is missing: mode 0600, complete from its first moment."""
    if not os.path.lexists(file):
        _make(file, secrets.token_urlsafe(32))
    return read_token(file)


def _make(file: Path, token: str) -> None:
    """Link a finished file to its name, which nobody's link or file may have: the first of two processes wins."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        number = os.open(draft, flags, 0o600)
        try:
            with os.fdopen(number, "w", encoding="ascii") as opened:
                opened.write(token + "\n")
            os.link(draft, file)
        finally:
            draft.unlink()
    except FileExistsError:
        return
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}", hint="name a file for the token that can be made") from None


def _checked(text: str, source: str) -> str:
    if _FORM.fullmatch(text) is None:
        hint = "16 to 256 letters, digits and -._~+/; pysniff makes a good one by itself"
        raise OptionError(f"{source} holds no token", hint=hint)
    return text
