"""One pcapng of the packets of many nodes: an interface for each of a node's, and link type (draft-ietf-opsawg-pcapng).

Blocks are made one after another; nothing is kept but which interfaces there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from pysniff.cluster.chunked import unpack
from pysniff.cluster.hub.merge import Item

_PACKET = struct.Struct("<IIIIIII")
_TOTAL = struct.Struct("<I")
_LAST = (1 << 64) - 1
_ENHANCED, _INTERFACE, _NAMES, _STATISTICS, _SECTION = 6, 1, 4, 5, 0x0A0D0D0A
_COMMENT, _END = 1, 0
TEXT = 4_096  # bytes of one option


class PacketFile:
    """begin(), then packets() and incomplete(), each giving bytes of the file."""

    def __init__(self, nodes: Sequence[str], description: str) -> None:
        self._nodes = nodes
        self._description = description
        self._blocks: dict[tuple[int, int, int], int] = {}  # number of node, its interface, link type
        self._interfaces: dict[tuple[int, int], str] = {}

    def begin(self, comments: Iterable[str], names: Iterable[tuple[str, str]] = ()) -> bytes:
        """The section's head, and what addresses are called: (address, name)."""
        options = b"".join(_option(_COMMENT, text) for text in comments) + _option(4, "PySniff")  # shb_userappl
        head = _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + _option(_END, ""))
        return head + self.names(names)

    def names(self, names: Iterable[tuple[str, str]]) -> bytes:
        """What addresses are called, for the packets that follow."""
        records = b"".join(_name(address, name) for address, name in names)
        return _block(_NAMES, records + _option(_END, "")) if records else b""

    def interfaces(self, told: Iterable[tuple[int, int, str]]) -> None:
        """How a node calls its interfaces: (node's number, interface's number, name)."""
        for node, number, name in told:
            self._interfaces[node, number] = name

    def packets(self, items: Iterable[Item]) -> bytes:
        """Of (time, node's number, _, what a Chunk has); what is no packet is left out."""
        parts: list[bytes] = []
        for time_ns, node, _, piece in items:
            packet = unpack(piece)
            if packet is None:
                continue
            block = self._blocks.get((node, packet.interface, packet.linktype))
            if block is None:
                block = len(self._blocks)
                parts.append(self._describe(node, packet.interface, packet.linktype))
            options = _commented(packet.comment) if packet.comment else b""
            size = len(packet.data)
            padding = -size & 3
            total = 32 + size + padding + len(options)
            ticks = min(max(time_ns, 0), _LAST)
            wire_length = max(packet.wire_length, size)
            parts.append(_PACKET.pack(_ENHANCED, total, block, ticks >> 32, ticks & 0xFFFFFFFF, size, wire_length))
            parts.append(packet.data)
            parts.append(bytes(padding) + options + _TOTAL.pack(total))
        return b"".join(parts)

    def incomplete(self, node: int, text: str) -> bytes:
        """A note that packets of a node are missing: its interface's statistics, for a file ends without a word."""
        described = b""
        found = [number for (of, _, _), number in self._blocks.items() if of == node]
        if not found:
            found = [len(self._blocks)]
            described = self._describe(node, 0, 1)
        options = _option(_COMMENT, text) + _option(_END, "")
        return described + _block(_STATISTICS, struct.pack("<III", found[0], 0, 0) + options)

    def _describe(self, node: int, interface: int, linktype: int) -> bytes:
        self._blocks[node, interface, linktype] = len(self._blocks)
        own = self._interfaces.get((node, interface), "")
        options = (
            _option(2, f"{self._nodes[node]}/{own}" if own else self._nodes[node])  # if_name
            + _option(3, self._description)  # if_description
            + struct.pack("<HHB3x", 9, 1, 9)  # if_tsresol: nanoseconds
            + _option(_END, "")
        )
        return _block(_INTERFACE, struct.pack("<HHI", linktype, 0, 0) + options)


def _commented(comment: bytes) -> bytes:
    return struct.pack("<HH", _COMMENT, len(comment)) + comment + bytes(-len(comment) & 3) + _option(_END, "")


def _option(code: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")[:TEXT]
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3)


def _name(address: str, name: str) -> bytes:
    """A record of a Name Resolution Block (§4.4); b"" for what is no address."""
    from socket import AF_INET, AF_INET6, inet_pton

    family, kind = (AF_INET6, 2) if ":" in address else (AF_INET, 1)
    try:
        value = inet_pton(family, address) + name.encode("utf-8", "replace")[:TEXT].replace(b"\0", b"") + b"\0"
    except OSError:
        return b""
    return struct.pack("<HH", kind, len(value)) + value + bytes(-len(value) & 3)


def _block(kind: int, body: bytes) -> bytes:
    total = _TOTAL.pack(len(body) + 12)
    return struct.pack("<I", kind) + total + body + total
