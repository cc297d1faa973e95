"""The filter language as tables: what each expression gives. Grammar and semantics are CEL's (cel-spec, langdef.md)."""

from __future__ import annotations

from functools import partial

import pytest
from kfl_talk import SHOP, errors, holds, read

from pysniff.kfl import compile

TRUE = """
true
!false
!!true
1 == 1 && 2 != 3
1 < 2 == true
2 + 3 * 4 == 14
(2 + 3) * 4 == 20
10 - 3 - 2 == 5
-7 / 2 == -3
-7 % 2 == -1
7 % -2 == 1
-9223372036854775808 < 0
0xff == 255
0xFFu == 255u
18446744073709551615u > 0u
1e3 == 1000.0
.5 == 0.5
1.0 / 0.0 > 1e308
0.0 / 0.0 != 0.0 / 0.0
false ? false : true ? true : false
"a" + 'b' == "ab"
"\\x41\\101\\u00e9\\U0001f600" == "AAé😀"
r"\\n" == "\\\\n"
'''a "b" 'c' d''' == "a \\"b\\" 'c' d"
b"\\xff" != b"a"
b"é" == bytes("é")
br"\\x" == b"\\\\x"
"b" > "a" && "B" < "a"
"😀" > "￿"
1 in [1, 2] && !(3 in [1, 2])
"a" in {"a": 1}
[1, 2] + [3] == [1, 2, 3]
[[1], []] == [[1], []]
{"a": 1, "b": 2} == {"b": 2, "a": 1}
{"a": 1,}.a == 1
[1, 2,][1] == 2
{1: "x"}[1] == "x"
{"if": true}.if
dyn(1) == 1.0 && dyn(1) == 1u && dyn(1u) < 1.5
dyn(true) != 1
dyn(null) == null
type(1) == int && type(1u) == uint && type("") == string && type(type(1)) == type
type(null) == null_type && type([]) == list && type({}) == map
type(timestamp(0)) == google.protobuf.Timestamp && type(duration("0")) == google.protobuf.Duration
size("é😀") == 2 && "ab".size() == 2 && size(b"\\xff") == 1 && [1].size() == 1 && size({}) == 0
"abc".contains("b") && "abc".startsWith("a") && "abc".endsWith("c")
"abc".matches("^a.c$") && matches("abc", "b")
"xay".matches("a")
int("42") == 42 && int("-1") == -1 && int(1.9) == 1 && int(2u) == 2
uint(3) == 3u && uint("3") == 3u
double("1.5") == 1.5 && double(2) == 2.0
string(1) == "1" && string(1.5) == "1.5" && string(true) == "true" && string(b"a") == "a" && string(2u) == "2"
string(duration("90m")) == "5400s" && string(duration("1.5s")) == "1.500s"
bool("true") && !bool("0")
timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T02:00:00+02:00")
string(timestamp("2026-01-01T00:00:00.5Z")) == "2026-01-01T00:00:00.500Z"
timestamp("2026-01-01T01:00:00Z") - timestamp("2026-01-01T00:00:00Z") == duration("1h")
timestamp("2026-01-01T00:00:00Z") - duration("1ns") < timestamp("2026-01-01T00:00:00Z")
int(timestamp("2026-01-01T00:00:00Z")) == 1767225600 && timestamp(1767225600).getFullYear() == 2026
timestamp("2026-02-03T04:05:06.789Z").getMonth() == 1
timestamp("2026-02-03T04:05:06.789Z").getDate() == 3
timestamp("2026-02-03T04:05:06.789Z").getDayOfMonth() == 2
timestamp("2026-02-03T04:05:06.789Z").getDayOfWeek() == 2
timestamp("2026-02-03T04:05:06.789Z").getDayOfYear() == 33
timestamp("2026-02-03T04:05:06.789Z").getHours() == 4
timestamp("2026-02-03T04:05:06.789Z").getMinutes() == 5
timestamp("2026-02-03T04:05:06.789Z").getSeconds() == 6
timestamp("2026-02-03T04:05:06.789Z").getMilliseconds() == 789
timestamp("2026-02-03T04:05:06Z").getHours("+05:30") == 9
timestamp("2026-02-03T04:05:06Z").getDate("-05:00") == 2
duration("90m").getHours() == 1 && duration("90m").getMinutes() == 90 && duration("-1.5s").getSeconds() == -1
[1, 2].all(x, x > 0)
[].all(x, false)
[1, 2].exists(x, x == 2)
[1, 2, 2].exists_one(x, x == 1)
[1, 2].map(x, x * 2) == [2, 4]
[1, 2].map(x, x > 1, x * 2) == [4]
[1, 2].filter(x, x > 1) == [2]
{"a": 1}.all(k, k == "a")
{"a": 1}.map(k, k) == ["a"]
[[1], [2]].all(x, x.all(y, y > 0))
[1].all(x, [2].all(x, x == 2) && x == 1)
has({"a": 1}.a) && !has({"a": 1}.b)
map_get({"a": 1}, "a", 7) == 1 && map_get({"a": 1}, "b", 7) == 7
null == null
1 == 1 // a comment
1 ==\\n1
"""

