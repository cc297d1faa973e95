"""msgpack with bounds, for maps and frames that anybody may have sent.

Depth, number of values and every length are checked before anything is built: what is decoded takes a bounded
multiple of the memory of its bytes. Only JSON's types and bytes pass; keys are text, numbers are finite.
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from struct import unpack_from

from msgpack import packb, unpackb

from pysniff.errors import PysniffError

DEPTH = 32  # arrays and maps in each other; entries have about 8
VALUES = 262_144  # of one frame, of about 100 bytes each once decoded; an entry with long lists has some 10,000


class FrameError(PysniffError):
    """Bytes that are no frame, or a value that none can carry."""


# The size of a value by its first byte; 0 where more must be looked at.
_SIZES = bytearray(256)
for _first in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):  # small integers, nil, false, true
    _SIZES[_first] = 1
for _first in range(0xA0, 0xC0):  # fixstr
    _SIZES[_first] = 1 + (_first & 31)
for _first, _size in {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.items():
    _SIZES[_first] = _size
_FLOATS = {0xCA: (">f", 5), 0xCB: (">d", 9)}
_LENGTHS = {0xC4: (">B", 2), 0xC5: (">H", 3), 0xC6: (">I", 5), 0xD9: (">B", 2), 0xDA: (">H", 3), 0xDB: (">I", 5)}
_COUNTS = {0xDC: (">H", 3), 0xDD: (">I", 5), 0xDE: (">H", 3), 0xDF: (">I", 5)}
_TEXTS = frozenset((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB))


def unpack(data: bytes) -> object:
    """The one value that the bytes are; raise FrameError for anything else."""
    check(data)
    try:
        value: object = unpackb(data)
    except Exception as error:  # msgpack's, and UnicodeDecodeError: whatever its reason, these bytes are no value
        raise FrameError(f"not msgpack: {type(error).__name__}") from None
    return value


def unpack_map(data: bytes) -> dict[str, object]:
    """The same where a map is due."""
    value = unpack(data)
    if not isinstance(value, dict):
        raise FrameError("not a map")
    return value


def pack(value: object) -> bytes:
    """Any JSON value, with bytes; raise FrameError where unpack() would refuse it.

    What cannot be UTF-8 (a lone surrogate) becomes a question mark, an integer beyond 64 bits its digits as text.
    """
    try:
        data: bytes = packb(value, default=_digits, unicode_errors="replace")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FrameError(f"cannot be packed: {error}") from None
    check(data)
    return data


def pack_map(value: Mapping[str, object]) -> bytes:
    """The same, for one of the maps in Batch.entries."""
    return pack(value)


def _digits(value: object) -> str:
    if isinstance(value, int):
        return str(value)  # raises ValueError beyond 4,300 digits
    raise TypeError(f"{type(value).__name__} is no JSON type")


def check(data: bytes) -> None:
    """Raise FrameError unless the bytes are one value within the bounds; takes about 0.1 us a value."""
    at, end = 0, len(data)
    left, keyed = 1, False  # values to come in this array or map; whether it is a map
    outer: list[tuple[int, bool]] = []
    values = 1
    while True:
        while not left:
            if not outer:
                if at != end:
                    raise FrameError(f"{end - at} bytes behind the value" if at < end else "cut off")
                return
            left, keyed = outer.pop()
        if at >= end:
            raise FrameError("cut off")
        first = data[at]
        if keyed and not left & 1 and first not in _TEXTS:
            raise FrameError("a key is no text")
        left -= 1
        size = _SIZES[first]
        if size:
            at += size
            continue
        at, count, is_map = _special(data, at, first)
        if count:
            values += count
            if values > VALUES or count > end - at:
                raise FrameError(f"more than {VALUES} values, or than there are bytes")
            if len(outer) >= DEPTH:
                raise FrameError(f"nested deeper than {DEPTH}")
            outer.append((left, keyed))
            left, keyed = count, is_map


def _special(data: bytes, at: int, first: int) -> tuple[int, int, bool]:
    """Where what is no scalar of fixed size goes on, how many values it holds, and whether in pairs."""
    if 0x80 <= first < 0xA0:
        return at + 1, first - 0x90 if first >= 0x90 else 2 * (first - 0x80), first < 0x90
    head = _LENGTHS.get(first) or _COUNTS.get(first) or _FLOATS.get(first)
    if head is None:
        raise FrameError(f"0x{first:02x} begins no value that is used here")  # extensions, and what is never used
    form, size = head
    if at + size > len(data):
        raise FrameError("cut off")
    number = unpack_from(form, data, at + 1)[0]
    if first in _FLOATS:
        if not math.isfinite(number):
            raise FrameError("a number is not finite")
        return at + size, 0, False
    if first in _LENGTHS:
        return at + size + number, 0, False
    is_map = first >= 0xDE
    return at + size, 2 * number if is_map else number, is_map
