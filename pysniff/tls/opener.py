"""Who opens records: what openers.py makes out of keys."""

from __future__ import annotations

from abc import ABC, abstractmethod

# A record's content type and its plain text.
Opened = tuple[int, bytes]


class Opener(ABC):
    """Has one key of one half. What does not authenticate gives None, and changes nothing.

    `sequence`: of the next record. `tries`: sequence numbers that find() has tried.
    `overhead`: bytes of a record that are not its plain text, the header among
    them; 0 where that differs between records. `chained`: a record needs the end of the one before it.
    """

    __slots__ = ("sequence", "overhead", "chained", "tries")

    def __init__(self, overhead: int) -> None:
        self.sequence = 0
        self.tries = 0
        self.overhead = overhead
        self.chained = False

    @abstractmethod
    def open(self, header: bytes, body: memoryview) -> Opened | None:
        """The next record."""

    def find(self, header: bytes, body: memoryview, least: int, most: int) -> Opened | None:
        """A record before which between `least` and `most` others are missing, both included."""
        first = self.sequence
        for sequence in range(first + least, first + most + 1):
            self.sequence = sequence
            self.tries += 1
            opened = self.open(header, body)
            if opened is not None:
                return opened
        self.sequence = first
        return None

    def may_be(self, body: memoryview) -> bool:
        """Whether this has the length of a record; of `chained` ones alone."""
        return False

    def skip(self, body: memoryview) -> None:  # noqa: B027 - of `chained` ones alone
        """A record that could not be opened lies before the next one."""

    def chain(self) -> bytes:
        """What the next record needs of the one before; empty where that is nothing, or unknown."""
        return b""

    def go_on(self, sequence: int, chain: bytes) -> None:
        """The next record has this number, and this before it."""
        self.sequence = sequence

    def lose(self) -> None:  # noqa: B027
        """Nobody knows what lies before the next record."""
