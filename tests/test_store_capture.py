"""What is recorded comes back as it was captured: bytes, times, lengths, interfaces; what is left out is counted."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from random import Random
from threading import Event

import frames
import numpy as np
import pytest
from packets import ethernet, ethernet_udp, ip, ng_interface, ng_packet, ng_section, tcp
from store_traffic import NOON, http, redis, said, some, traffic
from stores import KIB, Record, asked, blocks_of, dicts, different, fed, read, recorded, segment_files, stored
from test_store_eviction import blocks
from transcripts import dns
from wire import MILLISECOND, Wire

from pysniff.ledger import Ledger
from pysniff.limits import MIB, SECOND
from pysniff.message import CLIENT
from pysniff.packet import Block, Packet
from pysniff.store import Store
from pysniff.store.directory import segments
from pysniff.store.rebuild import stored as stored_index
from pysniff.store.recorder import Recorder
from pysniff.store.recording import Recording
from pysniff.store.selection import pieces


def kept(directory: Path) -> list[Packet]:
    """Packets in the segments; pcapng has a number for an interface without a name."""
    found = [packet for block in stored(directory) for packet in block.packets()]
    return [packet._replace(interface="") if packet.interface.isdigit() else packet for packet in found]


def same(packets: Iterable[Packet], directory: Path, **options: object) -> list[Record]:
    """Record packets; all of them are there as they were, and a query gives what a Sniffer gives."""
    packets = list(packets)
    recorded(directory, packets, **options)  # type: ignore[arg-type]
    assert kept(directory) == packets
    want = dicts(fed(packets))
    assert different(want, dicts(asked(directory))) == ""
    return want


def test_times_are_kept_to_the_nanosecond(tmp_path: Path) -> None:
    times = [0, 1, 999_999_999, NOON + 1, NOON + 7, (1 << 62) + 3]
    frame = ethernet_udp(payload=b"x")
    same([Packet(frame, time, len(frame)) for time in times], tmp_path / "store")


def test_interfaces_link_types_and_wire_lengths_are_kept(tmp_path: Path) -> None:
    """Several of them in one segment, in turn."""
    inner = tcp("10.0.0.1", "10.0.0.2", 51_000, 80, b"GET / HTTP/1.1\r\n\r\n", seq=1, flags=24)
    six = tcp("fd00::1", "fd00::2", 51_000, 80, b"GET /six HTTP/1.1\r\n\r\n", seq=1, flags=24)
    every = [
        (ethernet(inner), 1, "eth0"),
        (inner, 101, "tun0"),
        (six, 229, "tun0"),
        (ethernet(six, vlan=7), 1, "eth1"),
        (b"\0\0\0\1\0\6" + bytes(8) + b"\x08\0" + inner, 113, "any"),
        (b"\x08\0" + bytes(18) + inner, 276, ""),
        (b"\2\0\0\0" + inner, 0, "lo0"),
        (b"whatever", 147, "user"),
        (b"", 1, "eth0"),
    ]
    packets = [
        Packet(data, NOON + number, len(data) + number % 3 * 1000, linktype, interface)
        for number, (data, linktype, interface) in enumerate(every * 3)
    ]
    same(packets, tmp_path / "store")
    assert len(segment_files(tmp_path / "store")) == 1


def test_large_packets_are_kept_whole(tmp_path: Path) -> None:
    """As a kernel that joins segments hands them over, and larger than a segment of the store."""
    wire = Wire(now=NOON)
    packets = wire.handshake()
    body = Random(1).randbytes(60_000)
    head = b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 180000\r\n\r\n"
    packets += [wire.send(CLIENT, part) for part in (head, body, body, body)]
    packets += said(wire, (False, b"HTTP/1.1 204 No Content\r\n\r\n"))
    loose = Packet(bytes(262_144), wire.now, 262_144, 147)
    want = same([*packets, loose, *some(1, 50, start=wire.now)], tmp_path / "store", segment_size=32 * KIB)
    assert want[0]["summary"] == "POST /big"


def test_late_packets_of_another_interface_change_nothing(tmp_path: Path) -> None:
    """Their times go backwards between two interfaces that are captured at once."""
    random = Random(2)
    one, other = some(1, 700, kinds=((http, 80), (redis, 6379))), some(2, 700)
    packets: list[Packet] = []
    sources = [iter(one), iter(other)]
    while sources:
        source = random.choice(sources)
        portion = list(islice(source, random.randrange(1, 60)))
        if not portion:
            sources.remove(source)
        packets += [packet._replace(interface=f"eth{packet.data[26 + 1]}") for packet in portion]
    times = [packet.time_ns for packet in packets]
    assert times != sorted(times)
    want = same(packets, tmp_path / "store")
    for text in ("redis", "http", 'src.ip == "10.1.0.1"', "dns || ws"):
        assert asked(tmp_path / "store", text)
        names = {entry["stream"] for entry in want}
        assert {entry.stream for entry in asked(tmp_path / "store", text)} <= names


def fragments(packet: bytes, size: int) -> list[bytes]:
    """An IPv4 packet cut in pieces."""
    payload = packet[20:]
    pieces = range(0, len(payload), size)
    return [
        frames.ethernet(
            frames.ipv4(payload[at : at + size], packet[9], offset=at, more=at + size < len(payload), ident=7)
        )
        for at in pieces
    ]


def test_fragments_and_tunnels_give_their_entries_back(tmp_path: Path) -> None:
    request = tcp(
        "10.0.0.7", "10.0.0.9", 51_000, 80, b"GET /cut HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n", seq=1, flags=24
    )
    inside = tcp("10.1.0.1", "10.1.0.2", 51_001, 80, b"GET /gre HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)
    behind = tcp("10.1.0.1", "10.1.0.2", 51_003, 80, b"GET /vxl HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)
    vxlan = frames.udp(b"\x08\0\0\0\0\0\7\0" + ethernet(behind), 4789)
    every = [
        *fragments(request, 160),
        ethernet(ip("192.0.2.1", "192.0.2.2", 47, frames.gre(inside))),
        ethernet(frames.ipv4(vxlan, 17)),
        ethernet(tcp("fd00::1", "fd00::2", 51_002, 80, b"GET /six HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)),
        ethernet_udp(payload=dns(7, b"a.test")),
    ]
    packets = [Packet(data, NOON + number * MILLISECOND, len(data)) for number, data in enumerate(every)]
    want = same(packets, tmp_path / "store")
    assert {entry["summary"] for entry in want} >= {"GET /cut", "GET /gre", "GET /vxl", "GET /six"}
    for text in ("http", 'dst.ip == "10.1.0.2"', 'path == "/cut"', "dns", 'dst.ip == "fd00::2"'):
        assert asked(tmp_path / "store", text), text
    for entry in want:
        assert Store(tmp_path / "store").entry(str(entry["id"])).to_dict() == entry
        assert Store(tmp_path / "store").packets(str(entry["id"])), entry["summary"]


def test_what_the_snapshot_cut_stays_cut(tmp_path: Path) -> None:
    wire = Wire(now=NOON)
    packets = [
        *wire.handshake(),
        wire.send(CLIENT, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 500 + b"\r\n\r\n", keep=40),
    ]
    packets += said(wire, (False, b"HTTP/1.1 204 No Content\r\n\r\n"))
    same(packets, tmp_path / "store")


def unknown(wire: Wire, size: int, *, both: bool = False) -> list[Packet]:
    turns = [(False, b"\xfe\xff" * 700)] * (size // 1400)
    asks = [(True, b"\xfd\xfc" * 700)] * (size // 1400 if both else 1)
    return [*wire.handshake(), *said(wire, *asks, *turns)]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("ends", [False, True])
def test_of_what_nobody_recognises_the_beginning_is_kept(both: bool, ends: bool, tmp_path: Path) -> None:
    """64 KiB of each half; the entry still tells all of it."""
    wire = Wire(now=NOON)
    packets = unknown(wire, 500_000, both=both)
    packets += wire.farewell() if ends else []
    done = recorded(tmp_path / "store", blocks(packets), keep_all=False, segment_size=None)
    sizes = [0, 0]
    for packet in kept(tmp_path / "store"):
        sizes[packet.data[30:34] != bytes([10, 0, 0, 2])] += max(len(packet.data) - 54, 0)
    assert all(60 * KIB < size <= 64 * KIB for size in sizes[:: 1 if both else -1][: 1 + both])
    counts = done.counts
    assert counts.cut + counts.stored == counts.packets == len(packets)
    assert counts.cut_bytes > 400_000
    assert different(dicts(fed(packets)), dicts(asked(tmp_path / "store"))) == ""
    assert different(dicts(fed(packets)), dicts(asked(tmp_path / "store", "tcp"))) == ""


def test_cutting_ends_with_the_conversation(tmp_path: Path) -> None:
    """A port that is used again is another conversation, and its calls are kept."""
    wire = Wire(now=NOON)
    packets = [*unknown(wire, 200_000), *wire.farewell()]
    again = Wire(now=wire.now + 200 * SECOND, starts=(77_000, 99_000))
    packets += again.handshake()
    for number in range(80):
        ask = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1300\r\n\r\n" + bytes(1300)
        packets += said(again, (True, ask), (False, answer))
    recorded(tmp_path / "store", blocks(packets), keep_all=False)
    assert different(dicts(fed(packets)), dicts(asked(tmp_path / "store"))) == ""


def test_a_long_conversation_that_is_cut_stays_one(tmp_path: Path) -> None:
    """Over hours: nothing makes it look idle."""
    wire = Wire(now=NOON)
    packets = unknown(wire, 100_000)
    for _ in range(100):
        wire.now += 100 * SECOND
        packets += said(wire, (False, b"\xfe" * 1400), (True, b"\xfd"))
    recorded(tmp_path / "store", blocks(packets), keep_all=False)
    want = [entry for entry in dicts(fed(packets)) if entry["state"] == "closed"]
    assert len(want) == 1
    assert different(want, dicts(asked(tmp_path / "store", 'state == "closed"'))) == ""


def test_keep_all_keeps_all(tmp_path: Path) -> None:
    packets = unknown(Wire(now=NOON), 300_000)
    same(packets, tmp_path / "store", keep_all=True)


class Slow(Recording):
    """A disk that waits until it may go on."""

    go = Event()

    def add(self, block: Block) -> None:
        self.go.wait(60)
        super().add(block)


def test_a_full_queue_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.store.recorder.Recording", Slow)
    Slow.go.clear()
    recorder = Recorder(tmp_path / "store", 10_000_000, keep_all=True, queue=100_000)
    for block in blocks(some(3, 2000), 10):
        recorder.write(block)
        ledger = Ledger()
        recorder.account(ledger)
        assert ledger.store_waiting + ledger.store_queue_full == ledger.store_packets
    assert recorder.dropped > 500 and recorder.dropped_bytes > 100_000
    Slow.go.set()
    recorder.close()
    ledger = Ledger()
    recorder.account(ledger)
    assert not ledger.imbalances() and not recorder.imbalance()
    assert ledger.store_packets == 2000 == ledger.store_written + ledger.store_queue_full
    assert ledger.store_queue_full == recorder.dropped
    assert len(kept(tmp_path / "store")) == ledger.store_written
    assert not ledger.lossless()


def test_a_recorder_that_waits_drops_nothing(tmp_path: Path) -> None:
    with Recorder(tmp_path / "store", 10_000_000, keep_all=True, queue=2_000, wait=True) as recorder:
        for block in blocks(some(3, 1000), 10):
            recorder.write(block)
    assert recorder.dropped == 0
    assert kept(tmp_path / "store") == some(3, 1000)


def test_readers_see_packets_without_waiting_for_more(tmp_path: Path) -> None:
    """They are flushed by time, not only by size."""
    with Store(tmp_path / "store").record() as recorder:
        for packet in some(4, 30):
            recorder.write(Block.of(packet))
        while len(asked(tmp_path / "store")) < len(fed(some(4, 30))):
            pass  # ends, or the test run's own time limit does


def test_a_capture_of_several_interfaces_is_stored_as_it_is_read(tmp_path: Path) -> None:
    """Sections and interfaces of pcapng, with other time resolutions."""
    source = islice(traffic(5), 60)
    text = ng_section() + ng_interface(1) + ng_interface(101)
    for number, packet in enumerate(source):
        ticks = packet.time_ns // 1000
        data = packet.data if number % 2 else packet.data[14:]
        text += ng_packet(data, ticks, 1 - number % 2)
    path = tmp_path / "two.pcapng"
    path.write_bytes(text)
    recorded(tmp_path / "store", blocks_of(path))
    assert different(dicts(read(path)), dicts(asked(tmp_path / "store"))) == ""


def live(packets: list[Packet]) -> Block:
    """As libpcap hands them over: with microseconds."""
    metas, data = [], b""
    for packet in packets:
        seconds, rest = divmod(packet.time_ns, SECOND)
        metas.append(struct.pack("=IIII", seconds, rest // 1000, len(data), len(packet.data)))
        data += packet.data
    return Block.captured_live(data, b"".join(metas), packets[0].linktype, packets[0].interface)


@pytest.mark.parametrize("seed", range(3))
def test_live_blocks_that_wait_together_are_stored_as_they_came(seed: int, tmp_path: Path) -> None:
    """Of several interfaces in turn, small and large ones."""
    random = Random(seed)
    packets = [packet._replace(time_ns=packet.time_ns // 1000 * 1000) for packet in some(seed, 3000)]
    sent: list[Packet] = []
    with Recorder(tmp_path / "store", 100_000_000, keep_all=True) as recorder:
        while packets:
            size, name = random.choice((1, 2, 30, 1500)), random.choice(("eth0", "eth0", "eth1"))
            part = [packet._replace(interface=name) for packet in packets[:size]]
            packets = packets[size:]
            recorder.write(live(part))
            sent += part
    assert kept(tmp_path / "store") == sent
    assert recorder.imbalance() == ""


def test_what_is_captured_live_is_soon_to_be_asked_for(tmp_path: Path) -> None:
    """Nobody needs to close the recorder, or to capture more."""
    wire = Wire()
    packets = [*wire.handshake(), *said(wire, (True, b"GET /soon HTTP/1.1\r\n\r\n"))]
    with Recorder(tmp_path / "store", 100_000_000) as recorder:
        for packet in packets:
            recorder.write(live([packet._replace(interface="eth0")]))
        while not stored(tmp_path / "store"):
            pass
        while sum(len(block) for block in stored(tmp_path / "store")) < len(packets):
            pass


@pytest.mark.parametrize("step", [1, 2, 3, 20, 150])
def test_some_packets_of_a_segment_are_read_as_they_are_among_all(tmp_path: Path, step: int) -> None:
    # Near ones with what lies between them, far ones each for itself: 1, 2 and 3 are of the former.
    packets = [
        Packet(Random(number).randbytes(60 + number % 1400), number, 60 + number % 1400, 1) for number in range(600)
    ]
    recorded(tmp_path, packets, segment_size=4 * MIB)
    (files,) = segments(tmp_path)
    index = stored_index(files)
    numbers = np.arange(0, len(packets), step)
    found = [
        packet
        for piece in pieces(files, index, numbers)
        for block, _ in piece.blocks(index)
        for packet in block.packets()
    ]
    assert [packet.data for packet in found] == [packet.data for packet in packets[::step]]
