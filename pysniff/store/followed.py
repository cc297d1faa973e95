"""A conversation as capture follows it: what its index row needs, by the rules of tcp.py and udp.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pysniff.deadlines import NEVER
from pysniff.detect import Detection
from pysniff.entry import Flow
from pysniff.limits import DEFAULT, SECOND
from pysniff.packet import FIN
from pysniff.store.columns import TCP
from pysniff.store.rows import BASE_A, BASE_B, ENDED, JOINED, KEPT, PACK, UNKNOWN, UNSURE, A, B, key_of
from pysniff.tcp import IDLE_CHECK, reverse

MASK = 0xFFFFFFFF
SIGN = 0x80000000
# Idleness is looked at in steps of packet time: a conversation is over at the first one behind these many.
_CHECK = IDLE_CHECK
_TCP_CHECKS = DEFAULT.idle // IDLE_CHECK + 2
_UDP_CHECKS = DEFAULT.idle_udp // IDLE_CHECK + 2


class Followed:
    """A conversation at capture. Lists have the values of ends a and b; `forward`: Columns.back of packets from a."""

    __slots__ = (
        "transport", "key", "forward", "number", "segment", "marks", "lead", "client", "first", "seq", "protocol",
        "goes_on", "bases", "syns", "ahead", "offsets", "before", "begin", "end", "packets", "bytes", "detection",
        "seen", "kept", "cut_packets", "cut_bytes", "cut_end", "pulse", "fins", "begun", "turns", "expires", "_name",
    )  # fmt: skip

    def __init__(self, transport: int, key: bytes, forward: bool, at: int) -> None:
        self.transport = transport
        self.key = key  # of packets from a
        self.forward = forward
        self.number = -1  # its row in `segment`
        self.segment = -1
        self.marks = 0
        self.lead = UNKNOWN
        self.client = UNKNOWN
        self.first = at
        self.seq = 0
        self.protocol = ""  # as of the beginning of the segment, or found since
        self.goes_on = ""  # what it turned to in this segment
        self.bases = [-1, -1]
        self.syns: list[tuple[bool, int, int] | None] = [None, None]  # whether with ACK, its time, the clock
        self.ahead = [-1, -1]  # sequence numbers due
        self.offsets = [0, 0]  # bytes so far, what was lost included
        self.before = (0, 0)  # the same when the segment began
        self.begin = self.end = at
        self.packets = 0
        self.bytes = 0
        self.detection: Detection | None = None  # while nobody knows the protocol
        self.seen = [0, 0]  # payload bytes
        self.kept = False  # whether all of it is kept, for somebody recognised it
        self.cut_packets = [0, 0]
        self.cut_bytes = [0, 0]
        self.cut_end = [0, 0]
        self.pulse = 0
        self.fins = 0
        self.begun = False
        self.turns: tuple[bytes, ...] = ()  # Dissector.turns of the protocol
        self.expires = NEVER  # when what comes is a conversation of its own
        self._name = b""

    def begin_with(self, end: int, seq: int, at: int, clock: int) -> None:
        """The first payload, as Connections._begin() and Exchanges._begin() see it."""
        self.begun = True
        self.lead = end + 1
        mine, theirs = self.syns[end], self.syns[1 - end]
        if mine is not None and not _is_remembered(mine, clock):
            self.syns[end] = mine = None
        if theirs is not None and not _is_remembered(theirs, clock):
            self.syns[1 - end] = theirs = None
        self.first = at
        if mine is not None and mine[1] < self.first:
            self.first = mine[1]
        if theirs is not None and theirs[1] < self.first:
            self.first = theirs[1]
        if self.transport != TCP:
            return
        if mine is None and theirs is None:
            self.marks |= JOINED
            self.seq = seq
        else:
            self.seq = self.bases[end if mine is not None else 1 - end]
            by_server = (mine is not None and mine[0]) or (theirs is not None and not theirs[0])
            self.client = 2 - end if by_server else end + 1
        if mine is None:
            self.bases[end] = self.ahead[end] = seq

    def moved(self, end: int, seq: int, length: int, clock: int, seen: int) -> None:
        """Payload came, from `seq` on and up to `length` bytes behind it; `seen` bytes in all."""
        self.seen[end] += seen
        new = True
        if self.transport == TCP:
            if self.bases[end] < 0:
                self.bases[end] = self.ahead[end] = seq
            step = ((seq + length - self.ahead[end] + SIGN) & MASK) - SIGN
            if step > 0:
                self.offsets[end] += step
                self.ahead[end] = (seq + length) & MASK
            # What is sent again keeps no conversation alive, unless packets are all that is counted of it.
            new = step > 0 or (self.detection is None and not self.protocol and not self.marks & UNSURE)
        if new and not self.marks & ENDED:
            self.expires = self.idle_after(clock)

    def closing(self, end: int, flags: int, at: int) -> None:
        """A FIN or RST came."""
        self.fins |= end + 1 if flags & FIN else A | B
        if self.fins == A | B and self.begun and not self.marks & ENDED:
            self.marks |= ENDED
            self.expires = at + DEFAULT.linger

    @classmethod
    def of(cls, row: np.void, protocol: str) -> Self:
        """One that an index remembers, as of the end of that segment."""
        at, marks = int(row["end"]), int(row["marks"])
        flow = cls(int(row["transport"]), key_of(row), False, at)
        flow.lead, flow.client, flow.protocol = int(row["lead"]), int(row["client"]), protocol
        flow.first, flow.seq = int(row["first"]), int(row["seq"])
        flow.marks = marks & (JOINED | ENDED | UNSURE)
        flow.begun = flow.lead != UNKNOWN
        flow.kept = bool(marks & KEPT) and flow.begun
        flow.offsets = [int(row["until_a"]), int(row["until_b"])]
        flow.seen = list(flow.offsets)
        for end, mark, base in ((0, BASE_A, "base_a"), (1, BASE_B, "base_b")):
            if marks & mark:
                flow.bases[end] = int(row[base])
                flow.ahead[end] = (flow.bases[end] + flow.offsets[end]) & MASK
        if flow.begun:
            flow.expires = at + DEFAULT.linger if marks & ENDED else flow.idle_after(at)
        return flow

    def idle_after(self, at: int) -> int:
        """When a conversation is over whose last payload came then."""
        return (at // _CHECK + (_TCP_CHECKS if self.transport == TCP else _UDP_CHECKS)) * _CHECK

    @property
    def name(self) -> bytes:
        """From the first payload on; nothing that it follows from changes then."""
        if not self._name:
            key = self.key if self.lead == A else reverse(self.key)
            transport = "tcp" if self.transport == TCP else "udp"
            self._name = bytes.fromhex(Flow(transport, key, self.first, "", "", self.seq).name)
        return self._name

    def row(self, protocols: Sequence[str]) -> bytes:
        """One of rows.ROW."""
        key, bases = self.key, self.bases
        size = (len(key) - 4) // 2
        marks = self.marks | (BASE_A if bases[0] >= 0 else 0) | (BASE_B if bases[1] >= 0 else 0)
        if self.kept or self.detection is not None:
            marks |= KEPT
        return PACK(
            self.name if self.lead else b"",
            self.transport,
            size,
            self.lead,
            self.client,
            protocols.index(self.protocol) if self.protocol else 0,
            marks,
            key[:size],
            key[size : 2 * size],
            key[-3] | key[-4] << 8,
            key[-1] | key[-2] << 8,
            max(bases[0], 0),
            max(bases[1], 0),
            self.seq,
            self.first,
            *self.before,
            *self.offsets,
            self.begin,
            self.end,
            self.bytes,
            self.packets,
            *self.cut_packets,
            *self.cut_bytes,
            *self.cut_end,
        )


def _is_remembered(syn: tuple[bool, int, int], clock: int) -> bool:
    """Whether Connections still knows of a SYN: it looks once a second of the clock, if that moves."""
    _, at, since = syn
    swept = clock // SECOND * SECOND
    return swept <= since or swept < at + DEFAULT.idle <= swept + 2 * DEFAULT.idle
