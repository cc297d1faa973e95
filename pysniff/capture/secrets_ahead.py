"""Decryption secrets of a pcapng file, found before its packets are read: they may stand behind those that need them.

A file without any costs one search for their mark, 0.1 s a GB; only one that has it is gone through block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from pysniff.capture.pcapng import SECRETS, SECRETS_BYTES, SECTION
from pysniff.limits import MIB

# Bytes of the largest file that is searched: it is read twice, the second time out of the page cache.
SEARCHED = 256 * MIB
_PIECE = MIB
# The secrets type of TLS key logs, in either byte order.
_MARKS = (b"KSLT", b"TLSK")
_ORDERS = {b"\x4d\x3c\x2b\x1a": Struct("<II"), b"\x1a\x2b\x3c\x4d": Struct(">II")}

Part = Callable[[int, int], bytes]  # bytes of a file from an offset on, at most so many


def secrets_ahead(part: Part) -> list[tuple[int, bytes]]:
    """(type, bytes) of the decryption secrets blocks, up to the first damage and up to SECRETS_BYTES."""
    if part(0, 4) != SECTION.to_bytes(4, "little") or not _is_marked(part):
        return []
    found = []
    room = SECRETS_BYTES
    for two, start, size in _blocks(part):
        head = part(start, 8)
        if len(head) < 8:
            break
        kind, length = two.unpack(head)
        length = min(length, size - 8)
        if length + 64 > room:
            break
        room -= length + 64
        found.append((kind, part(start + 8, length)))
    return found


def _is_marked(part: Part) -> bool:
    at = 0
    while len(piece := part(at, _PIECE)) > 4:
        if any(mark in piece for mark in _MARKS):
            return True
        at += len(piece) - 3
    return False


def _blocks(part: Part) -> Iterator[tuple[Struct, int, int]]:
    """Byte order, offset and size of the body of each decryption secrets block."""
    two = _ORDERS[b"\x4d\x3c\x2b\x1a"]
    piece, base, at = b"", 0, 0
    while True:
        if at + 12 > base + len(piece):
            piece, base = part(at, _PIECE), at
            if len(piece) < 12:
                return
        kind, total = two.unpack_from(piece, at - base)
        if kind == SECTION:
            order = _ORDERS.get(piece[at - base + 8 : at - base + 12])
            if order is None:
                return
            two = order
            total = two.unpack_from(piece, at - base)[1]
        if total < 12:
            return
        if kind == SECRETS and total >= 20:
            yield two, at + 8, total - 12
        at += total + 3 & ~3
