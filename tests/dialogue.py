"""Turns a transcript into packets: cut, repeated, out of order and lost as a test wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from packets import ethernet, ethernet_udp, tcp
from talk import Step

from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import ACK, FIN, PSH, SYN, Packet

NOON = 1_795_262_400_000_000_000  # 2026-11-21T12:00:00Z
MILLISECOND = 1_000_000
MASK = 0xFFFFFFFF


class Sent(NamedTuple):
    """One TCP segment. `at`: offset of its first byte in its half; `acked`: of the next byte of the other half.

    `turn`: segments with the same number are of one step.
    """

    side: Side
    at: int
    data: bytes
    flags: int
    acked: int
    turn: int = 0


def segments(steps: Iterable[Step], mss: int = 1460, *, syn: bool = True, fin: bool = True) -> list[Sent]:
    """The connection as a careful network shows it; -1 is the offset of the SYN."""
    sent: list[Sent] = []
    offsets = [0, 0]
    if syn:
        sent += [Sent(CLIENT, -1, b"", SYN, 0), Sent(SERVER, -1, b"", SYN | ACK, 0), Sent(CLIENT, 0, b"", ACK, 0)]
    turn = 0
    for turn, (side, data) in enumerate(steps, 1):
        for start in range(0, len(data), mss):
            piece = data[start : start + mss]
            sent.append(Sent(side, offsets[side], piece, PSH | ACK, offsets[side.other], turn))
            offsets[side] += len(piece)
        sent.append(Sent(side.other, offsets[side.other], b"", ACK, offsets[side], turn))
    if fin:
        sent.append(Sent(CLIENT, offsets[CLIENT], b"", FIN | ACK, offsets[SERVER], turn + 1))
        sent.append(Sent(SERVER, offsets[SERVER], b"", FIN | ACK, offsets[CLIENT] + 1, turn + 2))
        sent.append(Sent(CLIENT, offsets[CLIENT] + 1, b"", ACK, offsets[SERVER] + 1, turn + 3))
    return sent


def repeated(sent: Sequence[Sent], random: Random, times: int) -> list[Sent]:
    """With bytes sent again later, in segments cut otherwise."""
    result = list(sent)
    for _ in range(times):
        place = random.randrange(len(result))
        one = result[place]
        earlier = [other for other in result[: place + 1] if other.side is one.side and other.data]
        if not earlier:
            continue
        size = max(other.at + len(other.data) for other in earlier)
        begin = random.randrange(size)
        end = min(size, begin + 1 + random.randrange(100))
        again = Sent(one.side, begin, stream_of(sent, one.side)[begin:end], PSH | ACK, earlier[-1].acked, one.turn)
        result.insert(place + 1, again)
    return result


def stream_of(sent: Iterable[Sent], side: Side) -> bytes:
    """What one half said; zeros where it is missing."""
    of_side = [one for one in sent if one.side is side and one.data]
    stream = bytearray(max(one.at + len(one.data) for one in of_side))
    for one in of_side:
        stream[one.at : one.at + len(one.data)] = one.data
    return bytes(stream)


def shuffled(sent: Sequence[Sent], random: Random) -> list[Sent]:
    """Segments of one step in any order."""
    result: list[Sent] = []
    for turn in sorted({one.turn for one in sent}):
        group = [one for one in sent if one.turn == turn]
        data = [one for one in group if one.data]
        random.shuffle(data)
        result += [data.pop() if one.data else one for one in group]
    return result


class Wire(NamedTuple):
    """How segments look on the wire."""

    v6: bool = False
    vlan: tuple[int, ...] = ()
    numbers: tuple[int, int] = (1000, 5000)  # first sequence number of each half
    ports: tuple[int, int] = (51022, 8080)
    step_ns: int = MILLISECOND
    start_ns: int = NOON

    def frame(self, one: Sent) -> bytes:
        source, target = ("fd00::7", "fd00::9") if self.v6 else ("10.0.0.7", "10.0.0.9")
        sport, dport = self.ports
        if one.side is SERVER:
            source, target, sport, dport = target, source, dport, sport
        seq = (self.numbers[one.side] + 1 + one.at) & MASK
        ack = (self.numbers[one.side.other] + 1 + one.acked) & MASK if one.flags & ACK else 0
        packet = tcp(source, target, sport, dport, one.data, seq=seq, ack=ack, flags=one.flags)
        return ethernet(packet, vlan=self.vlan)

    def packets(self, sent: Iterable[Sent]) -> list[Packet]:
        frames = [self.frame(one) for one in sent]
        return [
            Packet(frame, self.start_ns + index * self.step_ns, len(frame), 1) for index, frame in enumerate(frames)
        ]


PLAIN = Wire()


def datagrams(steps: Iterable[Step], port: int = 53, start_ns: int = NOON, vlan: tuple[int, ...] = ()) -> list[Packet]:
    packets = []
    for index, (side, data) in enumerate(steps):
        ends = ("10.0.0.7", "10.0.0.9", 51022, port) if side is CLIENT else ("10.0.0.9", "10.0.0.7", port, 51022)
        frame = ethernet_udp(*ends, data, vlan=vlan)
        packets.append(Packet(frame, start_ns + index * MILLISECOND, len(frame), 1))
    return packets
