"""Display filters against cel-expr-python, which is Google's C++: the same filters over the same entries.

Every entry is evaluated once and freshly dissected, so that what a filter decodes is in our time. CEL takes its values
from a dict, which is made of the same reads: outside of the clock in the one contest, inside of it in the other, for
without it CEL has nothing to evaluate. `python -m benchmarks.kfl CONTESTANT FILTER CAPTURE...` is one measurement.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pysniff
from benchmarks import captures
from benchmarks.measure import Samples, child, interleave, into_cache
from benchmarks.report import Ratio, Row, Section, skipped
from benchmarks.traffic import PORT
from pysniff.entry import Entry
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, BYTES, DOUBLE, INT, STRING, ListType, MapType, Type
from pysniff.kfl.variables import schema

TITLE = "Display filters"
SECONDS = 120.0
GOAL = 8.0
CAPTURES = ("http1", "h2c", "grpc")  # read as one: a filter chooses one service's calls among others


class Contest(NamedTuple):
    """A filter: `before`, what most entries fail, and `last`, its last term."""

    what: str
    before: str
    last: str
    goal: float | None = None

    @property
    def filter(self) -> str:
        return f"{self.before} && {self.last}"


CONTESTS = {
    "call": Contest(
        "one service's calls of a path",
        f'http && dst.port == {PORT} && method == "GET" && path.startsWith("/catalog/") && status_code < 400',
        "elapsed_time > 1000",
        GOAL,
    ),
    "header": Contest(
        "calls by a header",
        'http && method == "POST" && "content-type" in request.headers',
        'request.headers["content-type"].startsWith("application/json")',
    ),
    "failed": Contest("calls that failed", "http", "status_code >= 500"),
}


class Reading(NamedTuple):
    """One measurement: CPU seconds for so many entries. `reached`: the last term; counted for ours only."""

    cpu: float
    entries: int
    reached: int
    matched: int


def run(rounds: int) -> Section:
    if not find_spec("cel_expr_python"):
        return skipped(TITLE, "needs cel-expr-python")
    rows: list[Row] = []
    notes = ["CPU time of the evaluation alone: the entries were dissected before. At best, in evaluations a second:"]
    mixed = [captures.first(name) for name in CAPTURES if not captures.absent(name)]
    into_cache(*mixed)
    for name, contest in CONTESTS.items():
        more, note = _compare(name, contest, mixed, rounds)
        rows += more
        notes.append(note)
    return Section(TITLE, rows, notes)


def _compare(name: str, contest: Contest, mixed: list[Path], rounds: int) -> tuple[list[Row], str]:
    taken = interleave({who: _each(who, name, mixed) for who in CONTESTANTS}, rounds, SECONDS / len(CONTESTS))
    reading = measured("ours", name, mixed)
    ours, bare, whole = (1 / taken[who].least for who in CONTESTANTS)
    rows = [
        _row(f"{contest.what}: evaluations", taken["ours"], "cel-expr-python, values read before", taken["cel"]),
        _row(f"{contest.what}: evaluations", taken["ours"], "cel-expr-python", taken["dict"], contest.goal),
    ]
    note = (
        f"`{contest.filter}`: PySniff {ours:,.0f}, CEL {whole:,.0f}, with values read before {bare:,.0f}; of "
        f"{reading.entries:,} entries {reading.reached:,} reach the last term, {reading.matched:,} match."
    )
    return rows, note


def _row(what: str, ours: Samples, peer_name: str, peer: Samples, goal: float | None = None) -> Row:
    return Row(what, ours.micro_per(1), peer_name, peer.micro_per(1), "us", Ratio.TIMES_LESS, goal)


def _each(who: str, name: str, mixed: list[Path]) -> Callable[[], float]:
    """CPU seconds for one evaluation."""

    def measure() -> float:
        reading = measured(who, name, mixed)
        return reading.cpu / reading.entries

    return measure


def measured(who: str, name: str, mixed: list[Path]) -> Reading:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.kfl", who, name, *map(str, mixed)]
    return Reading(*json.loads(child(command, keep=True).output))


def ours(contest: Contest, entries: list[Entry]) -> tuple[float, int]:
    """CPU seconds, and how many matched."""
    matches = pysniff.compile(contest.filter).matches
    matches(entries.pop())  # imports, and what is compiled with the first evaluation
    start = time.process_time()
    matched = 0
    for entry in entries:
        if matches(entry):
            matched += 1
    return time.process_time() - start, matched


def cel(contest: Contest, entries: list[Entry]) -> tuple[float, int]:
    """CEL alone: the values were read before."""
    evaluate, used = _expression(contest)
    rows = [{variable.name: variable.read(entry) for variable in used} for entry in entries]
    entries.pop()
    evaluate(data=rows.pop()).value()
    start = time.process_time()
    matched = 0
    for row in rows:
        if evaluate(data=row).value():
            matched += 1
    return time.process_time() - start, matched


def cel_with_dict(contest: Contest, entries: list[Entry]) -> tuple[float, int]:
    """CEL and what it needs."""
    evaluate, used = _expression(contest)
    reads = [(variable.name, variable.read) for variable in used]
    evaluate(data={name: read(entries[-1]) for name, read in reads}).value()
    entries.pop()
    start = time.process_time()
    matched = 0
    for entry in entries:
        if evaluate(data={name: read(entry) for name, read in reads}).value():
            matched += 1
    return time.process_time() - start, matched


CONTESTANTS: dict[str, Callable[[Contest, list[Entry]], tuple[float, int]]] = {
    "ours": ours,
    "cel": cel,
    "dict": cel_with_dict,
}


def _expression(contest: Contest) -> tuple[Callable[..., Any], list[Variable]]:
    """CEL's evaluation of a filter, and the variables that it names."""
    from cel_expr_python import cel as peer

    def typed(kind: Type) -> Any:
        if isinstance(kind, ListType):
            return peer.Type.List(typed(kind.of))
        if isinstance(kind, MapType):
            return peer.Type.Map(typed(kind.key), typed(kind.value))
        names = {BOOL: "BOOL", INT: "INT", DOUBLE: "DOUBLE", STRING: "STRING", BYTES: "BYTES"}
        return getattr(peer.Type, names[kind])

    used = [variable for variable in schema() if variable.name in pysniff.compile(contest.filter).variables]
    environment = peer.NewEnv(variables={variable.name: typed(variable.type) for variable in used})
    return environment.compile(contest.filter).eval, used


def _reached(contest: Contest, mixed: Sequence[str]) -> int:
    """Entries on which the last term is evaluated."""
    with pysniff.read(*mixed, filter=contest.before) as entries:
        return sum(1 for _ in entries)


def main(who: str, name: str, *mixed: str) -> None:
    contest = CONTESTS[name]
    reached = _reached(contest, mixed) if who == "ours" else 0
    with pysniff.read(*mixed) as source:
        entries = list(source)
    gc.collect()
    gc.freeze()
    cpu, matched = CONTESTANTS[who](contest, entries)  # one of them was its warming up
    json.dump(Reading(cpu, len(entries), reached, matched), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        print(run(rounds=3).markdown())