# Of SHOP, an entry.
READS = """
http
status_code == 500 && src.ip == "10.0.0.7" && dst.port == 8080
.status_code == 500
path.startsWith("/cart")
request.headers["x-id"] == "7"
request.headers.host == "shop"
has(request.headers.host) && !has(request.headers.cookie)
"host" in request.headers && !("cookie" in request.headers)
map_get(request.headers, "cookie", "") == ""
request.headers.exists(name, name == "x-id" && request.headers[name] == "7")
request.headers.`x-id` == "7"
faults == ["gap"] && "gap" in faults && faults.size() == 1 && faults[0] == "gap"
faults.all(path, path == "gap") && path == "/cart"
[1].all(src, src == 1) && src.ip != ""
timestamp == timestamp("2026-01-01T00:00:00.000000001Z")
timestamp > timestamp("2025-12-31T23:59:59Z") && timestamp <= now()
now() - timestamp == duration("1h")
now() == now()
type(timestamp) == google.protobuf.Timestamp
string(timestamp) == "2026-01-01T00:00:00.000000001Z"
[timestamp, timestamp][1].getFullYear() == 2026
type(map_get({"a": timestamp}, "b", timestamp)) == google.protobuf.Timestamp
dyn(timestamp) == timestamp("2026-01-01T00:00:00.000000001Z")
elapsed == duration("1.5s") && elapsed > duration("1s")
counter == 3u && dyn(counter) == 3u && type(counter) == uint && counter + 1u == 4u
ratio == 0.5 && type(ratio) == double
payload == b"\\x00\\xff" && payload.size() == 2
anything.list[1] == "two" && anything.missing == 1 || true
status_code in [404, 500] && method in ["GET", "PUT"]
status_code / 100 == 5
(status_code >= 500 ? method : path) == "GET"
"""

# && and || make up for errors of their other side; macros too.
ABSORBED = {
    "1 / 0 == 1 || true": True,
    "true || 1 / 0 == 1": True,
    "1 / 0 == 1 && false": False,
    "false && 1 / 0 == 1": False,
    "1 / 0 == 1 || 1 / 0 == 2 || true": True,
    "(1 / 0 == 1 && false) || http": True,
    "request.headers.none == 'x' || http": True,
    "[0, 1].exists(x, 1 / x == 1)": True,
    "[0, 1].all(x, 1 / x == 2)": False,
    "true ? true : 1 / 0 == 1": True,
    "dyn(1) || true": True,
    "dyn('a') && false": False,
    "(request.headers.none == 'x' && path != '') || (path == '/cart' && request.headers.host == 'shop')": True,
    "request.headers.none == 'x' || request.headers.nor == 'y' || path == '/cart'": True,
    "!(request.headers.none == 'x' && path == '')": True,
    "[1, 2].all(x, request.headers.none == 'x' || x > 0)": True,
}

