"""The planner: never says no to a flow with a match, and says no where the index is enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire import Watched

import pysniff
from pysniff.entry import Entry
from pysniff.kfl.explain import explained
from pysniff.kfl.filter import Filter
from pysniff.kfl.plan import All, Atom, Known, Not, Part, Plan, indexed, plan
from pysniff.kfl.variables import schema

SHOP = Path(__file__).parent.parent / "examples" / "shop.pcap"
NOW = 1_800_000_000_000_000_000


def planned(text: str) -> Plan:
    return plan(Filter(text, schema(), now=NOW).tree)


# What is left out

WEB: Mapping[str, object] = {"src.ip": "10.0.0.7", "dst.ip": "10.0.0.9", "src.port": 51022, "dst.port": 80}
NO_HTTP: Mapping[str, object] = {"http": False, "http1": False, "http2": False, "grpc": False}


@pytest.mark.parametrize(
    ("text", "known", "may"),
    [
        ("", WEB, True),
        ("true", WEB, True),
        ("false", WEB, False),
        ("dst.port == 80", WEB, True),
        ("dst.port == 81", WEB, False),
        ("dst.port == 81", {}, True),
        ("81 == dst.port", WEB, False),
        ("dst.port != 80", WEB, False),
        ("!(dst.port == 80)", WEB, False),
        ("dst.port in [80, 8080]", WEB, True),
        ("dst.port in [81, 8080]", WEB, False),
        ("dst.port > 1024 || src.port < 1024", WEB, False),
        ("dst.port > 1024 || method == 'GET'", WEB, True),
        ("dst.port > 1024 && method == 'GET'", WEB, False),
        ("method == 'GET' && dst.port > 1024", WEB, False),
        ("http && dst.port == 81", WEB, False),
        ("http && dst.port == 80", WEB, True),
        ("http && dst.port == 80", {**WEB, **NO_HTTP}, False),
        ("!http && dst.port == 80", {**WEB, **NO_HTTP}, True),
        ("!http", WEB, True),
        ("!(http || method == 'GET')", {"http": True}, False),
        ("!(!http || method == 'GET')", NO_HTTP, False),
        ("src.ip.startsWith('10.1.')", WEB, False),
        ("src.ip.matches('^10[.]0[.]')", WEB, True),
        ("src.ip.matches('^192[.]')", WEB, False),
        ("src.ip + dst.ip == '10.0.0.710.0.0.9'", WEB, True),
        ("src.ip == dst.ip", WEB, False),
        ("src.ip == dst.ip", {"src.ip": "10.0.0.7"}, True),
        ("[80, 443].exists(port, port == dst.port)", WEB, True),
        ("[81, 443].exists(port, port == dst.port)", WEB, False),
        ("[80, 443].all(port, port != dst.port)", WEB, False),
        ("[path].exists(each, each == src.ip)", WEB, True),
        ("(http ? dst.port : src.port) == 80", {**WEB, **NO_HTTP}, False),
        ("http ? dst.port == 81 : dst.port == 82", WEB, False),
        ("http ? dst.port == 81 : dst.port == 80", WEB, True),
        ("http ? dst.port == 80 : method == 'GET'", NO_HTTP, True),
        ("method == 'GET' ? dst.port == 81 : dst.port == 82", WEB, False),
        ("(method == 'GET') == (dst.port == 80)", WEB, True),
        ("(dst.port == 81) == true", WEB, False),
        ("(dst.port == 81 && method == 'GET') == true", WEB, False),
        ("(dst.port == 81 && method == 'GET') != false", WEB, False),
        ("(dst.port == 80 && method == 'GET') != true", WEB, True),
        ("10 / (dst.port - 80) == 1", WEB, True),
        ("10 / (dst.port - 80) == 1 && dst.port == 81", WEB, False),
        ("10 / (dst.port - 80) == 1 || dst.port == 81", WEB, True),
        ("!(10 / (dst.port - 80) == 1)", WEB, True),
        ("protocol == 'dns'", {"protocol": "http"}, False),
        ("protocol == 'dns'", WEB, True),
        ("elapsed_time > 5", WEB, True),
        ("src.name == ''", WEB, True),
    ],
)
def test_what_may_have_a_match(text: str, known: Mapping[str, object], may: bool) -> None:
    assert planned(text).may(known) is may


def test_conditions_on_the_index_are_split_only_where_logic_is() -> None:
    found = planned("http && dst.port == 80 && src.port in [1, 2] && method == 'GET'").tree
    assert isinstance(found, All)
    atoms = [part for part in found.parts if isinstance(part, Atom)]
    assert [(atom.names, atom.text) for atom in atoms] == [
        (("http",), "http"),
        (("dst.port",), "dst.port == 80"),
        (("src.port",), "src.port in [1, 2]"),
    ]
    assert [part for part in found.parts if isinstance(part, Known)] == [Known(None)]
    assert [atoms[1].test(port) for port in (80, 81)] == [True, False]


def test_a_condition_that_fails_is_unknown() -> None:
    atom = planned("10 / dst.port == 1").tree
    assert isinstance(atom, Atom)
    assert [atom.test(port) for port in (10, 1, 0)] == [True, False, None]
    refusal = planned("!(10 / dst.port == 1)").tree
    assert isinstance(refusal, Not)


def test_what_an_index_knows() -> None:
    assert {"src.ip", "dst.ip", "src.port", "dst.port", "protocol", "http", "grpc", "kafka"} <= indexed()
    assert not indexed() & {"status_code", "timestamp", "completed", "state", "src.name", "stream"}


# Times

T, SECOND = 1_000_000_000_000_000_000, 1_000_000_000
AT = 'timestamp("2001-09-09T01:46:40Z")'  # T


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("", None, None),
        (f"timestamp > {AT}", T + 1, None),
        (f"timestamp >= {AT}", T, None),
        (f"timestamp < {AT}", None, T - 1),
        (f"timestamp <= {AT}", None, T),
        (f"timestamp == {AT}", T, T),
        (f"timestamp != {AT}", None, None),
        (f"{AT} < timestamp", T + 1, None),
        (f"{AT} >= timestamp", None, T),
        (f"!(timestamp < {AT})", T, None),
        (f"!(timestamp != {AT})", T, T),
        (f"timestamp >= {AT} && timestamp < {AT} + duration('5s')", T, T + 5 * SECOND - 1),
        (f"timestamp < {AT} || timestamp < {AT} + duration('5s')", None, T + 5 * SECOND - 1),
        (f"timestamp == {AT} || timestamp == {AT} + duration('5s')", T, T + 5 * SECOND),
        (f"timestamp == {AT} || http", None, None),
        (f"timestamp == {AT} && http", T, T),
        (f"!(timestamp < {AT} || http)", T, None),
        (f"!(timestamp < {AT} && http)", None, None),
        (f"timestamp in [{AT}, {AT} + duration('5s')]", T, T + 5 * SECOND),
        (f"timestamp > {AT} && timestamp < {AT}", 1, 0),
        (f"timestamp > {AT} && timestamp < {AT} || timestamp == {AT}", T, T),
        (f"http ? timestamp >= {AT} : timestamp > {AT}", T, None),
        (f"timestamp >= {AT} ? timestamp <= {AT} : false", T, T),
        (f"(timestamp >= {AT}) == true", T, None),
        (f"(timestamp >= {AT}) != true", None, T - 1),
        (f"(timestamp >= {AT}) == http", None, None),
        (f"timestamp - duration('5s') >= {AT}", T + 5 * SECOND, None),
        (f"timestamp - {AT} < duration('5s')", None, T + 5 * SECOND - 1),
        ("now() - timestamp < duration('5s')", NOW - 5 * SECOND + 1, None),
        ("now() - timestamp >= duration('5s')", None, NOW - 5 * SECOND),
        (f"completed < {AT}", None, None),
        (f"timestamp < completed && timestamp > {AT}", T + 1, None),
        (f"timestamp - timestamp < {AT} - {AT}", None, None),
        ("timestamp.getHours() == 3", None, None),
        (f"[timestamp].exists(each, each < {AT})", None, None),
        ("false", 1, 0),
    ],
)
def test_times_outside_of_which_nothing_matches(text: str, start: int | None, end: int | None) -> None:
    found = planned(text)
    assert (found.start, found.end) == (start, end)


# Hostile filters


def parts(part: Part) -> Iterator[Part]:
    """It and all below, each as often as it is evaluated."""
    yield part
    for inner in (part.part,) if isinstance(part, Not) else getattr(part, "parts", ()):
        yield from parts(inner)


def test_nested_choices_do_not_explode() -> None:
    text = "http"
    for _ in range(10):
        text = f"({text} ? dst.port == 80 : src.port == 81)"
    assert isinstance(planned(f"{text} && dst.port == 5").may(WEB), bool)
    found = planned(" && ".join([text] * 20))
    assert len(list(parts(found.tree))) < 20_000
    assert found.may(WEB)
    found = planned("(" * 12 + "dst.port == 1" + ") == (method == 'a')" * 12)
    assert found.may(WEB)


def test_a_filter_of_many_conditions_is_planned() -> None:
    text = " || ".join(f"dst.port == {port}" for port in range(100, 400))
    assert not planned(text).may(WEB)
    assert planned(text).may({"dst.port": 399})


# Never a match left out


@cache
def entries() -> tuple[Entry, ...]:
    found = list(pysniff.read(SHOP))
    wire = Watched(sport=443, dport=6379, now=T).client(b"\x80\x81hello\x90" * 40).bye().close()
    return (*found, *wire.entries)


TIMES = sorted({entry.time_ns for entry in entries()})
PORTS = (53, 80, 443, 6379, 8080, 50051, 42194)
ADDRESSES = ("10.0.0.7", "10.0.0.9", "10.0.0.2", "10.0.0.11", "10.0.0.1")
FLAGS = ("http", "http1", "http2", "grpc", "ws", "dns", "redis", "tcp", "udp", "kafka", "tls")

numbers = st.one_of(
    st.sampled_from(["src.port", "dst.port", "status_code", "size(src.ip)", "size(path)", "elapsed_time"]),
    st.sampled_from(PORTS).map(str),
    st.sampled_from(["(dst.port - 80)", "(10 / (dst.port - 80))", "(http ? dst.port : src.port)", "(0 - src.port)"]),
)
texts = st.one_of(
    st.sampled_from(["src.ip", "dst.ip", "protocol", "method", "host", "(src.ip + dst.ip)", "request.headers['host']"]),
    st.sampled_from([*ADDRESSES, "http", "dns", "GET", "10."]).map(lambda text: f"'{text}'"),
)
moments = st.sampled_from(TIMES).flatmap(
    lambda at: st.sampled_from([-1, 0, 1]).map(
        lambda by: f"(timestamp('1970-01-01T00:00:00Z') + duration('{at + by}ns'))"
    )
)
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
leaves = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(["true", "false", "complete", "request.headers['x'] == 'y'", "10 / status_code == 0"]),
    st.builds("{} {} {}".format, numbers, signs, numbers),
    st.builds("{} {} {}".format, texts, signs, texts),
    st.builds("{}.{}({})".format, texts, st.sampled_from(["startsWith", "contains", "endsWith", "matches"]), texts),
    st.builds("{} in [{}, {}]".format, numbers, numbers, numbers),
    st.builds("timestamp {} {}".format, signs, moments),
    st.builds("{} {} timestamp".format, moments, signs),
    st.builds("timestamp - {} {} duration('{}ms')".format, moments, signs, st.sampled_from([0, 1, 50, -20])),
    st.builds("[{0}, {1}].exists(x, x == {2} && {3})".format, numbers, numbers, numbers, st.sampled_from(FLAGS)),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("({}) ? ({}) : ({})".format, inner, inner, inner),
        st.builds("({}) == ({})".format, inner, inner),
        st.builds("({}) != ({})".format, inner, inner),
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(filters, st.data())
def test_no_match_is_ever_left_out(text: str, data: st.DataObject) -> None:
    filter = pysniff.compile(text)
    found = plan(filter.tree)
    known = data.draw(st.sets(st.sampled_from(["src.ip", "dst.ip", "src.port", "dst.port", "protocol", *FLAGS])))
    reads = {name: variable.read for name in known if (variable := schema().get(name))}
    for entry in entries():
        if filter.matches(entry):
            assert found.may({name: read(entry) for name, read in reads.items()})
            assert found.start is None or found.start <= entry.time_ns
            assert found.end is None or entry.time_ns <= found.end


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(filters)
def test_an_explained_filter_is_the_same_filter(text: str) -> None:
    filter = pysniff.compile(text)
    again = pysniff.compile(explained(filter).text)
    for entry in entries():
        assert again.matches(entry) is filter.matches(entry)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(filters)
def test_what_an_explanation_says_of_the_index_holds_for_every_match(text: str) -> None:
    filter = pysniff.compile(text)
    index = pysniff.compile(explained(filter).index)
    assert index.variables <= indexed()
    assert all(index.matches(entry) for entry in entries() if filter.matches(entry))
