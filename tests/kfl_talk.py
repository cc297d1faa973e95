"""A small schema and one entry for the tests of the filter language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pysniff.entry import Entry
from pysniff.kfl import Filter, compile
from pysniff.kfl.exact import evaluate
from pysniff.kfl.generate import function
from pysniff.kfl.limits import TooExpensive
from pysniff.kfl.schema import Schema, Variable
from pysniff.kfl.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    ListType,
    MapType,
    Type,
)
from pysniff.kfl.values import EvaluationError

TYPES: dict[str, Type] = {
    "http": BOOL,
    "method": STRING,
    "path": STRING,
    "status_code": INT,
    "src.ip": STRING,
    "src.port": INT,
    "dst.ip": STRING,
    "dst.port": INT,
    "request.headers": MapType(STRING, STRING),
    "response.headers": MapType(STRING, STRING),
    "faults": ListType(STRING),
    "timestamp": TIMESTAMP,
    "elapsed": DURATION,
    "counter": UINT,
    "ratio": DOUBLE,
    "payload": BYTES,
    "anything": DYN,
}
START = 1_767_225_600_000_000_001  # 2026-01-01T00:00:00.000000001Z


class Shop(Entry):
    """Stands for an entry: its values by name."""

    def __init__(self, **values: object) -> None:
        self.values = values


SHOP = Shop(
    **{
        "http": True,
        "method": "GET",
        "path": "/cart",
        "status_code": 500,
        "src.ip": "10.0.0.7",
        "src.port": 51022,
        "dst.ip": "10.0.0.9",
        "dst.port": 8080,
        "request.headers": {"host": "shop", "x-id": "7"},
        "response.headers": {},
        "faults": ["gap"],
        "timestamp": START,
        "elapsed": 1_500_000_000,
        "counter": 3,
        "ratio": 0.5,
        "payload": b"\x00\xff",
        "anything": {"list": [1, "two"]},
    }
)


def read(
    shop: Shop, reads: list[str] | None = None, broken: dict[str, Callable[[object], object]] | None = None
) -> Schema:
    """The schema; what is read is noted in `reads`, and some variables may be read by others."""

    def reader(name: str) -> Callable[[Any], object]:
        def value(entry: Any) -> object:
            if reads is not None:
                reads.append(name)
            return entry.values[name]

        return (broken or {}).get(name, value)

    return Schema(Variable(name, kind, "", "", reader(name)) for name, kind in TYPES.items())


SCHEMA = read(SHOP)


def holds(text: str) -> bool:
    """Whether the filter matches SHOP, on which it does not fail."""
    made = compile(text, SCHEMA, now=START + 3600 * 10**9)
    matches: bool = made.matches(SHOP)
    assert made.errors == 0
    return matches


def agree(made: Filter, schema: Schema, entry: Entry) -> str:
    """What the generated code says of an entry, and the exact evaluation too; one may be too expensive alone."""
    before = made.errors
    said = "error" if not made.matches(entry) and made.errors > before else "yes or no"
    assert made.tree is not None
    values = {variable.name: variable.read(entry) for variable in schema if variable.name in made.variables}
    alone = function(made.tree, tuple(values), schema)(*values.values())
    try:
        exact = evaluate(made.tree, values.__getitem__)
    except TooExpensive:
        return "too expensive"
    except EvaluationError:
        assert said == "error"
        assert alone is None
        return said
    assert said != "error"
    assert made.matches(entry) is exact
    assert alone is exact
    return str(exact)


def errors(text: str) -> int:
    """How often the filter fails on SHOP; it does not match then."""
    made = compile(text, SCHEMA)
    assert not made.matches(SHOP)
    return made.errors
