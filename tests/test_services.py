"""The service map: who calls whom, how often and how fast; of entries, and of the answers of many nodes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from random import Random
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import shown_json
from store_traffic import some
from stores import fed
from wire import MILLISECOND, Watched

from pysniff.entry import Endpoint, Entry
from pysniff.limits import SECOND
from pysniff.services import ServiceMap
from pysniff.services import columns as columns_module
from pysniff.services import merging as merging_module
from pysniff.services.columns import CALL, EDGES, FRESH, ROWS, columns
from pysniff.services.figures import percentiles
from pysniff.services.merging import BadColumns, Merger
from pysniff.services.pairing import APART, first_seen

GET = b"GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 500 Oh no\r\nContent-Length: 0\r\n\r\n"


def call(answer: bytes = OK, wait: int = 0, **wire: Any) -> list[Entry]:
    """One call, answered after `wait` ms."""
    talk = Watched(**wire).client(GET)
    talk.now += wait * MILLISECOND
    return talk.server(answer).bye().close().seen if answer else talk.bye().close().seen


def mark(entry: Entry) -> int:
    """A fingerprint that nodes agree on."""
    told = f"{entry.src} {entry.dst} {entry.protocol} {entry.state} {entry.summary} {entry.status}"
    return int.from_bytes(blake2b(told.encode(), digest_size=8).digest(), "little")


def edges(found: ServiceMap) -> dict[tuple[str, str], dict[str, Any]]:
    return {(edge["source"], edge["target"]): edge for edge in found.to_dict()["edges"]}


class Named:
    """An entry whose addresses have names."""

    def __init__(self, entry: Entry, **names: str) -> None:
        self._entry = entry
        self._names = names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._entry, name)
        return Endpoint(found.ip, found.port, self._names.get(name, "")) if name in ("src", "dst") else found


def named(entries: Iterable[Entry], **names: str) -> list[Entry]:
    return [cast("Entry", Named(entry, **names)) for entry in entries]


# Of entries


def test_a_map_says_who_called_whom_and_what_came_of_it() -> None:
    entries = [
        *call(wait=9),
        *call(BAD, wait=19, sport=51001),
        *call(b"", sport=51002),
        *call(client="10.0.0.2", server="10.0.0.3", dport=8080),
    ]
    found = ServiceMap.of(entries).to_dict()
    assert [node["id"] for node in found["nodes"]] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    first, second = found["edges"]
    assert first == {
        "source": "10.0.0.1",
        "target": "10.0.0.2",
        "port": 80,
        "protocol": "http",
        "calls": 3,
        "errors": 1,
        "unanswered": 1,
        "open": 0,
        "bytes": 3 * len(GET) + len(OK) + len(BAD),
        "elapsed_time": {"p50": 10_000, "p90": 20_000, "p99": 20_000},
    }
    assert (second["source"], second["target"], second["port"]) == ("10.0.0.2", "10.0.0.3", 8080)
    assert (found["calls"], found["truncated"], found["duplicates"]) == (4, 0, 0)
    assert found["from"] == found["to"] == "1970-01-01T00:00:01.004000000Z"


def test_nothing_at_all_is_a_map_too() -> None:
    empty = {"nodes": [], "edges": [], "calls": 0, "truncated": 0, "duplicates": 0, "from": None, "to": None}
    assert ServiceMap.of([]).to_dict() == empty
    assert Merger().result().to_dict() == empty


def test_every_entry_of_every_protocol_counts_once() -> None:
    entries = fed(some(7, 3000))
    found = ServiceMap.of(entries)
    closed = {entry.id for entry in entries}
    assert found.calls == sum(edge.figures.calls for edge in found.edges) == len(closed)
    by_protocol = {
        protocol: sum(edge.figures.calls for edge in found.edges if edge.protocol == protocol)
        for protocol in ("http", "redis", "ws", "dns", "tcp")
    }
    last = {entry.id: entry for entry in entries}.values()
    assert by_protocol == {name: sum(entry.protocol == name for entry in last) for name in by_protocol}
    sizes = sum((e.request.size if e.request else 0) + (e.response.size if e.response else 0) for e in last)
    assert sum(edge.figures.bytes for edge in found.edges) == sizes


def test_a_call_that_was_open_counts_once_when_it_ends() -> None:
    talk = Watched().client(GET).wait(11)
    still = ServiceMap.of(talk.seen)
    assert [edge.figures[:4] for edge in still.edges] == [(1, 0, 0, 1)]
    assert still.edges[0].figures.elapsed_time is None
    talk.server(BAD).bye().close()
    assert [entry.state for entry in talk.seen] == ["open", "closed"]
    assert [edge.figures[:4] for edge in ServiceMap.of(talk.seen).edges] == [(1, 1, 0, 0)]


def test_more_open_calls_than_are_remembered_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "HELD", 2)
    talks = [Watched(sport=51000 + number).client(GET).wait(11) for number in range(5)]
    found = ServiceMap.of([entry for talk in talks for entry in talk.seen])
    assert (found.calls, found.truncated) == (2, 3)


def test_names_join_addresses_into_one_service_and_go_back_to_before_they_were_known() -> None:
    entries = [
        *named(call(server="10.0.0.8"), dst="shop"),
        *named(call(server="10.0.0.9"), dst="shop"),
        *call(server="10.0.0.9", sport=51001),
        *call(server="10.0.0.7"),
    ]
    found = ServiceMap.of(entries).to_dict()
    shop = next(node for node in found["nodes"] if node["id"] == "shop")
    assert shop == {"id": "shop", "name": "shop", "ips": ["10.0.0.8", "10.0.0.9"], "ips_left_out": 0}
    assert {edge["target"]: edge["calls"] for edge in found["edges"]} == {"shop": 3, "10.0.0.7": 1}


def test_an_address_with_two_names_keeps_calls_without_one_to_itself() -> None:
    entries = [*named(call(), dst="old"), *named(call(sport=51001), dst="new"), *call(sport=51002)]
    assert {target for _, target in edges(ServiceMap.of(entries))} == {"old", "new", "10.0.0.2"}


def test_calls_beyond_the_bound_are_told() -> None:
    one = call()
    found = ServiceMap.of((one[0] for _ in range(ROWS * 2 + 5)), most=ROWS + 3)
    assert (found.calls, found.truncated) == (ROWS + 3, ROWS + 2)


def test_edges_beyond_the_bound_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "EDGES", 3)
    found = ServiceMap.of([entry for port in range(5) for entry in call(dport=8000 + port)])
    assert (len(found.edges), found.calls, found.truncated) == (3, 3, 2)


# Percentiles


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(0, math.ceil(percent * len(values) / 100) - 1)]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**9), max_size=40), min_size=1, max_size=5))
def test_percentiles_are_those_of_each_group_by_nearest_rank(groups: list[list[int]]) -> None:
    pairs = [(value, number) for number, group in enumerate(groups) for value in group]
    Random(1).shuffle(pairs)
    values = np.array([value for value, _ in pairs], np.int64)
    numbers = np.array([number for _, number in pairs], np.int64)
    found = percentiles(values, numbers, len(groups))
    assert found == [tuple(nearest_rank(group, p) for p in (50, 90, 99)) if group else None for group in groups]


def test_percentiles_agree_with_numpy_and_statistics() -> None:
    values = [Random(3).randrange(1_000_000) for _ in range(9_999)]
    found = percentiles(np.array(values), np.zeros(9_999, np.int64), 1)[0]
    assert found is not None
    assert list(found) == [int(np.percentile(values, p, method="inverted_cdf")) for p in (50, 90, 99)]
    assert found[0] == statistics.median(values)


# Of many nodes


def answered(entries: Iterable[Entry]) -> list[dict[str, object]]:
    return list(columns(entries, mark))


def merged(*nodes: Iterable[Entry]) -> Merger:
    merger = Merger()
    for number, entries in enumerate(nodes):
        for piece in answered(entries):
            merger.add(f"node-{number}", piece)
    return merger


def test_one_node_gives_the_map_that_the_library_gives() -> None:
    entries = fed(some(11, 3000))
    assert merged(entries).result() == ServiceMap.of(entries)


def test_a_call_seen_on_two_nodes_counts_once() -> None:
    entries = list({entry.id: entry for entry in fed(some(11, 3000))}.values())
    alone = ServiceMap.of(entries)
    for second in (entries, entries[::-1], entries[40:300], entries[1::2]):
        found = merged(entries, second).result()
        assert found._replace(duplicates=0) == alone
        assert found.duplicates == len(second)


def test_calls_alike_on_one_connection_are_as_many_as_there_were() -> None:
    talk = Watched()
    for _ in range(20):
        talk.client(GET).server(OK).wait(5)
    entries = talk.bye().close().seen
    # The second node lacks some; the third has nothing that the others do not have.
    found = merged(entries, entries[3:11] + entries[12:], entries[5:6]).result()
    assert (found.calls, found.duplicates) == (20, 16 + 1)


def test_calls_alike_that_are_far_apart_are_two() -> None:
    assert merged(call(now=SECOND), call(now=4 * SECOND)).result().calls == 2
    assert merged(call(now=SECOND), call(now=2 * SECOND)).result().calls == 1


Sighting = tuple[int, int, int]  # fingerprint, node, time


def by_hand(sightings: list[Sighting]) -> int:
    """How many calls there are: each sighting joins the earliest call of its kind that is near and not on its node."""
    known: list[tuple[int, int, set[int]]] = []
    for fingerprint, node, time in sorted(sightings, key=lambda one: one[2]):
        for kind, since, nodes in known:
            if kind == fingerprint and time - since <= APART and node not in nodes:
                nodes.add(node)
                break
        else:
            known.append((fingerprint, time, {node}))
    return len(known)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 12)), max_size=40, unique=True))
def test_pairing_is_that_by_hand(sightings: list[Sighting]) -> None:
    sightings = [(kind, node, time * SECOND // 2) for kind, node, time in sightings]
    fingerprint, node, time = (np.array([one[place] for one in sightings], np.int64) for place in range(3))
    keep = first_seen(fingerprint.astype(np.uint64), node, time)
    assert int(keep.sum()) == by_hand(sightings)


def test_a_node_that_is_asked_anew_counts_once() -> None:
    entries = fed(some(11, 3000))
    pieces = answered(entries)
    merger = Merger()
    for piece in pieces[:1]:
        merger.add("a", piece)
    merger.forget("a")
    for piece in pieces:
        merger.add("a", piece)
    assert merger.result() == ServiceMap.of(entries)


def test_pieces_are_bounded_and_told_as_they_come() -> None:
    entries = [entry for port in range(600) for entry in call(dport=8000 + port)]
    pieces = answered(entries)
    assert len(pieces) == 3
    assert all(len(cast("list[object]", piece["edges"])) <= FRESH for piece in pieces)
    many = answered(iter([entries[0]] * (ROWS * 2 + 1)))
    assert [len(cast("bytes", piece["calls"])) // CALL.itemsize for piece in many] == [ROWS, ROWS, 1]
    assert [piece.get("end", False) for piece in many] == [False, False, True]


def test_the_first_piece_is_there_before_the_last_entry() -> None:
    one = call()[0]
    given_out = 0

    def entries() -> Iterator[Entry]:
        nonlocal given_out
        while True:
            given_out += 1
            yield one

    next(columns(entries(), mark))
    assert given_out == ROWS


def test_what_nodes_leave_out_and_what_is_too_much_here_is_told() -> None:
    merger = Merger(most=3)
    for node in "ab":
        merger.add(node, {"edges": [list(EDGE)], "calls": rows(*[(number, 0) for number in range(2)])})
    assert (merger.truncated, merger.result().calls) == (1, 2)
    merger.add("a", {"edges": [], "calls": b"", "end": True, "truncated": 40})
    assert merger.result().truncated == merger.truncated == 41


def test_edges_of_all_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "ALL_EDGES", 3)
    found = merged(*[call(dport=8000 + port) for port in range(5)]).result()
    assert (found.calls, found.truncated) == (3, 2)


# What a node may send

EDGE = ("10.0.0.1", "", "10.0.0.2", 80, "shop", "http")


def rows(*calls: tuple[int, int]) -> bytes:
    """(fingerprint, edge)"""
    return np.array([(mark, SECOND, 5, 10, edge, 0) for mark, edge in calls], CALL).tobytes()


GOOD: dict[str, object] = {"edges": [list(EDGE)], "calls": rows((1, 0))}
BAD_KIND = np.array([(1, 2, 3, 4, 0, 9)], CALL).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"edges": None},
        {"edges": [list(EDGE)] * (FRESH + 1)},
        {"edges": [list(EDGE[:5])]},
        {"edges": ["abcdef"]},
        {"edges": [[*EDGE[:3], 70_000, *EDGE[4:]]]},
        {"edges": [[*EDGE[:3], True, *EDGE[4:]]]},
        {"edges": [["", *EDGE[1:]]]},
        {"edges": [[EDGE[0], "x" * 256, *EDGE[2:]]]},
        {"edges": [[b"10.0.0.1", *EDGE[1:]]]},
        {"edges": [[[[]]] * 6]},
        {"calls": None},
        {"calls": rows((1, 0))[:-1]},
        {"calls": rows(*[(1, 0)] * (ROWS + 1))},
        {"calls": rows((1, 1))},
        {"calls": BAD_KIND},
        {"truncated": -1},
        {"truncated": 1 << 60},
        {"truncated": True},
        {"truncated": "5"},
    ],
    ids=[
        "no edges",
        "too many edges",
        "an edge too short",
        "an edge of letters",
        "no port",
        "a port that is true",
        "no address",
        "a long name",
        "an address in bytes",
        "lists in lists",
        "no calls",
        "part of a row",
        "too many rows",
        "an edge not told",
        "no kind",
        "minus one",
        "more than there are",
        "true",
        "words",
    ],
)
def test_what_is_no_piece_is_refused_and_counts_for_nothing(change: dict[str, object]) -> None:
    merger = Merger()
    with pytest.raises(BadColumns):
        merger.add("a", {**GOOD, **change})
    assert merger.result().calls == merger.truncated == 0
    merger.add("a", GOOD)
    assert merger.result().calls == 1


def test_no_node_goes_on_behind_its_end_or_tells_of_edges_for_ever() -> None:
    merger = Merger()
    merger.add("a", {**GOOD, "end": True})
    with pytest.raises(BadColumns):
        merger.add("a", GOOD)
    with pytest.raises(BadColumns, match="edges"):
        for _ in range(EDGES // FRESH + 1):
            merger.add("b", {"edges": [list(EDGE)] * FRESH, "calls": b""})


@settings(deadline=None)
@given(st.binary(max_size=CALL.itemsize * 6))
def test_any_rows_at_all_make_a_map_or_are_refused(data: bytes) -> None:
    merger = Merger()
    for node in "ab":
        try:
            merger.add(node, {"edges": [list(EDGE)] * 2, "calls": data})
        except BadColumns:
            continue
    found = merger.result()
    assert found.calls + found.duplicates <= 12
    found.to_dict()


def test_numbers_at_their_ends_make_a_map() -> None:
    extremes = (-(2**63), 2**63 - 1, 0)
    calls = [(2**64 - 1, a, b, c, 0, 0) for a in extremes for b in extremes for c in extremes]
    merger = Merger()
    for node in "ab":
        merger.add(node, {"edges": [list(EDGE)], "calls": np.array(calls, CALL).tobytes()})
    assert merger.result().to_dict()["edges"][0]["bytes"] >= 0


def test_the_page_shows_what_a_map_has() -> None:
    shown = shown_json("services.md")
    found = ServiceMap.of(call()).to_dict()
    assert list(shown) == [*found, "nodes_failed"]
    assert [list(one) for one in shown["nodes"]] == [list(one) for one in found["nodes"]]
    assert list(shown["edges"][0]) == list(found["edges"][0])
