"""DNS over UDP and TCP (RFC 1035, 7766), and what shares its messages: mDNS (RFC 6762), LLMNR (RFC 4795).

A datagram is a message; on TCP two bytes before each say how long it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar

from pysniff.dissector import Dissector, Match, Output, Undecoded
from pysniff.dissectors.dns_match import Kind, agree, framed, recognise
from pysniff.dissectors.dns_messages import DnsAnnouncement, DnsMessage, DnsQuery, DnsResponse
from pysniff.dissectors.dns_names import names_of
from pysniff.dissectors.dns_sections import HEADER, Survey, name_at, survey
from pysniff.dissectors.dns_variables import VARIABLES
from pysniff.limits import DEFAULT, Limits
from pysniff.message import Fault, Message, Side

_ASKED = 1_024  # questions whose ids are remembered, for answers that do not repeat the question
_KEY = 400  # bytes that one takes
_TRANSFERS = (251, 252)  # IXFR, AXFR


class _Exchange(Dissector):
    """What both transports share: names the key that a query and its answer have in common."""

    protocol: ClassVar[str] = "dns"
    variables = VARIABLES
    names: ClassVar[bool] = True

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._asked: dict[int, Hashable] = {}  # by id, the last ones
        self._transfers: set[int] = set()  # ids of zone transfers whose first message was seen
        self._taken = [0, 0]  # bytes of each half given back so far, and lost

    def weight(self) -> int:
        return super().weight() + _KEY * len(self._asked)

    def _message(self, wire: bytes, side: Side, at: tuple[int, int], size: int, lost: int = 0) -> Message | Undecoded:
        position = self._taken[side]
        self._taken[side] += size + lost
        if len(wire) < HEADER:
            return Undecoded(side, size, "short")
        found = survey(wire)
        if found.fault is not None and found.fault.kind == "malformed" and not found.questions:
            return Undecoded(side, size, "malformed")
        faults: tuple[Fault, ...] = ()
        if lost:
            faults = (Fault("gap", f"{lost} bytes lost", lost),)
        elif found.fault is not None:
            faults = (found.fault,)
        elif found.end < len(wire):
            faults = (Fault("malformed", "bytes after the end", len(wire) - found.end),)
        kind = DnsResponse if wire[2] & 0x80 else DnsQuery
        return self._keyed(kind, wire, found, side, at, position, size, faults)

    def _keyed(
        self,
        kind: type[DnsMessage],
        wire: bytes,
        found: Survey,
        side: Side,
        at: tuple[int, int],
        position: int,
        size: int,
        faults: tuple[Fault, ...],
    ) -> DnsMessage:
        number = wire[0] << 8 | wire[1]
        key: Hashable
        if found.questions:
            start, question, _ = found.questions[0]
            # Lower case: resolvers vary it at random and some servers answer in theirs (draft-vixie-dnsext-dns0x20).
            key = (number, question, name_at(wire, start).lower())
        elif kind is DnsQuery:
            key = (number, 0, "")
        else:
            # A refusal may not repeat the question, and the capture may have cut it off: the id has to do.
            key = self._asked.get(number, (number, 0, ""))
        if kind is DnsQuery:
            if len(self._asked) >= _ASKED and number not in self._asked:
                del self._asked[next(iter(self._asked))]
            self._asked[number] = key
            self._transfers.discard(number)
        elif number in self._transfers or (not number and not found.questions and found.records):
            kind = DnsAnnouncement
        elif isinstance(key, tuple) and key[1] in _TRANSFERS:
            self._transfers.add(number)
        message = kind(wire, key, side, at, position, size, faults)
        if kind is not DnsQuery:
            message.records = found.records
        return message


class Dns(_Exchange):
    """DNS, mDNS or LLMNR over UDP."""

    transport: ClassVar[str] = "udp"

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        asked, answered = recognise(client, True), recognise(server, True)
        if (client and asked is None) or (server and answered is None):
            return Match.NO
        return agree(asked, answered, not client or not server or client <= server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        return (self._message(data, side, (at, at), len(data)),) if data else ()

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        """Datagrams stand for themselves."""
        return ()

    def pending(self, side: Side) -> int:
        return 0


def told(datagram: bytes) -> list[tuple[bytes, str]]:
    """The names of addresses that a datagram tells, which a conversation of DNS takes: what its message would say."""
    # Nearly all that say nothing: queries, failures, and what has no answer.
    if len(datagram) < HEADER or not datagram[2] & 0x80 or datagram[3] & 0x0F or datagram[6:8] == b"\0\0":
        return []
    found = survey(datagram)
    if found.fault is not None and found.fault.kind == "malformed" and not found.questions:
        return []
    return [*names_of(datagram, found.records)]


class _Half:
    """One direction of a TCP connection. `lost`: where the next message begins is not known."""

    __slots__ = ("buffer", "first", "last", "lost", "hole", "skip", "skipped")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.first = 0
        self.last = 0
        self.lost = False
        self.hole = 0  # bytes of the message that were lost
        self.skip = 0  # bytes of it that follow the hole and are only counted
        self.skipped = 0

    def held(self) -> int:
        return len(self.buffer) + self.skipped

    def length(self) -> int:
        """Bytes of the message with its prefix, 0 while unknown."""
        return 2 + (self.buffer[0] << 8 | self.buffer[1]) if len(self.buffer) >= 2 else 0


class DnsOverTcp(_Exchange):
    """DNS over TCP; several messages may wait for their answers, which come in any order."""

    transport: ClassVar[str] = "tcp"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._halves = (_Half(), _Half())

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        asked, answered = framed(client), framed(server)
        if Match.NO in (asked, answered) or not (client or server):
            return Match.NO if client or server else Match.UNSURE
        asks = asked if isinstance(asked, Kind) else None
        answers = answered if isinstance(answered, Kind) else None
        if asks is None and answers is None:
            return Match.UNSURE
        return agree(asks, answers, not client or not server or client <= server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
        half = self._halves[side]
        if half.lost and data:
            if not isinstance(framed(data), Kind):
                self._taken[side] += len(data)
                yield Undecoded(side, len(data), "after a gap")
                return
            half.lost = False
        if half.skip and data:
            taken = min(half.skip, len(data))
            half.skip -= taken
            half.skipped += taken
            half.last = at
            data = data[taken:]
            if half.skip:
                return
            yield self._after_hole(half, side)
        yield from self._whole(half, side, data, at)

    def _whole(self, half: _Half, side: Side, data: bytes, at: int) -> Iterator[Output]:
        buffer = half.buffer
        if not buffer:
            half.first = at
        buffer += data
        while (length := half.length()) and len(buffer) >= length:
            wire = bytes(buffer[2:length])
            del buffer[:length]
            yield self._message(wire, side, (half.first, at), length)
            half.first = at
        half.last = at

    def _after_hole(self, half: _Half, side: Side) -> Message | Undecoded:
        """The message that a gap went through, as far as its first bytes tell."""
        wire, size, lost = bytes(half.buffer[2:]), half.held(), half.hole
        half.buffer.clear()
        half.skipped = half.hole = half.skip = 0
        return self._message(wire, side, (half.first, half.last), size, lost)

    def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
        """The length prefix tells whether the message goes on behind the gap; otherwise one is looked for there."""
        half = self._halves[side]
        length = half.length()
        missing = half.skip or (length - len(half.buffer) if length else 0)
        if missing and not half.lost and missing >= size:
            half.hole += size
            half.skip = missing - size
            if not half.skip:
                yield self._after_hole(half, side)
            return
        half.lost = True
        if length:
            half.hole += missing
            yield self._after_hole(half, side)
            size -= missing
        elif half.held():
            yield self._drop(half, side, "gap")
        self._taken[side] += size

    def close(self, side: Side, at: int) -> Iterator[Output]:
        half = self._halves[side]
        if half.held():
            yield self._drop(half, side, "cut off")

    def _drop(self, half: _Half, side: Side, reason: str) -> Undecoded:
        size = half.held()
        self._taken[side] += size
        half.buffer.clear()
        half.skipped = half.hole = half.skip = 0
        return Undecoded(side, size, reason)

    def pending(self, side: Side) -> int:
        return self._halves[side].held()
