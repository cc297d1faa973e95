"""One half of an HTTP/2 connection: the account of its bytes, and what is known of it.

Each byte is counted once: for a message, when that is given back, or for nobody.
"""

from __future__ import annotations

from pysniff.dissector import Output, Overhead, Undecoded
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.limits import Limits
from pysniff.message import Fault, Side

# Why bytes were lost that came before messages: the kind of fault that those get.
MIDSTREAM, GAP = "midstream", "gap"


class Half:
    """`fed`, `given`: bytes taken, and given back. `offset`: of the next byte to be read."""

    def __init__(self, side: Side, limits: Limits) -> None:
        self.side = side
        self.limits = limits
        self.fed = 0
        self.given = 0
        self.offset = 0
        self.loss = ""  # midstream or gap: what came before may be missing
        self.resumed: tuple[Fault, ...] = ()  # for the first message after a loss
        self.messages: dict[int, Http2Message] = {}  # those of this half that have begun, by stream
        self.earlier: set[int] = set()  # streams of which more may come here, whose beginning is gone
        self.overhead = 0  # bytes of frames that the protocol needs for itself, not given back yet
        self.astray = 0  # and of those that belong to no stream

    def stray(self, size: int, over: bool) -> None:
        """Bytes of a frame that belongs to no message; `over`: what they belonged to has ended already."""
        if over:
            self.overhead += size
        else:
            self.astray += size

    def flush(self, out: list[Output]) -> None:
        """Give back what belongs to no message."""
        if self.overhead:
            self.given += self.overhead
            out.append(Overhead(self.side, self.overhead))
            self.overhead = 0
        self.undecoded(self.astray, "of no stream", out)
        self.astray = 0

    def undecoded(self, size: int, reason: str, out: list[Output]) -> None:
        if size:
            self.given += size
            out.append(Undecoded(self.side, size, reason))
