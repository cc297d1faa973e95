"""A store within a limit: never larger, the oldest goes first, and what remains keeps its ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from store_traffic import LONG, NOON, Kind, names, some, traffic
from stores import KIB, Record, asked, different, disk_use, fed, question, recorded, segment_files, stored
from wire import MILLISECOND

from pysniff.entry import Entry
from pysniff.limits import SECOND
from pysniff.packet import Block, Packet
from pysniff.store import Store, recording
from pysniff.store.query import Query
from pysniff.store.recording import Recording

LIMIT = 512 * KIB


def blocks(packets: Iterable[Packet], size: int = 50) -> Iterator[Block]:
    """As an interface delivers them: some in each buffer."""
    source = iter(packets)
    while together := list(islice(source, size)):
        data, records = bytearray(), []
        for one in together:
            records.append((one.time_ns, len(data), len(data) + len(one.data), one.wire_length))
            data += one.data
        yield Block(bytes(data) + bytes(Block.PADDING), records, together[0].linktype, together[0].interface)


class Sampler:
    """Looks at the directory before and after every write."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.largest = [0, 0]
        write, rename = recording._write_all, Path.rename

        def sampled(fd: int, text: bytes, at: int) -> None:
            self.look()
            write(fd, text, at)
            self.look()

        def renamed(path: Path, target: Path) -> Path:
            self.look()
            return rename(path, target)

        monkeypatch.setattr(recording, "_write_all", sampled)
        monkeypatch.setattr(Path, "rename", renamed)

    def look(self) -> None:
        if self.directory.exists():
            self.largest = [max(pair) for pair in zip(self.largest, disk_use(self.directory), strict=True)]


