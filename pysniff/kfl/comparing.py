"""Equality and order of any two values.

Numbers of different types are compared by value; other values of different types are unequal, and have no order.
What is compared deeply spends a step a part: a list made of one list twice, of one list twice..., is a small value
with endless parts.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any

from pysniff.kfl.limits import SCANNED, Steps
from pysniff.kfl.types import BOOL, BYTES, DOUBLE, DURATION, INT, LIST, MAP, NUMBERS, STRING, TIMESTAMP, UINT
from pysniff.kfl.values import EvaluationError, brief, kind, no_overload

_ORDERED = frozenset((BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION))
_KEYS = frozenset((BOOL, INT, UINT, DOUBLE, STRING))  # a double looks up the number it is equal to


def equal(steps: Steps, left: object, right: object) -> bool:
    """a == b"""
    one, other = kind(left), kind(right)
    if one is not other:
        steps.spend(1)
        return one in NUMBERS and other in NUMBERS and left == right
    if one is LIST:
        return _equal_lists(steps, left, right)  # type: ignore[arg-type]
    if one is MAP:
        return _equal_maps(steps, left, right)  # type: ignore[arg-type]
    _spend(steps, left, right)
    return left == right


def _equal_lists(steps: Steps, left: list[object], right: list[object]) -> bool:
    steps.spend(1)
    if len(left) != len(right):
        return False
    return all(equal(steps, one, other) for one, other in zip(left, right, strict=True))


def _equal_maps(steps: Steps, left: dict[object, object], right: dict[object, object]) -> bool:
    steps.spend(1)
    if len(left) != len(right):
        return False
    return all(has_key(right, key) and equal(steps, value, right[key]) for key, value in left.items())


def unequal(steps: Steps, left: object, right: object) -> bool:
    """a != b"""
    return not equal(steps, left, right)


def _spend(steps: Steps, left: object, right: object) -> None:
    """A step, and more where both are long."""
    if isinstance(left, str | bytes) and isinstance(right, str | bytes):
        steps.spend(1 + min(len(left), len(right)) // SCANNED)
    else:
        steps.spend(1)


def _order(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[[Steps, object, object], bool]:
    def ordered(steps: Steps, left: object, right: object) -> bool:
        one, other = kind(left), kind(right)
        if one is other and one in _ORDERED:
            _spend(steps, left, right)
        elif one not in NUMBERS or other not in NUMBERS:
            raise no_overload(f"`{sign}`", left, right)
        return compare(left, right)

    return ordered


less = _order("<", lt)
less_or_equal = _order("<=", le)
greater = _order(">", gt)
greater_or_equal = _order(">=", ge)


def has_key(values: dict[object, object], key: object) -> bool:
    """Whether a map has a key of one of the types that keys have."""
    if key not in values:
        return False
    # To Python, True and 1 are one key: a map's keys are all bool or all not (containers.make_map).
    return isinstance(key, bool) == isinstance(next(iter(values)), bool)


def contains(steps: Steps, value: object, values: object) -> bool:
    """value in values"""
    known = kind(values)
    if known is LIST:
        return any(equal(steps, value, one) for one in values)  # type: ignore[attr-defined]
    if known is MAP:
        if kind(value) not in _KEYS:
            raise EvaluationError(f"a map has no keys like {brief(value)}")
        return has_key(values, value)  # type: ignore[arg-type]
    raise no_overload("`in`", value, values)


def is_key(value: object) -> bool:
    return kind(value) in _KEYS
