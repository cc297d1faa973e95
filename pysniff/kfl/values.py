"""Values while a filter runs, and what kind each is.

bool, int, float, str, bytes, None, list or tuple, dict, and those that Python has no class of their own for.
"""

from __future__ import annotations

from pysniff.kfl.types import BOOL, BYTES, DOUBLE, DURATION, INT, LIST, MAP, NULL, STRING, TIMESTAMP, TYPE, UINT, Type


class EvaluationError(Exception):
    """A filter that cannot be evaluated for one entry: a missing key, an overflow."""


class UInt(int):
    """Unsigned, 64 bits. Arithmetic gives a plain int."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since the epoch. Arithmetic gives a plain int."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds. Arithmetic gives a plain int."""

    __slots__ = ()


_KINDS: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    UInt: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    list: LIST,
    tuple: LIST,
    dict: MAP,
    Timestamp: TIMESTAMP,
    Duration: DURATION,
    type(None): NULL,
    Type: TYPE,
}
# Classes that a reader may give besides: an IntEnum, a defaultdict.
_BASES = (bool, int, float, str, bytes, list, tuple, dict)


def kind(value: object) -> Type:
    """The type without what is inside; raise EvaluationError where the language has none."""
    known = _KINDS.get(type(value))
    if known is not None:
        return known
    for base in _BASES:
        if isinstance(value, base):
            return _KINDS[base]
    raise EvaluationError(f"a {type(value).__name__} is no value")


def no_overload(function: str, *values: object) -> EvaluationError:
    """Says which kinds a function was given that it does not take."""
    return EvaluationError(f"no {function} for ({', '.join(str(kind(value)) for value in values)})")


def brief(value: object) -> str:
    """A value in an error's words, however large it is."""
    text = repr(value[:40]) if isinstance(value, str | bytes) else str(kind(value))
    return str(int(value)) if isinstance(value, int) else text
