"""Evaluates a checked tree node by node, with every rule of the language: the second opinion on what made the
generated code raise.

Errors are values here: `error || true` is true, `error && false` is false, and the macros all() and exists() go on
behind an element that fails (langdef.md, "Logical Operators").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from pysniff.kfl.containers import field, has_field, make_map, rounds, truth
from pysniff.kfl.library import LIBRARY
from pysniff.kfl.limits import NODES_PER_STEP, Steps, TooExpensive
from pysniff.kfl.tree import (
    And,
    Call,
    Conditional,
    Has,
    ListOf,
    Literal,
    Local,
    Loop,
    MapOf,
    Node,
    Not,
    Or,
    Read,
    Select,
)
from pysniff.kfl.types import DOUBLE, DURATION, TIMESTAMP, UINT, Type
from pysniff.kfl.values import Duration, EvaluationError, Timestamp, UInt

# What makes a value of the language of what a variable's `read` gives, where that is another.
WRAPPERS: dict[Type, type] = {TIMESTAMP: Timestamp, DURATION: Duration, UINT: UInt, DOUBLE: float}
# What looks through a long string is bounded by the filter's text, except where macros repeat it: outside of them
# these have steps of their own.
FREE = frozenset(("contains", "matches"))


def cost(loop: Loop) -> int:
    """The steps of one round."""
    return 1 + sum(1 for part in (loop.test, loop.result) if part for _ in part.walk()) // NODES_PER_STEP


def evaluate(tree: Node, get: Callable[[str], object]) -> bool:
    """Whether the filter holds; raise EvaluationError. `get` gives a variable's value, and may raise anything."""
    return truth(_Evaluation(get).value(tree))


class _Evaluation:
    def __init__(self, get: Callable[[str], object]) -> None:
        self.get = get
        self.steps = Steps()
        self.locals: list[object] = []  # of the macros around, outermost first

    def value(self, node: Node) -> object:
        return _HOW[type(node)](self, node)

    def literal(self, node: Literal) -> object:
        return node.value

    def read(self, node: Read) -> object:
        try:
            value = self.get(node.name)
            wrapper = WRAPPERS.get(node.type)
            return value if wrapper is None else cast(object, wrapper(value))
        except Exception as error:
            raise EvaluationError(f"{node.name} cannot be read: {error}") from error

    def local(self, node: Local) -> object:
        return self.locals[node.level]

    def select(self, node: Select) -> object:
        return field(self.value(node.operand), node.field)

    def has(self, node: Has) -> object:
        return has_field(self.value(node.operand), node.field)

    def both(self, node: And) -> object:
        return self.decided(node.parts, False)

    def either(self, node: Or) -> object:
        return self.decided(node.parts, True)

    def decided(self, parts: tuple[Node, ...], by: bool) -> bool:
        """`by` if any part is, else the first error, else the opposite."""
        failed: EvaluationError | None = None
        for part in parts:
            try:
                if truth(self.value(part)) is by:
                    return by
            except TooExpensive:
                raise
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not by

    def opposite(self, node: Not) -> object:
        return not truth(self.value(node.operand))

    def conditional(self, node: Conditional) -> object:
        return self.value(node.yes if truth(self.value(node.test)) else node.no)

    def make_list(self, node: ListOf) -> object:
        return [self.value(item) for item in node.items]

    def make_mapping(self, node: MapOf) -> object:
        return make_map(*[self.value(part) for pair in node.pairs for part in pair])

    def call(self, node: Call) -> object:
        values = [self.value(argument) for argument in node.arguments]
        steps = Steps() if node.function in FREE and not self.locals else self.steps
        return LIBRARY[node.function](steps, *values)

    def loop(self, node: Loop) -> object:
        values = rounds(self.steps, cost(node), self.value(node.over))
        self.locals.append(None)
        try:
            return _MACROS[node.macro](self, node, values)
        finally:
            self.locals.pop()

    def test(self, node: Loop, value: object) -> bool:
        self.locals[-1] = value
        return node.test is None or truth(self.value(node.test))

    def quantified(self, node: Loop, values: list[object]) -> bool:
        """all and exists: one round decides, whatever fails in others."""
        by = node.macro == "exists"
        failed: EvaluationError | None = None
        for value in values:
            try:
                if self.test(node, value) is by:
                    return by
            except TooExpensive:
                raise
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not by

    def exists_one(self, node: Loop, values: list[object]) -> bool:
        return sum([self.test(node, value) for value in values]) == 1

    def mapped(self, node: Loop, values: list[object]) -> object:
        assert node.result is not None
        return [self.value(node.result) for value in values if self.test(node, value)]

    def filtered(self, node: Loop, values: list[object]) -> object:
        return [value for value in values if self.test(node, value)]


_HOW: dict[type[Node], Callable[..., object]] = {
    Literal: _Evaluation.literal,
    Read: _Evaluation.read,
    Local: _Evaluation.local,
    Select: _Evaluation.select,
    Has: _Evaluation.has,
    And: _Evaluation.both,
    Or: _Evaluation.either,
    Not: _Evaluation.opposite,
    Conditional: _Evaluation.conditional,
    ListOf: _Evaluation.make_list,
    MapOf: _Evaluation.make_mapping,
    Call: _Evaluation.call,
    Loop: _Evaluation.loop,
}
_MACROS: dict[str, Callable[..., object]] = {
    "all": _Evaluation.quantified,
    "exists": _Evaluation.quantified,
    "exists_one": _Evaluation.exists_one,
    "map": _Evaluation.mapped,
    "filter": _Evaluation.filtered,
}
