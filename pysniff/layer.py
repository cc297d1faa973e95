"""The terms in which a packet is peeled: where a header begins, and who reads what is behind it.

A layer is a function of a Span. It opens one header and names the next by a number that some registry
assigns (Next), finds several messages side by side (Several), or it is the last one. It raises Unfit where
the packet goes no further, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from pysniff.packet import Datagram, Reason, Rejected, Segment


class Unfit(Exception):
    """The packet goes no further. `sane`: it is well-formed all the same, just nothing that we follow."""

    def __init__(self, reason: Reason, detail: str, *, sane: bool = True) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)
        self.sane = sane and reason != "malformed"


class Span(NamedTuple):
    """What is left of a packet: from `start` to `end` in `data`.

    `end` is where it ended on the wire: beyond len(data) where the snapshot cut it.
    `addresses`: source and destination of the innermost IP header so far, 8 or 32 bytes.
    `strict`: a guess brought us here, so that a length that does not fit refutes it.
    """

    data: bytes
    start: int
    end: int
    addresses: bytes = b""
    strict: bool = False

    @property
    def left(self) -> int:
        """Bytes left on the wire, never negative."""
        return max(0, self.end - self.start)

    def head(self, size: int, name: str) -> bytes:
        """The first `size` bytes; raise Unfit where they are not all there."""
        stop = self.start + size
        if stop > self.end:
            raise Unfit("malformed", f"short {name}")
        if stop > len(self.data):
            raise Unfit("malformed", f"{name} cut by snapshot")
        return self.data[self.start : stop]

    def after(self, size: int) -> Span:
        """What follows the first `size` bytes."""
        return Span(self.data, self.start + size, self.end, self.addresses, self.strict)

    def first(self, size: int) -> Span:
        """The first `size` bytes alone, or all there is where that is less."""
        return Span(self.data, self.start, min(self.end, self.start + size), self.addresses, self.strict)

    def cut(self) -> tuple[bytes, int]:
        """The captured bytes, and how many more there were on the wire."""
        have = max(self.start, min(self.end, len(self.data)))
        return self.data[self.start : have], max(0, self.end - have)


class Space(StrEnum):
    """Who assigns the number of the next layer. Its members are strings because those are hashed fast."""

    LINK = "tcpdump.org/linktypes.html"
    ETHERTYPE = "IEEE 802 numbers, 0x0600 and up"
    PROTOCOL = "IANA protocol numbers"


class Next(NamedTuple):
    """Go on in this layer."""

    space: Space
    number: int
    span: Span


class Part(NamedTuple):
    """One of several messages in a packet, and who reads it."""

    layer: Layer
    span: Span


class Several(NamedTuple):
    """Messages side by side, each with packets of its own; at least one, and no byte in two of them."""

    parts: tuple[Part, ...]


class Guess(NamedTuple):
    """A datagram that looks like a tunnel: go on inside, and come back where that makes no sense."""

    datagram: Datagram
    inside: Next


class Fragment(NamedTuple):
    """A part of an IP datagram. `key` is the same for all its parts; `offset` in bytes; `protocol` of the whole."""

    key: bytes
    offset: int
    more: bool
    protocol: int
    span: Span


Step = Next | Several | Guess | Fragment | Segment | Datagram
Layer = Callable[[Span], Step]

IPV4, IPV6, MPLS = 0x0800, 0x86DD, 0x8847
ETHERNET, WLAN = 1, 105


def link(number: int, span: Span) -> Next:
    return Next(Space.LINK, number, span)


def ethertype(number: int, span: Span) -> Next:
    return Next(Space.ETHERTYPE, number, span)


def by_version(span: Span) -> Next:
    """IP of the version that its first four bits name."""
    version = span.head(1, "IP")[0] >> 4
    if version == 4:
        return ethertype(IPV4, span)
    if version == 6:
        return ethertype(IPV6, span)
    raise Unfit("malformed", "bad IP version")