@pytest.mark.parametrize(
    ("limit", "segment_size", "flush_every"),
    [(256 * KIB, None, 1), (LIMIT, 64 * KIB, 7), (1_000_003, 1 << 30, 0), (300_000, 1 << 30, 1), (LIMIT, None, 0)],
)
def test_the_directory_never_exceeds_the_limit(
    limit: int, segment_size: int | None, flush_every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(tmp_path / "store", monkeypatch)
    for seed in range(3):  # each takes over from the one before
        packets = some(seed, 1500, start=NOON + seed * 3600 * SECOND)
        done = recorded(
            tmp_path / "store", blocks(packets), limit=limit, segment_size=segment_size, flush_every=flush_every
        )
        sampler.look()
    assert done.counts.evicted_segments > 2
    size, pages = sampler.largest
    assert limit // 3 < size <= limit
    assert pages <= limit


def test_many_small_packets_keep_the_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their index is large beside them."""
    sampler = Sampler(tmp_path / "store", monkeypatch)
    packets = some(1, 12_000, kinds=((names, 53),))
    recorded(tmp_path / "store", blocks(packets), limit=256 * KIB, flush_every=2)
    assert 80 * KIB < sampler.largest[0] <= 256 * KIB and sampler.largest[1] <= 256 * KIB


def test_many_conversations_keep_the_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a row of the index, and rows are written again when they change."""
    sampler = Sampler(tmp_path / "store", monkeypatch)
    kinds = tuple((kind, port) for kind, port in LONG for _ in range(100))
    recorded(tmp_path / "store", blocks(some(2, 8000, kinds=kinds)), limit=256 * KIB, flush_every=1)
    assert 80 * KIB < sampler.largest[0] <= 256 * KIB and sampler.largest[1] <= 256 * KIB


def test_a_smaller_limit_holds_from_the_start(tmp_path: Path) -> None:
    recorded(tmp_path / "store", blocks(some(3, 3000)), limit=2_000_000)
    before = segment_files(tmp_path / "store")
    Recording(tmp_path / "store", 300_000).close()
    after = segment_files(tmp_path / "store")
    assert max(disk_use(tmp_path / "store")) <= 300_000
    assert after == before[-len(after) :] and after


def sure(entry: Entry) -> Record:
    """An entry but for doubts that come from not having seen what came before it."""
    record = entry.to_dict()
    doubts = {("midstream", 0), ("inferred", 0), ("gap", 0)}  # the last: bytes before it were lost, none of its own
    record["faults"] = [fault for fault in record["faults"] if (fault["kind"], fault["bytes"]) not in doubts]
    if not record["faults"]:
        record["completeness"] = "complete"
    return record


def whole(entries: Iterable[Entry], since: int) -> list[Entry]:
    """Entries that began at that time or later."""
    return [entry for entry in entries if entry.time_ns >= since]


@pytest.mark.parametrize("keep_all", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_what_remains_keeps_its_ids(seed: int, keep_all: bool, tmp_path: Path) -> None:
    """Calls on HTTP/1 and Redis connections, WebSockets and DNS sockets whose beginning is long gone."""
    packets = some(seed, 4000)
    done = recorded(tmp_path / "store", blocks(packets), limit=LIMIT, keep_all=keep_all)
    assert done.counts.evicted > 1000
    first = next(one for block in stored(tmp_path / "store") for one, *_ in block.records)
    every = fed(packets)
    want = {entry.id: entry for entry in whole(every, first)}
    found = {entry.id: entry for entry in whole(asked(tmp_path / "store"), first)}
    assert len(want) > 60
    assert not want.keys() - found.keys()
    assert different([sure(one) for one in want.values()], [sure(found[id]) for id in want]) == ""
    assert all(found[id].faults or found[id].protocol == "tcp" for id in found.keys() - want.keys())
    assert {entry.protocol for entry in want.values()} >= {"http", "redis", "ws", "dns"}


@pytest.mark.parametrize("kind", LONG, ids=["http", "redis", "websocket", "names"])
def test_one_long_conversation_keeps_its_ids(kind: tuple[Kind, int], tmp_path: Path) -> None:
    packets = some(5, 4000, kinds=(kind,))
    recorded(tmp_path / "store", blocks(packets), limit=256 * KIB)
    first = next(one for block in stored(tmp_path / "store") for one, *_ in block.records)
    want, got = whole(fed(packets), first), whole(asked(tmp_path / "store"), first)
    missing = {entry.id for entry in want} - {entry.id for entry in got}
    assert len(want) > 30 and not missing
    stream = max({entry.stream for entry in want}, key=lambda name: sum(entry.stream == name for entry in want))
    for text in (f'stream == "{stream}"', f"dst.port == {kind[1]}"):
        pruned = {entry.id for entry in asked(tmp_path / "store", text)}
        assert {entry.id for entry in want if entry.stream == stream} <= pruned
    last = want[-2]
    assert Store(tmp_path / "store").entry(last.id).to_dict() == last.to_dict()
    assert Store(tmp_path / "store").packets(last.id)


def shaken(packets: list[Packet], random: Random) -> list[Packet]:
    """The same packets, some of them sent again, some late; the times rise all the same."""
    every = list(packets)
    for _ in range(len(packets) // 10):
        at = random.randrange(len(every) - 12)
        every.insert(at + random.randrange(1, 12), every[at])
    times = sorted(NOON + number * MILLISECOND for number in range(len(every)))
    return [packet._replace(time_ns=time) for packet, time in zip(every, times, strict=True)]


@pytest.mark.parametrize("size", [5, 50])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_sent_again_moves_nothing_back(seed: int, size: int, tmp_path: Path) -> None:
    packets = shaken(some(seed, 4000, kinds=LONG), Random(seed))
    recorded(tmp_path / "store", blocks(packets, size), limit=LIMIT)
    first = next(one for block in stored(tmp_path / "store") for one, *_ in block.records)
    want, got = whole(fed(packets), first), {entry.id: entry for entry in asked(tmp_path / "store")}
    assert len(want) > 60 and {entry.id for entry in want} <= got.keys()
    assert different([sure(one) for one in want], [sure(got[one.id]) for one in want]) == ""


def test_ids_hold_over_a_restart_of_the_writer(tmp_path: Path) -> None:
    """A conversation goes on under its name where another process goes on recording."""
    packets = some(6, 3000, kinds=LONG)
    for at in range(0, 3000, 500):
        recorded(tmp_path / "store", blocks(packets[at : at + 500]), limit=LIMIT)
    first = next(one for block in stored(tmp_path / "store") for one, *_ in block.records)
    want, got = whole(fed(packets), first), {entry.id: entry for entry in asked(tmp_path / "store")}
    assert len(want) > 60 and {entry.id for entry in want} <= got.keys()
    assert different([sure(one) for one in want], [sure(got[one.id]) for one in want]) == ""


@pytest.mark.parametrize("text", ["", "http", "dst.port == 6379"])
def test_a_query_says_what_was_dropped_under_it(text: str, tmp_path: Path) -> None:
    source = traffic(7)
    begin = list(islice(source, 2500))
    writer = Recording(tmp_path / "store", 2_000_000, segment_size=64 * KIB)
    for block in blocks(begin):
        writer.add(block)
    writer.flush()
    query = Query(tmp_path / "store", question(text))
    found = [next(query)]
    more = list(islice(source, 4000))
    for block in blocks(more):
        writer.add(block)
    writer.flush()
    found += query
    writer.close()
    assert query.segments_dropped > 1
    assert sum("was dropped" in notice for notice in query.notices) == query.segments_dropped
    assert (query.ledger.store_unread > 0) == bool(text)  # else nobody had looked how many there were
    assert not query.ledger.imbalances()
    known = {entry.id for entry in fed(begin + more)}
    assert {entry.id for entry in found if not entry.faults} <= known


def test_a_segment_dropped_while_it_is_read_ends_the_read_there(tmp_path: Path) -> None:
    """A reader holds nothing open between two entries."""
    recorded(tmp_path / "store", blocks(some(8, 8000)), segment_size=None)
    query = Query(tmp_path / "store", question())
    found = [next(query)]
    assert not [path for path in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(path)]
    for path in [*(tmp_path / "store").glob("*.pcapng"), *(tmp_path / "store").glob("*.index")]:
        path.unlink()
    found += query
    assert query.segments_dropped == 1 and "was dropped" in query.notices[0]
    assert query.ledger.store_unread > 0 and not query.ledger.imbalances()
