"""What a conversation knows of the half that feeds it."""

from __future__ import annotations

from typing import Protocol

from pysniff.dissector import Receiver
from pysniff.message import Side


class Half(Protocol):
    """Bytes one way: a half of a TCP connection, datagrams, or what another protocol carries."""

    side: Side
    # Takes the next bytes and their time.
    receive: Receiver
    # What came since skip().
    packets: int
    bytes: int
    first: int
    last: int

    def skip(self) -> None:
        """Count from now on instead of feeding the conversation."""

    def slow(self) -> None:
        """Set Pairs.acked with everything that is fed, until the pairs are synchronised."""

    def offset(self) -> int:
        """Bytes of this half so far, gaps included."""

    def place(self, offset: int) -> int:
        """What messages have as their position: where on the wire that byte lies."""

    def weight(self) -> int:
        """About how many bytes of memory it takes that grow with what comes, and are in no other total."""

    def progress(self) -> int:
        """Changes when something new arrived."""
