"""A TCP connection that writes its own packets, and one whose packets a Sniffer sees as they are sent.

Bytes in, Packets out; time starts at 1 s and goes on 1 ms a packet. Every packet carries the newest ACK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from packets import ethernet_tcp

from pysniff.entry import Entry
from pysniff.ledger import Ledger
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import ACK, FIN, PSH, RST, SYN, Packet
from pysniff.sniffer import Sniffer

MILLISECOND = 1_000_000


class Wire:
    """`next`: the sequence number that each side sends next. `now`: time of the last packet, ns."""

    def __init__(
        self,
        client: str = "10.0.0.1",
        server: str = "10.0.0.2",
        sport: int = 51000,
        dport: int = 80,
        *,
        starts: tuple[int, int] = (1000, 5000),
        now: int = SECOND,
    ) -> None:
        self.ends = ((client, sport), (server, dport))
        self.next = list(starts)
        self.now = now

    def packet(
        self,
        side: Side,
        payload: bytes = b"",
        flags: int = ACK,
        *,
        seq: int | None = None,
        ack: int | None = None,
        keep: int | None = None,
    ) -> Packet:
        """Any packet at all; what is sent next stays as it is. `keep`: bytes of payload the snapshot left."""
        self.now += MILLISECOND
        (src, sport), (dst, dport) = self.ends[side], self.ends[side.other]
        seq = self.next[side] if seq is None else seq
        ack = (self.next[side.other] if ack is None else ack) if flags & ACK else 0
        frame = ethernet_tcp(src, dst, sport, dport, payload, seq=seq, ack=ack, flags=flags)
        kept = frame if keep is None else frame[: len(frame) - len(payload) + keep]
        return Packet(kept, self.now, len(frame))

    def send(self, side: Side, payload: bytes = b"", flags: int = PSH | ACK, *, keep: int | None = None) -> Packet:
        """The next bytes of one half."""
        packet = self.packet(side, payload, flags, keep=keep)
        self.skip(side, len(payload) + bool(flags & SYN) + bool(flags & FIN))
        return packet

    def skip(self, side: Side, size: int) -> None:
        """So many bytes are sent where nobody captures."""
        self.next[side] = (self.next[side] + size) & 0xFFFFFFFF

    def handshake(self) -> list[Packet]:
        return [self.send(CLIENT, flags=SYN), self.send(SERVER, flags=SYN | ACK), self.packet(CLIENT)]

    def farewell(self) -> list[Packet]:
        return [self.send(CLIENT, flags=FIN | ACK), self.send(SERVER, flags=FIN | ACK), self.packet(CLIENT)]


class Watched(Wire):
    """Its packets go into `sniffer` at once; after each call the ledger balances.

    `seen`: every entry, revisions too. `shaken`: begins with the handshake.
    """

    def __init__(self, sniffer: Sniffer | None = None, *, shaken: bool = True, **wire: Any) -> None:
        super().__init__(**wire)
        self.sniffer = sniffer or Sniffer()
        self.seen: list[Entry] = []
        if shaken:
            self.see(*self.handshake())

    @property
    def ledger(self) -> Ledger:
        return self.sniffer.ledger

    @property
    def entries(self) -> list[Any]:
        """The last revision of each, in the order of their first."""
        return list({entry.id: entry for entry in self.seen}.values())

    @property
    def protocols(self) -> list[str]:
        return [entry.protocol for entry in self.entries]

    def see(self, *packets: Packet) -> Self:
        return self._take(self.sniffer.feed(packets))

    def client(self, *pieces: bytes) -> Self:
        return self.see(*(self.send(CLIENT, piece) for piece in pieces))

    def server(self, *pieces: bytes) -> Self:
        return self.see(*(self.send(SERVER, piece) for piece in pieces))

    def wait(self, seconds: float) -> Self:
        """Nothing happens for some time."""
        self.now += int(seconds * SECOND)
        return self._take(self.sniffer.advance(self.now))

    def reset(self, side: Side = CLIENT) -> Self:
        return self.see(self.packet(side, flags=RST | ACK))

    def bye(self) -> Self:
        """FIN both ways."""
        return self.see(*self.farewell())

    def close(self) -> Self:
        """The capture ends."""
        return self._take(self.sniffer.close())

    def _take(self, entries: Iterable[Entry]) -> Self:
        self.seen += entries
        assert self.ledger.imbalances() == []
        return self


def summaries(entries: Iterable[Any]) -> list[tuple[str, str]]:
    """What was asked and how it ended."""
    return [(entry.summary, entry.status) for entry in entries]


def kinds(entry: Any) -> list[str]:
    """The kinds of its faults."""
    return [fault.kind for fault in entry.faults]
