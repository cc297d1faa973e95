"""What an export format is: a class that turns entries into bytes, one at a time.

It begins with its first entry, and keeps no entry that it has written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import ClassVar

from pysniff.entry import Entry
from pysniff.errors import WriteError
from pysniff.export.target import Target
from pysniff.limits import MIB

# What is said of a call that was exported before its end.
NOT_ENDED = "it had not ended"


class Exporter(ABC):
    """Writes entries to `target`, a path or "-" for standard output; `body_limit`: bytes kept of each body.

    add() takes each call once: when it has ended, or open, as it stood when nothing more came. `left_out`: how many the
    format has no place for, by reason.
    Every method raises WriteError where the target cannot be written, and does nothing any more after that.
    """

    format: ClassVar[str]
    # Whether it is given, as `store`, a directory of packets to look into at the end.
    needs_packets: ClassVar[bool] = False
    # Whether a file that ends in the middle is worth nothing.
    whole: ClassVar[bool] = True

    def __init__(self, target: str, body_limit: int = MIB) -> None:
        self.target = Target(target, whole=self.whole)
        self.body_limit = body_limit
        self.store: Path | None = None
        self.left_out: Counter[str] = Counter()
        self._asked = False
        self._begun = False
        self._ended = False

    @property
    def label(self) -> str:
        """What to call the target."""
        return self.target.label

    def add(self, entry: Entry) -> None:
        """Export one entry."""
        if not self._ended:
            self._asked = True
            self._put(self.encode(entry))

    def close(self) -> None:
        """Write what is left; again does nothing."""
        if self._ended:
            return
        self._put(self.end(), last=True)
        self._ended = True
        self.target.finish()

    def abandon(self) -> None:
        """The run has failed: bring out what there is, but leave an old file alone where no entry came."""
        if self._asked:
            self.close()
        self._ended = True

    def begin(self) -> bytes:
        """What stands before the first entry."""
        return b""

    @abstractmethod
    def encode(self, entry: Entry) -> bytes:
        """The next bytes, b"" where none are due; count what has no place in `left_out`."""

    def end(self) -> bytes:
        """What stands behind the last entry, and all that was held back."""
        return b""

    def _put(self, data: bytes, *, last: bool = False) -> None:
        if not data and not last:
            return
        try:
            if not self._begun:
                self._begun = True
                self.target.write(self.begin())
            self.target.write(data)
        except (WriteError, BrokenPipeError):
            self._ended = True
            self.target.drop()
            raise
