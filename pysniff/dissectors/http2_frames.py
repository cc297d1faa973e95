"""Frames of HTTP/2 (RFC 9113 §4, §6): what their headers say, and whether bytes look like some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from struct import Struct

from pysniff.dissectors import hpack_huffman
from pysniff.dissectors.hpack import FIRST
from pysniff.dissectors.hpack_strings import integer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
# Length and type in one number, flags, stream identifier.
unpack: Callable[[bytes | bytearray, int], tuple[int, int, int]] = Struct("!IBI").unpack_from
USUAL = 16_384  # largest payload, until the receiver allows more

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x4, 0x8, 0x20
ACK = 0x1
STREAM = 0x7FFF_FFFF  # an identifier without the reserved bit
HEADER_TABLE_SIZE, MAX_FRAME_SIZE = 0x1, 0x5  # settings

_ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


def error_name(code: int) -> str:
    """Of RFC 9113 §7."""
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code:#x}"


def settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Identifier and value of each (§6.5.1)."""
    for at in range(0, len(payload) - 5, 6):
        yield int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")


def is_settings(header: bytes) -> bool:
    """Whether a frame's header says that the settings follow which its side begins with (§3.4)."""
    word, flags, stream = unpack(header, 0)
    return word & 0xFF == SETTINGS and not flags and not stream and (word >> 8) % 6 == 0


class Kind(Enum):
    """Who sends such a header block."""

    REQUEST = "request"
    RESPONSE = "response"
    EITHER = "either"


# By type: the flags that may be set, the least and the largest payload, and whether it belongs to a stream.
_SHAPES = (
    (END_STREAM | PADDED, 0, USUAL, True),
    (END_STREAM | END_HEADERS | PADDED | PRIORITISED, 1, USUAL, True),
    (0, 5, 5, True),
    (0, 4, 4, True),
    (ACK, 0, 120, False),
    (END_HEADERS | PADDED, 5, USUAL, True),
    (ACK, 8, 8, False),
    (0, 8, USUAL, False),
    (0, 4, 4, None),
    (END_HEADERS, 0, USUAL, True),
)
_NONE = (0, 1, 0, None)
# Weak evidence, for their payload may be anything; the others prove more.
_WEAK = (DATA, PUSH_PROMISE, CONTINUATION)


def weight_of(data: bytes | bytearray, position: int) -> int:
    """How much the frame here, which frame_end() found, proves that there are frames: 1 or 2."""
    kind, flags = data[position + 3], data[position + 4]
    return 1 if kind in _WEAK or (kind == HEADERS and not flags & END_HEADERS) else 2


WRONG, SHORT = -1, -2


def frame_end(data: bytes | bytearray, position: int) -> int:
    """Where the frame ends that may stand here: WRONG where none does, SHORT where that is not clear yet."""
    header = data[position : position + HEADER]
    if len(header) < HEADER:
        return SHORT if not header or (not header[0] and (len(header) < 4 or header[3] < len(_SHAPES))) else WRONG
    word, flags, stream = unpack(header, 0)
    size, kind = word >> 8, word & 0xFF
    allowed, least, most, owned = _SHAPES[kind] if kind < len(_SHAPES) else _NONE
    if flags & ~allowed or not least <= size <= most or stream >> 31 or (owned is not None and owned != (stream > 0)):
        return WRONG
    if kind in (DATA, HEADERS) and not stream & 1:
        return WRONG  # only of a pushed stream, which is rare
    end = position + HEADER + size
    if kind in _WEAK:
        return end
    if len(data) < end:
        return SHORT
    payload = bytes(data[position + HEADER : end])
    return end if _makes_sense(kind, flags, payload) else WRONG


def _makes_sense(kind: int, flags: int, payload: bytes) -> bool:
    size = len(payload)
    if kind == HEADERS:
        block = header_block(flags, payload)
        return block is not None and (not flags & END_HEADERS or kind_of(block) is not None)
    if kind == RST_STREAM:
        return int.from_bytes(payload, "big") < len(_ERRORS)
    if kind == SETTINGS:
        return size % 6 == 0 and not (flags and size)
    if kind == WINDOW_UPDATE:
        return 0 < int.from_bytes(payload, "big") < 1 << 31
    return True


def header_block(flags: int, payload: bytes) -> bytes | None:
    """What HEADERS carry without padding and priority (§6.2); None where the lengths contradict each other."""
    begin, end = 0, len(payload)
    if flags & PADDED:
        begin, end = 1, end - payload[0] if payload else -1
    if flags & PRIORITISED:
        begin += 5
    return payload[begin:end] if begin <= end else None


def kind_of(block: bytes) -> Kind | None:
    """Whose header block this is, from its shape alone, or None where it is none: nothing is looked up."""
    kind: Kind | None = None
    position, end = 0, len(block)
    try:
        while position < end:
            first = block[position]
            position += 1
            if 0x20 <= first < 0x40:
                if first & 0x1F == 0x1F:
                    _, position = integer(block, position, 0x1F)
                continue
            full = 0x7F if first >= 0x80 else 0x3F if first >= 0x40 else 0x0F
            index = first & full
            if index == full:
                index, position = integer(block, position, full)
            if index >= FIRST + 2_048 or (first >= 0x80 and not index):
                return None
            if 0 < index < 15:
                new = Kind.REQUEST if index < 8 else Kind.RESPONSE
                if kind is not None and kind is not new and kind is not Kind.EITHER:
                    return None
                kind = new
            elif kind is None:
                kind = Kind.EITHER
            if first < 0x80:
                if not index:
                    name, position = _skip(block, position)
                    if not _is_name(*name):
                        return None
                _, position = _skip(block, position)
    except (IndexError, ValueError):
        return None
    return kind


def _skip(block: bytes, position: int) -> tuple[tuple[bytes, bool], int]:
    """A string as it was sent, whether it is Huffman coded, and where it ends."""
    first = block[position]
    length = first & 0x7F
    position += 1
    if length == 0x7F:
        length, position = integer(block, position, length)
    stop = position + length
    if stop > len(block):
        raise ValueError("a string that goes beyond its end")
    return (block[position:stop], first >= 0x80), stop


def _is_name(raw: bytes, coded: bool) -> bool:
    name = hpack_huffman.decode(raw) if coded else raw
    return bool(name) and name.isascii() and name.decode().isprintable() and b" " not in name and name == name.lower()
