"""Puts TCP segments of one half back in order.

Bytes leave exactly once, in order; what is lost leaves as a gap. The first transmission of a byte stands. Bytes that
acknowledge others leave after those: an answer never comes before what it answers, however packets were captured.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from operator import attrgetter, ne
from typing import NamedTuple

from pysniff.conversation import Conversation
from pysniff.core import Core
from pysniff.dissector import Output, Receiver
from pysniff.ledger import count
from pysniff.message import SERVER, Side

_MASK = 0xFFFFFFFF
_SIGN = 0x80000000
UNKNOWN = -1
# Values of Half.ready that are no sequence numbers: look twice; only count.
SLOW = -1
COUNTED = -2
NO_ACK = -1


def distance(to: int, since: int) -> int:
    """Signed difference of two sequence numbers (RFC 9293 §3.4)."""
    return ((to - since + _SIGN) & _MASK) - _SIGN


class _Waiting(NamedTuple):
    """A segment that cannot be delivered yet: distance from Half._anchor, rank at that place, time of arrival."""

    place: int
    rank: int
    at: int
    ack: int
    data: bytes | None  # None: FIN


_place = attrgetter("place")


def _nobody(_data: bytes, _at: int) -> Iterable[Output]:
    """Who receives what comes after the end."""
    return ()


class Half:
    """One direction of a connection.

    `next`: the sequence number that is due, UNKNOWN before the first byte. `ready`: the same while a segment
    with it needs no second look, else SLOW or COUNTED; the packet loop compares only this.
    """

    __slots__ = (
        "side", "receive", "ready", "next", "recent", "skipping", "packets", "bytes", "first", "last",
        "conversation", "peer", "base", "ended",
        "_core", "_held", "_held_bytes", "_anchor", "_far", "_longest", "_count", "_alarm", "_hole_at", "_acked",
        "_wrapped",
    )  # fmt: skip

    conversation: Conversation | None  # None once the connection is over
    peer: Half
    receive: Receiver  # set by the conversation

    def __init__(self, core: Core, side: Side) -> None:
        self.side = side
        self.ready = SLOW
        self.next = UNKNOWN
        self.base = 0  # sequence number of the first byte
        self._wrapped = 0  # how much of the half came before the 4 GiB it was joined in
        self.recent = b""  # the last bytes delivered, which end at `next`
        self.skipping = False
        self.packets = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self.ended = False
        self._core = core
        self._held: list[_Waiting] = []  # sorted
        self._held_bytes = 0
        self._anchor = 0
        self._far = 0  # behind the last waiting segment, from _anchor
        self._longest = 0  # of the segments that waited
        self._count = 0
        self._alarm = (0, 0)  # time and number of the deadline for what is waited for
        self._hole_at = (UNKNOWN, False)  # where that is, and whether it is the other half's bytes
        self._acked = False  # the receiver has what is missing here

    # What the conversation knows of it

    def skip(self) -> None:
        self.skipping = True
        self.ready = SLOW
        for waiting in self._held:
            if waiting.data is not None:
                self.count(waiting.data, waiting.at)
        self._clear()

    def slow(self) -> None:
        self.ready = SLOW

    def offset(self) -> int:
        """Modulo 4 GiB, counted from where it was joined."""
        return 0 if self.next == UNKNOWN else ((self.next - self.base) & _MASK) + self._wrapped

    def place(self, offset: int) -> int:
        return offset

    # Segments

    def start(self, seq: int, before: int = 0) -> None:
        """The first byte that is due has this sequence number, and `before` bytes came already."""
        self.next = seq
        self.base = (seq - before) & _MASK
        self._wrapped = before & ~_MASK
        self.settle()

    def segment(self, seq: int, data: bytes, fin: bool, ack: int, at: int) -> None:
        """Take one segment, anywhere in the stream; `ack`: what it acknowledges, NO_ACK for nothing."""
        if self.ended:
            self.late(seq, data)
            return
        if self.next == UNKNOWN or self._held or seq != self.next or self._early(ack):
            self._out_of_order(seq, data, fin, ack, at)
            return
        if data:
            self._deliver(data, ack, at)
        if fin:
            self._end(at)

    @property
    def holds(self) -> bool:
        """Whether bytes wait for others."""
        return bool(self._held)

    def begins(self, first: int) -> bool:
        """Whether what waits begins with this sequence number."""
        return bool(self._held) and (self._anchor + self._held[0].place) & _MASK == first

    def far(self, seq: int) -> bool:
        """Whether this cannot be a sequence number of these days."""
        return not self.skipping and self.next != UNKNOWN and abs(distance(seq, self.next)) > _FAR

    def acknowledged(self, ack: int, at: int) -> None:
        """The receiver has everything before `ack`: what is missing there was lost by the capture, or comes late."""
        if not self._held:
            return
        if self.next == UNKNOWN:
            if distance(ack, self._anchor + self._held[0].place) > 0:
                self._force(at)
        elif not self._acked and distance(ack, self.next) > 0:
            self._acked = True
            self._wait(min(at + self._core.limits.hole_wait_acked, self._alarm[0]))

    def release(self, at: int) -> None:
        """Something moved on: deliver what waited for it, in both halves."""
        peer = self.peer
        while self._held or peer._held:
            before = self.next, peer.next
            for half in (self, peer):
                if half._held and half.next != UNKNOWN:
                    half._drain(at, 0)
            if before == (self.next, peer.next):
                break
        self.settle()
        peer.settle()

    def flush(self, at: int) -> None:
        """The connection is over: deliver what waits, with gaps for what is missing."""
        while self._held:
            self._force(at)

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
        self.receive = _nobody  # a half is remembered for a while after its end, and must not keep the conversation
        self.ready = SLOW
        self.recent = b""

    def late(self, seq: int, data: bytes) -> None:
        """Take a segment that comes after the end of the connection."""
        if self.next != UNKNOWN and distance((seq + len(data)) & _MASK, self.next) <= 0:
            self._core.ledger.duplicate_bytes += len(data)
        elif data:
            count(self._core.ledger.discarded, "after the end", len(data))

    def weight(self) -> int:
        return len(self.recent)

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

    def lost(self, seq: int, size: int, at: int) -> None:
        """The snapshot length cut bytes off a segment, `seq` is that of the first of them."""
        if self._held or self.ended or self.skipping or self.next != seq:
            return  # a hole like any other, or known already
        self._core.ledger.snapped_bytes += size
        self._skip_over(size, at)

    def _deliver(self, data: bytes, ack: int, at: int) -> None:
        self._core.ledger.tcp_in_order += len(data)
        self.next = (self.next + len(data)) & _MASK
        self.recent = data
        peer = self.peer
        if self.conversation is not None:
            known = ack != NO_ACK and peer.next != UNKNOWN
            self.conversation.pairs.acked = (ack - peer.base) & _MASK if known and self.side is SERVER else None
            self.conversation.feed(self.side, data, at)

    def _early(self, ack: int) -> bool:
        """Whether a segment acknowledges bytes of the other half that have not been delivered."""
        peer = self.peer
        if ack == NO_ACK or peer.next == UNKNOWN or peer.skipping or peer.ended:
            return False
        # An acknowledgement far ahead is no sign of a loss but a mistake, or a lie.
        return 0 < distance(ack, peer.next) <= self._core.limits.held_bytes

    def _out_of_order(self, seq: int, data: bytes, fin: bool, ack: int, at: int) -> None:
        limits, ledger = self._core.limits, self._core.ledger
        behind = distance((seq + len(data)) & _MASK, self.next) if self.next != UNKNOWN else 1
        if behind < 0 or (not behind and not fin):
            self._repeated(seq, data)  # a retransmission, a keep-alive probe, or a FIN that bytes came after
            return
        if not self._held:
            self._anchor = seq if self.next == UNKNOWN else self.next
            self._far = -_WINDOW
        if abs(distance(seq, self._anchor)) > _WINDOW:
            count(ledger.discarded, "out of window", len(data))
            return
        if not self._held and self.next == UNKNOWN:
            # Without a SYN the first packet seen need not be the first one sent.
            self._wait(at + limits.hole_wait_acked)
        if data:
            self._hold(distance(seq, self._anchor), data, ack, at)
        if fin:
            self._hold(distance((seq + len(data)) & _MASK, self._anchor), None, ack, at)
        if self.next != UNKNOWN:
            self._drain(at, at)
        while self._held and (
            self._held_bytes > limits.held_bytes
            or len(self._held) > limits.held_segments
            or ledger.held_bytes > limits.held_total
        ):
            self._force(at)

    def _under(self, place: int, data: bytes) -> bytes:
        """A segment with what earlier ones that wait too already said of its bytes."""
        new = bytearray(data)
        before = bisect_left(self._held, place + len(data), key=_place)
        while before and self._held[before - 1].place > place - self._longest:
            before -= 1
            one = self._held[before]
            held = one.data or b""
            low, high = max(one.place, place), min(one.place + len(held), place + len(data))
            if low < high:
                new[low - place : high - place] = held[low - one.place : high - one.place]
        if new != data and self.conversation is not None:
            self.conversation.conflict(self.side, sum(map(ne, new, data)))
        return bytes(new)

    def _hold(self, place: int, data: bytes | None, ack: int, at: int) -> None:
        if data:
            if place < self._far:
                data = self._under(place, data)
            self._far = max(self._far, place + len(data))
            self._longest = max(self._longest, len(data))
        self._count += 1
        # At one place data goes before FIN, and the first arrival before later ones.
        insort(self._held, _Waiting(place, self._count + (_LAST if data is None else 0), at, ack, data))
        if data is not None:
            self._held_bytes += len(data)
            self._core.ledger.held_bytes += len(data)

    def _wait(self, until: int) -> None:
        """Give what is missing time to come."""
        deadlines = self._core.deadlines
        deadlines.cancel(self._alarm[1])  # one a half: holes that are filled leave nothing behind
        self._alarm = until, deadlines.add(until, self._give_up)

    def _give_up(self, now: int) -> None:
        if self._held and self.conversation is not None:
            self._force(now)
            self.release(now)

    def _force(self, at: int) -> None:
        """Deliver the first waiting segment without what is missing before it."""
        first = self._held[0]
        if self.next == UNKNOWN:
            self.next = self.base = (self._anchor + first.place) & _MASK
        ahead = first.place - distance(self.next, self._anchor)
        if ahead > 0:
            self._skip_over(ahead, first.at)
        elif self._early(first.ack):
            self.peer.lost_until(first.ack, at)
        self._drain(at, 0)

    def lost_until(self, ack: int, at: int) -> None:
        """The other half has acknowledged bytes that were never seen."""
        while (missing := distance(ack, self.next)) > 0 and not (self.skipping or self.ended):  # a FIN counts as one
            ahead = self._held[0].place - distance(self.next, self._anchor) if self._held else missing
            if ahead > 0:
                self._skip_over(min(ahead, missing), at)
            if self._held and ahead < missing:
                self._deliver_first(0)

    def _skip_over(self, size: int, at: int) -> None:
        self._core.ledger.gap_bytes += size
        self.next = (self.next + size) & _MASK
        self.recent = b""
        if self.conversation is not None:
            self.conversation.gap(self.side, size, at)

    def _drain(self, now: int, since: int) -> None:
        """Deliver the waiting segments that are due, as of their arrival or of `since`, whatever is later."""
        limits = self._core.limits
        while self._held:
            first = self._held[0]
            ahead = first.place - distance(self.next, self._anchor)
            early = ahead <= 0 and self._early(first.ack)
            if ahead > 0 or early:
                if self._hole_at != (self.next, early):
                    self._hole_at = (self.next, early)
                    self._acked = early
                    self._wait(now + (limits.hole_wait_acked if early else limits.hole_wait))
                return
            since = self._deliver_first(since)

    def _deliver_first(self, since: int) -> int:
        place, _, at, ack, data = self._held.pop(0)
        since = max(since, at)
        if data is None:
            self._end(since)
            return since
        ledger = self._core.ledger
        self._held_bytes -= len(data)
        ledger.held_bytes -= len(data)
        old = distance(self.next, self._anchor) - place
        if old >= len(data):
            self._repeated((self._anchor + place) & _MASK, data)
        else:
            if old:
                self._repeated((self._anchor + place) & _MASK, data[:old])
            self._deliver(data[old:], ack, since)
        return since

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
        self._core.deadlines.cancel(self._alarm[1])


_LAST = 1 << 60
# RFC 7323 §2.3: no window is larger than 1 GiB; what is further away belongs to another connection.
_WINDOW = 1 << 30
# A reset that is further away than this was forged, or is from another connection; the usual windows are smaller.
_FAR = 1 << 26
