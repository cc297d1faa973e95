"""Packets with a comment each, as pcapng: what belongs to which call is read in Wireshark's column of comments.

It takes packets, not entries: who has them (the store) makes an Exporter of it, and names that in export/__init__.py.
"""

from __future__ import annotations

import struct

from pysniff.capture.writer import interface_block, section_block
from pysniff.packet import Packet

_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
_HEADER = struct.Struct("<IIIIIII")
_ENHANCED_PACKET = 6  # draft-ietf-opsawg-pcapng §4.3
_OPT_COMMENT = 1  # §3.5.1, UTF-8
_LONGEST = 0xFFFF  # bytes of an option
_END_OF_OPTIONS = bytes(4)


class CommentedPackets:
    """The bytes of one file: begin(), then a packet after another."""

    def __init__(self) -> None:
        self._interfaces: dict[tuple[int, str], int] = {}

    def begin(self) -> bytes:
        return section_block()

    def packet(self, packet: Packet, comment: str = "") -> bytes:
        """One packet, behind the description of its interface where this is the first from there."""
        key = (packet.linktype, packet.interface)
        number = self._interfaces.get(key)
        if number is not None:
            return packet_block(packet, number, comment)
        number = self._interfaces[key] = len(self._interfaces)
        return interface_block(packet.linktype, packet.interface) + packet_block(packet, number, comment)


def packet_block(packet: Packet, interface: int, comment: str = "") -> bytes:
    """An enhanced packet block, its time in nanoseconds; a comment is cut where it does not fit an option."""
    data = packet.data
    options = _comment(comment) if comment else b""
    padding = bytes(-len(data) & 3)
    total = _HEADER.size + len(data) + len(padding) + len(options) + 4
    ticks = min(max(packet.time_ns, 0), _U64)
    wire = min(packet.wire_length, _U32)
    header = _HEADER.pack(_ENHANCED_PACKET, total, interface, ticks >> 32, ticks & _U32, len(data), wire)
    return b"".join((header, data, padding, options, total.to_bytes(4, "little")))


def _comment(comment: str) -> bytes:
    value = comment.encode("utf-8", "replace")
    if len(value) > _LONGEST:
        value = value[:_LONGEST].decode("utf-8", "ignore").encode()
    return struct.pack("<HH", _OPT_COMMENT, len(value)) + value + bytes(-len(value) & 3) + _END_OF_OPTIONS
