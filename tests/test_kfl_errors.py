"""A filter that does not compile says where and why, and what was perhaps meant."""

from __future__ import annotations

import pytest
from kfl_talk import SCHEMA

from pysniff.errors import FilterError
from pysniff.kfl import compile

# Filter: line, column, words of the message, words of the hint.
REFUSED: dict[str, tuple[int, int, str, str]] = {
    # Names
    "status_cod == 200": (1, 1, "unknown variable `status_cod`", "status_code"),
    "STATUS_CODE == 200": (1, 1, "unknown variable", "status_code"),
    "http && src.prt == 1": (1, 9, "unknown variable `src.prt`", "src.port"),
    "src == ''": (1, 1, "unknown variable `src`", "src.ip, src.port"),
    "nothing.like.it": (1, 1, "unknown variable", ""),
    "faults.all(fault, falt == '')": (1, 19, "unknown variable `falt`", "fault"),
    "faults.all(f, f == '') && f == ''": (1, 27, "unknown variable `f`", ""),
    "path.startWith('/')": (1, 6, "unknown function `startWith`", "startsWith"),
    "faults.exist(f, true)": (1, 8, "unknown function `exist`", "exists"),
    "sise(path) == 1": (1, 1, "unknown function `sise`", "size"),
    "contains(path, 'a')": (1, 1, "not called so", "x.contains()"),
    "path.int() == 1": (1, 6, "not called so", "int(x)"),
    "path.host": (1, 6, "a string has no fields", ""),
    "src.ip.host": (1, 8, "a string has no fields", ""),
    "has(path)": (1, 5, "has() takes a field", ""),
    "faults.all(f)": (1, 8, "all() takes other arguments", ""),
    "faults.all(f.x, true)": (1, 14, "takes a name first", ""),
    # Types
    "status_code": (1, 1, "true or false, this is an int", ""),
    "path": (1, 1, "true or false", "=="),
    "status_code == '200'": (1, 13, "no `==` for (int, string)", "status_code is an int: write 200"),
    "404 == path": (1, 5, "no `==` for (int, string)", 'path is a string: write "404"'),
    "http == 'yes'": (1, 6, "no `==` for (bool, string)", "http is a bool"),
    "status_code > 1.5": (1, 13, "no `>` for (int, double)", "int(x)"),
    "status_code && http": (1, 1, "true or false, it is an int", ""),
    "!path": (1, 2, "true or false", ""),
    "(http ? 1 : 'a') == 1": (1, 7, "int and string", ""),
    "request.headers[1] == 'x'": (1, 16, "no index for (map(string, string), int)", ""),
    "path.contains(5)": (1, 6, "no contains(int) of a string", "(string)"),
    "timestamp > 5": (1, 11, "no `>` for (timestamp, int)", ""),
    "status_code.all(x, true)": (1, 13, "goes through a list or map", ""),
    "{[]: 1} == {}": (1, 2, "a map's key", ""),
    "{'a': 1, 'a': 2} == {}": (1, 10, "second time", ""),
    "-counter == 0u": (1, 1, "no minus sign for (uint)", ""),
    "now(1) == timestamp": (1, 1, "no now(int)", ""),
    # Text
    "http &&": (1, 8, "the end of the filter", ""),
    "http & http": (1, 6, "write `&&`", ""),
    "http = true": (1, 6, "write `==`", ""),
    "http) || true": (1, 5, "unexpected `)`", ""),
    "(http": (1, 6, "expected `)`", ""),
    "path == 'a": (1, 9, "without an end", ""),
    'path == "a\nb"': (1, 9, "without an end", ""),
    "path == '\\q'": (1, 9, "escape", ""),
    "path == '\\ud800'": (1, 9, "no character", ""),
    "payload == b'\\u00e9'": (1, 12, "not for bytes", ""),
    "status_code == 9223372036854775808": (1, 16, "64 bits", ""),
    "counter == 18446744073709551616u": (1, 12, "64 bits", ""),
    "status_code == 1x": (1, 17, "unexpected `x`", ""),
    "path == 'a' # http": (1, 13, "unexpected '#'", ""),
    "for == 1": (1, 1, "reserved word", ""),
    "http ? true": (1, 12, "expected `:`", ""),
    "faults.all(f, true": (1, 19, "expected `,`", ""),
    "size(faults,) == 1": (1, 13, "unexpected `)`", ""),
    "path.matches('(')": (1, 14, "no regular expression: missing )", "RE2"),
    "path.matches('a' + '(')": (1, 18, "no regular expression", "RE2"),
    "path.matches('(?<=a)b')": (1, 14, "no regular expression", "RE2"),
    "http &&\n  status_code == true": (2, 15, "no `==`", ""),
    "http && // why\n\n\nnope": (4, 1, "unknown variable", ""),
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_filter_that_is_refused(text: str) -> None:
    line, column, words, hint = REFUSED[text]
    with pytest.raises(FilterError) as caught:
        compile(text, SCHEMA)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert error.message.startswith(f"filter, line {line}, column {column}: ")
    assert words in error.message
    assert hint in error.hint
    assert bool(hint) >= error.hint.startswith("did you mean")
    shown, caret = error.excerpt.splitlines()
    assert shown == text.splitlines()[line - 1].rstrip()
    assert caret == " " * (column - 1) + "^"


def test_the_excerpt_of_a_long_line_is_what_stands_around_the_caret() -> None:
    text = "http && " * 400 + "nope && " + "http && " * 400 + "http"
    with pytest.raises(FilterError) as caught:
        compile(text, SCHEMA)
    shown, caret = caught.value.excerpt.splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^") :].startswith("nope")
    assert shown.startswith("...")
    assert shown.endswith("...")


def test_the_excerpt_says_nothing_to_the_terminal() -> None:
    with pytest.raises(FilterError) as caught:
        compile("path == '\x1b[2J\t' && nope", SCHEMA)
    shown, caret = caught.value.excerpt.splitlines()
    assert shown.isprintable()
    assert shown[caret.index("^") :] == "nope"
