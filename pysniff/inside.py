"""What a dissector carries: another protocol's bytes, as halves of a conversation of their own.

They are counted as plain text, and lie on the wire where the bytes lie that carried them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pysniff.core import Core
from pysniff.dissector import Inside, InsideEnd, InsideGap, Receiver
from pysniff.encryption import Encryption
from pysniff.entry import Flow
from pysniff.message import Message, Side
from pysniff.pairing import Pairs
from pysniff.recollection import PIECES, Behind, Within

# Pieces of a half whose places are remembered, and of how many of them the oldest may go.
_PIECES = 4_096
_RECENT = 1_024


def flow_within(flow: Flow, encryption: Encryption) -> Flow:
    """The same conversation, for the entries that are read out of its encryption."""
    inner = Flow(flow.transport, flow.key, flow.first, flow.node, flow.capture_source, flow.seq)
    inner.flipped, inner.given, inner.called = flow.flipped, flow.given, flow.called
    inner.encryption = encryption
    return inner


class Places:
    """Where on the wire the plain bytes of a half lie: of each piece its offset, and its place.

    Bounded: of old pieces those stay in which a message begins that has not ended. What lies in another one is placed
    by the piece before it: no other byte has that place, but it is not quite its own.
    """

    __slots__ = ("_offsets", "_places")

    def __init__(self) -> None:
        self._offsets = array("q")
        self._places = array("q")

    def add(self, offset: int, place: int) -> bool:
        """The next piece; whether there are so many that some should be forgotten."""
        if not self._places or place - self._places[-1] != offset - self._offsets[-1]:
            self._offsets.append(offset)
            self._places.append(place)
        return len(self._offsets) > _PIECES

    def behind(self, offset: int, size: int) -> Behind:
        """The pieces that the `size` bytes before an offset came in: of each how far back it begins, and its place."""
        if not size or not self._offsets:
            return ()
        first = max(bisect_right(self._offsets, offset - size) - 1, len(self._offsets) - PIECES, 0)
        pairs = zip(self._offsets[first:], self._places[first:], strict=True)
        return tuple([(offset - begin, place) for begin, place in pairs])

    def weight(self) -> int:
        """Bytes of memory that they take."""
        return 2 * self._offsets.itemsize * len(self._offsets)

    def place(self, offset: int) -> int:
        if not self._offsets:
            return offset
        piece = max(bisect_right(self._offsets, offset) - 1, 0)
        return self._places[piece] + offset - self._offsets[piece]

    def forget(self, needed: Iterable[int]) -> None:
        """All but the recent pieces, and those with these offsets."""
        recent = max(len(self._offsets) - _RECENT, 0)
        kept = {bisect_right(self._offsets, offset) - 1 for offset in needed}
        chosen = [*sorted(piece for piece in kept if 0 <= piece < recent), *range(recent, len(self._offsets))]
        self._offsets = array("q", [self._offsets[piece] for piece in chosen])
        self._places = array("q", [self._places[piece] for piece in chosen])


class HalfWithin:
    """One half of what is carried; `slow`: the conversation that carries it slows down when this one has to. `behind`:
    of behind(), where it goes on."""

    __slots__ = (
        "side", "receive", "skipping", "packets", "bytes", "first", "last",
        "_core", "_offset", "_pieces", "_places", "_slow",
    )  # fmt: skip

    receive: Receiver  # set by the conversation

    def __init__(self, core: Core, side: Side, slow: Callable[[], None], behind: Behind = ()) -> None:
        self.side = side
        self.skipping = False
        self.packets = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self._core = core
        self._offset = 0
        self._pieces = 0
        self._places = Places()
        for back, place in behind:
            self._places.add(-back, place)
        self._slow = slow

    def skip(self) -> None:
        self.skipping = True
        self._places.forget(())

    def slow(self) -> None:
        self._slow()

    def offset(self) -> int:
        return self._offset

    def place(self, offset: int) -> int:
        return self._places.place(offset)

    def weight(self) -> int:
        return self._places.weight()

    def behind(self, size: int) -> Behind:
        """Where the last bytes lie."""
        return self._places.behind(self._offset, size)

    def progress(self) -> int:
        return self._pieces

    def take(self, conversation: Carried, data: bytes, place: int, at: int) -> None:
        """The next bytes, and where on the wire they begin."""
        self._pieces += 1
        if self.skipping:
            if self._pieces == 1:
                self._places.add(0, place)
            self._count(len(data), at)
            return
        if self._places.add(self._offset, place):
            self._places.forget(conversation.offsets_of_begun(self.side))
        self._offset += len(data)
        conversation.feed(self.side, data, at)

    def lose(self, size: int) -> None:
        self._offset += size

    def _count(self, size: int, at: int) -> None:
        if not self.packets:
            self.first = at
        self.packets += 1
        self.bytes += size
        self.last = at
        self._core.ledger.unrecognised_bytes += size


class Carried(Protocol):
    """What is asked of the conversation within."""

    pairs: Pairs

    def speak(self, protocol: str | None, at: int) -> None: ...
    def contradict(self, side: Side, size: int) -> None: ...
    def settled(self, before: int) -> bool: ...
    def pending(self) -> int: ...
    def weight(self) -> int: ...
    def relieve(self) -> None: ...
    def waiting(self) -> Iterator[Message]: ...
    def show_open(self, now: int) -> None: ...
    def close(self, at: int, reason: str) -> None: ...
    def feed(self, side: Side, data: bytes, at: int) -> None: ...
    def gap(self, side: Side, size: int, at: int) -> None: ...
    def lose(self, side: Side, size: int, at: int) -> None: ...
    def end(self, side: Side, at: int, *, cut: str = "") -> None: ...
    def offsets_of_begun(self, side: Side) -> list[int]: ...
    def spoken(self) -> tuple[str, bytes]: ...
    def held(self, side: Side) -> int: ...


class Layer:
    """A conversation that another one carries. `halves`: by sender as the outer one sees it, however the inner one
    turns; `cut`: why from now on halves end though there was more, in words."""

    __slots__ = ("conversation", "cut", "at", "_halves", "_pairs")

    def __init__(
        self, conversation: Carried, halves: tuple[HalfWithin, HalfWithin], pairs: Pairs | None = None
    ) -> None:
        self.conversation = conversation
        self.cut = ""
        self.at = 0  # the latest time of anything
        self._halves = halves
        self._pairs = pairs  # of the outer conversation: what the ends have acknowledged

    def feed(self, output: Inside, place: int) -> None:
        """The next bytes, and where on the wire they are."""
        conversation, half = self.conversation, self._halves[output.side]
        self.at = max(self.at, output.at)
        in_doubt = not conversation.pairs.synchronised
        if in_doubt:
            conversation.pairs.acked = None if self._pairs is None else self._pairs.acked
        half.take(conversation, output.data, place, output.at)
        if in_doubt and conversation.pairs.synchronised and self._pairs is not None:
            self._pairs.synchronised = True

    def lose(self, output: InsideGap, *, counted: bool = False) -> None:
        """`counted`: these bytes are no others' that were lost on the wire."""
        conversation, half = self.conversation, self._halves[output.side]
        self.at = max(self.at, output.at)
        half.lose(output.size)
        if counted:
            conversation.gap(half.side, output.size, output.at)
        else:
            conversation.lose(half.side, output.size, output.at)

    def end(self, output: InsideEnd) -> None:
        self.at = max(self.at, output.at)
        self.conversation.end(self._halves[output.side].side, output.at, cut=self.cut)

    def remember(self) -> Within:
        """What it takes to go on with the conversation within."""
        one, other = [half.behind(self.conversation.held(half.side)) for half in self._halves]
        return Within(*self.conversation.spoken(), (one, other))

    def contradict(self, side: Side, size: int) -> None:
        """A repetition of bytes that carry it had other ones."""
        self.conversation.contradict(self._halves[side].side, size)
