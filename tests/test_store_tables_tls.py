"""TLS in a store outlives its first segments, as HTTP/2 does: with the secrets that are kept, or with a key log."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from random import Random

import pytest
from certificates import Authority
from stores import KIB, asked, disk_use, question, segment_files
from test_tls_state import Sealed, begins, http_calls, read, sure
from tls_wire import TLS12, TLS13, TlsWire

from pysniff.entry import Entry
from pysniff.keylogs import key_logs
from pysniff.packet import Block, Packet
from pysniff.store import tables
from pysniff.store.directory import SegmentFiles
from pysniff.store.index import Index
from pysniff.store.keeper import Keeper
from pysniff.store.query import Query
from pysniff.store.recording import Recording

LIMIT = 500 * KIB
TOKEN = b"Bearer"
HTTP1 = (50_002, 50_003)
# Of records: one that ends with its packet takes no room in a small file of tables.
SIZES = (1_300, 700, 5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return Authority(tmp_path_factory.mktemp("authority"), "shop").issue("shop.example")


def traffic(keys: Path, certificate: tuple[Path, Path]) -> list[Packet]:
    """Two connections of HTTP/2 and two of HTTP/1 at a time."""
    talks = []
    for number, (kind, version) in enumerate((("h2", TLS13), ("h2", TLS12), ("http", TLS13), ("http", TLS12))):
        tls = wire(keys, certificate, number, version, ["h2"] if kind == "h2" else [])
        random = Random(number)
        talks.append(sealed(tls, random, 60) if kind == "h2" else http_calls(tls, random, 400, (0, 30, 1_100)))
    turns = chain.from_iterable(zip_longest(*talks, fillvalue=None))
    return sorted([packet for packet in turns if packet is not None], key=lambda packet: packet.time_ns)


def wire(keys: Path, certificate: tuple[Path, Path], number: int, version: ssl.TLSVersion, alpn: list[str]) -> TlsWire:
    now = 1_795_262_400_000_000_000 + number
    return TlsWire(keys, certificate, version=version, alpn=alpn, sport=50_000 + number, now=now)


def sealed(tls: TlsWire, random: Random, count: int) -> list[Packet]:
    talk = Sealed(tls, random, SIZES)
    return [*talk.shake(), *chain.from_iterable(talk.turn() for _ in range(count)), *talk.finish()]


def record(directory: Path, packets: list[Packet], keys: Path | None) -> Recording:
    secrets = None if keys is None else key_logs(keys)
    recording = Recording(directory, LIMIT, segment_size=48 * KIB, wait=True, secrets=secrets)
    for packet in packets:
        recording.add(Block.of(packet))
    recording.close()
    assert disk_use(directory)[1] <= LIMIT
    assert recording.counts.evicted_segments > 5
    assert recording.counts.tables_missed == 0
    assert recording.notices == []
    return recording


def kept(directory: Path, whole: dict[str, Entry]) -> dict[str, Entry]:
    """What begins in what is still there."""
    index = Index()
    index.extend(segment_files(directory)[0].with_suffix(".index").read_bytes())
    return {id: entry for id, entry in whole.items() if begins(entry) > index.earliest}


def states(directory: Path) -> Iterator[bytes]:
    for path in directory.glob("*.tables"):
        yield from (one.state for one in tables.load(SegmentFiles(directory, int(path.stem))).values())


def test_calls_behind_dropped_segments_are_as_if_nothing_were_gone(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    keys, store = tmp_path / "keys", tmp_path / "store"
    packets = traffic(keys, certificate)
    whole, _ = read(packets, keys)
    record(store, packets, keys)
    want = kept(store, whole)
    with Query(store, question()) as query:
        found = {entry.id: entry for entry in query}
    assert query.ledger.imbalances() == []
    assert {entry.protocol for entry in found.values()} == {"http", "grpc"}
    assert len(want) > 50 and {entry.stream for entry in want.values()} == {entry.stream for entry in whole.values()}
    assert not want.keys() - found.keys()
    for id, entry in want.items():
        if entry.src.port in HTTP1:
            assert sure(found[id]) == sure(entry)
        else:
            assert found[id].to_dict() == entry.to_dict()
    secrets = [bytes.fromhex(line.split()[2]) for line in keys.read_text().splitlines() if line[0] != "#"]
    assert any(TOKEN in state for state in states(store))  # beside the secrets, which tell it anyway
    assert not any(secret in state for state in states(store) for secret in secrets)


def test_a_recording_without_secrets_writes_no_plain_text_of_one_that_kept_them(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    keys, store = tmp_path / "keys", tmp_path / "store"
    packets = traffic(keys, certificate)[:2_000]
    recording = Recording(store, 1 << 30, segment_size=48 * KIB, secrets=key_logs(keys))
    for packet in packets:
        recording.add(Block.of(packet))
    recording.close()
    keeper, count = Keeper(store, 1 << 20, 1 << 16, secrets=True), 0
    while keeper.step() and (count := count + 1) < 4:
        pass
    assert any(TOKEN in state for state in states(store))
    before = set(store.glob("*.tables"))
    keeper = Keeper(store, 1 << 20, 1 << 16)
    while keeper.step():
        pass
    for path in before:
        path.unlink()
    assert len([*states(store)]) > 8
    assert not any(TOKEN in state for state in states(store))


def test_without_secrets_a_key_log_reads_it_and_tables_have_no_plain_text(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    keys, store = tmp_path / "keys", tmp_path / "store"
    packets = traffic(keys, certificate)
    whole, _ = read(packets, keys)
    record(store, packets, None)
    assert [*states(store)]
    assert not any(TOKEN in state or b"shop-token" in state for state in states(store))
    want = kept(store, whole)
    found = {entry.id: entry for entry in asked(store, "", secrets=key_logs(keys))}
    assert len(want) > 50
    assert not want.keys() - found.keys()
    ours = {id: entry for id, entry in want.items() if entry.src.port in HTTP1}
    assert len(ours) > 20
    assert {id: sure(found[id]) for id in ours} == {id: sure(entry) for id, entry in ours.items()}
    closed = asked(store)
    assert {entry.protocol for entry in closed} == {"tlsx"}
    assert {entry.stream for entry in closed} == {entry.stream for entry in want.values()}
