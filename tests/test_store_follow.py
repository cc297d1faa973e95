"""A query that follows: history, then what is recorded from then on, without a hole and without a duplicate."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import Queue
from random import Random
from threading import Event, Thread
from typing import Any

import pytest
from packets import ethernet_tcp
from store_traffic import LONG, UPGRADE, http, said, some, traffic
from stores import KIB, asked, dicts, different, fed, question, recorded, stored
from test_store_eviction import blocks
from transcripts import ws
from wire import Wire

from pysniff.capture.clock import PacketClock
from pysniff.entry import Entry
from pysniff.kfl.variables import compile
from pysniff.limits import SECOND
from pysniff.message import CLIENT
from pysniff.packet import Block, Packet
from pysniff.store import Store
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.query import Query
from pysniff.store.recording import Recording

TESTS = Path(__file__).parent
Action = Callable[[], None]


class Acting(Event):
    """What a follower waits with: each time it waits, something happens; in the end it shall finish."""

    def __init__(self, query: Query, actions: Iterator[Action]) -> None:
        super().__init__()
        self._query = query
        self._actions = actions

    def wait(self, timeout: float | None = None) -> bool:
        action = next(self._actions, None)
        if action is None:
            self._query.finish()
        else:
            action()
        return self.is_set()


class Writer:
    """Writes packets in portions; now and then another writer takes over."""

    def __init__(self, directory: Path, packets: list[Packet], random: Random) -> None:
        self.directory = directory
        self.random = random
        self.packets = packets
        self.at = 0
        self.recording = self._open()

    def _open(self) -> Recording:
        return Recording(self.directory, 100_000_000, segment_size=32 * KIB, keep_all=True)

    def write(self) -> None:
        size = self.random.choice((1, 3, 20, 150))
        for block in blocks(self.packets[self.at : self.at + size], 30):
            self.recording.add(block)
        self.at += size
        self.recording.flush()
        if self.random.random() < 0.1:
            self.recording.close()
            self.recording = self._open()

    def steps(self) -> Iterator[Action]:
        while self.at < len(self.packets):
            yield self.write
        self.recording.close()


def following(query: Query, writer: Writer) -> list[Entry]:
    query._stopped = Acting(query, writer.steps())
    return list(query)


def key(entry: dict[str, object]) -> tuple[str, str, str]:
    return str(entry["id"]), str(entry["state"]), str(entry)


FILTERS = (
    "",
    "http",
    "dst.port == 6379",
    "redis || ws",
    "ws",
    "dns && src.port > 2000",
    "!http",
    "tcp",
    "status_code == 404",
)


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("seed", range(3))
def test_history_and_what_follows_join_without_a_seam(seed: int, text: str, tmp_path: Path) -> None:
    random = Random(f"{seed} {text}")
    packets = some(seed, 900)
    writer = Writer(tmp_path / "store", packets, random)
    for _ in range(random.randrange(12)):
        writer.write()
    found = dicts(following(Query(tmp_path / "store", question(text, follow=True)), writer))
    want = dicts(entry for entry in fed(packets) if compile(text).matches(entry))
    assert want
    assert different(sorted(want, key=key), sorted(found, key=key)) == ""
    if not text:
        assert different(want, found) == ""


@pytest.mark.parametrize("seed", range(6))
def test_a_time_window_that_is_followed_ends_by_itself(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    packets = some(seed, 900, kinds=LONG)
    every = fed(packets)
    start, end = sorted(random.sample([entry.time_ns for entry in every], 2))
    writer = Writer(tmp_path / "store", packets, random)
    writer.write()
    found = dicts(following(Query(tmp_path / "store", question(start=start, end=end, follow=True)), writer))
    want = dicts(entry for entry in every if start <= entry.time_ns <= end)
    assert different(sorted(want, key=key), sorted(found, key=key)) == ""


def test_a_limit_ends_a_query_that_follows(tmp_path: Path) -> None:
    packets = some(1, 900)
    writer = Writer(tmp_path / "store", packets, Random(1))
    writer.write()
    found = following(Query(tmp_path / "store", question("http", follow=True, limit=5)), writer)
    assert dicts(found) == dicts([entry for entry in fed(packets) if entry.protocol == "http"][:5])


def call(wire: Wire, path: bytes) -> list[Packet]:
    ask = b"GET " + path + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
    return said(wire, (True, ask), (False, b"HTTP/1.1 204 No Content\r\n\r\n"))


class Background:
    """A query that another thread iterates."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.found: Queue[Entry | None] = Queue()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for entry in self.query:
            self.found.put(entry)
        self.found.put(None)

    def next(self) -> Entry | None:
        return self.found.get(timeout=60)


