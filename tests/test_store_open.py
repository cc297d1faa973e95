"""What is open while a store is recorded: history tells it as that, with the id under which its end comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from time import time_ns

import pytest
from packets import ethernet_udp
from store_traffic import NOON, http, said, some
from stores import KIB, asked, dicts, different, fed, question
from test_store_follow import Acting, Action, call
from transcripts import dns
from wire import Wire, kinds

from pysniff.entry import Entry
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Block, Packet
from pysniff.sniffer import Sniffer
from pysniff.store import Store
from pysniff.store.query import Query
from pysniff.store.recording import Recording

ASK = b"GET /held HTTP/1.1\r\nHost: shop\r\n\r\n"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nso far, "
REST = b"so gut"
ROOM = 100_000_000


class Recorded:
    """A store that is being recorded: `with Recorded(directory) as store: store.add(packets)`."""

    def __init__(self, directory: Path, *, source: str = "file", keep_all: bool = True) -> None:
        self.directory = directory
        self.recording = Recording(directory, ROOM, segment_size=32 * KIB, keep_all=keep_all, capture_source=source)

    def add(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.recording.add(Block.of(packet))
        self.recording.flush()

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_: object) -> None:
        self.recording.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Recorded]:
    with Recorded(tmp_path / "store") as store:
        yield store


def held(wire: Wire) -> list[Packet]:
    """A call whose answer has begun."""
    return [*wire.handshake(), *said(wire, (True, ASK), (False, BEGUN))]


def so_far(packets: list[Packet]) -> list[Entry]:
    """What one Sniffer makes of packets behind which more will come."""
    sniffer = Sniffer()
    return sniffer.feed(packets) + sniffer.ongoing()


def test_a_call_that_goes_on_is_open_and_claims_no_end(store: Recorded) -> None:
    wire = Wire(now=NOON)
    store.add(held(wire))
    (entry,) = asked(store.directory)
    record = entry.to_dict()
    assert (record["state"], record["completed"], record["status"]) == ("open", None, "200")
    assert (record["completeness"], record["faults"]) == ("complete", [])
    assert record["response"]["body"]["text"] == "so far, "
    store.add(said(wire, (False, REST)))
    (after,) = asked(store.directory)
    assert (after.id, after.state, after.response.body.text) == (entry.id, "closed", "so far, so gut")
    assert after.faults == ()


def test_where_nobody_records_the_capture_ended_before_the_call(tmp_path: Path) -> None:
    packets = held(Wire(now=NOON))
    with Recorded(tmp_path / "store") as store:
        store.add(packets)
    (entry,) = asked(store.directory)
    assert (entry.state, entry.completeness) == ("closed", "truncated")
    assert different(dicts(fed(packets)), dicts([entry])) == ""


def test_what_was_read_while_it_was_recorded_is_not_cut_by_the_end_of_the_recording(tmp_path: Path) -> None:
    """Nobody read what was recorded between the last look and that end."""
    wire, other = Wire(sport=1, now=NOON), Wire(sport=2, now=NOON)
    with Recorded(tmp_path / "store") as store:
        store.add([*call(other, b"/first"), *held(wire)])
        query = Query(store.directory, question())
        assert next(query).summary == "GET /first"
        store.add(said(wire, (False, REST)))
    states = {entry.summary: (entry.state, entry.completeness) for entry in query}
    assert states == {"GET /held": ("open", "complete")}
    assert {entry.state for entry in asked(store.directory)} == {"closed"}


@pytest.mark.parametrize("seed", range(4))
def test_history_is_what_has_ended_and_what_is_open_for_any_moment(seed: int, store: Recorded) -> None:
    packets = some(seed, 900)
    every = {entry.id: entry for entry in fed(packets)}
    moments = [0, 60 + 7 * seed, 300, 301, 600 + seed, 899]
    for begin, end in pairwise(moments):
        store.add(packets[begin:end])
        want = so_far(packets[:end])
        assert {entry.state for entry in want} == {"open", "closed"}
        assert different(dicts(want), dicts(asked(store.directory))) == ""
        # What is told as open has an end under the same id.
        assert {entry.id for entry in want} <= every.keys()


@pytest.mark.parametrize("text", ["http", "redis || ws", "dst.port == 80", "tcp"])
def test_a_filter_lets_through_what_is_open_as_what_is_not(text: str, store: Recorded) -> None:
    packets = some(7, 700)
    now = packets[-1].time_ns
    redis = Wire(sport=2, dport=6379, now=now)
    packets += [*held(Wire(sport=1, now=now)), *redis.handshake(), *said(redis, (True, b"*1\r\n$4\r\nPING\r\n"))]
    store.add(packets)
    matches = question(text).filter.matches
    want = [entry for entry in so_far(packets) if matches(entry)]
    found = asked(store.directory, text)
    assert "open" in {entry.state for entry in found}
    assert Counter(map(str, dicts(found))) == Counter(map(str, dicts(want)))


def test_from_the_newest_back_what_is_open_is_told_once(store: Recorded) -> None:
    wires = [Wire(sport=port, now=NOON + port * SECOND) for port in range(1, 6)]
    for wire in wires:
        store.add(held(wire))
        busy = Wire(sport=100 + wire.ends[0][1], now=wire.now)
        store.add([packet for turn in http(busy, Random(1), 30) for packet in turn])
    assert len(list(store.directory.glob("*.pcapng"))) > 2
    found = asked(store.directory, 'path == "/held"', newest_first=True)
    assert [(entry.src.port, entry.state) for entry in found] == [(port, "open") for port in (5, 4, 3, 2, 1)]


def test_an_open_call_is_found_by_its_id_with_its_packets(store: Recorded) -> None:
    wire = Wire(now=NOON)
    packets = held(wire)
    store.add([*packets, *call(Wire(sport=2, now=NOON), b"/other")])
    (entry,) = asked(store.directory, 'path == "/held"')
    reader = Store(store.directory)
    assert reader.entry(entry.id).to_dict() == entry.to_dict()
    assert [packet.data for packet in reader.packets(entry.id)] == [packet.data for packet in packets[3:]]
    assert [packet.data for packet in reader.stream(entry.id)] == [packet.data for packet in packets]


def test_a_follower_that_is_ended_leaves_open_what_goes_on(store: Recorded) -> None:
    wire, quiet = Wire(sport=1, now=NOON), Wire(sport=2, now=NOON)
    store.add([*held(wire), *held(quiet)])

    def actions() -> Iterator[Action]:
        yield lambda: store.add(said(wire, (False, REST)))

    query = Query(store.directory, question(follow=True))
    query._stopped = Acting(query, actions())
    assert [(entry.src.port, entry.state) for entry in query] == [(1, "closed"), (2, "open")]


def test_a_question_that_waits_for_its_answer_is_open_until_it_has_waited_too_long(tmp_path: Path) -> None:
    """Where nothing is captured time passes all the same: what live gives up, history does."""
    now = time_ns()
    with Recorded(tmp_path / "store", source="libpcap") as store:
        for age, port in ((400, 1002), (5, 1001)):
            frame = ethernet_udp("10.0.0.1", "10.0.0.2", port, 53, dns(port, b"\x04host\x04test\0"))
            store.add([Packet(frame, now - age * SECOND, len(frame))])
        found = asked(store.directory)
    last = {one.src.port: (one.state, kinds(one)) for one in found}
    assert last == {1001: ("open", []), 1002: ("closed", ["unanswered"])}


def test_what_nobody_recognises_is_open_with_all_its_bytes(tmp_path: Path) -> None:
    wire = Wire(now=NOON)
    noise = bytes(range(128, 250)) * 10
    with Recorded(tmp_path / "store", keep_all=False) as store:
        store.add([*wire.handshake(), *(wire.send(SERVER if n % 2 else CLIENT, noise) for n in range(400))])
        (entry,) = asked(store.directory)
        assert (entry.protocol, entry.state) == ("tcp", "open")
        assert (entry.request.bytes, entry.response.bytes) == (200 * len(noise), 200 * len(noise))
        assert entry.request.packets + entry.response.packets == 400
        store.add(wire.farewell())
        (after,) = asked(store.directory)
        assert (after.id, after.state) == (entry.id, "closed")
