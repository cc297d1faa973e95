"""Plain text that processes told lies in a store among the packets, is found and dropped with them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from certificates import Authority
from stores import SEGMENT, asked, blocks_of, segment_files
from tls_wire import TlsWire, get, ok
from wire import Wire

from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Block, Packet
from pysniff.plain import PlainChunk
from pysniff.sniffer import Sniffer
from pysniff.store import Store
from pysniff.store.recording import Recording

KIB = 1024
Item = Packet | PlainChunk


class Told:
    """A TLS connection whose packets nobody decrypts, and of which a process tells what it says."""

    def __init__(
        self, certificate: tuple[Path, Path], keys: Path, sport: int = 51000, now: int = 1_000_000_000
    ) -> None:
        self.tls = TlsWire(keys, certificate, sport=sport, now=now)
        client, server = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
        ports = sport.to_bytes(2, "big"), (443).to_bytes(2, "big")
        self._keys = (client + server + ports[0] + ports[1], server + client + ports[1] + ports[0])
        self._offsets = [0, 0]

    def say(self, side: Side, data: bytes) -> list[Item]:
        packets = self.tls.say(side, data)
        offset, self._offsets[side] = self._offsets[side], self._offsets[side] + len(data)
        at = packets[-1].time_ns + 1000
        return [*packets, PlainChunk(at, self._keys[side], offset, data, True, side is CLIENT, 7, "OpenSSL")]

    def call(self, request: bytes, answer: bytes) -> list[Item]:
        return [*self.say(CLIENT, request), *self.say(SERVER, answer)]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return Authority(tmp_path_factory.mktemp("authority"), "shop").issue("shop.example")


def record(directory: Path, items: Sequence[Item], **options: int) -> Recording:
    recording = Recording(directory, **{"segment_size": SEGMENT, "limit": 4_000_000, **options})  # type: ignore[arg-type]
    for item in items:
        if isinstance(item, Packet):
            recording.add(Block.of(item))
        else:
            recording.add_plain([item])
    recording.close()
    assert not recording.counts.imbalance()
    return recording


def fed(items: Sequence[Item]) -> list[dict[str, object]]:
    """What one Sniffer makes of them, live."""
    sniffer = Sniffer()
    found = []
    for item in items:
        found += sniffer.feed([item]) if isinstance(item, Packet) else sniffer.feed_plain([item])
    return [entry.to_dict() for entry in (*found, *sniffer.close())]


def by_id(entries: Sequence[dict[str, object]]) -> dict[str, dict[str, object]]:
    return {str(entry["id"]): entry for entry in entries}


def of(directory: Path, text: str = "", **values: object) -> list[dict[str, object]]:
    return [entry.to_dict() for entry in asked(directory, text, **values)]


def calls(certificate: tuple[Path, Path], tmp_path: Path, number: int = 3) -> list[Item]:
    told = Told(certificate, tmp_path / "keys")
    items: list[Item] = [*told.tls.handshake()]
    for one in range(number):
        items += told.call(get(f"/{one}"), ok(b"x" * 3000))
    return [*items, *told.tls.farewell()]


def test_what_a_process_told_is_read_again(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    items = calls(certificate, tmp_path)
    recording = record(tmp_path / "store", items)
    assert recording.counts.stored == sum(isinstance(item, Packet) for item in items)
    found = of(tmp_path / "store")
    assert by_id(found) == by_id(fed(items))
    http = [entry for entry in found if entry["protocol"] == "http"]
    assert [entry["summary"] for entry in http] == ["GET /0", "GET /1", "GET /2"]
    assert {str(entry["capture_source"]) for entry in http} == {"ebpf_tls"}
    assert by_id(of(tmp_path / "store", 'http && path == "/1"')) == {str(http[1]["id"]): http[1]}
    assert Store(tmp_path / "store").entry(str(http[1]["id"])).to_dict() == http[1]


def test_it_is_found_with_its_connection_alone(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    items = calls(certificate, tmp_path)
    other = Wire(sport=60_000, dport=80, now=1_500_000_000)
    items += [*other.handshake(), other.send(CLIENT, get("/other")), other.send(SERVER, ok(b"")), *other.farewell()]
    record(tmp_path / "store", items)
    with Store(tmp_path / "store").query("dst.port == 443 && http") as query:
        assert len(list(query)) == 3
    assert query.packets_pruned == 8
    assert [entry["summary"] for entry in of(tmp_path / "store", "dst.port == 80")] == ["GET /other"]


def test_its_packets_are_those_of_its_time(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    told = Told(certificate, tmp_path / "keys")
    items: list[Item] = [*told.tls.handshake()]
    for number in range(3):
        told.tls.wait(1)
        items += told.call(get(f"/{number}"), ok(b"x" * 3000))
    record(tmp_path / "store", items)
    (entry,) = Store(tmp_path / "store").query('http && path == "/1"')
    first, last = entry.carried_request, entry.carried_response
    assert first is not None and last is not None
    carried = Store(tmp_path / "store").packets(entry.id)
    wanted = [item for item in items if isinstance(item, Packet) and abs(item.time_ns - first.first) < 500_000_000]
    assert [packet.data for packet in carried] == [packet.data for packet in wanted]


def test_an_index_is_made_again_with_it(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    record(tmp_path / "store", calls(certificate, tmp_path, 40))
    before = of(tmp_path / "store")
    assert len(segment_files(tmp_path / "store")) > 2
    for path in (tmp_path / "store").glob("*.index"):
        path.unlink()
    assert of(tmp_path / "store") == before
    record(tmp_path / "store", [])  # and on disk
    assert of(tmp_path / "store") == before


def test_it_goes_with_its_packets_and_the_limit_holds(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    items: list[Item] = []
    for number in range(12):
        told = Told(certificate, tmp_path / "keys", sport=51_000 + number, now=(number + 1) * 1_000_000_000)
        items += [*told.tls.handshake()]
        for one in range(8):
            items += told.call(get(f"/{number}/{one}"), ok(b"x" * 3000))
        items += told.tls.farewell()
    recording = record(tmp_path / "store", items, limit=300 * KIB)
    assert recording.counts.evicted_segments
    assert sum(path.stat().st_size for path in (tmp_path / "store").iterdir()) <= 300 * KIB
    found = by_id(of(tmp_path / "store", "http"))
    live = by_id(fed(items))
    # Of the one whose beginning was dropped there may be halves, and perhaps nobody knows what its handshake said.
    dropped = str(next(iter(found.values()))["stream"])
    whole = [
        id
        for id, entry in found.items()
        if entry["stream"] != dropped and entry["request"] and entry["completeness"] == "complete"
    ]
    assert len(whole) > 8
    assert all(live[id] == found[id] for id in whole)
    assert "GET /11/7" in {str(entry["summary"]) for entry in found.values()}


@pytest.mark.needs("tshark")
def test_other_tools_open_the_segments(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    items = calls(certificate, tmp_path)
    record(tmp_path / "store", items)
    (path,) = segment_files(tmp_path / "store")
    tshark = shutil.which("tshark")
    assert tshark
    done = subprocess.run(
        [tshark, "-r", str(path), "-Y", "tcp", "-T", "fields", "-e", "frame.number"], capture_output=True, check=True
    )
    packets = [item for item in items if isinstance(item, Packet)]
    assert len(done.stdout.split()) == len(packets)
    assert done.stderr == b"" or b"root" in done.stderr
    read = [packet for block in blocks_of(path) for packet in block.packets()]
    assert [(packet.data, packet.time_ns) for packet in read] == [(packet.data, packet.time_ns) for packet in packets]


def test_connections_that_are_not_captured_leave_nothing(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    items = calls(certificate, tmp_path)
    others = [item for item in items if isinstance(item, PlainChunk)]
    wire = Wire(now=1_000_000_000)
    record(tmp_path / "store", [*others, *wire.handshake(), wire.send(CLIENT, get("/here")), *wire.farewell()])
    (path,) = segment_files(tmp_path / "store")
    assert b"GET /here" in path.read_bytes()
    assert b"GET /1" not in path.read_bytes()


@pytest.mark.parametrize("damage", [b"\0" * 40, b"\xff" * 40, b"PySniff plain text" * 2])
def test_a_block_that_is_damaged_costs_itself_alone(
    tmp_path: Path, certificate: tuple[Path, Path], damage: bytes
) -> None:
    record(tmp_path / "store", calls(certificate, tmp_path))
    (path,) = segment_files(tmp_path / "store")
    data = bytearray(path.read_bytes())
    at = data.index(b"PySniff plain text")
    data[at : at + len(damage)] = damage
    path.write_bytes(data)
    with Store(tmp_path / "store").query() as query:
        summaries = [entry.summary for entry in query]
    assert "GET /2" in summaries
    assert query.packets_damaged == 1
