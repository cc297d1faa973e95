"""What may be called, and with which types: the signatures of CEL's standard library (langdef.md, "List of Standard
Definitions") and of map_get() and now()."""

from __future__ import annotations

from typing import NamedTuple

from pysniff.kfl.infer import Parameter
from pysniff.kfl.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST,
    MAP,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    ListType,
    MapType,
    Type,
)


class Overload(NamedTuple):
    """What a function takes and gives. `method`: it is written behind its first argument."""

    takes: tuple[Type, ...]
    gives: Type
    method: bool = False


A, B = Parameter(), Parameter()
_LIST, _MAP = ListType(A), MapType(A, B)
_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
_COMPARISON = tuple(Overload((kind, kind), BOOL) for kind in _ORDERED)
_ARITHMETIC = tuple(Overload((kind, kind), kind) for kind in (INT, UINT, DOUBLE))
_TEXT_TEST = (Overload((STRING, STRING), BOOL, method=True),)
_SIZED = (STRING, BYTES, _LIST, _MAP)
# A part of a date, in UTC or in the time zone that is named; of a duration, the whole number of such units.
_DATE = (Overload((TIMESTAMP,), INT, method=True), Overload((TIMESTAMP, STRING), INT, method=True))
_TIME = (*_DATE, Overload((DURATION,), INT, method=True))


def _conversion(gives: Type, *takes: Type) -> tuple[Overload, ...]:
    return tuple(Overload((kind,), gives) for kind in takes)


FUNCTIONS: dict[str, tuple[Overload, ...]] = {
    # Operators
    "==": (Overload((A, A), BOOL),),
    "!=": (Overload((A, A), BOOL),),
    "<": _COMPARISON,
    "<=": _COMPARISON,
    ">": _COMPARISON,
    ">=": _COMPARISON,
    "in": (Overload((A, _LIST), BOOL), Overload((A, _MAP), BOOL)),
    "+": (
        *_ARITHMETIC,
        Overload((STRING, STRING), STRING),
        Overload((BYTES, BYTES), BYTES),
        Overload((_LIST, _LIST), _LIST),
        Overload((DURATION, DURATION), DURATION),
        Overload((TIMESTAMP, DURATION), TIMESTAMP),
        Overload((DURATION, TIMESTAMP), TIMESTAMP),
    ),
    "-": (
        *_ARITHMETIC,
        Overload((DURATION, DURATION), DURATION),
        Overload((TIMESTAMP, DURATION), TIMESTAMP),
        Overload((TIMESTAMP, TIMESTAMP), DURATION),
    ),
    "*": _ARITHMETIC,
    "/": _ARITHMETIC,
    "%": (Overload((INT, INT), INT), Overload((UINT, UINT), UINT)),
    "-_": (Overload((INT,), INT), Overload((DOUBLE,), DOUBLE)),
    "[]": (Overload((_LIST, INT), A), Overload((_MAP, A), B)),
    # Strings, sizes
    "size": tuple(Overload((kind,), INT, method) for kind in _SIZED for method in (False, True)),
    "contains": _TEXT_TEST,
    "startsWith": _TEXT_TEST,
    "endsWith": _TEXT_TEST,
    "matches": (*_TEXT_TEST, Overload((STRING, STRING), BOOL)),
    # Conversions
    "bool": _conversion(BOOL, BOOL, STRING),
    "int": _conversion(INT, INT, UINT, DOUBLE, STRING, TIMESTAMP),
    "uint": _conversion(UINT, INT, UINT, DOUBLE, STRING),
    "double": _conversion(DOUBLE, INT, UINT, DOUBLE, STRING),
    "string": _conversion(STRING, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION),
    "bytes": _conversion(BYTES, BYTES, STRING),
    "timestamp": _conversion(TIMESTAMP, INT, STRING, TIMESTAMP),
    "duration": _conversion(DURATION, STRING, DURATION),
    "type": _conversion(TYPE, A),
    "dyn": _conversion(DYN, A),
    # Dates and times
    "getFullYear": _DATE,
    "getMonth": _DATE,
    "getDate": _DATE,
    "getDayOfMonth": _DATE,
    "getDayOfWeek": _DATE,
    "getDayOfYear": _DATE,
    "getHours": _TIME,
    "getMinutes": _TIME,
    "getSeconds": _TIME,
    "getMilliseconds": _TIME,
    # Ours
    "map_get": (Overload((_MAP, A, B), B),),
    "now": (Overload((), TIMESTAMP),),
}

# Names that stand for a type: type(x) == string.
TYPE_NAMES: dict[str, Type] = {
    **{kind.name: kind for kind in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TYPE, LIST, MAP)},
    "null_type": NULL,
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
}
