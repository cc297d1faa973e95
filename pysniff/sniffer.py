"""The core composed: packets in, entries out; no thread, socket, file or clock.

The same packets give the same entries, however they are batched: time is packet time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pysniff.core import Core
from pysniff.deadlines import NEVER
from pysniff.decode import Decoder
from pysniff.dissectors import known
from pysniff.entry import Entry
from pysniff.ledger import Ledger, count
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.packet import Block, Datagram, Packet, Segment
from pysniff.reassembly import COUNTED
from pysniff.shapes import PAYLOAD, shape_of
from pysniff.tcp import IDLE_CHECK, Connections
from pysniff.tunnels import TUNNELS
from pysniff.udp import Exchanges

# A datagram from or to one of these may hold a packet, which decode.py finds.
TUNNEL_PORTS = frozenset(port.to_bytes(2, "big") for port in TUNNELS)


class Sniffer:
    """Turns packets into entries.

    `decode_as`: transport and port to protocol, e.g. {("tcp", 9000): "redis"}. `node` and `capture_source` are
    written into the entries.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT,
        node: str = "local",
        capture_source: str = "file",
        decode_as: Mapping[tuple[str, int], str] | None = None,
    ) -> None:
        self._core = Core(limits, known(), decode_as or {}, node, capture_source)
        self._tcp = Connections(self._core)
        self._udp = Exchanges(self._core)
        self._decoder = Decoder(limits)
        self._sweep = NEVER
        self._now = 0

    @property
    def ledger(self) -> Ledger:
        """The account as of now."""
        ledger = self._core.ledger
        open_now = [*self._tcp.open(), *self._udp.open()]
        waiting = [request for conversation in open_now for request in conversation.pairs.waiting()]
        ledger.pending_bytes = sum(conversation.pending() for conversation in open_now)
        ledger.waiting = len(waiting)
        ledger.waiting_bytes = sum(request.size for request in waiting)
        ledger.half_open_waiting = self._tcp.half_open()
        ledger.fragments_expired = self._decoder.fragments.expired
        ledger.fragments_evicted = self._decoder.fragments.evicted
        return ledger

    def feed(self, packets: Iterable[Packet]) -> list[Entry]:
        """Take packets in capture order; the entries that they completed."""
        for packet in packets:
            self._run(Block.of(packet))
        return self._taken()

    def feed_block(self, block: Block) -> list[Entry]:
        """As feed(), for a block: the fast way."""
        self._run(block)
        return self._taken()

    def filtered(self, packets: int) -> None:
        """Count packets that a capture filter kept away from here."""
        self._core.ledger.packets += packets
        self._core.ledger.filtered += packets

    def advance(self, time_ns: int) -> list[Entry]:
        """Let packet time pass without packets; the entries whose deadline came."""
        self._advance(time_ns)
        return self._taken()

    def close(self) -> list[Entry]:
        """The capture is over; everything still open becomes an entry."""
        self._tcp.close(self._now)
        self._udp.close(self._now)
        return self._taken()

    def _taken(self) -> list[Entry]:
        entries, self._core.entries = self._core.entries, []
        return entries

    def _advance(self, now: int) -> int:
        """Fire every deadline up to now, in order; when the next one is due."""
        core, deadlines = self._core, self._core.deadlines
        while True:
            due = min(deadlines.next, self._sweep)
            if due > now:
                break
            self._now = due
            if deadlines.next <= self._sweep:
                deadlines.fire()
            elif self._tcp.busy() or self._udp.busy():
                idle_check = due % IDLE_CHECK == 0
                self._tcp.sweep(due, idle_check)
                self._udp.sweep(due, idle_check)
                self._sweep = due + SECOND
            else:
                self._sweep = NEVER
        self._now = max(self._now, now)
        if self._sweep == NEVER:
            self._sweep = (now // SECOND + 1) * SECOND
        return min(core.deadlines.next, self._sweep)

    def _run(self, block: Block) -> None:
        """The packet loop: common shapes of IPv4 and IPv6 in one unpacking, the rest one by one."""
        core, general, slow = self._core, self._tcp.segment, self._slow
        ledger, deadlines, holes, get = core.ledger, core.deadlines, core.holes, self._tcp.halves.get
        data = block.data
        unpack4, unpack6, ip, type4, types6 = shape_of(block.linktype)
        payload4, payload6 = PAYLOAD[ip + 20], PAYLOAD[ip + 40]
        tcp = tcp_bytes = in_order = skipped = captured = ts = 0
        due = -NEVER
        for ts, start, end, wire in block.records:
            if ts >= due:
                due = self._advance(ts)
            captured += end - start
            kind, version, size, fragment, protocol, key, seq, offset, flags = unpack4(data, start)
            if version == 0x45 and kind == type4 and not fragment & 0x3FFF:
                network = start + ip + 20
                stop = network - 20 + size
                body = start + payload4[offset]
            elif version & 0xF0 == 0x60 and kind in types6:
                size, protocol, key, seq, offset, flags = unpack6(data, start)
                network = start + ip + 40
                stop = network + size
                body = start + payload6[offset]
            else:
                protocol = stop = 0
            if protocol == 6 and body <= stop <= end:
                tcp += 1
                length = stop - body
                if length and not flags & 7:  # no FIN, SYN, RST
                    tcp_bytes += length
                    half = get(key)
                    if half is None:
                        ack = int.from_bytes(data[network + 8 : network + 12], "big")
                        general(key, seq, ack, flags, data[body:stop], 0, ts)
                    elif half.ready == seq:
                        in_order += length
                        half.ready = half.next = (seq + length) & 0xFFFFFFFF
                        half.recent = payload = data[body:stop]
                        half.receive(half.side, payload, ts)
                        continue
                    elif half.ready == COUNTED:
                        skipped += length
                        half.packets += 1
                        half.bytes += length
                        half.last = ts
                        continue
                    else:
                        ack = int.from_bytes(data[network + 8 : network + 12], "big")
                        general(key, seq, ack, flags, data[body:stop], 0, ts)
                elif length or flags & 7:
                    tcp_bytes += length
                    ack = int.from_bytes(data[network + 8 : network + 12], "big")
                    general(key, seq, ack, flags, data[body:stop], 0, ts)
                elif holes:
                    self._tcp.acknowledge(key, int.from_bytes(data[network + 8 : network + 12], "big"), ts)
                else:
                    continue
            elif protocol == 17 and stop <= end and 8 <= seq >> 16 <= stop - network and key[-2:] not in TUNNEL_PORTS and key[-4:-2] not in TUNNEL_PORTS:
                ledger.udp_packets += 1
                self._udp.datagram(key, data[network + 8 : network + (seq >> 16)], 0, ts)
            else:
                slow(data[start:end], block.linktype, wire, ts)
            if deadlines.next < due:
                due = deadlines.next
        ledger.packets += len(block.records)
        ledger.packet_bytes += captured
        ledger.tcp_packets += tcp
        ledger.tcp_bytes += tcp_bytes
        ledger.tcp_in_order += in_order
        ledger.skipped_bytes += skipped
        self._now = max(self._now, ts)

    def _slow(self, packet: bytes, linktype: int, wire_length: int, at: int) -> None:
        """Any other packet."""
        ledger = self._core.ledger
        found = self._decoder.decode(packet, linktype, wire_length, at)
        if isinstance(found, Segment):
            ledger.tcp_packets += 1
            ledger.tcp_bytes += len(found.payload)
            self._tcp.segment(found.key, found.seq, found.ack, found.flags, found.payload, found.missing, at)
        elif isinstance(found, Datagram):
            ledger.udp_packets += 1
            self._udp.datagram(found.key, found.payload, found.missing, at)
        elif found.reason == "fragment":
            ledger.fragments += 1
        else:
            count(getattr(ledger, found.reason), found.detail)
