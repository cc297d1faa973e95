"""Arithmetic as CEL has it: 64 bits, overflow and division by zero are errors, division truncates to zero.

Everything that makes strings or lists spends steps for what it makes, so memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pysniff.kfl.limits import JOINED, Steps
from pysniff.kfl.literals import INT_LEAST, INT_MOST, UINT_MOST
from pysniff.kfl.types import BYTES, DOUBLE, DURATION, INT, LIST, STRING, TIMESTAMP, UINT, Type
from pysniff.kfl.values import Duration, EvaluationError, Timestamp, UInt, kind, no_overload

SECOND = 1_000_000_000
# google.protobuf.Timestamp is in the years 1 to 9999.
TIMESTAMP_LEAST = -62_135_596_800 * SECOND
TIMESTAMP_MOST = 253_402_300_800 * SECOND - 1


def checked_int(number: int) -> int:
    if INT_LEAST <= number <= INT_MOST:
        return number
    raise EvaluationError("int overflow")


def checked_uint(number: int) -> UInt:
    if 0 <= number <= UINT_MOST:
        return UInt(number)
    raise EvaluationError("uint overflow")


def checked_timestamp(nanoseconds: int) -> Timestamp:
    if TIMESTAMP_LEAST <= nanoseconds <= TIMESTAMP_MOST:
        return Timestamp(nanoseconds)
    raise EvaluationError("timestamp out of range")


def checked_duration(nanoseconds: int) -> Duration:
    """About 292 years: Google's implementations calculate with 64 bits of nanoseconds."""
    if INT_LEAST <= nanoseconds <= INT_MOST:
        return Duration(nanoseconds)
    raise EvaluationError("duration out of range")


def quotient(left: int, right: int) -> int:
    """Truncated to zero, which Python's // is not."""
    if right == 0:
        raise EvaluationError("division by zero")
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def remainder(left: int, right: int) -> int:
    """With the sign of `left`."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    if left == INT_LEAST and right == -1:
        raise EvaluationError("int overflow")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def float_quotient(left: float, right: float) -> float:
    """IEEE 754, as C has it: by zero it is an infinity, or no number."""
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


Numeric = Callable[[int, int], object]
_INTS: dict[str, Numeric] = {
    "+": lambda a, b: checked_int(a + b),
    "-": lambda a, b: checked_int(a - b),
    "*": lambda a, b: checked_int(a * b),
    "/": lambda a, b: checked_int(quotient(a, b)),
    "%": remainder,
}
_UINTS: dict[str, Numeric] = {
    "+": lambda a, b: checked_uint(a + b),
    "-": lambda a, b: checked_uint(a - b),
    "*": lambda a, b: checked_uint(a * b),
    "/": lambda a, b: UInt(quotient(a, b)),
    "%": lambda a, b: UInt(remainder(a, b)),
}
_TIMES: dict[tuple[str, Type, Type], Numeric] = {
    ("+", TIMESTAMP, DURATION): lambda a, b: checked_timestamp(a + b),
    ("+", DURATION, TIMESTAMP): lambda a, b: checked_timestamp(a + b),
    ("+", DURATION, DURATION): lambda a, b: checked_duration(a + b),
    ("-", TIMESTAMP, DURATION): lambda a, b: checked_timestamp(a - b),
    ("-", TIMESTAMP, TIMESTAMP): lambda a, b: checked_duration(a - b),
    ("-", DURATION, DURATION): lambda a, b: checked_duration(a - b),
}
_FLOATS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": float_quotient,
}


def calculate(sign: str, left: object, right: object) -> object:
    """One of + - * / % for any values but strings, bytes and lists."""
    kinds = (kind(left), kind(right))
    if isinstance(left, int) and isinstance(right, int):
        if kinds == (INT, INT):
            return _INTS[sign](left, right)
        if kinds == (UINT, UINT):
            return _UINTS[sign](left, right)
        if (sign, *kinds) in _TIMES:
            return _TIMES[(sign, *kinds)](left, right)
    if kinds == (DOUBLE, DOUBLE) and sign in _FLOATS:
        assert isinstance(left, float)
        assert isinstance(right, float)
        return _FLOATS[sign](left, right)
    raise no_overload(f"`{sign}`", left, right)


def add(steps: Steps, left: object, right: object) -> object:
    """Numbers and times; strings, bytes and lists, which spend steps by the size of the result."""
    known = kind(left)
    if known is kind(right):
        if known is STRING:
            return add_strings(steps, left, right)  # type: ignore[arg-type]
        if known is BYTES:
            return add_bytes(steps, left, right)  # type: ignore[arg-type]
        if known is LIST:
            return add_lists(steps, left, right)  # type: ignore[arg-type]
    return calculate("+", left, right)


def add_strings(steps: Steps, left: str, right: str) -> str:
    steps.spend(1 + (len(left) + len(right)) // JOINED)
    return left + right


def add_bytes(steps: Steps, left: bytes, right: bytes) -> bytes:
    steps.spend(1 + (len(left) + len(right)) // JOINED)
    return left + right


def add_lists(steps: Steps, left: list[object], right: list[object]) -> list[object]:
    steps.spend(1 + len(left) + len(right))
    return [*left, *right]


def negative(steps: Steps, value: object) -> object:
    known = kind(value)
    if known is INT:
        return checked_int(-value)  # type: ignore[operator]
    if known is DOUBLE:
        return -value  # type: ignore[operator]
    raise no_overload("minus sign", value)
