"""The file with names of addresses that whoever runs a worker gave it, read before a question needs it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pysniff.errors import FileError
from pysniff.hosts import names_from
from pysniff.names import NOTHING, Names

# What changes with the content: which file it is, when it was written, its size.
_Mark = tuple[int, int, int, int]


class NamesFile:
    """`path`: "" for none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read: tuple[_Mark, Names] | None = None

    def look(self) -> None:
        """Read it, so that names() is quick; what is wrong with it names() says."""
        with contextlib.suppress(FileError):
            self.names()

    def names(self) -> Names:
        """As the file is now: read again where it has changed. Raises FileError."""
        if not self._path:
            return NOTHING
        mark = self._mark()
        if mark is None or self._read is None or self._read[0] != mark:
            names = names_from(Path(self._path))
            self._read = None if mark is None else (mark, names)
            return names
        return self._read[1]

    def _mark(self) -> _Mark | None:
        try:
            found = Path(self._path).stat()
        except (OSError, ValueError):
            return None  # reading it says why
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
