"""The generated code, the exact evaluator and the function of variables say the same of every filter."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from random import Random

import kfl_random
import pytest
from kfl_talk import SCHEMA, SHOP, agree
from test_kfl_language import ABSORBED, FAILS, READS, TRUE, lines

from pysniff.errors import FilterError
from pysniff.kfl import compile
from pysniff.kfl.constant import constant
from pysniff.kfl.generate import function
from pysniff.kfl.schema import Schema, Variable
from pysniff.kfl.tree import Call, Literal
from pysniff.kfl.types import BOOL, INT, STRING, TIMESTAMP, ListType, MapType
from pysniff.kfl.values import Duration, Timestamp

HOUR = 3_600_000_000_000


@pytest.mark.parametrize("text", [*lines(TRUE), *lines(READS), *lines(FAILS), *ABSORBED])
def test_of_the_tables(text: str) -> None:
    agree(compile(text, SCHEMA), SCHEMA, SHOP)


def test_of_random_filters() -> None:
    random, schema = Random(7), kfl_random.schema()
    values = [kfl_random.values(random) for _ in range(10)]
    tally: Counter[str] = Counter()
    for _ in range(1500):
        try:
            made = compile(kfl_random.Writer(random).filter(), schema)
        except FilterError:
            tally["refused"] += 1
            continue
        tally.update(agree(made, schema, each) for each in values)
    assert min(tally[said] for said in ("True", "False", "error", "refused")) > 50


def test_constants_are_folded() -> None:
    made = compile('timestamp > timestamp("1970-01-01T02:00:00Z") - duration("1h")', SCHEMA)
    assert isinstance(made.tree, Call)
    limit = made.tree.arguments[1]
    assert isinstance(limit, Literal)
    assert isinstance(limit.value, Timestamp)
    assert limit.value == HOUR
    assert limit.type == TIMESTAMP
    made = compile('elapsed in [duration("1h"), now() - now()]', SCHEMA, now=5)
    assert made.tree is not None
    values = constant(made.tree.children[1])
    assert values == [HOUR, 0]
    assert isinstance(values, list)
    assert {type(value) for value in values} == {Duration}
    failing = compile("1 / 0 == 1 || http", SCHEMA)
    assert failing.matches(SHOP), "what fails is left to fail when it runs"


def test_a_function_of_variables() -> None:
    made = compile('dst.port in [80, 443] && src.ip.startsWith("10.") && 1000 / dst.port > 2', SCHEMA)
    assert made.tree is not None
    test = function(made.tree, ("src.ip", "dst.port"), SCHEMA)
    assert [test("10.0.0.1", 443), test("10.0.0.1", 80), test("1.0.0.1", 80), test("10.", 0)] == [
        False,
        True,
        False,
        False,
    ]
    divides = compile("1000 / dst.port > 2", SCHEMA)
    assert divides.tree is not None
    assert function(divides.tree, ("dst.port",), SCHEMA)(0) is None


def test_attributes_are_read_without_a_call() -> None:
    schema = Schema([Variable("real", INT, "", "", attrgetter("numerator.real"))])
    made = compile("real == 7 && real > 6", schema)
    assert made.matches(7)  # type: ignore[arg-type]
    assert not made.matches("x")  # type: ignore[arg-type]
    assert made.errors == 1


def test_types_are_equal_by_what_they_are() -> None:
    assert MapType(STRING, ListType(INT)) == MapType(STRING, ListType(INT))
    assert MapType(STRING, INT) != MapType(INT, STRING)
    assert len({ListType(BOOL), ListType(BOOL), ListType(INT)}) == 2
    assert str(MapType(STRING, ListType(INT))) == "map(string, list(int))"


def test_a_schema() -> None:
    assert "src.ip" in SCHEMA
    assert SCHEMA.nearest("nothing_like_it") is None
    assert SCHEMA.nearest("src.i") == "src.ip"
    assert next(iter(SCHEMA)).name == "http"
    with pytest.raises(ValueError, match="two variables are named path"):
        Schema([*SCHEMA, Variable("path", STRING, "", "", lambda entry: "")])
