"""The times that a filter leaves: no entry outside of them can match.

Follows comparisons of `timestamp` with constants, also moved by a duration: `now() - timestamp < duration("5m")`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pysniff.kfl.constant import constant
from pysniff.kfl.tree import And, Call, Conditional, ListOf, Literal, Node, Not, Or, Read
from pysniff.kfl.types import BOOL, DURATION, TIMESTAMP


class Span(NamedTuple):
    """From `first` to `last`, both included, in ns; integers, or infinite."""

    first: float
    last: float

    @property
    def is_empty(self) -> bool:
        return self.first > self.last

    @property
    def start(self) -> int | None:
        return None if math.isinf(self.first) else int(self.first)

    @property
    def end(self) -> int | None:
        return None if math.isinf(self.last) else int(self.last)


ALWAYS, NEVER = Span(-math.inf, math.inf), Span(math.inf, -math.inf)


class Spans(NamedTuple):
    """When a condition may be true, and when it may be false; where it fails it is neither."""

    true: Span
    false: Span


_ANYTHING = Spans(ALWAYS, ALWAYS)


def both(*spans: Span) -> Span:
    """In all of them."""
    common = Span(max(span.first for span in spans), min(span.last for span in spans))
    return NEVER if common.is_empty else common


def either(*spans: Span) -> Span:
    """In any of them, and what is between."""
    return Span(min(span.first for span in spans), max(span.last for span in spans))


def spans(node: Node) -> Spans:
    """Of a checked condition."""
    match node:
        case Literal(value=bool() as value):
            return Spans(ALWAYS, NEVER) if value else Spans(NEVER, ALWAYS)
        case Not():
            found = spans(node.operand)
            return Spans(found.false, found.true)
        case And() | Or():
            parts = [spans(part) for part in node.parts]
            true, false = [part.true for part in parts], [part.false for part in parts]
            return Spans(both(*true), either(*false)) if isinstance(node, And) else Spans(either(*true), both(*false))
        case Conditional():
            test, yes, no = spans(node.test), spans(node.yes), spans(node.no)
            return Spans(
                either(both(test.true, yes.true), both(test.false, no.true)),
                either(both(test.true, yes.false), both(test.false, no.false)),
            )
        case Call() if len(node.arguments) == 2:
            return _call(node.function, *node.arguments)
    return _ANYTHING


def _call(function: str, left: Node, right: Node) -> Spans:
    if function == "in" and isinstance(right, ListOf):
        parts = [_call("==", left, item) for item in right.items]
        return Spans(either(NEVER, *(part.true for part in parts)), ALWAYS)
    if function in _NEGATED and left.type == right.type:
        if left.type in (TIMESTAMP, DURATION):
            return _comparison(function, left, right)
        if left.type == BOOL and function in ("==", "!="):
            return _equality(function, spans(left), spans(right))
    return _ANYTHING


def _equality(function: str, one: Spans, other: Spans) -> Spans:
    """Of truth values."""
    same = either(both(one.true, other.true), both(one.false, other.false))
    differ = either(both(one.true, other.false), both(one.false, other.true))
    return Spans(same, differ) if function == "==" else Spans(differ, same)


_NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


def _comparison(function: str, left: Node, right: Node) -> Spans:
    one, other = _moved(left), _moved(right)
    if one is None or other is None or abs(one.sign - other.sign) != 1:
        return _ANYTHING
    # sign * timestamp + offset, compared with nothing.
    sign, offset = one.sign - other.sign, one.offset - other.offset
    if sign < 0:
        function, offset = _MIRRORED[function], -offset
    return Spans(_span(function, -offset), _span(_NEGATED[function], -offset))


def _span(function: str, limit: int) -> Span:
    """When `timestamp` compares so with the limit."""
    match function:
        case "<":
            return Span(-math.inf, limit - 1)
        case "<=":
            return Span(-math.inf, limit)
        case ">":
            return Span(limit + 1, math.inf)
        case ">=":
            return Span(limit, math.inf)
        case "==":
            return Span(limit, limit)
        case _:
            return ALWAYS


class _Moved(NamedTuple):
    """sign * timestamp + offset, in ns; a sign of 0: a constant."""

    sign: int
    offset: int


def _moved(node: Node) -> _Moved | None:
    if isinstance(node, Read):
        return _Moved(1, 0) if node.name == "timestamp" else None
    if isinstance(node, Call) and node.function in ("+", "-") and len(node.arguments) == 2:
        one, other = map(_moved, node.arguments)
        if one is None or other is None:
            return None
        if node.function == "+":
            return _Moved(one.sign + other.sign, one.offset + other.offset)
        return _Moved(one.sign - other.sign, one.offset - other.offset)
    value = constant(node) if node.type in (TIMESTAMP, DURATION) else None
    return _Moved(0, int(value)) if isinstance(value, int) else None
