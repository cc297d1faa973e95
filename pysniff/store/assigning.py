"""Gives the packets of one block to their conversations: whole groups at once where nothing begins or ends."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pysniff.detect import Chunk, Detection
from pysniff.limits import KIB, SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.packet import ACK, FIN, RST, SYN
from pysniff.store.columns import TCP, Bools, Columns, Ints
from pysniff.store.followed import MASK, SIGN, Followed
from pysniff.store.rows import ENDED, UNSURE

# Kept of each half of a conversation that nobody recognises.
KEPT = 64 * KIB
# One packet of what is left out is kept in this time, so that the conversation does not seem to be over.
PULSE = 10 * SECOND


class Table(Protocol):
    """What a batch needs of the table of all conversations (flows.py)."""

    keep_all: bool
    clock: int
    cut_packets: int
    cut_bytes: int

    def find(self, pair: int) -> Followed | None: ...

    def follow(self, pair: int, transport: int, key: bytes, back: bool, at: int) -> Followed: ...

    def number(self, flow: Followed, at: int) -> int: ...

    def detection(self, flow: Followed) -> Detection: ...

    def recognises(self, flow: Followed, payload: bytes) -> bool: ...

    def decided(self, flow: Followed, protocol: str, *, at_once: bool) -> None: ...

    def undecided(self, flow: Followed) -> None: ...


class _Packets:
    """The packets of a block in some order, as lists: to look at single ones."""

    __slots__ = ("index", "time", "flags", "length", "back", "kind", "seq", "size", "clock")

    def __init__(self, columns: Columns, order: Ints, clock: Ints) -> None:
        self.index: list[int] = order.tolist()
        self.time: list[int] = columns.time[order].tolist()
        self.flags: list[int] = columns.flags[order].tolist()
        self.length: list[int] = columns.length[order].tolist()
        self.back: list[bool] = columns.back[order].tolist()
        self.kind: list[int] = columns.kind[order].tolist()
        self.seq: list[int] = columns.seq[order].tolist()
        self.size: list[int] = columns.size[order].tolist()
        self.clock: list[int] = clock[order].tolist()

    def behind_syn(self, start: int, stop: int) -> int:
        """The first place of a group behind its last SYN."""
        while stop > start and not self.flags[stop - 1] & SYN:
            stop -= 1
        return stop


class Batch:
    """One block of packets, conversation by conversation."""

    def __init__(self, table: Table, columns: Columns, ours: Ints, numbers: Ints, keep: Bools) -> None:
        self._table = table
        self._columns = columns
        self._numbers = numbers
        self._keep = keep
        # What deadlines go by: the newest time so far, for packets may be late.
        self._clock = np.maximum(np.maximum.accumulate(columns.time), table.clock)
        table.clock = int(self._clock[-1])
        order = ours[np.argsort(columns.pair[ours], kind="stable")]
        pair = columns.pair[order]
        starts = np.concatenate(([0], np.flatnonzero(pair[1:] != pair[:-1]) + 1))
        self._order = order
        self._starts = starts
        self._pairs: list[int] = pair[starts].tolist()
        self._packets: _Packets | None = None  # in that order, for those looked at one by one

    def run(self) -> None:
        columns, order, starts = self._columns, self._order, self._starts
        back, length, flags = columns.back[order], columns.length[order], columns.flags[order]
        ways = [(length > 0) & ~back, (length > 0) & back]
        size: list[int] = np.add.reduceat(columns.size[order], starts).tolist()
        begin: list[int] = np.minimum.reduceat(columns.time[order], starts).tolist()
        end: list[int] = np.maximum.reduceat(columns.time[order], starts).tolist()
        clock: list[int] = np.maximum.reduceat(self._clock[order], starts).tolist()
        every: list[int] = np.bitwise_or.reduceat(flags, starts).tolist()
        firsts, reaches = zip(*[self._spans(way) for way in ways], strict=True)
        sums: list[list[int]] = [np.add.reduceat(np.where(way, length, 0), starts).tolist() for way in ways]
        stops: list[int] = [*starts[1:].tolist(), len(order)]
        begins: list[int] = starts.tolist()
        rows = np.empty(len(order), np.int64)
        table = self._table
        for group, pair in enumerate(self._pairs):
            start, stop = begins[group], stops[group]
            flow, at = table.find(pair), end[group]
            if flow is None or flow.detection is not None or every[group] & SYN or clock[group] >= flow.expires:
                self._one_by_one(flow, pair, start, stop, rows)
                continue
            forward = 1 if flow.forward else 0
            if not flow.kept:
                payloads = (sums[forward][group], sums[1 - forward][group])
                if not self._is_cut(flow, payloads, every[group], at):
                    self._one_by_one(flow, pair, start, stop, rows)
                    continue
                rows[start:stop] = table.number(flow, begin[group])
                self._cut_all(flow, payloads, start, stop, size[group], at)
            else:
                rows[start:stop] = table.number(flow, begin[group])
                flow.packets += stop - start
                flow.bytes += size[group]
            flow.begin = min(flow.begin, begin[group])
            flow.end = max(flow.end, at)
            for way in range(2):
                seen = sums[way][group]
                if seen:
                    flow.moved(way ^ forward, firsts[way][group], reaches[way][group], clock[group], seen)
            if every[group] & (FIN | RST):
                for place in (start + np.flatnonzero(flags[start:stop] & (FIN | RST))).tolist():
                    flow.closing(int(back[place]) ^ forward, int(flags[place]), at)
        self._numbers[order] = rows

    def _spans(self, way: Bools) -> tuple[list[int], list[int]]:
        """Of each group's payload one way: the first sequence number, and how far behind it the payload reaches.

        The last packet need not reach furthest: it may be sent again.
        """
        starts, count = self._starts, len(self._order)
        seq = self._columns.seq[self._order].astype(np.int64)
        first = np.minimum.reduceat(np.where(way, np.arange(count), count), starts)
        begin = seq[np.minimum(first, count - 1)]
        since = np.repeat(begin, np.diff(np.append(starts, count)))
        reach = ((seq + self._columns.length[self._order] - since + SIGN) & MASK) - SIGN
        return begin.tolist(), np.maximum.reduceat(np.where(way, reach, 0), starts).tolist()

    def _is_cut(self, flow: Followed, payloads: tuple[int, int], flags: int, at: int) -> bool:
        """Whether _cut() says so of every packet of a group; `payloads`: bytes from a and from b."""
        if flags & (SYN | FIN | RST) or self._table.keep_all or at >= flow.pulse:
            return False
        return max(flow.seen) > KEPT and all(
            seen > KEPT for seen, size in zip(flow.seen, payloads, strict=True) if size
        )

    def _cut_all(self, flow: Followed, payloads: tuple[int, int], start: int, stop: int, size: int, at: int) -> None:
        chosen = self._order[start:stop]
        self._keep[chosen] = False
        self._table.cut_packets += stop - start
        self._table.cut_bytes += size
        if flow.marks & ENDED:  # nothing of it comes into an entry any more
            return
        with_payload = self._columns.length[chosen] > 0
        for end in (0, 1):
            if payloads[end]:
                way = self._columns.back[chosen] == (flow.forward if end == 0 else not flow.forward)
                flow.cut_packets[end] += int(np.count_nonzero(with_payload & way))
                flow.cut_bytes[end] += payloads[end]
                flow.cut_end[end] = at

    def _one_by_one(self, flow: Followed | None, pair: int, start: int, stop: int, rows: Ints) -> None:
        """Packets of a conversation that begins, or of which not all is kept."""
        packets = self._packets
        if packets is None:
            packets = self._packets = _Packets(self._columns, self._order, self._clock)
        table = self._table
        # From behind the last SYN on, what is recognised needs no looks at single packets; the clock only rises.
        alike, latest = packets.behind_syn(start, stop), packets.clock[stop - 1]
        number, since = -1, start
        for place in range(start, stop):
            index, at, clock = packets.index[place], packets.time[place], packets.clock[place]
            flags, length, seq = packets.flags[place], packets.length[place], packets.seq[place]
            is_tcp = packets.kind[place] == TCP
            back = packets.back[place]
            payload = length > 0 or not is_tcp
            if flow is None or (
                (flags & SYN and flow.begun and self._is_new(flow, back, seq, flags))
                or (payload and clock >= flow.expires)
            ):
                if number >= 0:
                    rows[since:place] = number
                flow = table.follow(pair, packets.kind[place], self._columns.key(index), back, at)
                number = -1
            if number < 0:
                number, since = table.number(flow, at), place
            end = 1 if back != flow.forward else 0
            if flags & SYN:
                seq = (seq + 1) & MASK
                if not flow.begun:
                    flow.bases[end] = flow.ahead[end] = seq
                    flow.syns[end] = (flags & ACK > 0, at, clock)
                elif flow.bases[end] < 0:
                    flow.bases[end] = flow.ahead[end] = seq
            if payload:
                if not flow.begun:
                    flow.begin_with(end, seq, at, clock)
                    if not table.recognises(flow, self._columns.payload(index)):
                        flow.detection = table.detection(flow)
                if flow.detection is not None:
                    self._detect(flow, flow.detection, end, seq, index, at)
            if not flow.kept and self._cut(flow, end, length, flags, at):
                self._keep[index] = False
                table.cut_packets += 1
                table.cut_bytes += packets.size[place]
            else:
                flow.packets += 1
                flow.bytes += packets.size[place]
            if at > flow.end:
                flow.end = at
            elif at < flow.begin:
                flow.begin = at
            if payload:
                flow.moved(end, seq, length, clock, length)
            if flags & (FIN | RST):
                flow.closing(end, flags, at)
            if flow.kept and flow.detection is None and place >= alike and is_tcp and latest < flow.expires:
                self._keep_all(flow, packets, place + 1, stop)
                break
        rows[since:stop] = number

    def _keep_all(self, flow: Followed, packets: _Packets, start: int, stop: int) -> None:
        """The rest of a group: TCP segments without SYN of a conversation that is recognised, as run() takes them."""
        if start == stop:
            return
        forward = 1 if flow.forward else 0
        begin, reach, seen = [-1, -1], [0, 0], [0, 0]
        flow.packets += stop - start
        for place in range(start, stop):
            flow.bytes += packets.size[place]
            at = packets.time[place]
            if at > flow.end:
                flow.end = at
            elif at < flow.begin:
                flow.begin = at
            length = packets.length[place]
            if length:
                way = 1 if packets.back[place] else 0
                seq = packets.seq[place]
                if begin[way] < 0:
                    begin[way] = seq
                step = ((seq + length - begin[way] + SIGN) & MASK) - SIGN
                if step > reach[way]:
                    reach[way] = step
                seen[way] += length
        for way in range(2):
            if seen[way]:
                flow.moved(way ^ forward, begin[way], reach[way], packets.clock[stop - 1], seen[way])
        for place in range(start, stop):
            if packets.flags[place] & (FIN | RST):
                flow.closing((1 if packets.back[place] else 0) ^ forward, packets.flags[place], flow.end)

    def _is_new(self, flow: Followed, back: bool, seq: int, flags: int) -> bool:
        """Whether a SYN begins another connection between the same ends (Connections._syn)."""
        base = flow.bases[int(back != flow.forward)]
        return base != (seq + 1) & MASK and (base >= 0 or bool(flow.marks & ENDED) or not flags & ACK)

    def _detect(self, flow: Followed, detection: Detection, end: int, seq: int, index: int, at: int) -> None:
        """What the first bytes promise, as Conversation finds it out."""
        if flow.transport == TCP and flow.ahead[end] >= 0 and seq != flow.ahead[end]:
            if (seq - flow.ahead[end]) & MASK < SIGN:  # out of order: let nobody depend on it
                flow.detection, flow.kept = None, True
                flow.marks |= UNSURE
            return
        first = flow.client or flow.lead
        side = CLIENT if first == end + 1 else SERVER
        again = bool(flow.seen[end])
        found = detection.add(Chunk(side, self._columns.payload(index), at))
        if found is not None:
            flow.detection = None
            flow.client = 3 - first if found.flip else first
            self._table.decided(flow, found.dissector.protocol, at_once=not again)
        elif detection.exhausted:
            flow.detection = None
            self._table.undecided(flow)

    def _cut(self, flow: Followed, end: int, length: int, flags: int, at: int) -> bool:
        """Whether to leave a packet out: of a half that nobody recognised, or what only acknowledges it."""
        if flags & (SYN | FIN | RST) or self._table.keep_all:
            return False
        most = flow.seen[end] if length else max(flow.seen)
        if most + length <= KEPT or at >= flow.pulse:
            flow.pulse = at + PULSE
            return False
        if length and not flow.marks & ENDED:  # as Transfer counts them
            flow.cut_packets[end] += 1
            flow.cut_bytes[end] += length
            flow.cut_end[end] = at
        return True
