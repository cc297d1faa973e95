"""int(), string() and the like: a value of one type from one of another, or an EvaluationError."""

from __future__ import annotations

import math
import re

from pysniff.kfl.arithmetic import SECOND, checked_int, checked_timestamp, checked_uint
from pysniff.kfl.limits import JOINED, Steps
from pysniff.kfl.times import parse_duration, parse_timestamp, write_duration, write_timestamp
from pysniff.kfl.types import BOOL, DOUBLE, INT, NUMBERS, UINT, Type
from pysniff.kfl.values import Duration, EvaluationError, Timestamp, UInt, brief, kind, no_overload

# Longer ones overflow, and int() is quadratic.
_INT = re.compile(r"[+-]?[0-9]{1,25}")
_UINT = re.compile(r"\+?[0-9]{1,25}")
_FLOAT = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity|nan)", re.IGNORECASE
)
_SPACE = " \t\n\v\f\r"  # around a number, as Google's C++ has it
_LENGTH = 1_000  # of a number as text
_TRUE = frozenset(("true", "True", "TRUE", "t", "1"))
_FALSE = frozenset(("false", "False", "FALSE", "f", "0"))


def _no(value: object, kind_: Type) -> EvaluationError:
    return EvaluationError(f"{brief(value)} is no {kind_}")


def _stripped(value: str, pattern: re.Pattern[str], wanted: Type) -> str:
    text = value.strip(_SPACE) if len(value) < _LENGTH else ""
    if not pattern.fullmatch(text):
        raise _no(value, wanted)
    return text


def to_bool(steps: Steps, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise _no(value, BOOL)
    raise no_overload("bool", value)


def to_int(steps: Steps, value: object) -> int:
    if kind(value) in (INT, UINT, BOOL):  # a bool only where the checker does not know that it is one
        return checked_int(int(value))  # type: ignore[call-overload]
    if isinstance(value, float):
        # The least int itself is refused too: Google's do, to be safe from rounding.
        if -(2.0**63) < value < 2.0**63:
            return int(value)
        raise EvaluationError("int overflow")
    if isinstance(value, str):
        return checked_int(int(_stripped(value, _INT, INT)))
    if isinstance(value, Timestamp):
        return value // SECOND
    raise no_overload("int", value)


def to_uint(steps: Steps, value: object) -> UInt:
    if kind(value) in (INT, UINT):
        return checked_uint(int(value))  # type: ignore[call-overload]
    if isinstance(value, float):
        if 0 <= value < 2.0**64:
            return UInt(value)
        raise EvaluationError("uint overflow")
    if isinstance(value, str):
        return checked_uint(int(_stripped(value, _UINT, UINT)))
    raise no_overload("uint", value)


def to_double(steps: Steps, value: object) -> float:
    if kind(value) in NUMBERS:
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, str):
        return float(_stripped(value, _FLOAT, DOUBLE))
    raise no_overload("double", value)


def to_string(steps: Steps, value: object) -> str:
    known = kind(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if known in (INT, UINT):
        return str(int(value))  # type: ignore[call-overload]
    if isinstance(value, float):
        return _written(value)
    if isinstance(value, bytes):
        steps.spend(1 + len(value) // JOINED)
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvaluationError("bytes that are no UTF-8") from None
    if isinstance(value, Timestamp):
        return write_timestamp(value)
    if isinstance(value, Duration):
        return write_duration(value)
    raise no_overload("string", value)


def _written(value: float) -> str:
    """The shortest digits that read as the same number, with an exponent below 0.0001 and from a million on."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    text = repr(value)  # the shortest digits, with other exponents
    if value == 0 or 0.0001 <= abs(value) < 1_000_000:
        return text.removesuffix(".0")
    digits = text.partition("e")[0].replace(".", "").strip("-0")
    return f"{value:.{len(digits) - 1}e}"


def to_bytes(steps: Steps, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        steps.spend(1 + len(value) // JOINED)
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise EvaluationError("a string that is no UTF-8") from None
    raise no_overload("bytes", value)


def to_timestamp(steps: Steps, value: object) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    if isinstance(value, str):
        return parse_timestamp(value)
    if kind(value) == INT:
        return checked_timestamp(value * SECOND)  # type: ignore[operator]
    raise no_overload("timestamp", value)


def to_duration(steps: Steps, value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise no_overload("duration", value)


def to_type(steps: Steps, value: object) -> Type:
    return kind(value)


def to_dyn(steps: Steps, value: object) -> object:
    return value


CONVERSIONS = {
    "bool": to_bool,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "string": to_string,
    "bytes": to_bytes,
    "timestamp": to_timestamp,
    "duration": to_duration,
    "type": to_type,
    "dyn": to_dyn,
}
