"""Which messages of one half a packet carries bytes of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from typing import NamedTuple

from pysniff.entry import Entry
from pysniff.message import Message, Parts, Side
from pysniff.packet import Packet


class Span(NamedTuple):
    """Where a message is in its half: its first byte; its end if nothing is between; its first and last time. Where
    others may be between, `key` and `parts` tell them apart."""

    side: Side
    position: int
    end: int | None
    first: int
    last: int
    key: Hashable
    parts: type[Parts] | None

    @classmethod
    def of(cls, message: Message, *, encrypted: bool) -> Span:
        """`encrypted`: it is longer on the wire than it says, and nobody can tell there whose the bytes are."""
        if encrypted:
            return cls(message.side, message.position, None, message.first, message.last, None, None)
        whole = message.key is None and not any(fault.kind == "gap" for fault in message.faults)
        end = message.position + message.size if whole else None
        return cls(message.side, message.position, end, message.first, message.last, message.key, message.parts)


class Carried(NamedTuple):
    """What has to be known of an entry to find its packets, and to say in a line what it is."""

    id: str
    stream: str
    title: str
    # Addresses and ports of the conversation's first packet, and who sent that.
    sender_key: bytes
    first_side: Side
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, entry: Entry) -> Carried:
        carried = (entry.carried_request, entry.carried_response)
        messages = {id(one): one for one in carried if one is not None}.values()
        title = f"{entry.protocol} {entry.summary} {entry.status}".rstrip()
        spans = tuple(Span.of(one, encrypted=entry.tls is not None) for one in messages)
        return cls(entry.id, entry.stream, title, entry.sender_key, entry.first_side, spans)


class _Waiting(NamedTuple):
    """A packet of which it is not clear yet whose bytes it has."""

    packet: Packet
    position: int
    end: int


# Packets of a half that wait for bytes before theirs, and parts that are remembered for retransmissions.
_WAITING = 1_024
_PARTS = 16_384

Found = tuple[Packet, list[Carried]]


class Half:
    """The messages of one half, in the order of their bytes. Packets come back in theirs, most of them at once."""

    def __init__(self) -> None:
        self._coming: list[tuple[Span, Carried]] = []  # last first, once they are sorted
        self._under_way: list[tuple[Span, Carried]] = []
        self._sorted = True
        self._parts: Parts | None = None
        self._next = 0  # position of the byte that the parts are to be told next
        self._decided = 0  # up to here it is known whose bytes they are
        self._starts: list[int] = []  # of the parts up to there, and whose each is
        self._keys: list[Hashable] = []
        self._ahead: dict[int, bytes] = {}
        self._waiting: list[_Waiting] = []

    def add(self, span: Span, one: Carried) -> None:
        self._coming.append((span, one))
        self._sorted = False

    def take(self, packet: Packet, position: int, payload: bytes) -> Iterator[Found]:
        """Packets that carry some of these messages, and which, as far as it is clear by now."""
        end = position + len(payload)
        self._begin(end)
        if self._parts is None and not self._follow(position, packet.time_ns):
            yield packet, self._at(position, packet.time_ns)
            return
        self._waiting.append(_Waiting(packet, position, end))
        self._walk(position, payload)
        yield from self._clear()
        if len(self._waiting) > _WAITING:
            yield from self.rest()

    def rest(self) -> Iterator[Found]:
        """Those that wait for bytes which do not come: by their time alone. It goes on at the next message."""
        waiting, self._waiting = self._waiting, []
        self._parts = None
        self._ahead.clear()
        for one in waiting:
            yield one.packet, self._at(one.position, one.packet.time_ns)

    def during(self, time_ns: int) -> list[Carried]:
        """Those under way at a time."""
        return [one for span, one in (*self._under_way, *self._coming) if span.first <= time_ns <= span.last]

    def _begin(self, end: int) -> None:
        if not self._sorted:
            self._coming.sort(key=lambda each: (each[0].position, each[0].first), reverse=True)
            self._sorted = True
        while self._coming and self._coming[-1][0].position < end:
            self._under_way.append(self._coming.pop())

    def _at(self, position: int, time_ns: int) -> list[Carried]:
        self._pass(time_ns)
        return [one for span, one in self._under_way if span.end is None or position < span.end]

    def _pass(self, time_ns: int) -> None:
        """Leave out messages that were over before this time and that no waiting packet may carry."""
        oldest = min([time_ns, *(one.packet.time_ns for one in self._waiting)])
        self._under_way = [each for each in self._under_way if each[0].last >= oldest]

    def _follow(self, position: int, time_ns: int) -> bool:
        """Begin to tell interleaved messages apart where one of them begins: whether one does here, or will."""
        self._pass(time_ns)
        interleaved = [span for span, _ in self._under_way if span.parts is not None]
        begun = [span for span in interleaved if span.position >= position or span.first > time_ns]
        if not begun:
            return False
        first = min(begun, key=lambda span: span.position)
        assert first.parts is not None
        self._parts = first.parts()
        self._next = self._decided = first.position
        self._starts.clear()
        self._keys.clear()
        return True

    def _walk(self, position: int, payload: bytes) -> None:
        """Tell the parts what is in order now."""
        parts = self._parts
        assert parts is not None
        self._ahead[position] = max(self._ahead.get(position, b""), payload, key=len)
        for begin in sorted(self._ahead):
            if begin > self._next:
                return
            fresh = self._ahead.pop(begin)[self._next - begin :]
            self._next += len(fresh)
            for key, size in parts.feed(fresh):
                self._starts.append(self._decided)
                self._keys.append(key)
                self._decided += size
        if len(self._starts) > 2 * _PARTS:
            del self._starts[:_PARTS], self._keys[:_PARTS]

    def _clear(self) -> Iterator[Found]:
        """Waiting packets of which everything is known."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.end > self._decided:
                self._waiting.append(one)
                continue
            begun, keys = self._inside(one)
            yield one.packet, [carried for span, carried in self._under_way if _has(span, one, begun, keys)]
        if waiting:
            self._pass(waiting[-1].packet.time_ns)

    def _inside(self, packet: _Waiting) -> tuple[list[int], list[Hashable]]:
        """Of the parts that a packet has bytes of: where they begin, and whose they are."""
        low = max(bisect_right(self._starts, packet.position) - 1, 0)
        high = bisect_right(self._starts, packet.end - 1)
        return self._starts[low:high], self._keys[low:high]


def _has(span: Span, packet: _Waiting, begun: list[int], keys: list[Hashable]) -> bool:
    if packet.packet.time_ns > span.last or packet.end <= span.position:
        return False
    if span.key is None:
        return span.end is None or packet.position < span.end
    # A message's first byte is its own, whatever the key there: a push promise stands in another stream.
    return span.key in keys or span.position in begun
