"""Puts TCP segments of one half back in order.

Bytes leave exactly once, in order; what is lost leaves as a gap. The first transmission of a byte stands.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from pysniff.conversation import Conversation
from pysniff.core import Core
from pysniff.ledger import count
from pysniff.message import Side

_MASK = 0xFFFFFFFF
_SIGN = 0x80000000
UNKNOWN = -1
# Values of Half.ready that are no sequence numbers: look twice; only count.
SLOW = -1
COUNTED = -2


def distance(to: int, since: int) -> int:
    """Signed difference of two sequence numbers (RFC 9293 §3.4)."""
    return ((to - since + _SIGN) & _MASK) - _SIGN


class Half:
    """One direction of a connection.

    `next`: the sequence number that is due, UNKNOWN before the first byte. `ready`: the same while a segment
    with it needs no second look, else SLOW or COUNTED; the packet loop compares only this.
    """

    __slots__ = (
        "side", "receive", "ready", "next", "recent", "skipping", "packets", "bytes", "first", "last",
        "conversation", "peer", "base", "ended", "_core", "_held", "_held_bytes", "_anchor", "_count", "_hole", "_acked",
    )  # fmt: skip

    conversation: Conversation | None  # None once the connection is over
    peer: Half
    receive: Callable[[Side, bytes, int], None]

    def __init__(self, core: Core, side: Side) -> None:
        self.side = side
        self.ready = SLOW
        self.next = UNKNOWN
        self.base = 0  # sequence number of the first byte
        self.recent = b""  # the last bytes delivered, which end at `next`
        self.skipping = False
        self.packets = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self.ended = False
        self._core = core
        # Waiting segments: distance from _anchor, order of arrival, data (None: FIN).
        self._held: list[tuple[int, int, bytes | None]] = []
        self._held_bytes = 0
        self._anchor = 0
        self._count = 0
        self._hole = 0  # number of the hole that the running deadline is for
        self._acked = False  # the receiver has what is missing here

    # What the conversation knows of it

    def skip(self) -> None:
        self.skipping = True
        self.ready = SLOW
        for _, _, data in self._held:
            if data is not None:
                self.count(data, self.last)
        self._clear()

    def slow(self) -> None:
        self.ready = SLOW

    def offset(self) -> int:
        """Modulo 4 GiB."""
        return 0 if self.next == UNKNOWN else (self.next - self.base) & _MASK

    # Segments

    def start(self, seq: int) -> None:
        """The first byte has this sequence number."""
        self.next = self.base = seq
        self.settle()

    def segment(self, seq: int, data: bytes, fin: bool, at: int) -> None:
        """Take one segment, anywhere in the stream."""
        if self.ended:
            count(self._core.ledger.discarded, "after the end", len(data))
            return
        if self.next == UNKNOWN or self._held or seq != self.next:
            self._out_of_order(seq, data, fin, at)
            return
        if data:
            self._deliver(data, at)
        if fin:
            self._end(at)

    def acknowledged(self, ack: int, at: int) -> None:
        """The receiver has everything before `ack`: what is missing there was lost by the capture, or comes late."""
        if not self._held:
            return
        if self.next == UNKNOWN:
            if distance(ack, self._anchor + self._held[0][0]) > 0:
                self._begin(at)
        elif not self._acked and distance(ack, self.next) > 0:
            self._acked = True
            hole = self._hole
            self._core.deadlines.add(at + self._core.limits.hole_wait_acked, lambda now: self._give_up(hole, now))

    def flush(self, at: int) -> None:
        """The connection is over: deliver what waits, with gaps for what is missing."""
        if self._held and self.next == UNKNOWN:
            self._begin(at)
        while self._held:
            self._gap(at)

    def settle(self) -> None:
        """Let the packet loop deliver by itself again where nothing stands against it."""
        conversation = self.conversation
        if self._held:
            self._core.holes.add(self)
        else:
            self._core.holes.discard(self)
        if self.skipping:
            return
        plain = not (self._held or self.peer._held or self.ended or self.next == UNKNOWN)
        self.ready = self.next if plain and conversation is not None and conversation.pairs.synchronised else SLOW

    def stop(self) -> None:
        """The connection is over."""
        self._clear("after the end")
        self._core.holes.discard(self)
        self.conversation = None
        self.ready = SLOW
        self.recent = b""

    def progress(self) -> int:
        """Changes when something new arrived."""
        return self.next + self.packets

    def count(self, data: bytes, at: int) -> None:
        """Take a segment of a conversation that nobody is interested in."""
        if not self.packets:
            self.first = at
            self.ready = COUNTED
        self.packets += 1
        self.bytes += len(data)
        self.last = at
        self._core.ledger.skipped_bytes += len(data)

    def lost(self, size: int, at: int) -> None:
        """The snapshot length cut these bytes off the segment that was just delivered."""
        if self._held or self.ended or self.skipping or self.next == UNKNOWN:
            return  # a hole like any other
        self._core.ledger.snapped_bytes += size
        self._skip_over(size, at)

    def _deliver(self, data: bytes, at: int) -> None:
        self._core.ledger.tcp_in_order += len(data)
        self.next = (self.next + len(data)) & _MASK
        self.recent = data
        self.receive(self.side, data, at)

    def _out_of_order(self, seq: int, data: bytes, fin: bool, at: int) -> None:
        limits, ledger = self._core.limits, self._core.ledger
        if self.next != UNKNOWN and distance((seq + len(data)) & _MASK, self.next) <= 0 and not fin:
            self._repeated(seq, data)  # a retransmission or a keep-alive probe
            return
        if not self._held:
            self._anchor = seq if self.next == UNKNOWN else self.next
        if abs(distance(seq, self._anchor)) > _WINDOW:
            count(ledger.discarded, "out of window", len(data))
            return
        if not self._held:
            self._wait(at)
        if data:
            self._hold(distance(seq, self._anchor), data)
        if fin:
            self._hold(distance((seq + len(data)) & _MASK, self._anchor), None)
        if self.next != UNKNOWN:
            self._drain(at)
        while self._held and (
            self._held_bytes > limits.held_bytes
            or len(self._held) > limits.held_segments
            or ledger.held_bytes > limits.held_total
        ):
            if self.next == UNKNOWN:
                self._begin(at)
            else:
                self._gap(at)

    def _hold(self, place: int, data: bytes | None) -> None:
        self._count += 1
        # At one place data goes before FIN, and the first arrival before later ones.
        heappush(self._held, (place, self._count + (_LAST if data is None else 0), data))
        if data is not None:
            self._held_bytes += len(data)
            self._core.ledger.held_bytes += len(data)

    def _wait(self, at: int) -> None:
        """Give the missing bytes time to come."""
        limits = self._core.limits
        self._hole += 1
        self._acked = False
        hole = self._hole
        # Without a SYN the first packet seen need not be the first one sent.
        wait = limits.hole_wait_acked if self.next == UNKNOWN else limits.hole_wait
        self._core.deadlines.add(at + wait, lambda now: self._give_up(hole, now))

    def _give_up(self, hole: int, now: int) -> None:
        if hole == self._hole and self._held and self.conversation is not None:
            if self.next == UNKNOWN:
                self._begin(now)
            else:
                self._gap(now)
            self.settle()
            self.peer.settle()

    def _begin(self, at: int) -> None:
        self.next = self.base = (self._anchor + self._held[0][0]) & _MASK
        self._drain(at)

    def _gap(self, at: int) -> None:
        """What is missing before the first waiting segment is lost."""
        size = (self._anchor + self._held[0][0] - self.next) & _MASK
        self._skip_over(size, at)
        self._drain(at)

    def _skip_over(self, size: int, at: int) -> None:
        self._core.ledger.gap_bytes += size
        self.next = (self.next + size) & _MASK
        self.recent = b""
        if self.conversation is not None:
            self.conversation.gap(self.side, size, at)

    def _drain(self, at: int) -> None:
        """Deliver the waiting segments that are due."""
        held = self._held
        while held:
            place, _, data = held[0]
            ahead = place - distance(self.next, self._anchor)
            if ahead > 0:
                self._wait(at)
                return
            heappop(held)
            if data is None:
                self._end(at)
                return
            self._held_bytes -= len(data)
            self._core.ledger.held_bytes -= len(data)
            if -ahead < len(data):
                if ahead:
                    self._repeated((self._anchor + place) & _MASK, data[:-ahead])
                self._deliver(data[-ahead:], at)
            else:
                self._repeated((self._anchor + place) & _MASK, data)
            if self.skipping:
                return  # skip() took what was left

    def _repeated(self, seq: int, data: bytes) -> None:
        """Bytes that were delivered before; as far as they are still here, they are compared."""
        self._core.ledger.duplicate_bytes += len(data)
        recent = self.recent
        start = distance(seq, self.next) + len(recent)  # of data, within recent
        before = max(0, -start)
        old = recent[max(0, start) : max(0, start + len(data))]
        new = data[before : before + len(old)]
        # One byte is a keep-alive probe, whose content means nothing (RFC 9293 §3.8.4).
        if old != new and len(data) > 1 and self.conversation is not None:
            self.conversation.conflict(self.side, len(new))

    def _end(self, at: int) -> None:
        self.ended = True
        self._clear("after the end")
        if self.conversation is not None:
            self.conversation.end(self.side, at)

    def _clear(self, reason: str = "") -> None:
        if self._held:
            if reason:
                count(self._core.ledger.discarded, reason, self._held_bytes)
            self._core.ledger.held_bytes -= self._held_bytes
            self._held_bytes = 0
            self._held.clear()


_LAST = 1 << 60
# RFC 7323 §2.3: no window is larger than 1 GiB; what is further away belongs to another connection.
_WINDOW = 1 << 30
