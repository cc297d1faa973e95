"""The core composed: packets in, entries out; no thread, socket, file or clock.

The same packets give the same entries, however they are batched: time is packet time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pysniff.conversation import Conversation
from pysniff.core import Core
from pysniff.deadlines import NEVER
from pysniff.decode import Decoder
from pysniff.dissectors import known, refinements
from pysniff.entry import Entry
from pysniff.holding import Holding
from pysniff.ledger import Ledger, count
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.names import NOTHING as NO_NAMES
from pysniff.names import Learnt, Lesson, Names
from pysniff.overheard import Overheard
from pysniff.packet import Block, Datagram, Packet, Segment
from pysniff.plain import PlainChunk
from pysniff.protobuf.schema import NOTHING, Schemas
from pysniff.reassembly import COUNTED
from pysniff.resumption import Absent, Resumption
from pysniff.secrets import Secrets
from pysniff.shapes import PAYLOAD, interface_of, plain_datagram, shape_of
from pysniff.tcp import IDLE_CHECK, Connections, reverse
from pysniff.udp import Exchanges


class Sniffer:
    """Turns packets into entries.

    `decode_as`: transport and port to protocol, e.g. {("tcp", 9000): "redis"}. `proto`: protobuf descriptor sets.
    `node` and `capture_source` are written into the entries. `names`: what addresses are called, beside what traffic
    tells of it. `secrets`: what decrypts. `plain_alone`: what processes tell is read where no packets of the
    connection are seen, too; a capture filter wants otherwise. `remembering`: remember() is going to be asked.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT,
        node: str = "local",
        capture_source: str = "file",
        decode_as: Mapping[tuple[str, int], str] | None = None,
        proto: Schemas = NOTHING,
        names: Names = NO_NAMES,
        secrets: Secrets | None = None,
        plain_alone: bool = True,
        remembering: bool = False,
    ) -> None:
        refining = [refinement(limits, proto) for refinement in refinements()]
        self._core = Core(limits, known(), refining, decode_as or {}, node, capture_source, names, secrets, remembering)
        self._tcp = Connections(self._core)
        self._udp = Exchanges(self._core)
        self._overheard = Overheard(self._core, self._tcp, alone=plain_alone)
        self._decoder = Decoder(limits)
        self._holding = Holding(self._core)
        self._sweep = NEVER
        self._now = 0
        self._secrets_known = 0

    @property
    def ledger(self) -> Ledger:
        """The account as of now."""
        ledger = self._core.ledger
        open_now = [*self._tcp.open(), *self._udp.open(), *self._overheard.open()]
        waiting = [request for conversation in open_now for request in conversation.waiting()]
        ledger.pending_bytes = sum(conversation.pending() for conversation in open_now)
        ledger.waiting = len(waiting)
        ledger.waiting_bytes = sum(request.size for request in waiting)
        ledger.half_open_waiting = self._tcp.half_open()
        ledger.bodies_cut = self._core.kept.cut
        ledger.names_forgotten = self._core.names.forgotten
        ledger.fragments_expired = self._decoder.fragments.expired
        ledger.fragments_evicted = self._decoder.fragments.evicted
        return ledger

    def feed(self, packets: Iterable[Packet]) -> list[Entry]:
        """Take packets in capture order; the entries that they completed."""
        for packet in packets:
            self._receive(Block.of(packet))
        return self._taken()

    def feed_block(self, block: Block) -> list[Entry]:
        """As feed(), for a block: the fast way."""
        self._receive(block)
        return self._taken()

    def feed_plain(self, chunks: Iterable[PlainChunk]) -> list[Entry]:
        """Take plain text that processes sent and received, in the order of its time among the packets.

        It is read where the packets of its connection cannot be decrypted, or where there are none.
        """
        for chunk in chunks:
            self._advance(chunk.time_ns)
            self._overheard.take(chunk)
            self._weigh(0, chunk.time_ns)
        return self._taken()

    def resume(self, resumption: Resumption) -> None:
        """Let a conversation go on, under its name, when its next packet comes; one that is open does so anyway."""
        half = self._tcp.halves.get(resumption.key) if resumption.transport == "tcp" else None
        if half is not None and half.conversation is not None:
            return
        for key in (resumption.key, reverse(resumption.key)):
            self._core.resumed[resumption.transport, key] = resumption

    def remember(self) -> list[Resumption]:
        """For resume(), in another Sniffer: open conversations that cannot be read on without what came before."""
        return list(self._tcp.remember())

    def settled(self, before: int) -> bool:
        """Whether every exchange that began up to that time is in an entry, closed."""
        return self._overheard.settled(before) and all(
            conversation.flow.first > before or conversation.settled(before)
            for conversation in (*self._tcp.open(), *self._udp.open(), *self._overheard.open())
        )

    def left_out(self, stream: str, part: int, ends: tuple[Absent, Absent]) -> None:
        """Know of packets that were not kept, of a conversation that nobody recognises: its entry counts them.

        `ends`: of the sender of its first payload, and of the other; told again for the same `part`, they replace
        what was told before.
        """
        self._core.left_out.setdefault(stream, {})[part] = ends

    @property
    def names(self) -> Learnt:
        """What addresses are called, as far as it is known now."""
        return self._core.names

    def learn(self, lessons: Iterable[Lesson]) -> None:
        """Know names of addresses from now on, as answers of DNS tell them."""
        for one in lessons:
            self._core.names.learn(one.address, one.name, one.time_ns)

    def filtered(self, packets: int) -> None:
        """Count packets that a capture filter kept away from here."""
        self._core.ledger.packets += packets
        self._core.ledger.filtered += packets

    def advance(self, time_ns: int) -> list[Entry]:
        """Let packet time pass without packets; the entries whose deadline came."""
        self._advance(time_ns)
        if self._core.decrypting:
            self._ask_again()
        return self._taken()

    def ongoing(self) -> list[Entry]:
        """Every exchange that is open, as it stands, however short its time: for who stops here and the capture does
        not. What was given as open and has not moved on since is left out; feeding may go on."""
        for conversation in (*self._tcp.open(), *self._udp.open(), *self._overheard.open()):
            conversation.show_open(self._now)
        return self._taken()

    def close(self) -> list[Entry]:
        """The capture is over; everything still open becomes an entry."""
        self._tcp.close(self._now)
        self._udp.close(self._now)
        self._overheard.close(self._now)
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
                if self._sweep > due + SECOND:  # the clock was ahead: without sweeps nothing would end here
                    self._sweep = (due // SECOND + 1) * SECOND
            elif self._busy():
                idle_check = due % IDLE_CHECK == 0
                self._decoder.fragments.advance(due)
                self._tcp.sweep(due, idle_check)
                self._udp.sweep(due, idle_check)
                self._overheard.sweep(due, idle_check)
                self._decrypt(due)
                self._sweep = due + SECOND
            else:
                self._sweep = NEVER
        self._now = max(self._now, now)
        if self._sweep == NEVER:
            self._sweep = (now // SECOND + 1) * SECOND
        return min(core.deadlines.next, self._sweep)

    def _busy(self) -> bool:
        """Whether there is anything that time could change."""
        return self._tcp.busy() or self._udp.busy() or self._overheard.busy() or bool(self._decoder.fragments.waiting)

    def _receive(self, block: Block) -> None:
        self._core.ledger.packets += len(block)
        self._core.ledger.packet_bytes += block.captured()
        self._run(block)
        if self._core.decrypting:
            self._ask_again()

    def _ask_again(self) -> None:
        """Look for secrets, and go on with conversations that wait for some."""
        secrets = self._core.secrets
        if not secrets.complete:
            secrets.poll()
        if secrets.added != self._secrets_known:
            self._secrets_known = secrets.added
            self._decrypt(self._now)

    def _weigh(self, in_order: int, at: int) -> int:
        """So many bytes more went on, of TCP: see to it that open conversations do not hold too much; how many bytes
        later to look again."""
        self._core.ledger.tcp_in_order += in_order
        if self._holding.came() >= self._holding.due and self._holding.is_much():
            self._lighten(at)
        return self._holding.due - self._holding.came()

    def _lighten(self, at: int) -> None:
        places: dict[Conversation, Callable[[Conversation, int], None]] = {}
        for one, give_up in (
            (self._tcp.open(), self._tcp.give_up),
            (self._udp.open(), self._udp.give_up),
            (self._overheard.open(), self._overheard.give_up),
        ):
            places.update(dict.fromkeys(one, give_up))
        self._holding.lighten(places, lambda conversation: places[conversation](conversation, at))

    def _decrypt(self, now: int) -> None:
        waiting = self._core.waiting
        if waiting and not self._core.secrets.complete:
            self._core.secrets.poll()
        for conversation in list(waiting):
            if not conversation.ask_again(now):
                waiting.pop(conversation, None)

    def _run(self, block: Block) -> None:
        """The packet loop: TCP in its common shapes takes one unpacking and one look-up; the rest goes elsewhere."""
        core, segment, acknowledge = self._core, self._tcp.segment, self._tcp.acknowledge
        ledger, deadlines, holes, get = core.ledger, core.deadlines, core.holes, self._tcp.halves.get
        data, counted = block.data, COUNTED
        unpack4, unpack6, ip, type4, types6 = shape_of(block.linktype)
        payload4, payload6 = PAYLOAD[ip + 20], PAYLOAD[ip + 40]
        holding = self._holding
        tcp = tcp_bytes = in_order = skipped = ts = 0
        due = -NEVER
        enough = holding.due - holding.came()  # of `in_order`
        for ts, start, end, wire in block.records:
            if ts >= due:
                due = self._advance(ts)
                enough = holding.due - holding.came()
            stop, body, first = start, end + 1, data[start + ip]  # of no common shape, until it has one
            if first == 0x45:
                kind, size, word, key, seq, ack, offset, flags = unpack4(data, start)
                if word & 0x3FFF00FF == 6 and kind == type4:  # no fragment, and TCP behind
                    stop = start + ip + size
                    body = start + payload4[offset]
            elif first & 0xF0 == 0x60:
                kind, size, protocol, key, seq, ack, offset, flags = unpack6(data, start)
                if protocol == 6 and kind in types6:
                    stop = start + ip + 40 + size
                    body = start + payload6[offset]
            length = stop - body
            if length < 0 or stop > end:
                if end < 0:
                    ledger.tcp_in_order += in_order
                    tcp_bytes += in_order
                    in_order = 0
                    self._run_alike(block, ts, start, end, wire)
                    due = min(due, deadlines.next)
                    enough = holding.due - holding.came()
                    continue
                self._other(block, ts, start, end, wire)
            else:
                tcp += 1
                if length and not flags & 7:  # no FIN, SYN, RST
                    half = get(key)
                    if half is not None:
                        ready = half.ready
                        # In order, and no answer to bytes that are yet to come.
                        if ready == seq and (half.peer.next - ack) & 0xFFFFFFFF < 0x80000000:
                            in_order += length
                            half.ready = half.next = (seq + length) & 0xFFFFFFFF
                            half.recent = payload = data[body:stop]
                            try:  # as Conversation.feed() does it
                                outputs = half.receive(payload, ts)
                            except Exception as problem:
                                assert half.conversation is not None  # or it would not be ready
                                half.conversation.failed(problem)
                            else:
                                if outputs:
                                    assert half.conversation is not None
                                    half.conversation.take(outputs, ts)
                            if in_order >= enough:
                                tcp_bytes += in_order
                                enough = self._weigh(in_order, ts)
                                in_order = 0
                            continue
                        tcp_bytes += length
                        if ready == counted:
                            skipped += length
                            half.packets += 1
                            half.bytes += length
                            half.last = ts
                            continue
                    else:
                        tcp_bytes += length
                elif length or flags & 7:
                    tcp_bytes += length
                elif holes:
                    acknowledge(key, ack, ts)
                    continue
                else:
                    continue
                segment(key, seq, ack, flags, data[body:stop], 0, ts)
            if deadlines.next < due:
                due = deadlines.next
            enough = holding.due - holding.came()
            if in_order >= enough:
                tcp_bytes += in_order
                enough = self._weigh(in_order, ts)
                in_order = 0
        ledger.tcp_packets += tcp
        ledger.tcp_bytes += tcp_bytes + in_order
        ledger.tcp_in_order += in_order
        ledger.skipped_bytes += skipped
        self._now = max(self._now, ts)

    def _run_alike(self, block: Block, at: int, start: int, end: int, size: int) -> None:
        """A run of segments alike (runs.py): counted at once where nobody wants them, else taken apart."""
        assert block.time_at is not None
        data, packets, shape = block.data, -end, shape_of(block.linktype)
        kind, total, word, key, _, _, offset, flags = shape.unpack4(data, start)
        half = self._tcp.halves.get(key)
        last = block.time_at(data, start + (packets - 1) * (size + block.header))
        length = total - 20 - (offset >> 4) * 4
        plain = data[start + shape.ip] == 0x45 and word & 0x3FFF00FF == 6 and kind == shape.type4 and not flags & 7
        fits = length > 0 and offset >> 4 >= 5 and shape.ip + total <= size
        if (
            plain
            and fits
            and half is not None
            and half.ready == COUNTED
            and at <= last < min(self._core.deadlines.next, self._sweep)
        ):
            ledger = self._core.ledger
            ledger.tcp_packets += packets
            ledger.tcp_bytes += packets * length
            ledger.skipped_bytes += packets * length
            half.packets += packets
            half.bytes += packets * length
            half.last = last
            return
        apart = Block(data, block.singles((at, start, end, size)), block.linktype, block.interface)
        self._run(apart)

    def _other(self, block: Block, at: int, start: int, end: int, wire_length: int) -> None:
        """A packet that is no TCP segment of a common shape: UDP in one, or anything."""
        datagram = plain_datagram(block, start, end)
        if datagram is None:
            self._slow(block, start, end, wire_length, at)
        else:
            self._core.ledger.udp_packets += 1
            self._udp.datagram(datagram.key, datagram.payload, 0, at, interface_of(block, start))

    def _slow(self, block: Block, start: int, end: int, wire_length: int, at: int) -> None:
        """Any other packet; several messages in one (netlink, A-MSDU) are counted each."""
        ledger = self._core.ledger
        interface = interface_of(block, start)
        every = self._decoder.decode(block.data[start:end], block.linktype, wire_length, at, interface)
        ledger.inner_packets += len(every) - 1
        for found in every:
            if isinstance(found, Segment):
                ledger.tcp_packets += 1
                ledger.tcp_bytes += len(found.payload)
                self._tcp.segment(found.key, found.seq, found.ack, found.flags, found.payload, found.missing, at)
            elif isinstance(found, Datagram):
                ledger.udp_packets += 1
                self._udp.datagram(found.key, found.payload, found.missing, at, interface)
            elif found.reason == "fragment":
                ledger.fragments += 1
            else:
                count(getattr(ledger, found.reason), found.detail)
