"""An entry's packets are exactly those that carry its bytes, also where calls share a connection at the same time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hpack import Encoder
from stores import fed, recorded
from transcripts import H2
from transcripts import h2 as frame
from wire import Wire

from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Packet
from pysniff.store import Store

HEADERS, DATA, SETTINGS = 1, 0, 4
END_STREAM, END_HEADERS = 1, 4
STREAMS = (1, 3, 5, 7)


class Interleaved:
    """Four calls of one connection at once, cut into segments anywhere; `owners`: of each packet, whose bytes it
    has."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.wire = Wire()
        self.packets: list[Packet] = []
        self.owners: list[set[int]] = []

    def all(self) -> None:
        for packet in self.wire.handshake():
            self.take(packet, set())
        self.say(CLIENT, [(0, H2)], [])
        self.say(SERVER, [(0, frame(SETTINGS, 0, 0))], [])
        self.say(CLIENT, *self.half([(":method", "POST"), (":scheme", "http"), (":authority", "shop")], ":path"))
        self.say(SERVER, *self.half([(":status", "200")], "x-call"))
        for packet in self.wire.farewell():
            self.take(packet, set())

    def half(self, fields: list[tuple[str, str]], own: str) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """The heads of all calls in turn, then what follows in any order; of each the stream and the frame."""
        encoder = Encoder()
        heads = [(s, frame(HEADERS, END_HEADERS, s, encoder.encode([*fields, (own, f"/{s}")]))) for s in STREAMS]
        bodies = [(s, frame(DATA, 0, s, self.random.randbytes(self.random.randrange(1, 4000)))) for s in STREAMS * 6]
        self.random.shuffle(bodies)
        return heads, bodies + [(s, frame(DATA, END_STREAM, s)) for s in STREAMS]

    def say(self, side: Side, heads: list[tuple[int, bytes]], bodies: list[tuple[int, bytes]]) -> None:
        frames = heads + bodies
        whose = [stream for stream, data in frames for _ in data]
        text = b"".join(data for _, data in frames)
        at = 0
        while at < len(text):
            size = min(self.random.choice((3, 700, 1400, 9000)), len(text) - at)
            self.take(self.wire.send(side, text[at : at + size]), {*whose[at : at + size]} - {0})
            at += size

    def take(self, packet: Packet, owners: set[int]) -> None:
        self.packets.append(packet)
        self.owners.append(owners)

    def of(self, stream: int) -> list[Packet]:
        return [packet for packet, owners in zip(self.packets, self.owners, strict=True) if stream in owners]


@pytest.mark.parametrize("seed", range(8))
def test_calls_at_once_have_their_own_packets(seed: int, tmp_path: Path) -> None:
    talk = Interleaved(seed)
    talk.all()
    recorded(tmp_path / "store", talk.packets)
    calls = {entry.request.path: entry for entry in fed(talk.packets) if entry.protocol == "http"}
    assert {*calls} == {f"/{stream}" for stream in STREAMS}
    for stream in STREAMS:
        found = Store(tmp_path / "store").packets(calls[f"/{stream}"].id)
        assert [packet.time_ns for packet in found] == [packet.time_ns for packet in talk.of(stream)], stream


@pytest.mark.parametrize("seed", range(8))
def test_also_where_segments_come_late(seed: int, tmp_path: Path) -> None:
    talk = Interleaved(seed)
    talk.all()
    order = list(range(len(talk.packets)))
    for at in range(8, len(order) - 8, 5):
        order[at], order[at + 1] = order[at + 1], order[at]
    swapped = [talk.packets[old]._replace(time_ns=talk.packets[new].time_ns) for new, old in enumerate(order)]
    owners = [talk.owners[old] for old in order]
    recorded(tmp_path / "store", swapped)
    calls = {entry.request.path: entry for entry in fed(swapped) if entry.protocol == "http"}
    assert {*calls} == {f"/{stream}" for stream in STREAMS}
    for stream in STREAMS:
        found = Store(tmp_path / "store").packets(calls[f"/{stream}"].id)
        want = [packet.time_ns for packet, whose in zip(swapped, owners, strict=True) if stream in whose]
        assert [packet.time_ns for packet in found] == want, stream


def test_a_packet_that_was_lost_leaves_what_may_be_its_own(tmp_path: Path) -> None:
    """Behind a gap nobody knows whose bytes come, until the next call begins: rather too many than too few."""
    talk = Interleaved(3)
    talk.all()
    lost = max(range(20, len(talk.packets)), key=lambda at: len(talk.owners[at]))  # behind the requests' heads
    kept = [packet for at, packet in enumerate(talk.packets) if at != lost]
    recorded(tmp_path / "store", kept)
    calls = [entry for entry in fed(kept) if entry.protocol == "http" and entry.request is not None]
    assert any(entry.completeness == "gap" for entry in calls)
    for entry in calls:
        found = {packet.time_ns for packet in Store(tmp_path / "store").packets(entry.id)}
        stream = entry.request.stream_id
        missing = {one.time_ns for one in talk.of(stream)} - found - {talk.packets[lost].time_ns}
        assert not {time for time in missing if time <= entry.completed_ns}