def test_later_calls_of_a_kept_alive_connection_reach_an_open_query(tmp_path: Path) -> None:
    wire = Wire()
    with Store(tmp_path / "store").record() as recorder:

        def write(packets: list[Packet]) -> None:
            for packet in packets:
                recorder.write(Block.of(packet))

        write([*wire.handshake(), *call(wire, b"/0")])
        while not asked(tmp_path / "store", "http"):
            pass
        reader = Background(Store(tmp_path / "store").query('path == "/0" || dst.port == 80', follow=True))
        for number in range(4):
            entry = reader.next()
            assert entry is not None and entry.summary == f"GET /{number}"
            write(call(wire, b"/%d" % (number + 1)))
    reader.query.finish()  # the last call is in the store by now
    assert reader.next() is not None
    assert reader.next() is None


def test_what_is_stored_while_a_query_is_held_up_is_not_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looked = 1 << 61, list[int]()
    look = Catalogue.news

    def held_up(self: Catalogue, *arguments: Any) -> Iterator[Chapter]:
        nonlocal now
        looked.append(now)
        yield from look(self, *arguments)
        now += 100 * SECOND

    monkeypatch.setattr(Catalogue, "news", held_up)
    monkeypatch.setattr(PacketClock, "now", lambda self: now)
    recorded(tmp_path / "store", blocks(some(1, 100)))
    with Store(tmp_path / "store").query(follow=True) as query:
        for step in query.steps():
            if looked:
                assert step.until <= looked[-1]
            if len(looked) == 3:
                break


@pytest.mark.parametrize("end", ["stop", "finish"])
def test_another_thread_ends_a_query(end: str, tmp_path: Path) -> None:
    with Store(tmp_path / "store").record() as recorder:
        wire = Wire()
        for packet in [*wire.handshake(), *call(wire, b"/0")]:
            recorder.write(Block.of(packet))
        while not asked(tmp_path / "store", "http"):
            pass
        reader = Background(Store(tmp_path / "store").query(follow=True))
        assert reader.next() is not None
        getattr(reader.query, end)()
        assert reader.next() is None


def test_a_query_that_is_closed_gives_no_more(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "store", some(2, 900), Random(2))
    writer.write()
    writer.write()
    with Store(tmp_path / "store").query(follow=True) as query:
        next(query)
    assert list(query) == []
    query.close()
    writer.recording.close()


@pytest.mark.parametrize("text", ["", "ws", "http", "redis", "tcp"])
def test_a_conversation_that_turns_is_wanted_from_its_beginning(text: str, tmp_path: Path) -> None:
    """Upgrade and CONNECT come when the query has long read, and left out, what was before them."""
    upgraded, tunnel, other = Wire(sport=40_001), Wire(sport=40_002), Wire(sport=40_003)
    packets = [*upgraded.handshake(), *tunnel.handshake(), *other.handshake()]

    def now(wire: Wire, *turns: tuple[bool, bytes]) -> None:
        wire.now = packets[-1].time_ns
        packets.extend(said(wire, *turns))

    for number in range(40):  # several segments of plain calls before they turn
        for wire in (upgraded, tunnel, other):
            now(wire, (True, b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number))
            now(wire, (False, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000))
    now(upgraded, (True, UPGRADE[0]), (False, UPGRADE[1]))
    now(tunnel, (True, b"CONNECT db:6379 HTTP/1.1\r\nHost: db\r\n\r\n"), (False, b"HTTP/1.1 200 OK\r\n\r\n"))
    for number in range(30):
        now(upgraded, (True, ws(0x81, b"hello %d" % number, b"mask")), (False, ws(0x82, b"x" * 900)))
        now(tunnel, (True, b"*2\r\n$3\r\nGET\r\n$4\r\nk%03d\r\n" % number), (False, b"$900\r\n" + b"y" * 900 + b"\r\n"))
        now(
            other, (True, b"GET /a%d HTTP/1.1\r\nHost: a\r\n\r\n" % number), (False, b"HTTP/1.1 204 No Content\r\n\r\n")
        )
    writer = Writer(tmp_path / "store", packets, Random(3))
    writer.write()
    found = dicts(following(Query(tmp_path / "store", question(text, follow=True)), writer))
    want = dicts(entry for entry in fed(packets) if compile(text).matches(entry))
    assert different(sorted(want, key=key), sorted(found, key=key)) == ""
    assert different(want, dicts(asked(tmp_path / "store", text))) == ""


