"""Types that the generated code can rely on, and calls that are plain Python where they are known.

The checker's types are promises of the kind "or an error": to it `b ? 1 : dyn("a")` may be used as an int. Those
here are what a value is if there is one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pysniff.kfl import arithmetic
from pysniff.kfl.tree import Call
from pysniff.kfl.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NUMBERS,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    ListType,
    MapType,
    Type,
)
from pysniff.kfl.values import kind


class Made(NamedTuple):
    """An expression, and the type of what it gives unless it raises.

    `raw`: it gives a plain number where the language has a class. `literal`: it is the code of this value.
    """

    code: ast.expr
    type: Type
    raw: bool = False
    literal: object = None


_SIMPLE = frozenset((BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION))
_LONG = frozenset((STRING, BYTES))
# Equal values of these are one to a Python set; of doubles they need not be (NaN).
_HASHED = frozenset((INT, UINT, STRING, BYTES))
_COMPARE: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
}  # fmt: skip
_CALCULATE: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_METHODS = {"startsWith": "startswith", "endsWith": "endswith", "contains": "__contains__"}
_GIVES: dict[str, Type] = {
    **dict.fromkeys((*_COMPARE, "in", *_METHODS, "matches"), BOOL),
    **{one.name: one for one in _SIMPLE},
    "type": TYPE,
    "size": INT,
}
_TIMES: dict[tuple[str, Type, Type], Type] = {
    ("+", TIMESTAMP, DURATION): TIMESTAMP,
    ("+", DURATION, TIMESTAMP): TIMESTAMP,
    ("+", DURATION, DURATION): DURATION,
    ("-", TIMESTAMP, DURATION): TIMESTAMP,
    ("-", TIMESTAMP, TIMESTAMP): DURATION,
    ("-", DURATION, DURATION): DURATION,
}
# What checks the range of a result, by its type.
CHECKS: dict[Type, Callable[[int], int]] = {
    INT: arithmetic.checked_int,
    TIMESTAMP: arithmetic.checked_timestamp,
    DURATION: arithmetic.checked_duration,
}
_LOAD = ast.Load()


def of_value(value: object) -> Type:
    """Of a literal; of lists and maps only that they are."""
    known = kind(value)
    if known.name == "list":
        return ListType(DYN)
    return MapType(DYN, DYN) if known.name == "map" else known


def common(made: Sequence[Made]) -> Type:
    """The type of any of these."""
    types = {one.type for one in made}
    return types.pop() if len(types) == 1 else DYN


def element(kind: Type) -> Type:
    """Of a list's elements, or a map's values."""
    return kind.parts[-1] if kind.parts else DYN


def result(function: str, given: Sequence[Made]) -> Type:
    """What a call gives that does not raise."""
    types = [one.type for one in given]
    if function in _GIVES:
        return _GIVES[function]
    if function.startswith("get"):
        return INT
    if function in ("[]", "dyn"):
        return element(types[0]) if function == "[]" else types[0]
    if function == "map_get":
        return types[2] if element(types[0]) == types[2] else DYN
    if function == "-_":
        return types[0]
    if len(types) == 2 and types[0] == types[1] and types[0] not in (TIMESTAMP, DURATION):
        return types[0]  # of arithmetic with what else it takes: numbers, and + of strings, bytes, lists
    return _TIMES.get((function, types[0], types[1]), DYN) if len(types) == 2 else DYN


def plain(node: Call, given: Sequence[Made], looping: bool) -> ast.expr | None:
    """Python that does what the call does and cannot fail, or None; `looping`: inside a macro, where steps count."""
    function = node.function
    types = [one.type for one in given]
    if function in _COMPARE:
        return _comparison(function, given, looping)
    if function in _METHODS and types == [STRING, STRING]:
        return _text(function, given, looping)
    if function == "in":
        return _membership(given, looping)
    if function == "size" and (types[0] in _LONG or types[0].parts):
        return ast.Call(ast.Name("len", _LOAD), [given[0].code], [])
    if function == "map_get" and types[0].parts[:1] == (STRING,) and types[1] == STRING:
        return ast.Call(ast.Attribute(given[0].code, "get", _LOAD), [given[1].code, given[2].code], [])
    if function in _CALCULATE and types == [DOUBLE, DOUBLE]:
        return ast.BinOp(given[0].code, _CALCULATE[function](), given[1].code)
    if function == "-_" and types == [DOUBLE]:
        return ast.UnaryOp(ast.USub(), given[0].code)
    return given[0].code if function == "dyn" else None


def _short(made: Made) -> bool:
    return made.type not in _LONG or made.literal is not None


def _comparison(function: str, given: Sequence[Made], looping: bool) -> ast.expr | None:
    left, right = given
    alike = left.type == right.type and left.type in _SIMPLE
    if not alike and not {left.type, right.type} <= NUMBERS:
        return None
    if looping and not _short(left) and not _short(right):
        return None
    return ast.Compare(left.code, [_COMPARE[function]()], [right.code])


def _text(function: str, given: Sequence[Made], looping: bool) -> ast.expr | None:
    text, other = given
    if looping and (function == "contains" or not _short(other)):
        return None
    if function == "contains" and isinstance(other.code, ast.Constant):
        return ast.Compare(other.code, [ast.In()], [text.code])
    return ast.Call(ast.Attribute(text.code, _METHODS[function], _LOAD), [other.code], [])


def _membership(given: Sequence[Made], looping: bool) -> ast.expr | None:
    value, values = given
    if values.type == MapType(STRING, element(values.type)) and value.type == STRING:
        return ast.Compare(value.code, [ast.In()], [values.code])
    if value.type not in _HASHED or values.type != ListType(value.type):
        return None
    items = values.code.elts if isinstance(values.code, ast.List) else None
    if items and all(isinstance(item, ast.Constant) for item in items):
        # Python makes a constant of a set of constants that is only looked into.
        return ast.Compare(value.code, [ast.In()], [ast.Set(items)])
    return None if looping else ast.Compare(value.code, [ast.In()], [values.code])


def calculation(node: Call, given: Sequence[Made]) -> tuple[ast.expr, Type] | None:
    """Python's sum, difference or product of ints or times, and the type whose range it must be in."""
    gives = result(node.function, given)
    if node.function not in _CALCULATE or gives not in CHECKS or {one.type for one in given} & {DYN}:
        return None
    left, right = given
    return ast.BinOp(left.code, _CALCULATE[node.function](), right.code), gives