FAILS = """
1 / 0 == 1
1 % 0 == 1
1u - 2u == 1u
9223372036854775807 + 1 > 0
-9223372036854775808 / -1 > 0
-(-9223372036854775808 + 0) > 0
int(1e19) > 0
int("x") == 1
uint(-1) == 1u
double("x") == 1.0
bool("yes")
string(b"\\xff") == ""
timestamp("yesterday") == timestamp(0)
timestamp("2026-02-30T00:00:00Z") == timestamp(0)
timestamp("9999-12-31T23:59:59Z") + duration("1s") > timestamp(0)
duration("1d") == duration("24h")
timestamp(0).getHours("Nowhere") == 1
[1][1] == 1
[1][-1] == 1
{"a": 1}.b == 1
{"a": 1}["b"] == 1
{"a": 1, string("a"): 2}.a == 1
{true: 1, dyn(1): 2}[true] == 1
request.headers.cookie == ""
request.headers["cookie"] == ""
dyn(1)
dyn("a") < 1
dyn(1).field == 1
dyn(1) + "a" == "b"
has(dyn(1).field)
1 in dyn(5)
dyn(1).all(x, true)
!dyn(1)
dyn(1) ? true : false
[0, 1].exists_one(x, 1 / x == 1)
[0, 1].map(x, 1 / x) == [1]
[0, 1].filter(x, 1 / x == 1) == [1]
[0, 1].exists(x, 1 / x == 5)
1 / 0 == 1 || false
1 / 0 == 1 && true
path.matches(src.ip + "(")
"a".matches(dyn(1))
"""


def lines(table: str) -> list[str]:
    return [line.replace("\\n", "\n") if "==\\n" in line else line for line in table.strip().splitlines()]


@pytest.mark.parametrize("text", lines(TRUE))
def test_an_expression_without_variables(text: str) -> None:
    assert holds(text)
    assert not holds(f"!({text.partition(' //')[0]})")


@pytest.mark.parametrize("text", lines(READS))
def test_an_expression_over_an_entry(text: str) -> None:
    assert holds(text)
    assert not holds(f"({text}) && 1 > 2")


@pytest.mark.parametrize("text", ABSORBED)
def test_an_error_is_made_up_for_from_either_side(text: str) -> None:
    made = compile(text, read(SHOP))
    assert made.matches(SHOP) is ABSORBED[text]
    assert made.errors == 0


@pytest.mark.parametrize("text", lines(FAILS))
def test_an_entry_on_which_a_filter_fails_does_not_match_and_is_counted(text: str) -> None:
    assert errors(text) == 1
    assert errors(f"!({text})") == 1


def test_the_empty_filter_matches_everything() -> None:
    for text in ("", "  \n", "// nothing"):
        made = compile(text, read(SHOP))
        assert made.tree is None
        assert made.variables == frozenset()
        assert made.matches(SHOP)


def test_a_filter_knows_what_it_reads_and_reads_nothing_else() -> None:
    made = compile('dst.port == 80 && request.headers.host == "a" || faults.all(f, f == path)', read(SHOP))
    assert made.variables == {"dst.port", "request.headers", "faults", "path"}


def test_what_decides_first_is_all_that_is_read() -> None:
    reads: list[str] = []
    schema = read(SHOP, reads)
    assert not compile("dst.port == 80 && path == '/cart' && path != ''", schema).matches(SHOP)
    assert reads == ["dst.port"]
    reads.clear()
    assert compile("dst.port == 8080 && path == '/cart' && path != ''", schema).matches(SHOP)
    assert reads == ["dst.port", "path"], "what is named twice is read once"


def test_now_stands_still() -> None:
    made = compile("now() == timestamp(17)", read(SHOP), now=17 * 10**9)
    assert made.matches(SHOP)
    ours = compile("now() > timestamp('2026-01-01T00:00:00Z')", read(SHOP))
    assert ours.matches(SHOP), "the clock's time, where none is given"


def test_a_reader_that_raises_is_an_error_of_that_entry() -> None:
    def broken(entry: object) -> object:
        raise KeyError("a bug")

    schema = read(SHOP, broken={"path": broken})
    made = compile("path == '/'", schema)
    assert not made.matches(SHOP)
    assert made.errors == 1
    assert not compile("1 / int(path) == 1 && path == '/'", schema).matches(SHOP)
    assert compile("status_code == 500 || path == '/'", schema).matches(SHOP)


def gives(value: object, entry: object) -> object:
    return value


def test_a_reader_that_gives_another_type_does_no_harm() -> None:
    for value in (None, object(), 5, [None], {1: object()}, float("nan")):
        schema = read(SHOP, broken=dict.fromkeys(SHOP.values, partial(gives, value)))
        for text in lines(READS):
            compile(text, schema).matches(SHOP)
