"""Numbers of the wire as what they can stand for, and as JSON can write them."""

from __future__ import annotations

import math
import struct

Number = int | float | str


def signed(value: int, bits: int = 64) -> int:
    """Two's complement of the low `bits`."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def double(value: int) -> Number:
    """Of its 64 bits; what JSON has no number for as text."""
    number: float = struct.unpack("<d", value.to_bytes(8, "little"))[0]
    return number if math.isfinite(number) else _unwritable(number)


def single(value: int) -> Number:
    """Of its 32 bits, with as few digits as tell it from other floats of 32 bits."""
    number: float = struct.unpack("<f", value.to_bytes(4, "little"))[0]
    if not math.isfinite(number):
        return _unwritable(number)
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        if _bits(short) == value:
            return short
    return float(f"{number:.9g}")


def _bits(number: float) -> int:
    try:
        return int.from_bytes(struct.pack("<f", number), "little")
    except OverflowError:  # rounded up beyond the largest
        return -1


def _unwritable(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
