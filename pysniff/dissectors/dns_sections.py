"""The sections of a DNS message: where everything is, and what it says (RFC 1035 §4.1)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pysniff.dissectors.dns_records import CLASSES, Bad, Cut, class_name, data, name, skip_name, type_name
from pysniff.message import Fault

HEADER = 12
OPT = 41
COUNTS = struct.Struct("!6H")  # the header: id, flags, and how many each section has
_RECORD = struct.Struct("!HHIH")


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
    """A message, decoded."""

    questions: tuple[Question, ...]
    answers: tuple[Record, ...]
    authorities: tuple[Record, ...]
    additionals: tuple[Record, ...]
    edns: Edns | None
    extended_rcode: int  # upper eight bits, from the OPT record


# Of a record: section 1 to 3, name, type, class, ttl, start and end of the data.
Place = tuple[int, int, int, int, int, int, int]


class Survey(NamedTuple):
    """Where everything is."""

    questions: list[tuple[int, int, int]]
    records: list[Place]
    end: int
    fault: Fault | None


def survey(message: bytes) -> Survey:
    """Walk a message of at least HEADER bytes; what is cut off or broken is a fault, not an error."""
    _, _, questions, *counts = COUNTS.unpack_from(message)
    seen: list[tuple[int, int, int]] = []
    records: list[Place] = []
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


def sections_of(message: bytes) -> Sections:
    """Decode a message of at least HEADER bytes, as far as it goes."""
    found = survey(message)
    questions = []
    for at, kind, group in found.questions:
        questions.append(Question(name_at(message, at), type_name(kind), class_name(_group(group))))
    sections: tuple[list[Record], list[Record], list[Record]] = ([], [], [])
    edns = None
    upper = 0
    for section, at, kind, group, ttl, start, end in found.records:
        if kind == OPT and edns is None:
            edns = Edns(ttl >> 16 & 255, group, bool(ttl & 0x8000), _options(message[start:end]))
            upper = ttl >> 24
            continue
        word = data(message, kind, start, end)
        record = Record(name_at(message, at), type_name(kind), class_name(_group(group)), ttl, word)
        sections[section - 1].append(record)
    answers, authorities, additionals = sections
    return Sections(tuple(questions), tuple(answers), tuple(authorities), tuple(additionals), edns, upper)


def _group(code: int) -> int:
    # RFC 6762 §5.4, §10.2: in mDNS the top bit asks for a unicast answer, or flushes caches.
    return code & 0x7FFF if code & 0x7FFF in CLASSES else code


def name_at(message: bytes, at: int) -> str:
    """The name that begins there, or "<malformed>"."""
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
