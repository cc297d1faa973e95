"""DNS over UDP and TCP (RFC 1035, 7766), and what shares its messages: mDNS (RFC 6762), LLMNR (RFC 4795).

A datagram is a message; on TCP two bytes before each say how long it is. Sections are decoded when touched.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

from pysniff.dissector import Dissector, Match, Output, Undecoded
from pysniff.dissectors.dns_records import (
    CLASSES,
    OPCODES,
    RCODES,
    Bad,
    Cut,
    class_name,
    data,
    name,
    skip_name,
    type_name,
)
from pysniff.limits import DEFAULT, Limits
from pysniff.message import Fault, Message, Role, Side

HEADER = 12
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_OPT = 41
_TRANSFERS = (251, 252)  # IXFR, AXFR
_FLAGS = ((0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0040, "z"), (0x0020, "ad"), (0x0010, "cd"))
_QUESTIONS = 256  # a question takes 5 bytes or more; mDNS packs dozens
# RFC 1001 §14.1: NetBIOS names are 32 letters from A to P; NBNS has the message format of DNS and is not DNS.
_NETBIOS = re.compile(rb"\x20[A-P]{32}")
_NETBIOS_TYPES = (0x20, 0x21)


class Question(NamedTuple):
    name: str
    type: str
    class_: str

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.type, "class": self.class_}


class Record(NamedTuple):
    """One resource record; `ttl` in seconds, `data` in presentation form."""

    name: str
    type: str
    class_: str
    ttl: int
    data: str

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.type, "class": self.class_, "ttl": self.ttl, "data": self.data}


class Edns(NamedTuple):
    """The OPT record (RFC 6891); `options`: code and hexadecimal data."""

    version: int
    udp_size: int
    dnssec_ok: bool
    options: tuple[tuple[int, str], ...]

    def to_dict(self) -> dict[str, Any]:
        options = [{"code": code, "data": content} for code, content in self.options]
        return {"version": self.version, "udp_size": self.udp_size, "do": self.dnssec_ok, "options": options}


class Sections(NamedTuple):
    questions: tuple[Question, ...]
    answers: tuple[Record, ...]
    authorities: tuple[Record, ...]
    additionals: tuple[Record, ...]
    edns: Edns | None
    extended_rcode: int  # upper eight bits, from the OPT record


class DnsMessage(Message):
    """A message; `wire` is it as sent, without the length that TCP puts before it."""

    __slots__ = ("wire", "key", "_sections")

    protocol: ClassVar[str] = "dns"
    wire: bytes
    key: Hashable

    def __init__(
        self,
        wire: bytes,
        key: Hashable,
        side: Side,
        at: tuple[int, int],
        position: int,
        size: int,
        faults: tuple[Fault, ...],
    ) -> None:
        super().__init__(side, at[0], at[1], position, size, faults)
        self.wire = wire
        self.key = key
        self._sections: Sections | None = None

    @property
    def id(self) -> int:
        return self.wire[0] << 8 | self.wire[1]

    @property
    def opcode(self) -> str:
        code = self.wire[2] >> 3 & 15
        return OPCODES.get(code) or f"OPCODE{code}"

    @property
    def flags(self) -> tuple[str, ...]:
        """Those set, of aa tc rd ra z ad cd."""
        bits = self.wire[2] << 8 | self.wire[3]
        return tuple(word for bit, word in _FLAGS if bits & bit)

    @property
    def sections(self) -> Sections:
        if self._sections is None:
            self._sections = _sections(self.wire)
        return self._sections

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.sections.questions

    @property
    def answers(self) -> tuple[Record, ...]:
        return self.sections.answers

    @property
    def authorities(self) -> tuple[Record, ...]:
        return self.sections.authorities

    @property
    def additionals(self) -> tuple[Record, ...]:
        """Without the OPT record, which is `edns`."""
        return self.sections.additionals

    @property
    def edns(self) -> Edns | None:
        return self.sections.edns

    @property
    def summary(self) -> str:
        words = [] if self.opcode == "QUERY" else [self.opcode]
        if self.questions:
            words += [self.questions[0].type, self.questions[0].name]
            if len(self.questions) > 1:
                words.append(f"and {len(self.questions) - 1} more")
        elif self.answers:
            words += [self.answers[0].type, self.answers[0].name]
        return " ".join(words) or "no question"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        sections = self.sections
        return {
            "id": self.id,
            "opcode": self.opcode,
            "flags": list(self.flags),
            "questions": [question.to_dict() for question in sections.questions],
            "answers": [record.to_dict() for record in sections.answers],
            "authorities": [record.to_dict() for record in sections.authorities],
            "additionals": [record.to_dict() for record in sections.additionals],
            "edns": sections.edns.to_dict() if sections.edns else None,
            "size": len(self.wire),
        }


class DnsQuery(DnsMessage):
    """A query, a dynamic update or a notification."""

    __slots__ = ()
    role: ClassVar[Role] = Role.REQUEST


class DnsResponse(DnsMessage):
    __slots__ = ()
    role: ClassVar[Role] = Role.RESPONSE

    @property
    def rcode(self) -> str:
        code = self.sections.extended_rcode << 4 | self.wire[3] & 15
        return RCODES.get(code) or f"RCODE{code}"

    @property
    def status_text(self) -> str:
        return self.rcode

    @property
    def ok(self) -> bool:
        return self.rcode == "NOERROR"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"rcode": self.rcode, **super().to_dict(body_limit)}


class DnsAnnouncement(DnsResponse):
    """A response that answers no query, or one already answered.

    RFC 6762 §6: a multicast response has no id and repeats no question. RFC 5936 §2.2: a zone transfer
    takes as many messages as it needs; the first is the answer, these are the others.
    """

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE


class Survey(NamedTuple):
    """Where everything is. `records`: section 1 to 3, name, type, class, ttl, start and end of the data."""

    questions: list[tuple[int, int, int]]
    records: list[tuple[int, int, int, int, int, int, int]]
    end: int
    fault: Fault | None


def survey(message: bytes) -> Survey:
    """Walk a message of at least HEADER bytes; what is cut off or broken is a fault, not an error."""
    _, _, questions, *counts = _HEADER.unpack_from(message)
    seen: list[tuple[int, int, int]] = []
    records: list[tuple[int, int, int, int, int, int, int]] = []
    at = HEADER
    size = len(message)
    fault = None
    try:
        for _ in range(questions):
            end = skip_name(message, at)
            if end + 4 > size:
                raise Cut
            seen.append((at, message[end] << 8 | message[end + 1], message[end + 2] << 8 | message[end + 3]))
            at = end + 4
        for section, count in enumerate(counts, 1):
            for _ in range(count):
                end = skip_name(message, at) + _RECORD.size
                if end > size:
                    raise Cut
                kind, group, ttl, length = _RECORD.unpack_from(message, end - _RECORD.size)
                if end + length > size:
                    raise Cut
                records.append((section, at, kind, group, ttl, end, end + length))
                at = end + length
    except Cut:
        fault = Fault("truncated", "the message is cut off")
    except Bad as error:
        fault = Fault("malformed", str(error))
    return Survey(seen, records, at, fault)


def _sections(message: bytes) -> Sections:
    found = survey(message)
    questions = []
    for at, kind, group in found.questions:
        questions.append(Question(_name(message, at), type_name(kind), class_name(_group(group))))
    sections: tuple[list[Record], list[Record], list[Record]] = ([], [], [])
    edns = None
    upper = 0
    for section, at, kind, group, ttl, start, end in found.records:
        if kind == _OPT and edns is None:
            edns = Edns(ttl >> 16 & 255, group, bool(ttl & 0x8000), _options(message[start:end]))
            upper = ttl >> 24
            continue
        word = data(message, kind, start, end)
        record = Record(_name(message, at), type_name(kind), class_name(_group(group)), ttl, word)
        sections[section - 1].append(record)
    answers, authorities, additionals = sections
    return Sections(tuple(questions), tuple(answers), tuple(authorities), tuple(additionals), edns, upper)


def _group(code: int) -> int:
    # RFC 6762 §5.4, §10.2: in mDNS the top bit asks for a unicast answer, or flushes caches.
    return code & 0x7FFF if code & 0x7FFF in CLASSES else code


def _name(message: bytes, at: int) -> str:
    try:
        return name(message, at)[0]
    except (Bad, Cut):
        return "<malformed>"


def _options(content: bytes) -> tuple[tuple[int, str], ...]:
    options = []
    at = 0
    while at + 4 <= len(content):
        code, length = struct.unpack_from("!HH", content, at)
        options.append((code, content[at + 4 : at + 4 + length].hex()))
        at += 4 + length
    return tuple(options)


class _Kind(NamedTuple):
    """What a message looks like. `sure`: nothing else is likely to look like it."""

    response: bool
    sure: bool


def _recognise(message: bytes, whole: bool) -> _Kind | None:
    """What the bytes are as a DNS message, or None; without `whole` only their beginning is there."""
    if len(message) < HEADER:
        return None
    _, flags, questions, *_ = _HEADER.unpack_from(message)
    response = bool(flags & 0x8000)
    opcode = flags >> 11 & 15
    if opcode not in OPCODES or opcode == 6 or flags & 0x40 or questions > _QUESTIONS:
        return None
    # A query has no result; the nibble of UPDATE is zero as well.
    if not response and flags & 15:
        return None
    found = survey(message)
    if found.fault is not None and (found.fault.kind == "malformed" or not found.questions):
        return None
    if not all(map(_ordinary, [question[1:] for question in found.questions])):
        return None
    if not all(kind == _OPT or _ordinary((kind, group)) for _, _, kind, group, *_ in found.records):
        return None
    if _is_netbios(message, found) or (not found.questions and found.end == HEADER and opcode):
        return None
    if whole and found.fault is None and found.end < len(message) and not found.questions:
        return None
    return _Kind(response, bool(found.questions or found.records))


def _ordinary(kind_and_group: tuple[int, int]) -> bool:
    kind, group = kind_and_group
    return kind != 0 and group & 0x7FFF in CLASSES


def _is_netbios(message: bytes, found: Survey) -> bool:
    if found.questions:
        at, kind, _ = found.questions[0]
    elif found.records:
        _, at, kind, *_ = found.records[0]
    else:
        return False
    return kind in _NETBIOS_TYPES and _NETBIOS.match(message, at) is not None


def _agree(client: _Kind | None, server: _Kind | None, client_first: bool) -> Match:
    """Who asks is the client. Where both ask (mDNS from port to port), `client_first` says who that is."""
    if client is not None and not client.response:
        if server is not None and not server.response:
            return Match.YES if client_first else Match.NO
        return Match.YES if client.sure or (server is not None and server.sure) else Match.UNSURE
    if server is None or not server.response or not client_first:
        return Match.NO
    return Match.YES if server.sure else Match.UNSURE


class _Exchange(Dissector):
    """What both transports share: names the key that a query and its answer have in common."""

    protocol: ClassVar[str] = "dns"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._asked: dict[int, Hashable] = {}  # by id, so at most 65,536
        self._transfers: set[int] = set()  # ids of zone transfers whose first message was seen
        self._taken = [0, 0]

    def _message(self, wire: bytes, side: Side, at: tuple[int, int], size: int, lost: int = 0) -> Message | Undecoded:
        position = self._taken[side]
        self._taken[side] += size
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
            key = (number, question, _name(wire, start).lower())
        elif kind is DnsQuery:
            key = (number, 0, "")
        else:
            # A refusal may not repeat the question, and the capture may have cut it off: the id has to do.
            key = self._asked.get(number, (number, 0, ""))
        if kind is DnsQuery:
            self._asked[number] = key
            self._transfers.discard(number)
        elif number in self._transfers or (not number and not found.questions and found.records):
            kind = DnsAnnouncement
        elif isinstance(key, tuple) and key[1] in _TRANSFERS:
            self._transfers.add(number)
        return kind(wire, key, side, at, position, size, faults)


class Dns(_Exchange):
    """DNS, mDNS or LLMNR over UDP."""

    transport: ClassVar[str] = "udp"

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        asked, answered = _recognise(client, True), _recognise(server, True)
        if (client and asked is None) or (server and answered is None):
            return Match.NO
        return _agree(asked, answered, not client or not server or client <= server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        return (self._message(data, side, (at, at), len(data)),) if data else ()

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        """Datagrams stand for themselves."""
        return ()

    def pending(self, side: Side) -> int:
        return 0


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
        asked, answered = _framed(client), _framed(server)
        if Match.NO in (asked, answered) or not (client or server):
            return Match.NO if client or server else Match.UNSURE
        asks = asked if isinstance(asked, _Kind) else None
        answers = answered if isinstance(answered, _Kind) else None
        if asks is None and answers is None:
            return Match.UNSURE
        return _agree(asks, answers, not client or not server or client <= server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
        half = self._halves[side]
        if half.lost and data:
            if not isinstance(_framed(data), _Kind):
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
        elif half.held():
            yield self._drop(half, side, "gap")

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


def _framed(data: bytes) -> _Kind | Match:
    """What the first message of a half is; UNSURE while too little is there, NO where it is none."""
    if len(data) < 2:
        return Match.UNSURE
    length = data[0] << 8 | data[1]
    if length < HEADER:
        return Match.NO
    if len(data) < 2 + HEADER:
        return Match.UNSURE if len(data) < 5 or data[4] >> 3 & 15 in OPCODES else Match.NO
    _, _, questions, answers, authorities, additionals = _HEADER.unpack_from(data, 2)
    if questions * 5 + (answers + authorities + additionals) * 11 > length - HEADER or not questions:
        return Match.NO
    message = data[2 : 2 + length]
    kind = _recognise(message, len(message) == length)
    if kind is not None:
        return kind
    waiting = len(message) < length and survey(message).fault == Fault("truncated", "the message is cut off")
    return Match.UNSURE if waiting and len(message) < HEADER + 260 else Match.NO
