"""Joined in the middle: 50 whole connections without their beginning.

Calls that begin after the cut are as they are in the whole. The exception: where the cut falls among pipelined
requests, nobody can know how many answers are still due, so calls may have a wrong answer until all is quiet; those
are marked, and the requests themselves are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from recorded.connections import Connection, record, swapped

import pysniff
from pysniff.packet import Packet

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs("tcpdump", "nginx", "curl", "wrk", "redis-server", "redis-cli", "redis-benchmark"),
]

CUTS = (1, 10, 50)  # percent of the packets


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> list[Connection]:
    return record(tmp_path_factory.mktemp("connections"))


def entries(packets: Iterable[Packet]) -> list[Any]:
    """What is in them, the last revision of each."""
    sniffer = pysniff.Sniffer()
    every = sniffer.feed(packets) + sniffer.close()
    return list({entry.id: entry for entry in every}.values())


def call(entry: Any) -> str:
    """All that an entry says of its exchange, but the names and marks that follow from the cut."""
    record = entry.to_dict()
    kept = (
        "protocol",
        "version",
        "timestamp",
        "completed",
        "elapsed_time",
        "src",
        "dst",
        "status",
        "request",
        "response",
    )
    return repr({key: record[key] for key in kept})


JOINED = "joined while several requests waited: the answer may belong to another one"


def question(entry: Any) -> str:
    return repr((entry.time_ns, entry.to_dict()["request"]))


def marked(entry: Any) -> bool:
    return bool(entry.faults) or entry.completeness != "complete"


def wrongs(packets: list[Packet], percent: int) -> list[str]:
    cut = max(1, len(packets) * percent // 100)
    whole, joined = entries(packets), entries(packets[cut:])
    begins = packets[cut].time_ns
    later = Counter(call(entry) for entry in whole if entry.time_ns >= begins)
    found = Counter(map(call, joined))
    everything = Counter(map(call, whole))
    unmarked = Counter(call(entry) for entry in joined if not marked(entry))
    guessed = {question(entry) for entry in joined if JOINED in {fault.message for fault in entry.faults}}
    missing = [entry for entry in whole if call(entry) in later - found and question(entry) not in guessed]
    return [f"missing: {entry!r}" for entry in missing] + [f"wrong, unmarked: {text}" for text in unmarked - everything]


def test_there_are_50_whole_connections_of_many_calls(connections: list[Connection]) -> None:
    assert len(connections) == 50
    for name, packets in connections:
        whole = entries(packets)
        assert len(whole) >= 12, name
        assert {entry.protocol for entry in whole} <= {"http", "redis"}, name
        assert all(entry.completeness == "complete" for entry in whole), name


@pytest.mark.parametrize("ports", ["as they are", "exchanged"])
@pytest.mark.parametrize("percent", CUTS)
def test_joined_in_the_middle(percent: int, ports: str, connections: list[Connection]) -> None:
    for name, packets in connections:
        assert wrongs(swapped(packets) if ports == "exchanged" else packets, percent) == [], name


def test_a_call_that_differs_is_seen(connections: list[Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    packets = connections[0].packets
    real = entries

    def without_one(some: Iterable[Packet]) -> list[Any]:
        found = real(some)
        return found if some is packets else found[:-1]

    monkeypatch.setitem(globals(), "entries", without_one)
    assert [text[:8] for text in wrongs(packets, 10)] == ["missing:"]
