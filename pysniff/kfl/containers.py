"""Lists and maps: literals, index, fields, sizes, and going through them."""

from __future__ import annotations

from collections.abc import Sequence

from pysniff.kfl.comparing import has_key, is_key
from pysniff.kfl.limits import Steps
from pysniff.kfl.types import BOOL, BYTES, DOUBLE, INT, LIST, MAP, STRING, UINT
from pysniff.kfl.values import EvaluationError, brief, kind, no_overload

_KEYS = frozenset((BOOL, INT, UINT, STRING))


def make_map(*flat: object) -> dict[object, object]:
    """{key: value}: key, value, key, value..."""
    made: dict[object, object] = {}
    for place in range(0, len(flat), 2):
        key = flat[place]
        if kind(key) not in _KEYS:
            raise EvaluationError(f"a map has no keys like {brief(key)}")
        if made and isinstance(key, bool) != isinstance(next(iter(made)), bool):
            # To Python, True and 1 are one key.
            raise EvaluationError("a map has keys that are true and false, or others, not both")
        if key in made:
            raise EvaluationError(f"a map has the key {brief(key)} twice")
        made[key] = flat[place + 1]
    return made


def index(steps: Steps, values: object, key: object) -> object:
    """values[key]"""
    known = kind(values)
    if known is MAP:
        if not is_key(key):
            raise EvaluationError(f"a map has no keys like {brief(key)}")
        if has_key(values, key):  # type: ignore[arg-type]
            return values[key]  # type: ignore[index]
        raise EvaluationError(f"no key {brief(key)}")
    if known is LIST:
        return _element(values, key)  # type: ignore[arg-type]
    raise no_overload("index", values, key)


def _element(values: Sequence[object], place: object) -> object:
    known = kind(place)
    if known not in (INT, UINT, DOUBLE):
        raise no_overload("index", values, place)
    # A double that is a whole number is one.
    if 0 <= place < len(values) and place == int(place):  # type: ignore[operator, call-overload]
        return values[int(place)]  # type: ignore[call-overload]
    raise EvaluationError("index out of range")


def field(values: object, name: str) -> object:
    """values.name"""
    if kind(values) is not MAP:
        raise EvaluationError(f"a {kind(values)} has no fields")
    if name in values:  # type: ignore[operator]
        return values[name]  # type: ignore[index]
    raise EvaluationError(f"no key {brief(name)}")


def has_field(values: object, name: str) -> bool:
    """has(values.name)"""
    if kind(values) is not MAP:
        raise EvaluationError(f"a {kind(values)} has no fields")
    return name in values  # type: ignore[operator]


def map_get(steps: Steps, values: object, key: object, default: object) -> object:
    """values[key], or `default` where there is no such key."""
    if kind(values) is not MAP or not is_key(key):
        raise no_overload("map_get", values, key)
    return values[key] if has_key(values, key) else default  # type: ignore[index, arg-type]


def size(steps: Steps, value: object) -> int:
    """Characters of a string, bytes, elements, keys."""
    if kind(value) in (STRING, BYTES, LIST, MAP):
        return len(value)  # type: ignore[arg-type]
    raise no_overload("size", value)


def rounds(steps: Steps, cost: int, values: object) -> Sequence[object]:
    """What a macro goes through: a list's elements, a map's keys; each round spends `cost` steps."""
    known = kind(values)
    if known not in (LIST, MAP):
        raise EvaluationError(f"a macro cannot go through a {known}")
    steps.spend(1 + cost * len(values))  # type: ignore[arg-type]
    return list(values) if known is MAP else values  # type: ignore[call-overload, return-value]


def truth(value: object) -> bool:
    """The same, if it is true or false."""
    if value is True or value is False:
        return value
    raise EvaluationError(f"this must be true or false, it is a {kind(value)}")
