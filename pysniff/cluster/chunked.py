"""A packet as a Chunk has it (docs/protocol.md): a head, a comment, the bytes as captured."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pysniff.packet import Packet

# Link type, number of the interface, length on the wire, bytes of the comment, zeros.
_HEAD = struct.Struct("<HHIHH")
COMMENT = 4_096  # bytes of one
INTERFACES = 65_535  # that can be told apart; 0 is none of them
_U32 = (1 << 32) - 1


class Chunked(NamedTuple):
    """`interface`: a number that a Value told the name of, or 0. `comment`: UTF-8."""

    linktype: int
    interface: int
    wire_length: int
    comment: bytes
    data: bytes


def pack(packet: Packet, interface: int, comment: str) -> bytes:
    text = comment.encode("utf-8", "replace")
    if len(text) > COMMENT:
        text = text[:COMMENT].decode("utf-8", "ignore").encode()
    wire = min(packet.wire_length, _U32)
    return _HEAD.pack(packet.linktype & 0xFFFF, interface, wire, len(text), 0) + text + packet.data


def unpack(piece: bytes) -> Chunked | None:
    """None for what is no packet."""
    if len(piece) < _HEAD.size:
        return None
    linktype, interface, wire_length, size, _ = _HEAD.unpack_from(piece)
    begin = _HEAD.size + size
    if len(piece) < begin:
        return None
    return Chunked(linktype, interface, wire_length, piece[_HEAD.size : begin], piece[begin:])
