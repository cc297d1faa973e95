"""What each function and operator does: any values in, one out, or an EvaluationError.

Each takes the steps that are left first, and spends them by the size of what it looks through or makes.
"""

from __future__ import annotations

from collections.abc import Callable

from pysniff.kfl import arithmetic, comparing, containers, patterns
from pysniff.kfl.conversions import CONVERSIONS
from pysniff.kfl.limits import SCANNED, Steps
from pysniff.kfl.times import PARTS
from pysniff.kfl.types import STRING
from pysniff.kfl.values import kind, no_overload

Function = Callable[..., object]


def _arithmetic(sign: str) -> Function:
    def calculated(steps: Steps, left: object, right: object) -> object:
        return arithmetic.calculate(sign, left, right)

    return calculated


def _text(name: str, test: Callable[[str, str], bool]) -> Function:
    everywhere = name == "contains"  # the others look at one place

    def tested(steps: Steps, text: object, other: object) -> bool:
        if kind(text) != STRING or kind(other) != STRING:
            raise no_overload(name, text, other)
        assert isinstance(text, str)
        assert isinstance(other, str)
        steps.spend(1 + len(text if everywhere else other) // SCANNED)
        return test(text, other)

    return tested


LIBRARY: dict[str, Function] = {
    "==": comparing.equal,
    "!=": comparing.unequal,
    "<": comparing.less,
    "<=": comparing.less_or_equal,
    ">": comparing.greater,
    ">=": comparing.greater_or_equal,
    "in": comparing.contains,
    "+": arithmetic.add,
    **{sign: _arithmetic(sign) for sign in "-*/%"},
    "-_": arithmetic.negative,
    "[]": containers.index,
    "size": containers.size,
    "contains": _text("contains", lambda text, other: other in text),
    "startsWith": _text("startsWith", str.startswith),
    "endsWith": _text("endsWith", str.endswith),
    "matches": patterns.matches,
    "map_get": containers.map_get,
    **CONVERSIONS,
    **PARTS,
}


def matcher(pattern: str) -> Function:
    """`matches` for one pattern; raise patterns.PatternError."""
    search = patterns.compiled(pattern)

    def matches(steps: Steps, text: object) -> bool:
        return patterns.found(steps, search, text)

    return matches
