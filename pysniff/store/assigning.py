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
        self._pairs = pair[starts].tolist()
        self._lists: list[list[int]] | None = None  # of the packets in that order, for those looked at one by one

    def run(self) -> None:
        columns, order, starts = self._columns, self._order, self._starts
        back, length, flags = columns.back[order], columns.length[order], columns.flags[order]
        ways = [(length > 0) & ~back, (length > 0) & back]
        size = np.add.reduceat(columns.size[order], starts).tolist()
        begin = np.minimum.reduceat(columns.time[order], starts).tolist()
        end = np.maximum.reduceat(columns.time[order], starts).tolist()
        clock = np.maximum.reduceat(self._clock[order], starts).tolist()
        every = np.bitwise_or.reduceat(flags, starts).tolist()
        spans = [self._spans(way) for way in ways]
        sums = [np.add.reduceat(np.where(way, length, 0), starts).tolist() for way in ways]
        stops = [*starts[1:].tolist(), len(order)]
        rows = np.empty(len(order), np.int64)
        find, number = self._table.find, self._table.number
        for group, (pair, start, stop) in enumerate(zip(self._pairs, starts.tolist(), stops, strict=True)):
            flow, at = find(pair), end[group]
            if flow is None or flow.detection is not None or every[group] & SYN or clock[group] >= flow.expires:
                self._one_by_one(flow, pair, start, stop, rows)
                continue
            forward = 1 if flow.forward else 0
            if not flow.kept:
                payloads = (sums[forward][group], sums[1 - forward][group])
                if not self._is_cut(flow, payloads, every[group], at):
                    self._one_by_one(flow, pair, start, stop, rows)
                    continue
                rows[start:stop] = number(flow, begin[group])
                self._cut_all(flow, payloads, start, stop, size[group], at)
            else:
                rows[start:stop] = number(flow, begin[group])
                flow.packets += stop - start
                flow.bytes += size[group]
            flow.begin = min(flow.begin, begin[group])
            flow.end = max(flow.end, at)
            for way in (0, 1):
                if sums[way][group]:
                    first, reach = spans[way][0][group], spans[way][1][group]
                    flow.moved(way ^ forward, first, reach, clock[group], sums[way][group])
            if every[group] & (FIN | RST):
                for place in range(start, stop):
                    if flags[place] & (FIN | RST):
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
        if self._lists is None:
            columns, order = self._columns, self._order
            every = (
                order,
                columns.time,
                columns.flags,
                columns.length,
                columns.back,
                columns.kind,
                columns.seq,
                columns.size,
                self._clock,
            )
            self._lists = [order.tolist(), *[column[order].tolist() for column in every[1:]]]
        table = self._table
        group = [values[start:stop] for values in self._lists]
        # From behind the last SYN on, what is recognised needs no looks at single packets; `clock` only rises.
        alike = start + max((place for place, flags in enumerate(group[2], 1) if flags & SYN), default=0)
        latest = group[-1][-1]
        packets = zip(*group, strict=True)
        number = -1
        for place, (index, at, flags, length, back, kind, seq, size, clock) in enumerate(packets, start):
            payload = length or kind != TCP
            if flow is None or (
                (flags & SYN and flow.begun and self._is_new(flow, back, seq, flags))
                or (payload and clock >= flow.expires)
            ):
                flow, number = table.follow(pair, kind, self._columns.key(index), back, at), -1
            if number < 0:
                number = table.number(flow, at)
            rows[place] = number
            end = int(back != flow.forward)
            if flags & SYN:
                seq = (seq + 1) & MASK
                if not flow.begun:
                    flow.bases[end] = flow.ahead[end] = seq
                    flow.syns[end] = (bool(flags & ACK), at, clock)
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
                table.cut_bytes += size
            else:
                flow.packets += 1
                flow.bytes += size
            if at > flow.end:
                flow.end = at
            elif at < flow.begin:
                flow.begin = at
            if payload:
                flow.moved(end, seq, length, clock, length)
            if flags & (FIN | RST):
                flow.closing(end, flags, at)
            if flow.kept and flow.detection is None and place >= alike and kind == TCP and latest < flow.expires:
                rows[place + 1 : stop] = number
                self._keep_all(flow, [values[place + 1 - start :] for values in group])
                return

    def _keep_all(self, flow: Followed, group: list[list[int]]) -> None:
        """The rest of a group: TCP segments without SYN of a conversation that is recognised, as run() takes them."""
        _, times, every, lengths, backs, _, seqs, sizes, clock = group
        if not times:
            return
        flow.packets += len(times)
        flow.bytes += sum(sizes)
        flow.begin, flow.end = min(flow.begin, *times), max(flow.end, *times)
        begin, reach, seen = [-1, -1], [0, 0], [0, 0]
        for length, back, seq in zip(lengths, backs, seqs, strict=True):
            if length:
                way = int(back)
                if begin[way] < 0:
                    begin[way] = seq
                reach[way] = max(reach[way], ((seq + length - begin[way] + SIGN) & MASK) - SIGN)
                seen[way] += length
        forward = 1 if flow.forward else 0
        for way in (0, 1):
            if seen[way]:
                flow.moved(way ^ forward, begin[way], reach[way], clock[-1], seen[way])
        for flags, back in zip(every, backs, strict=True):
            if flags & (FIN | RST):
                flow.closing(int(back) ^ forward, flags, flow.end)

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
