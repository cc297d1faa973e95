"""Whose a connection is: what tells the connections of a command and its children from those of others."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

TCP, UDP = 6, 17


class Owner(Enum):
    """UNKNOWN: nobody can say, or not yet."""

    OURS = "ours"
    OTHERS = "others"
    UNKNOWN = "unknown"


class Owners(Protocol):
    """Asked at a conversation's first packet, and again while it is UNKNOWN for `patience` nanoseconds.

    `guesses`: whether some that is UNKNOWN then may be OURS.
    """

    patience: int
    guesses: bool

    def owner(self, protocol: int, key: bytes) -> Owner:
        """`key`: as of Segment, whichever end sent it."""

    def was_idle(self, at: int) -> bool:
        """Whether nothing of ours can have begun a conversation at that time: False where nobody knows."""

    def close(self) -> None:
        """Let go of what it takes to know."""
