"""Random filters give what Google's implementation of CEL gives: the same ones are refused, and on the same values they
match, do not match, or fail.

PYSNIFF_KFL_EXPRESSIONS: how many (3,000).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import kfl_random
import pytest

from pysniff.errors import FilterError
from pysniff.kfl import compile
from pysniff.kfl.types import DURATION, TIMESTAMP, ListType, MapType, Type
from pysniff.kfl.values import Duration, Timestamp, UInt

cel = pytest.importorskip("cel_expr_python.cel", reason="needs cel-expr-python")

COUNT = int(os.environ.get("PYSNIFF_KFL_EXPRESSIONS", "3000"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA = kfl_random.schema()
# Differences on purpose.
REFUSED_BY_THEM = (
    # A value of which nothing is known, as in [][0].all(x, true): their checker's message calls it dyn, and takes dyn.
    "expression of type 'dyn' cannot be the range of a comprehension",
)
REFUSED_BY_US = (
    # A pattern that is none is found when the filter is compiled.
    "no regular expression",
    # int(duration) and duration(int) are not CEL's; their checker takes them, and they fail when they run.
    "no int(duration)",
    "no duration(int)",
    # Twice the same literal as a map's key; they find it when they get there.
    "a key for the second time",
    # They find a list as a key when they get there.
    "a map's key is a bool, int, uint or string",
)
STOPPED = "stopped"  # a key that is in a map twice ends their evaluation, whatever `||` stands beside it
# Dates outside the years 1 to 9999, which a time zone may make.
EDGE = re.compile(r"(?:0001|9999)-.*\.get\w+\(\"")
# To Python True and 1 are one key: a map with both is an error of ours.
BOOL_KEYS = re.compile(r"[{ ](?:true|false|b|http|x|dyn\(.*\)|.*\)): ")
# Which of a map's keys comes first.
ORDER = re.compile(r"(?:headers|counts|byport|mixed|[)}])\.(?:map|filter)\(.*\)\)*\[")
# The sign of what is no number: to them 0.0 / 0.0 is -nan, and -(0.0 / 0.0) is nan.
NAN = re.compile(r"string\(.*(?:\bd\b|\bx\b|/|\*)")
ON_PURPOSE = (EDGE, BOOL_KEYS, ORDER, NAN)


def their_type(kind: Type) -> Any:
    if isinstance(kind, ListType):
        return cel.Type.List(their_type(kind.of))
    if isinstance(kind, MapType):
        return cel.Type.Map(their_type(kind.key), their_type(kind.value))
    return getattr(cel.Type, kind.name.upper())


def their_value(value: object, kind: Type | None = None) -> object:
    if kind == TIMESTAMP or isinstance(value, Timestamp):
        return EPOCH + timedelta(microseconds=int(value) // 1000)  # type: ignore[call-overload]
    if kind == DURATION or isinstance(value, Duration):
        return timedelta(microseconds=int(value) // 1000)  # type: ignore[call-overload]
    if isinstance(value, UInt):
        return int(value)
    if isinstance(value, list):
        return [their_value(one) for one in value]
    if isinstance(value, dict):
        return {key: their_value(one) for key, one in value.items()}
    return value


ENVIRONMENT = cel.NewEnv(variables={name: their_type(kind) for name, kind in kfl_random.TYPES.items()})
VALUES = [kfl_random.values(Random(seed)) for seed in range(40)]
THEIRS = [{name: their_value(one, kfl_random.TYPES[name]) for name, one in shop.values.items()} for shop in VALUES]


def ours(text: str) -> tuple[str, list[str]]:
    """Why it is refused, "" if it is not; and what it says of all values."""
    try:
        made = compile(text, SCHEMA, now=kfl_random.NOW)
    except FilterError as error:
        return error.message, []
    results = []
    for shop in VALUES:
        errors = made.errors
        matches = made.matches(shop)
        results.append("error" if made.errors > errors else str(matches))
    return "", results


def oracles(text: str) -> tuple[str, list[str]]:
    """The same of Google's."""
    try:
        made = ENVIRONMENT.compile(text)
    except RuntimeError as error:
        return str(error).partition("\n")[0], []
    if made.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        return "not true or false", []
    results = []
    for values in THEIRS:
        try:
            result = made.eval(data=values)
        except RuntimeError as error:
            assert "duplicate key" in str(error)
            results.append(STOPPED)
            continue
        results.append(str(result.value()) if result.type() == cel.Type.BOOL else "error")
    return "", results


def test_random_filters_give_what_googles_cel_gives(capsys: pytest.CaptureFixture[str]) -> None:
    random = Random(20261122)
    tally: Counter[str] = Counter()
    different = []
    for _ in range(COUNT):
        text = kfl_random.Writer(random).filter()
        (refused, results), (their_refusal, theirs) = ours(text), oracles(text)
        if any(words in their_refusal for words in REFUSED_BY_THEM) or any(words in refused for words in REFUSED_BY_US):
            tally["different on purpose"] += 1
            continue
        results = [STOPPED if theirs[at] == STOPPED else result for at, result in enumerate(results[: len(theirs)])]
        if bool(refused) != bool(their_refusal):
            different.append(f"{text}\n   ours: {refused or 'accepted'}\n   theirs: {their_refusal or 'accepted'}")
        elif results != theirs and any(known.search(text) for known in ON_PURPOSE):
            tally["different on purpose"] += 1
        elif results != theirs:
            place = next(at for at, pair in enumerate(zip(results, theirs, strict=True)) if pair[0] != pair[1])
            read = {name: value for name, value in VALUES[place].values.items() if name in text}
            different.append(f"{text}\n   with {read}\n   ours: {results[place]}\n   theirs: {theirs[place]}")
        tally["refused" if refused else "accepted"] += 1
        tally.update(results)
    with capsys.disabled():
        shown = "\n".join(sorted(different, key=len)[:30])
        print(f"\n{COUNT} filters: {dict(tally)}, {len(different)} differ")
    assert not different, shown
