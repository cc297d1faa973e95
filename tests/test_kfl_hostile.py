"""Filters made to cost much: each is refused when it is compiled, or stopped while it runs, with bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from kfl_talk import SCHEMA, SHOP, Shop, read

from pysniff.errors import FilterError
from pysniff.kfl import compile, limits

HUNDRED = f"[{','.join(map(str, range(100)))}]"
DAG = "[[1]]" + ".map(x, [x, x])" * 24

REFUSED = {
    "parentheses": "(" * 5000 + "true" + ")" * 2000,
    "parentheses that close": "(" * 49 + "true" + ")" * 49,
    "lists": "[" * 2000 + "]" * 2000 + " == []",
    "maps": "{1:" * 1000 + "1" + "}" * 1000 + " == {}",
    "indices": "faults" + "[0" * 1000 + "]" * 1000,
    "ternaries": "true?false:" * 700 + "true",
    "ternaries in parentheses": "(true?" * 60 + "true" + ":true)" * 60,
    "calls": "size(" * 1000 + "''" + ")" * 1000 + " == 0",
    "a long sum": "+".join(["1"] * 400) + " > 0",
    "a long path": "anything" + ".a" * 3000,
    "a chain of methods": "path" + ".size()" * 1000,
    "signs between": "-(" * 1000 + "1" + ")" * 1000 + " == 1",
    "nots between": "!(" * 1000 + "true" + ")" * 1000,
    "macros": "[1].all(a, " * 9 + "true" + ")" * 9,
    "many macros": "[1].map(a, " * 500 + "1" + ")" * 500 + " == []",
    "many parts": " && ".join(["1<2"] * 1000),
    "5 MB of text": '"' + "a" * 5_000_000 + '" == ""',
    "5 MB of parentheses": "(" * 5_000_000,
    "5 MB of a name": "a" * 5_000_000,
    "a giant number": "1" * 8000 + " == 1",
    "a giant hexadecimal number": "0x" + "f" * 8000 + " == 1",
    "repetition of repetition": "path.matches('((x{1000}){1000}){1000}')",
    "a large pattern": r"path.matches('\\pL{1000}')",
    "a long pattern": f"path.matches('{'a' * 1001}')",
    "an unknown long name": "a" * 8000,
    "an escape without an end": "'" + "\\x" * 4000,
    "quotes": "'''" * 2700,
    "raw quotes": "r'" * 4000,
}

STOPPED = {
    "a nest of macros": f"{HUNDRED}.all(a, {HUNDRED}.all(b, {HUNDRED}.all(c, a + b + c >= 0)))",
    "a nest of maps": f"{HUNDRED}.map(a, {HUNDRED}.map(b, {HUNDRED}.map(c, a))).size() > 0",
    "doubling strings": '["aaaaaaaaaaaaaaaa"]' + ".map(x, x + x)" * 40 + " == []",
    "doubling bytes": '[b"aaaaaaaaaaaaaaaa"]' + ".map(x, x + x)" * 40 + " == []",
    "doubling lists": "[[1,2,3,4]]" + ".map(x, x + x)" * 40 + " == []",
    "comparing what is shared": f"{DAG} == {DAG}",
    "looking in what is shared": f"{DAG} in [{DAG}]",
    "a large body in each round": f"{HUNDRED}.all(a, path.contains('zz') || true)",
    "a large body matched in each round": f"{HUNDRED}.all(a, path.matches('zz$') || true)",
    "a large body copied in each round": f"{HUNDRED}.map(a, bytes(path)).size() > 0",
    "a large body doubled": "path + path + path == ''",
    "a large body in a list of sums": f"{HUNDRED}.map(a, path + 'a').size() > 0",
    "patterns made in rounds": f"{HUNDRED}.all(a, {HUNDRED}.all(b, !path.matches(string(a * 100 + b) + 'x')))",
    "what cannot be made up for": f"({HUNDRED}.all(a, {HUNDRED}.all(b, {HUNDRED}.all(c, true)))) || true",
    "a wide body": f"{HUNDRED}.all(a, {HUNDRED}.all(b, [{','.join(['b'] * 900)}].size() > 0))",
}

ALLOWED = {
    "48 parentheses": "(" * 46 + "true" + ")" * 46,
    "many signs": "!" * 4000 + "true",
    "many terms": " && ".join(["status_code != 1"] * 400),
    "a list of 1,000": f"status_code in [{','.join(map(str, range(1000)))}] || true",
    "backtracking": "'" + "a" * 40 + "!'.matches('^(a+)+$') || true",
    "backtracking in a large body": "path.matches('^(a+)+$') && !path.matches('^(a|a)*b$')",
    "a large body searched": " && ".join(["!path.contains('zz')"] * 20),
    "a large body compared": "path == path && path != path + 'a' && path <= path",
    "20,000 steps": f"{HUNDRED}.all(a, {HUNDRED}.all(b, true))",
}
LARGE = Shop(**(SHOP.values | {"path": "a" * 8_000_000}))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_it_is_compiled(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(FilterError) as caught:
        compile(REFUSED[name], SCHEMA)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(caught.value.message) < 200
    assert len(caught.value.excerpt) < 300
    assert peak < 20_000_000


@pytest.mark.parametrize("name", STOPPED)
def test_stopped_while_it_runs(name: str) -> None:
    made = compile(STOPPED[name], read(LARGE))
    tracemalloc.start()
    assert not made.matches(LARGE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.errors == 1
    assert peak < 4 * limits.STEPS * limits.JOINED


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_large_but_cheap_is_neither(name: str) -> None:
    made = compile(ALLOWED[name], read(LARGE))
    assert made.matches(LARGE)
    assert made.errors == 0


def test_a_caller_deep_in_its_stack_gets_an_error_or_an_answer() -> None:
    text = "[1].all(a, " * 8 + "(" * 38 + "http" + ")" * 38 + ")" * 8

    def deeper(levels: int) -> str:
        if levels:
            return deeper(levels - 1)
        try:
            return str(compile(text, SCHEMA).matches(SHOP))
        except FilterError as error:
            return error.message

    found = set()
    for levels in range(100, sys.getrecursionlimit() - 100, 10):
        try:
            found.add(deeper(levels))
        except RecursionError:
            break  # of the test's own
    assert found <= {"True", "False", "filter, line 1, column 1: the filter nests too deep"}


def test_a_filter_is_never_run_as_python() -> None:
    for text in (
        "__import__('os')",
        "path.__class__",
        "entry",
        "steps",
        "f0",
        "(lambda: 1)()",
        "path.format()",
        "Steps()",
    ):
        with pytest.raises(FilterError):
            compile(text, SCHEMA)


def test_memory_does_not_grow_with_the_patterns_that_entries_bring() -> None:
    code = (
        "import resource, sys; sys.path.insert(0, 'tests')\n"
        "from kfl_talk import Shop, SHOP, read\n"
        "from pysniff.kfl import compile\n"
        "shops = [Shop(**(SHOP.values | {'method': f'(a|b|c){{{n % 100}}}x{n}'})) for n in range(400)]\n"
        "made = compile('path.matches(method)', read(SHOP))\n"
        "for shop in shops[:50]: made.matches(shop)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for shop in shops: made.matches(shop)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert int(done.stdout) < 50_000  # KiB
