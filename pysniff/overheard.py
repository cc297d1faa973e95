"""Conversations of which processes tell the plain text: what no packet could be decrypted to.

Every byte told goes on once, came twice, or waits until it is clear who reads the connection.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from pysniff.conversation import Conversation
from pysniff.core import Core
from pysniff.dissector import Inside, InsideEnd, InsideGap
from pysniff.encryption import Encryption
from pysniff.entry import Flow
from pysniff.inside import HalfWithin, Layer, flow_within
from pysniff.ledger import CROWDED, count
from pysniff.limits import MIB, SECOND
from pysniff.message import CLIENT, SERVER, Side
from pysniff.plain import PlainChunk
from pysniff.tcp import IDLE_CHECK, Connections, is_idle, reverse

# A message that a process told lies behind everything that may come in packets of its connection.
PLACE = 1 << 44
# How far a process may count: what is beyond is no count.
_FARTHEST = 1 << 60
# How long is waited for the packets of a connection, and then for what their dissector makes of them.
_NO_PACKETS = SECOND // 2
_UNDECIDED = 2 * SECOND
# How long behind the end of its packets a connection's words may be told, and of how many connections (two keys each).
_GONE = SECOND
_MOST_GONE = 1_024
# Held of one connection meanwhile.
_HELD = MIB


def _nothing() -> None:
    """Nobody acknowledges what a process tells."""


class _Talk:
    """One connection as a process tells of it. Ways are 0 as `key` says and 1 for the other one.

    `due`: offsets that come next; `base`: where the positions of this reader begin. `layer`: what reads it, once that
    is clear; `host`: the conversation of its packets; `is_read`: those are decrypted, so nothing that is told is
    needed; `is_late`: they are over.
    """

    def __init__(self, chunk: PlainChunk) -> None:
        self.key = chunk.key
        self.reader = chunk.reader
        self.from_start = chunk.watched_from_start
        self.first = chunk.time_ns
        self.base = 0
        self.due: list[int | None] = [None, None]
        self.ended = [False, False]
        self.ends_at: list[int | None] = [None, None]  # where it will have ended
        self.held: list[PlainChunk] = []
        self.held_bytes = 0
        self.alarm = 0
        self.layer: Layer | None = None
        self.conversation: Conversation | None = None
        self.host: Conversation | None = None
        self.is_read = False
        self.is_late = False
        # The half in which each way counts; once there is a layer.
        self.sides = (CLIENT, SERVER)


class Overheard:
    """All connections that processes tell of, by key, both ways. `alone`: also those of which there are no packets."""

    __slots__ = ("alone", "_core", "_connections", "_talks", "_by_key", "_gone")

    def __init__(self, core: Core, connections: Connections, *, alone: bool = True) -> None:
        self.alone = alone
        self._core = core
        self._connections = connections
        connections.ending = self._over
        # Connections with TLS that ended of late, by key, both ways, and when: what is told may come behind packets.
        self._gone: OrderedDict[bytes, tuple[Conversation, int]] = OrderedDict()
        self._talks: OrderedDict[bytes, _Talk] = OrderedDict()  # by the key of the first chunk, oldest first
        self._by_key: dict[bytes, _Talk] = {}

    def take(self, chunk: PlainChunk) -> None:
        """The next bytes that a process sent or received."""
        ledger = self._core.ledger
        ledger.plain_chunks += 1
        ledger.plain_bytes += len(chunk.data)
        talk = self._by_key.get(chunk.key)
        if talk is not None and talk.host is not None and self._host(talk) not in (None, talk.host):
            self._end(talk, chunk.time_ns, "port reused")
            talk = None
        if talk is not None and chunk.reader != talk.reader and all(talk.ended):
            self._end(talk, chunk.time_ns, "finished")
            talk = None
        if talk is None:
            talk = self._begin(chunk)
        if talk.layer is not None and talk.host is None:
            self._meet(talk, chunk.time_ns)
        if chunk.reader != talk.reader or talk.is_read or not 0 <= chunk.offset < _FARTHEST:
            ledger.plain_duplicate_bytes += len(chunk.data)
        elif talk.layer is not None:
            self._feed(talk, talk.layer, chunk)
        else:
            talk.held.append(chunk)
            talk.held_bytes += len(chunk.data)
            ledger.plain_held_bytes += len(chunk.data)
            self._decide(talk, chunk.time_ns)

    def sweep(self, now: int, idle_check: bool) -> None:
        """End what has been idle for long, and what ended with its packets."""
        checks = self._core.limits.idle // IDLE_CHECK
        for talk in list(self._talks.values()):
            host, conversation = talk.host, talk.conversation
            if host is not None and host.closed:  # what is told may come a little later than the packets
                if talk.is_late:
                    self._end(talk, now, "finished")
                talk.is_late = True
            elif idle_check and host is None and conversation is not None and is_idle(conversation, checks):
                self._end(talk, now, "idle")

    def busy(self) -> bool:
        """Whether there is anything that time could change."""
        return bool(self._talks)

    def close(self, at: int) -> None:
        """The capture is over."""
        for talk in list(self._talks.values()):
            if talk.held:
                self._settle(talk, at)
            self._end(talk, at, "end of capture")

    def open(self) -> Iterator[Conversation]:
        for talk in self._talks.values():
            if talk.conversation is not None:
                yield talk.conversation

    def give_up(self, conversation: Conversation, at: int) -> None:
        """It holds too much; what is told later begins anew."""
        for talk in list(self._talks.values()):
            if talk.conversation is conversation:
                self._end(talk, at, CROWDED)

    def settled(self, before: int) -> bool:
        """Whether nothing waits here that began up to that time."""
        return all(talk.first > before or not talk.held for talk in self._talks.values())

    # Who reads it

    def _begin(self, chunk: PlainChunk) -> _Talk:
        if len(self._talks) >= self._core.limits.conversations:
            talk = next(iter(self._talks.values()))
            if talk.held:
                self._settle(talk, chunk.time_ns)
            self._end(talk, chunk.time_ns, "evicted")
        talk = self._talks[chunk.key] = _Talk(chunk)
        for key in (chunk.key, reverse(chunk.key)):
            self._by_key[key] = talk
        return talk

    def _host(self, talk: _Talk) -> Conversation | None:
        half = self._connections.halves.get(talk.key)
        if half is not None and half.conversation is not None:
            return half.conversation
        gone = self._gone.get(talk.key)
        return gone[0] if gone is not None and talk.first <= gone[1] + _GONE else None

    def _meet(self, talk: _Talk, now: int) -> None:
        """Packets may come after all: let nothing be read twice."""
        host = self._host(talk)
        if host is not None and host.reads:
            talk.is_read = True
            if talk.layer is not None:
                talk.layer.conversation.close(now, "left")
        elif host is not None:
            talk.host = host
            host.overheard = host.overheard or 0

    def _decide(self, talk: _Talk, now: int) -> None:
        """Say who reads it if that is clear; look again when it must be."""
        host = self._host(talk)
        is_read = None if host is None else host.reads
        wait = _NO_PACKETS if host is None else _UNDECIDED
        if is_read is not None or now >= talk.first + wait or self._is_too_much(talk):
            self._settle(talk, now)
        elif not talk.alarm:
            talk.alarm = self._core.deadlines.add(talk.first + wait, lambda at: self._due(talk, at))

    def _is_too_much(self, talk: _Talk) -> bool:
        return talk.held_bytes > _HELD or self._core.ledger.plain_held_bytes > self._core.limits.held_total

    def _due(self, talk: _Talk, now: int) -> None:
        talk.alarm = 0
        if talk.held:
            self._decide(talk, now)

    def _settle(self, talk: _Talk, now: int) -> None:
        """Let the packets be read, if they are, else what the process tells."""
        self._core.deadlines.cancel(talk.alarm)
        talk.alarm = 0
        host = talk.host = self._host(talk)
        held, talk.held = talk.held, []
        if host is None and not self.alone:  # it is not captured here
            self._core.ledger.plain_held_bytes -= talk.held_bytes
            self._core.ledger.plain_filtered += talk.held_bytes
            talk.held_bytes = 0
            talk.first = now
            return
        self._core.ledger.plain_held_bytes -= talk.held_bytes
        talk.held_bytes = 0
        if host is not None and host.reads:
            talk.is_read = True
            self._core.ledger.plain_duplicate_bytes += sum(len(chunk.data) for chunk in held)
            return
        layer = self._layer(talk, host, held[0])
        for chunk in held:
            self._feed(talk, layer, chunk)

    def _layer(self, talk: _Talk, host: Conversation | None, chunk: PlainChunk) -> Layer:
        core = self._core
        known = host.sealed if host is not None else None
        encryption = Encryption(key_source="plaintext") if known is None else replace(known, key_source="plaintext")
        if host is None:
            flow = Flow("tcp", talk.key, talk.first, core.node, "ebpf_tls")
            flow.called, flow.given = core.names.called(flow.key, flow.first), core.names.given(flow.key, flow.first)
            flow.encryption = encryption
        else:
            flow = flow_within(host.flow, encryption)
            flow.capture_source = "ebpf_tls"
            talk.base = host.overheard = host.overheard or 0
        oriented = known is not None or chunk.sender_is_client is not None
        if chunk.sender_is_client is not None:
            flow.flipped = (chunk.key == flow.key) != chunk.sender_is_client
        talk.sides = (CLIENT, SERVER) if (talk.key == flow.key) != flow.flipped else (SERVER, CLIENT)
        halves = HalfWithin(core, CLIENT, _nothing), HalfWithin(core, SERVER, _nothing)
        inner = Conversation(core, flow, halves, oriented=oriented, midstream=not talk.from_start, level=1)
        talk.conversation, talk.layer = inner, Layer(inner, halves)
        return talk.layer

    def _over(self, key: bytes, conversation: Conversation, at: int) -> None:
        """The packets of a connection come to an end."""
        talk = self._by_key.get(key)
        if talk is not None and talk.held:
            self._settle(talk, at)
        if conversation.decrypts:
            for one in (key, reverse(key)):
                self._gone[one] = conversation, at
            while len(self._gone) > _MOST_GONE:
                self._gone.popitem(last=False)

    # What is told

    def _feed(self, talk: _Talk, layer: Layer, chunk: PlainChunk) -> None:
        ledger = self._core.ledger
        way = int(chunk.key != talk.key)
        side, at, offset, data = talk.sides[way], chunk.time_ns, chunk.offset, chunk.data
        due = talk.due[way]
        if due is None:
            due = 0 if talk.from_start else offset
        if talk.ended[way]:
            ledger.plain_delivered += len(data)
            count(ledger.undecoded, "told after the end", len(data))
            return
        if not data:
            talk.ends_at[way] = offset  # what comes before may be told a little later
        elif offset > due:
            self._lose(talk, side, offset - due, at)
        elif offset < due:
            ledger.plain_duplicate_bytes += min(len(data), due - offset)
            data = data[due - offset :]
            offset = due
        if data:
            due = offset + len(data)
            ledger.plain_delivered += len(data)
            layer.feed(Inside(side, data, 0, at), PLACE + talk.base + offset)
        talk.due[way] = due
        end = talk.ends_at[way]
        if end is not None and due >= end:
            talk.ended[way] = True
            layer.end(InsideEnd(side, at))
            if all(talk.ended) and talk.host is None:
                self._end(talk, at, "finished")

    def _lose(self, talk: _Talk, side: Side, size: int, at: int) -> None:
        assert talk.layer is not None
        self._core.ledger.gap_bytes += size
        talk.layer.lose(InsideGap(side, size, at), counted=True)

    def _end(self, talk: _Talk, at: int, reason: str) -> None:
        self._core.deadlines.cancel(talk.alarm)
        if talk.layer is not None:
            for way, end in enumerate(talk.ends_at):
                if end is not None and not talk.ended[way] and end > (talk.due[way] or 0):
                    self._lose(talk, talk.sides[way], end - (talk.due[way] or 0), at)
            talk.layer.conversation.close(at, reason)
            if talk.host is not None:
                talk.host.overheard = talk.base + max(due or 0 for due in talk.due)
        if self._talks.get(talk.key) is talk:
            del self._talks[talk.key]
        for key in (talk.key, reverse(talk.key)):
            if self._by_key.get(key) is talk:
                del self._by_key[key]
