"""The header blocks of a whole connection, and what each field needs to know from before: an oracle of its own.

The `hpack` package says what the fields are. RFC 7541 §2.3.3: the index of a dynamic entry counts back from the
newest, so an entry is known by the number of its insertion without looking at sizes or evictions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import hpack

from pysniff.packet import Packet
from recorded.connections import ends

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STATIC = 61
DATA, HEADERS, PUSH_PROMISE, CONTINUATION = 0, 1, 5, 9
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20


class Piece(NamedTuple):
    """Bytes of one half in order; `packet`: number of the packet that brought them."""

    packet: int
    data: bytes


class Field(NamedTuple):
    """`needs`: the packet in which the block began that inserted what it refers to; None: it needs nothing."""

    name: str
    value: str
    needs: int | None


class Block(NamedTuple):
    """`side` 0 is the client's. `begin`: the packet of its first byte, the frame's head included."""

    side: int
    stream: int
    begin: int
    fields: tuple[Field, ...]


def blocks(packets: Sequence[Packet]) -> list[Block]:
    """Those of both halves, the client's first."""
    return [block for side in (0, 1) for block in _of_half(side, _Bytes(_pieces(packets, side)))]


def _pieces(packets: Sequence[Packet], side: int) -> Iterator[Piece]:
    """TCP over IPv4 over Ethernet; nothing was lost on loopback, some may have been sent twice."""
    port = ends(packets[0])[0]
    due = 0
    for number, packet in enumerate(packets):
        data = packet.data
        if (ends(packet)[0] != port) == bool(side):
            (seq,) = struct.unpack_from("!I", data, 38)
            payload = data[34 + (data[46] >> 4) * 4 : 14 + int.from_bytes(data[16:18], "big")]
            if data[47] & 2:
                due = seq + 1
                continue
            known = (due - seq) & 0xFFFFFFFF
            if payload and known < len(payload):
                due = seq + len(payload)
                yield Piece(number, payload[known:])
            elif payload and known >> 31:
                raise ValueError("bytes were lost")


class _Bytes:
    """The bytes of a half, and which packet brought each."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.starts: list[tuple[int, int]] = []
        whole = bytearray()
        for number, data in pieces:
            self.starts.append((len(whole), number))
            whole += data
        self.whole = bytes(whole)

    def packet(self, offset: int) -> int:
        return max((start, number) for start, number in self.starts if start <= offset)[1]


def _frames(half: _Bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Offset, type, flags, stream and payload."""
    at = len(PREFACE) if half.whole.startswith(PREFACE) else 0
    while at + 9 <= len(half.whole):
        size = int.from_bytes(half.whole[at : at + 3], "big")
        kind, flags = half.whole[at + 3], half.whole[at + 4]
        yield at, kind, flags, int.from_bytes(half.whole[at + 5 : at + 9], "big"), half.whole[at + 9 : at + 9 + size]
        at += 9 + size


def _of_half(side: int, half: _Bytes) -> Iterator[Block]:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 1 << 30  # what the other half allows does not matter here
    inserted: list[int] = []  # by number of insertion: the packet in which its block began
    begin, owner, parts = 0, 0, b""
    for at, kind, flags, stream, payload in _frames(half):
        if kind in (HEADERS, PUSH_PROMISE):
            begin, owner, parts = half.packet(at), stream, _fragment(kind, flags, payload)
        elif kind == CONTINUATION:
            parts += payload
        else:
            continue
        if flags & END_HEADERS:
            needs: list[int | None] = []
            for index, inserts in _representations(parts):
                needs.append(inserted[len(inserted) - (index - STATIC)] if index > STATIC else None)
                if inserts:
                    inserted.append(begin)
            decoded = decoder.decode(parts, raw=True)
            fields = [
                Field(name.decode(), value.decode(), need) for (name, value), need in zip(decoded, needs, strict=True)
            ]
            yield Block(side, owner, begin, tuple(fields))


def _fragment(kind: int, flags: int, payload: bytes) -> bytes:
    """RFC 9113 §6.2, §6.6: without padding, priority and promised stream."""
    if flags & PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    if kind == PUSH_PROMISE:
        return payload[4:]
    return payload[5:] if flags & PRIORITY else payload


def _representations(block: bytes) -> Iterator[tuple[int, bool]]:
    """Of each field: the index it refers to (0: none), and whether it is inserted (RFC 7541 §6)."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            index, at = _integer(block, at, 7)
            yield index, False
        elif first & 0xE0 == 0x20:
            _, at = _integer(block, at, 5)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            for _ in range(1 if index else 2):
                size, at = _integer(block, at, 7)
                at += size
            yield index, bool(first & 0x40)


def _integer(data: bytes, at: int, prefix: int) -> tuple[int, int]:
    """RFC 7541 §5.1: its value, and where it ends."""
    most = (1 << prefix) - 1
    value = data[at] & most
    at += 1
    if value == most:
        shift = 0
        while data[at] & 0x80:
            value, shift, at = value + ((data[at] & 0x7F) << shift), shift + 7, at + 1
        value, at = value + (data[at] << shift), at + 1
    return value, at
