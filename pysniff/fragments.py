"""Puts IP datagrams together from their fragments.

What came first stands: a later fragment fills holes only. A datagram leaves once, whole, or it is counted
as expired, evicted or still waiting: started == whole + expired + evicted + waiting, at any time. What another
interface shows of one that has just left is a copy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from typing import NamedTuple

from pysniff.layer import Fragment
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.packet import Rejected

LONGEST = 65_535  # RFC 791 §3.1, RFC 8200 §4.5: more than that was the ping of death
OVERHEAD = 128  # bytes of memory charged a piece, so that many tiny ones cost what they take


class Whole(NamedTuple):
    """The payload of a datagram. `size`: its bytes on the wire; `data` has fewer where a snapshot cut a fragment."""

    protocol: int
    data: bytes
    size: int


class Piece(NamedTuple):
    """Bytes `start` to `end` of a datagram; `data` has fewer where a snapshot cut them."""

    start: int
    end: int
    data: bytes


def _end(piece: Piece) -> int:
    return piece.end


class _Waiting:
    """What there is of one datagram: pieces in their order, none overlapping."""

    __slots__ = ("since", "pieces", "size", "protocol", "covered", "charged", "packets")

    def __init__(self, since: int) -> None:
        self.since = since
        self.pieces: list[Piece] = []
        self.size: int | None = None  # known once the last fragment is here
        self.protocol = 0
        self.covered = 0
        self.charged = 0
        self.packets = 0

    def fill(self, new: Piece) -> int:
        """Put in what is not there yet; return how many bytes that was."""
        low = high = bisect_right(self.pieces, new.start, key=_end)
        cursor, fresh = new.start, []
        while high < len(self.pieces) and self.pieces[high].start < new.end:
            held = self.pieces[high]
            if cursor < held.start:
                fresh.append(_part(new, cursor, held.start))
            cursor = held.end
            high += 1
        if cursor < new.end:
            fresh.append(_part(new, cursor, new.end))
        self.pieces[low:high] = sorted(self.pieces[low:high] + fresh)
        self.covered += (gained := sum(piece.end - piece.start for piece in fresh))
        self.charged += sum(len(piece.data) + OVERHEAD for piece in fresh)
        return gained

    def join(self) -> bytes:
        """The bytes from the start up to where a snapshot cut the first piece."""
        parts = []
        for piece in self.pieces:
            parts.append(piece.data)
            if len(piece.data) < piece.end - piece.start:
                break
        return b"".join(parts)


def _part(piece: Piece, start: int, end: int) -> Piece:
    return Piece(start, end, piece.data[start - piece.start : end - piece.start])


class FragmentTable:
    """Datagrams that wait for fragments, oldest first; bounded in number, bytes and packet time."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._table: dict[bytes, _Waiting] = {}  # in the order in which they began
        self._charged = 0
        # When datagrams left, and with a fragment of which interface, in that order: for the time that copies take.
        self._left: dict[bytes, tuple[int, Hashable]] = {}
        self.packets = 0  # fragments seen, the refused ones too
        self.refused = 0  # fragments with impossible offsets or lengths
        self.duplicates = 0  # fragments that brought nothing new
        self.overlaps = 0  # fragments of which a part was there already
        self.started = 0  # datagrams
        self.whole = 0
        self.expired = 0
        self.evicted = 0
        self.lost_packets = 0  # fragments of those that expired or were evicted

    @property
    def waiting(self) -> int:
        """Datagrams that are not whole yet."""
        return len(self._table)

    def add(self, fragment: Fragment, time_ns: int, interface: Hashable = "") -> Whole | Rejected:
        """Take one fragment; give the datagram where this made it whole."""
        self.advance(time_ns)
        self.packets += 1
        data, missing = fragment.span.cut()
        piece = Piece(fragment.offset, fragment.offset + len(data) + missing, data)
        waiting = self._table.get(fragment.key)
        if waiting is None and self._is_copy(fragment.key, time_ns, interface):
            self.duplicates += 1
            return Rejected("fragment", "copy")
        if (why := _impossible(fragment, piece, waiting)) is not None:
            self.refused += 1
            return Rejected("malformed", why)
        if waiting is None:
            waiting = self._table[fragment.key] = _Waiting(time_ns)
            self.started += 1
        self._take(waiting, fragment, piece)
        if waiting.covered == waiting.size:
            self.whole += 1
            self._drop(fragment.key)
            self._left.pop(fragment.key, None)
            self._left[fragment.key] = time_ns, interface
            return Whole(waiting.protocol, waiting.join(), waiting.size)
        self._evict()
        return Rejected("fragment", "waiting")

    def _is_copy(self, key: bytes, time_ns: int, interface: Hashable) -> bool:
        left, window = self._left, self._limits.copy_window
        while left and (abs(next(iter(left.values()))[0] - time_ns) > window or len(left) > self._limits.fragments):
            del left[next(iter(left))]
        known = left.get(key)
        return known is not None and known[1] != interface and abs(known[0] - time_ns) <= window

    def _take(self, waiting: _Waiting, fragment: Fragment, piece: Piece) -> None:
        before = waiting.charged
        gained = waiting.fill(piece)
        self._charged += waiting.charged - before
        waiting.packets += 1
        if not gained:
            self.duplicates += 1
        elif gained < piece.end - piece.start:
            self.overlaps += 1
        if not fragment.more:
            waiting.size = piece.end
        if not fragment.offset:
            # RFC 8200 §4.5: the next header is the first fragment's; IPv4 has it in the key as well.
            waiting.protocol = fragment.protocol

    def advance(self, time_ns: int) -> None:
        """Give up what has waited too long."""
        deadline = time_ns - self._limits.fragment_wait
        while self._table:
            key = next(iter(self._table))
            if deadline < self._table[key].since <= time_ns + SECOND:  # one from the future: the clock was set back
                return
            self.expired += 1
            self.lost_packets += self._drop(key)

    def _evict(self) -> None:
        while len(self._table) > self._limits.fragments or self._charged > self._limits.fragment_bytes:
            self.evicted += 1
            self.lost_packets += self._drop(next(iter(self._table)))

    def _drop(self, key: bytes) -> int:
        waiting = self._table.pop(key)
        self._charged -= waiting.charged
        return waiting.packets


def _impossible(fragment: Fragment, piece: Piece, waiting: _Waiting | None) -> str | None:
    """Why a fragment cannot belong to any datagram, or not to this one."""
    if piece.start == piece.end:
        return "empty fragment"
    if fragment.more and (piece.end - piece.start) % 8:
        return "bad fragment length"  # RFC 791 §3.2: only the last may end between multiples of eight
    if piece.end > LONGEST:
        return "oversized fragment"
    if waiting is None:
        return None
    if waiting.size is not None and (piece.end > waiting.size or (not fragment.more and piece.end != waiting.size)):
        return "fragment past the end"
    if not fragment.more and waiting.pieces and waiting.pieces[-1].end > piece.end:
        return "fragment past the end"
    return None