def test_readers_in_other_processes_see_a_store_grow(tmp_path: Path) -> None:
    """The follower here, the writer there, until it is killed."""
    command = [sys.executable, TESTS / "store_writer.py", tmp_path / "store", "12", "100000000", "0"]
    writer = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    reader = Background(Store(tmp_path / "store").query("redis || dns", follow=True))
    found = [reader.next() for _ in range(100)]
    for _ in range(10):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.stdout.close()
    writer.wait()
    reader.query.finish()
    while found[-1] is not None:
        found.append(reader.next())
    packets = [packet for block in stored(tmp_path / "store") for packet in block.packets()]
    want = dicts(entry for entry in fed(packets) if entry.protocol in ("redis", "dns"))
    got = dicts(entry for entry in found if entry is not None)
    assert different(sorted(want, key=key), sorted(got, key=key)) == ""
    assert not reader.query.ledger.imbalances() and not reader.query.notices


def test_queries_never_fail_while_segments_come_and_go(tmp_path: Path) -> None:
    """Nor does an id that one of them gave change."""
    source, known = traffic(13), dict[str, str]()
    recording = Recording(tmp_path / "store", 300_000, segment_size=32 * KIB)
    followed: list[Packet] = []

    def write() -> None:
        for _, packet in zip(range(40), source, strict=False):
            followed.append(packet)
            recording.add(Block.of(packet))
        recording.flush()

    for _ in range(10):
        write()
    for turn in range(25):
        with Query(tmp_path / "store", question(("", "http", "redis", "dst.port == 80")[turn % 4])) as query:
            for number, entry in enumerate(query):
                known.setdefault(entry.id, entry.summary)
                if number % 7 == 0:
                    write()
                if number > 60:
                    break
            assert not query.ledger.imbalances()
    recording.close()
    every = {entry.id: entry.summary for entry in fed(followed)}
    assert recording.counts.evicted_segments > 20
    calls = {id: text for id, text in known.items() if id in every and "bytes in" not in text}
    assert len(calls) > 200
    assert calls == {id: every[id] for id in calls}


def test_a_follower_reads_nothing_twice(tmp_path: Path) -> None:
    packets = some(5, 900)
    writer = Writer(tmp_path / "store", packets, Random(5))
    writer.write()
    query = Query(tmp_path / "store", question("http", follow=True))
    following(query, writer)
    assert query.packets_read + query.packets_pruned == len(packets)
    assert query.packets_read < len(packets)


def test_a_query_of_an_empty_store_follows_from_its_first_packet(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "store", some(6, 300, kinds=((http, 80),)), Random(6))
    found = following(Query(tmp_path / "store", question(follow=True)), writer)
    assert dicts(found) == dicts(fed(writer.packets))


def test_packets_that_are_no_conversation_wake_nobody(tmp_path: Path) -> None:
    lone = ethernet_tcp(payload=b"", flags=16)
    packets = [Packet(lone, number + 1, len(lone)) for number in range(50)]
    writer = Writer(tmp_path / "store", packets, Random(7))
    assert following(Query(tmp_path / "store", question("http", follow=True)), writer) == []
    assert CLIENT is not None


def test_a_follower_forgets_what_was_left_out_of_conversations_that_are_over(tmp_path: Path) -> None:
    """Also where the segment that told of them goes on."""
    packets = []
    for number in range(3):
        wire = Wire(sport=40_000 + number, now=(number + 1) * SECOND)
        turns = [(False, b"\xfe\xff" * 700)] * 100
        packets += [*wire.handshake(), *said(wire, (True, b"\xfd\xfc"), *turns), *wire.farewell()]
    recording = Recording(tmp_path / "store", 100_000_000)

    def write(at: int) -> None:
        for one in packets[at : at + 20]:
            recording.add(Block.of(one))
        recording.flush()

    def steps() -> Iterator[Action]:
        for at in range(0, len(packets), 20):
            yield partial(write, at)
        recording.close()

    query = Query(tmp_path / "store", question(follow=True))
    query._stopped = Acting(query, steps())
    found = [entry for entry in query if entry.state == "closed"]
    assert recording.counts.cut > 100
    assert dicts(found) == [entry for entry in dicts(fed(packets)) if entry["state"] == "closed"]
    assert query._passages[0]._sniffer._core.left_out == {}
