"""Whether bytes are DNS: there is no magic number, so the whole message has to make sense."""

from __future__ import annotations

import re
from typing import NamedTuple

from pysniff.dissector import Match
from pysniff.dissectors.dns_records import CLASSES, OPCODES
from pysniff.dissectors.dns_sections import COUNTS, HEADER, OPT, Survey, survey
from pysniff.message import Fault

_QUESTIONS = 256  # a question takes 5 bytes or more; mDNS packs dozens
# RFC 1001 §14.1: NetBIOS names are 32 letters from A to P; NBNS has the message format of DNS and is not DNS.
_NETBIOS = re.compile(rb"\x20[A-P]{32}")
_NETBIOS_TYPES = (0x20, 0x21)


class Kind(NamedTuple):
    """What a message looks like. `sure`: nothing else is likely to look like it."""

    response: bool
    sure: bool


def recognise(message: bytes, whole: bool) -> Kind | None:
    """What the bytes are as a DNS message, or None; without `whole` only their beginning is there."""
    if len(message) < HEADER:
        return None
    _, flags, questions, *_ = COUNTS.unpack_from(message)
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
    if not all(kind == OPT or _ordinary((kind, group)) for _, _, kind, group, *_ in found.records):
        return None
    if _is_netbios(message, found) or (not found.questions and found.end == HEADER and opcode):
        return None
    if whole and found.fault is None and found.end < len(message) and not found.questions:
        return None
    return Kind(response, bool(found.questions or found.records))


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


def agree(client: Kind | None, server: Kind | None, client_first: bool) -> Match:
    """Who asks is the client. Where both ask (mDNS from port to port), `client_first` says who that is."""
    if client is not None and not client.response:
        if server is not None and not server.response:
            return Match.YES if client_first else Match.NO
        return Match.YES if client.sure or (server is not None and server.sure) else Match.UNSURE
    if server is None or not server.response or not client_first:
        return Match.NO
    return Match.YES if server.sure else Match.UNSURE


def framed(data: bytes) -> Kind | Match:
    """What the first message of a half is; UNSURE while too little is there, NO where it is none."""
    if len(data) < 2:
        return Match.UNSURE
    length = data[0] << 8 | data[1]
    if length < HEADER:
        return Match.NO
    if len(data) < 2 + HEADER:
        return Match.UNSURE if len(data) < 5 or data[4] >> 3 & 15 in OPCODES else Match.NO
    _, _, questions, answers, authorities, additionals = COUNTS.unpack_from(data, 2)
    if questions * 5 + (answers + authorities + additionals) * 11 > length - HEADER or not questions:
        return Match.NO
    message = data[2 : 2 + length]
    kind = recognise(message, len(message) == length)
    if kind is not None:
        return kind
    waiting = len(message) < length and survey(message).fault == Fault("truncated", "the message is cut off")
    return Match.UNSURE if waiting and len(message) < HEADER + 260 else Match.NO
