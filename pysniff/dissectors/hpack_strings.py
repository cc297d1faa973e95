"""Integers and strings of HPACK (RFC 7541 §5)."""

from __future__ import annotations

from pysniff.dissectors import hpack_huffman


def integer(block: bytes, position: int, full: int) -> tuple[int, int]:
    """An integer whose prefix was `full`, continued at `position`, and where it ends (§5.1)."""
    number, shift = full, 0
    while True:
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 28:
            raise ValueError("an integer that is too long")


def text(raw: bytes) -> str:
    """UTF-8, else ISO-8859-1, as HTTP/1 is read."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def octets(block: bytes, position: int) -> int:
    """Length of a string without its coding."""
    first = block[position]
    length = first & 0x7F
    position += 1
    if length == 0x7F:
        length, position = integer(block, position, length)
    return length if first < 0x80 else len(hpack_huffman.decode(block[position : position + length]))
