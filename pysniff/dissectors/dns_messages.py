"""DNS messages as entries show them; sections are decoded when touched."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, ClassVar

from pysniff.dissectors.dns_names import names_of
from pysniff.dissectors.dns_records import OPCODES, RCODES
from pysniff.dissectors.dns_sections import Edns, Place, Question, Record, Sections, sections_of
from pysniff.message import Fault, Message, Role, Side

_FLAGS = ((0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0040, "z"), (0x0020, "ad"), (0x0010, "cd"))


class DnsMessage(Message):
    """A message; `wire` is it as sent, without the length that TCP puts before it.

    `records`: where they are, until names() was asked.
    """

    __slots__ = ("wire", "key", "records", "_sections")

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
        self.records: Sequence[Place] = ()
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
            self._sections = sections_of(self.wire)
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
    def rcode_number(self) -> int:
        """With the upper eight bits from the OPT record (RFC 6891 §6.1.3)."""
        return self.sections.extended_rcode << 4 | self.wire[3] & 15

    @property
    def rcode(self) -> str:
        code = self.rcode_number
        return RCODES.get(code) or f"RCODE{code}"

    @property
    def status_text(self) -> str:
        return self.rcode

    @property
    def ok(self) -> bool:
        return self.rcode == "NOERROR"

    def names(self) -> Iterable[tuple[bytes, str]]:
        records, self.records = self.records, ()
        return names_of(self.wire, records) if records else ()

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"rcode": self.rcode, **super().to_dict(body_limit)}


class DnsAnnouncement(DnsResponse):
    """A response that answers no query, or one already answered.

    RFC 6762 §6: a multicast response has no id and repeats no question. RFC 5936 §2.2: a zone transfer
    takes as many messages as it needs; the first is the answer, these are the others.
    """

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE
    stands_in: ClassVar[Role | None] = Role.RESPONSE
