"""A query over a store gives, entry for entry and id for id, what reading the same packets gives.

Public captures that PYSNIFF_CORPUS names are recorded into segments of 64 KiB: a part of them, the same in every run;
all of them where PYSNIFF_STORE_ALL is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random

import pytest
import stores
from stores import SEGMENT, Record, blocks_of, dicts, different, fed, read, recorded, secrets_of, segment_files
from truth.corpus import Capture, captures

from pysniff.entry import Entry
from pysniff.errors import NotFoundError
from pysniff.limits import SECOND
from pysniff.store import Store
from pysniff.store.catalogue import Catalogue
from pysniff.store.rows import SHARED_FLOW

LARGEST = 30_000_000
EVERY = bool(os.environ.get("PYSNIFF_STORE_ALL"))
CAPTURES = [one for one in captures() if one.file.stat().st_size < LARGEST]
absent = pytest.mark.skipif(not CAPTURES, reason="needs the corpus: set PYSNIFF_CORPUS")


def chosen(share: int, seed: int) -> list[Capture]:
    """One in `share` of the captures, always the same ones; all of them where that was asked for."""
    return [one for one in CAPTURES if EVERY or (int(one.sha256[:8], 16) + seed) % share == 0]


def ids(every: Sequence[Capture]) -> list[str]:
    return [capture.path.removeprefix("pcap/") for capture in every]


@cache
def everything(path: Path) -> tuple[Entry, ...]:
    return tuple(read(path))


def settled(entries: Iterable[Entry]) -> list[Entry]:
    """All but first sights of conversations that nobody recognises: how much of them a store left out, it says at the
    end."""
    return [entry for entry in entries if entry.state == "closed" or entry.protocol not in ("tcp", "udp")]


def whole(path: Path) -> list[Entry]:
    return settled(everything(path))


def asked(store: Path, text: str = "", **values: object) -> list[Entry]:
    return settled(stores.asked(store, text, **values))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


QUICK = chosen(4, 0)


@absent
@pytest.mark.parametrize("capture", QUICK, ids=ids(QUICK))
def test_a_query_gives_what_reading_gives(capture: Capture, store: Path) -> None:
    counts = recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file)).counts
    assert (counts.cut, counts.full, counts.evicted) == (0, 0, 0)
    assert different(dicts(everything(capture.file)), dicts(stores.asked(store))) == ""


@absent
@pytest.mark.parametrize("capture", QUICK, ids=ids(QUICK))
def test_cutting_what_nobody_recognises_changes_no_entry(capture: Capture, store: Path) -> None:
    """Not even the true sizes of those conversations."""
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    assert different(dicts(whole(capture.file)), dicts(asked(store))) == ""


@absent
@pytest.mark.parametrize("capture", QUICK, ids=ids(QUICK))
def test_the_index_names_conversations_as_their_entries_do(capture: Capture, store: Path) -> None:
    """But for those in fragments, which it cannot name."""
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    chapters = Catalogue(store).chapters() if store.exists() else []
    if any((chapter.index.flows == SHARED_FLOW).any() for chapter in chapters):
        pytest.skip("has fragments")
    names = {name.tobytes().hex() for chapter in chapters for name in chapter.index.rows["name"]}
    assert {entry.stream for entry in everything(capture.file)} <= names


SOME = chosen(12, 1)


@absent
@pytest.mark.parametrize("capture", SOME, ids=ids(SOME))
def test_one_connection_asked_for_alone_gives_its_entries(capture: Capture, store: Path) -> None:
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    every = whole(capture.file)
    random = Random(capture.sha256)
    streams = sorted({entry.stream for entry in every})
    for name in random.sample(streams, min(6, len(streams))):
        want = dicts(entry for entry in every if entry.stream == name)
        assert different(want, dicts(asked(store, flows=frozenset([bytes.fromhex(name)])))) == "", name
        assert different(want, dicts(asked(store, f'stream == "{name}"'))) == "", name


def literal(time_ns: int) -> str:
    return f'timestamp("{datetime.fromtimestamp(time_ns // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns % SECOND:09d}Z")'


def conditions(entry: Entry, other: Entry, random: Random) -> list[str]:
    """Filters that the index can answer, about what these entries have."""
    first, last = sorted((entry.time_ns, other.time_ns))
    return [
        random.choice(("http", "dns", "redis", "ws", "tcp", "udp", "http2", "grpc")),
        f'protocol == "{entry.protocol}"',
        f'!({entry.protocol}) || dst.ip == "{other.dst.ip}"',
        f'src.ip == "{entry.src.ip}"',
        f'dst.ip == "{entry.dst.ip}" && src.port != {other.src.port}',
        f"dst.port == {entry.dst.port}",
        f'src.port == {entry.src.port} || dst.ip == "{other.src.ip}"',
        f"dst.port < {max(entry.dst.port, 1)} ? src.port > 1024 : dst.port == {entry.dst.port}",
        f"timestamp >= {literal(first)} && timestamp <= {literal(last)}",
        f'timestamp < {literal(last)} && src.ip == "{entry.src.ip}"',
        f"timestamp > {literal(first)} && {entry.protocol}",
    ]


@absent
@pytest.mark.parametrize("capture", SOME, ids=ids(SOME))
def test_pruning_loses_no_entry(capture: Capture, store: Path) -> None:
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    every = whole(capture.file)
    random = Random(capture.sha256)
    for _ in range(2 if every else 0):
        for text in conditions(random.choice(every), random.choice(every), random):
            assert different(dicts(matching(text, every)), dicts(asked(store, text))) == "", text


def matching(text: str, entries: Iterable[Entry]) -> list[Entry]:
    from pysniff.kfl.variables import compile

    matches = compile(text).matches
    return [entry for entry in entries if matches(entry)]


@absent
@pytest.mark.parametrize("capture", SOME, ids=ids(SOME))
def test_a_window_of_time_gives_what_began_in_it(capture: Capture, store: Path) -> None:
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    every = whole(capture.file)
    random = Random(capture.sha256)
    for _ in range(3 if every else 0):
        start, end = sorted((random.choice(every).time_ns, random.choice(every).time_ns))
        want = dicts(entry for entry in every if start <= entry.time_ns <= end)
        assert different(want, dicts(asked(store, start=start, end=end))) == "", (start, end)
        flow = random.choice(every).stream
        want = [entry for entry in want if entry["stream"] == flow]
        found = asked(store, start=start, end=end, flows=frozenset([bytes.fromhex(flow)]))
        assert different(want, dicts(found)) == "", (start, end, flow)


def newest_first(entries: Iterable[Entry]) -> list[Record]:
    """The last revision of each entry, the newest timestamp first."""
    last: dict[str, Entry] = {}
    for entry in entries:
        last.pop(entry.id, None)
        last[entry.id] = entry
    return dicts(sorted(last.values(), key=lambda entry: -entry.time_ns))


@absent
@pytest.mark.parametrize("capture", SOME, ids=ids(SOME))
def test_newest_first_gives_the_same_entries_from_the_other_end(capture: Capture, store: Path) -> None:
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    every = whole(capture.file)
    got = dicts(asked(store, newest_first=True))
    assert sorted(map(str, got)) == sorted(map(str, newest_first(every)))
    times = [str(entry["timestamp"]) for entry in got]
    assert times == sorted(times, reverse=True)
    assert dicts(asked(store, newest_first=True, limit=3)) == got[:3]


FEW = chosen(16, 2)


@absent
@pytest.mark.parametrize("capture", FEW, ids=ids(FEW))
def test_an_id_gives_back_the_entry_and_its_packets(capture: Capture, store: Path) -> None:
    """Alone, the packets of an exchange of HTTP/1, DNS or Redis give that exchange; they may carry others too."""
    recorded(store, blocks_of(capture.file), secrets=secrets_of(capture.file), keep_all=False)
    last = {entry.id: entry for entry in whole(capture.file)}
    random = Random(capture.sha256)
    for id in random.sample(sorted(last), min(8, len(last))):
        entry = last[id]
        assert different(dicts([entry]), dicts([Store(store).entry(id)])) == ""
        packets = Store(store).packets(id)
        assert [packet.time_ns for packet in packets]
        alone = entry.completeness == "complete" and not entry.faults and entry.state == "closed"
        in_turn = entry.response is None or entry.request is None or entry.response.first >= entry.request.first
        if alone and in_turn and entry.protocol in ("http", "dns", "redis") and entry.version != "2":
            assert bodies([entry])[0] in bodies(one for one in fed(packets) if one.protocol == entry.protocol), id
        of_stream = list(Store(store).stream(entry.stream))
        assert set(packets) <= set(of_stream)
        if entry.protocol not in ("tcp", "udp"):  # of those not all is kept
            assert [one.summary for one in fed(of_stream) if one.id == id][-1:] == [entry.summary]


def bodies(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    """What was said in entries, wherever they stand in their connection."""
    found = (entry.to_dict() for entry in entries)
    return [(one["protocol"], one["summary"], one.get("request"), one.get("response")) for one in found]


@absent
def test_unknown_ids_are_not_found(store: Path) -> None:
    recorded(store, blocks_of(FEW[0].file))
    for id in ("local.0123456789abcdef.00000000", "0123456789abcdef", "x", "", "local.0123456789abcdeF.0", "\0"):
        with pytest.raises(NotFoundError):
            Store(store).entry(id)
        with pytest.raises(NotFoundError):
            Store(store).packets(id)
        with pytest.raises(NotFoundError):
            Store(store).stream(id)


@absent
@pytest.mark.parametrize("size", [32 * 1024, SEGMENT, 300_000, None])
def test_segments_of_any_size_give_the_same(size: int | None, store: Path) -> None:
    largest = max(
        (one for one in CAPTURES if one.file.stat().st_size < 600_000), key=lambda one: one.file.stat().st_size
    )
    recorded(store, blocks_of(largest.file), segment_size=size, flush_every=3)
    assert len(segment_files(store)) >= (1 if size is None else 2)
    assert different(dicts(whole(largest.file)), dicts(asked(store))) == ""
