"""Knows every pair of UDP ports that talk, and when to forget it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from pysniff.conversation import Conversation
from pysniff.copies import Copies
from pysniff.core import Core
from pysniff.dissector import Receiver
from pysniff.entry import Flow
from pysniff.ledger import CROWDED
from pysniff.message import CLIENT, SERVER, Side
from pysniff.tcp import IDLE_CHECK, is_idle, reverse


class Direction:
    """Datagrams one way."""

    __slots__ = ("side", "receive", "conversation", "skipping", "packets", "bytes", "first", "last", "_count")

    receive: Receiver
    conversation: Conversation

    def __init__(self, side: Side) -> None:
        self.side = side
        self.skipping = False
        self.packets = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self._count = 0

    def skip(self) -> None:
        self.skipping = True

    def slow(self) -> None:
        """Nothing acknowledges datagrams."""

    def offset(self) -> int:
        return 0

    def place(self, offset: int) -> int:
        return offset

    def weight(self) -> int:
        return 0

    def progress(self) -> int:
        return self._count

    def copied(self) -> None:
        """One came that another interface had shown: it keeps the conversation alive, as any."""
        self._count += 1

    def take(self, payload: bytes, at: int) -> bool:
        """Feed or count one datagram; whether it was only counted."""
        self._count += 1
        if not self.skipping:
            self.conversation.feed(self.side, payload, at)
            return False
        if not self.packets:
            self.first = at
        self.packets += 1
        self.bytes += len(payload)
        self.last = at
        return True


class Exchanges:
    """All UDP conversations, by key."""

    __slots__ = ("_core", "_directions", "_open", "_copies")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._directions: dict[bytes, Direction] = {}
        self._open: OrderedDict[Conversation, bytes] = OrderedDict()
        self._copies = Copies(core.limits, core.ledger)

    def datagram(self, key: bytes, payload: bytes, missing: int, at: int, interface: Hashable = "") -> None:
        """Take one datagram; `missing` bytes of it were cut by the snapshot length."""
        ledger = self._core.ledger
        ledger.udp_bytes += len(payload)
        ledger.snapped_bytes += missing
        direction = self._directions.get(key) or self._begin(key, at)
        # Of what nobody is interested in, packets are counted as they come, TCP's too.
        if not direction.skipping and self._copies.is_copy(key, payload, interface, at):
            direction.copied()
            ledger.udp_copies += 1
            ledger.udp_duplicate_bytes += len(payload)
        elif direction.take(payload, at):
            ledger.udp_skipped_bytes += len(payload)
        else:
            ledger.udp_delivered += len(payload)

    def sweep(self, now: int, idle_check: bool) -> None:
        """End what has been idle for long."""
        if idle_check:
            checks = self._core.limits.idle_udp // IDLE_CHECK
            for conversation in [one for one in self._open if is_idle(one, checks)]:
                self._end(conversation, now, "idle")

    def busy(self) -> bool:
        """Whether there is anything that time could change."""
        return bool(self._open)

    def close(self, at: int) -> None:
        """The capture is over."""
        for conversation in list(self._open):
            self._end(conversation, at, "end of capture")

    def open(self) -> Iterator[Conversation]:
        return iter(self._open)

    def give_up(self, conversation: Conversation, at: int) -> None:
        """It holds too much."""
        self._end(conversation, at, CROWDED)

    def _begin(self, key: bytes, at: int) -> Direction:
        core = self._core
        if len(self._open) >= core.limits.conversations:
            self._end(next(iter(self._open)), at, "evicted")
        resumption = core.resumed.pop(("udp", key), None)
        if resumption is not None:
            core.resumed.pop(("udp", reverse(key)), None)
            self._add(resumption.key, resumption.first, resumption.client, resumption.protocol)
        else:
            self._add(key, at, None, "")
        return self._directions[key]

    def _add(self, key: bytes, first: int, client: int | None, protocol: str) -> None:
        """`client` and `protocol` as of Resumption."""
        core = self._core
        flow = Flow("udp", key, first, core.node, core.capture_source)
        flow.flipped = client == 1
        there, back = Direction(SERVER if flow.flipped else CLIENT), Direction(CLIENT if flow.flipped else SERVER)
        halves = (back, there) if flow.flipped else (there, back)
        conversation = Conversation(core, flow, halves, oriented=client is not None, midstream=True)
        conversation.promise(protocol)
        there.conversation = back.conversation = conversation
        self._open[conversation] = key
        # A sender that is its own receiver has one direction.
        self._directions[reverse(key)] = back
        self._directions[key] = there

    def _end(self, conversation: Conversation, at: int, reason: str) -> None:
        key = self._open.pop(conversation)
        self._directions.pop(key, None)
        self._directions.pop(reverse(key), None)
        conversation.close(at, reason)
