"""What callers did wrong, or the machine refused: one line, and a hint that says the way out.

The wire never raises these: a malformed message is a Fault on an entry and a count in the ledger.
Exit codes are Wireshark's (ws_exit_codes.h).
"""

from __future__ import annotations

from typing import ClassVar


class PysniffError(Exception):
    """Base of every exception that PySniff raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class OptionError(PysniffError):
    """An option or argument that makes no sense."""

    exit_code = 1


class CaptureError(PysniffError):
    """An interface that cannot be opened or went away."""

    exit_code = 2


class FileError(PysniffError):
    """A file that cannot be opened, or is not a capture."""

    exit_code = 3


FILTER_HINT = "write it as for tcpdump: tcp port 80; see man pcap-filter"


class FilterError(PysniffError):
    """A capture or display filter that does not compile.

    Of a display filter: `line` and `column` from 1, and `excerpt`, two lines, that of the filter and a caret under
    the column; 0 and "" where there is none.
    """

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", line: int = 0, column: int = 0, excerpt: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column
        self.excerpt = excerpt


class NotFoundError(PysniffError, LookupError):
    """An entry or a connection that a store does not hold, or no more."""

    exit_code = 3


class PrivilegeError(CaptureError):
    """The capture needs a privilege that this process lacks."""

    exit_code = 5


class ReadError(PysniffError):
    """A capture that broke off or turned bad in the middle; everything before was delivered."""

    exit_code = 14


class WriteError(PysniffError):
    """Output that could not be written."""

    exit_code = 15
