"""Knows every TCP connection: SYN, FIN, RST, port reuse, starts in the middle, and when to forget.

The packet loop in sniffer.py delivers what is in order by itself; everything else comes here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice

from pysniff.conversation import Conversation
from pysniff.core import Core
from pysniff.entry import Flow
from pysniff.ledger import CROWDED
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.packet import ACK, FIN, RST, SYN
from pysniff.reassembly import NO_ACK, UNKNOWN, Half
from pysniff.resumption import Resumption

_MASK = 0xFFFFFFFF


def reverse(key: bytes) -> bytes:
    """The key of packets going the other way."""
    size = (len(key) - 4) // 2
    return key[size : 2 * size] + key[:size] + key[-2:] + key[-4:-2]


class Connections:
    """All TCP connections; `halves` by key, both ways."""

    __slots__ = ("halves", "ending", "_core", "_syns", "_open", "_ended")

    def __init__(self, core: Core) -> None:
        self.halves: dict[bytes, Half] = {}
        # Who wants to know that one is about to end: its key, and when.
        self.ending: Callable[[bytes, Conversation, int], None] | None = None
        self._core = core
        # SYNs that no data followed so far: first sequence number, whether it was a SYN-ACK, time.
        self._syns: OrderedDict[bytes, tuple[int, bool, int]] = OrderedDict()
        self._open: OrderedDict[Conversation, bytes] = OrderedDict()  # oldest first
        self._ended: deque[tuple[int, bytes, Half]] = deque()  # when to forget which

    def segment(self, key: bytes, seq: int, ack: int, flags: int, payload: bytes, missing: int, at: int) -> None:
        """Take one TCP segment, whatever it is."""
        half = self.halves.get(key)
        if flags & SYN:
            self._syn(key, half, seq, flags, at)
            if not payload:
                return
            seq = (seq + 1) & _MASK
            half = self.halves.get(key)
        if half is None:
            if not payload:
                if flags & RST:
                    self._use_syn(key)
                    self._use_syn(reverse(key))
                return
            half = self._begin(key, seq, ack, flags, at)
        conversation = half.conversation
        if conversation is None:
            half.late(seq, payload)
            return
        if flags & RST and half.far(seq):
            flags &= ~RST  # RFC 9293 §3.10.7.4: outside of the window it is ignored
        if half.skipping:
            if payload:
                half.count(payload, at)
            half.ended |= bool(flags & FIN)
        else:
            self._advance(conversation, half, seq, ack, flags, payload, missing, at)
        if flags & RST:
            self._end(conversation, at, "reset")
        elif half.ended and half.peer.ended:
            self._end(conversation, at, "finished")

    def acknowledge(self, key: bytes, ack: int, at: int) -> None:
        """A plain ACK, while some half waits for something."""
        half = self.halves.get(key)
        if half is not None and half.conversation is not None:
            half.peer.acknowledged(ack, at)
            half.release(at)

    def sweep(self, now: int, idle_check: bool) -> None:
        """Forget what ended or never began; end what has been idle for long."""
        limits, ended, syns = self._core.limits, self._ended, self._syns
        # What lies far ahead is from before the clock was set back.
        while ended and not now < ended[0][0] <= now + limits.linger:
            _, key, half = ended.popleft()
            self._drop(key, half)
        while syns:
            key = next(iter(syns))
            if now < syns[key][2] + limits.idle <= now + 2 * limits.idle:
                break
            del syns[key]
            self._core.ledger.half_open_expired += 1
        if idle_check:
            for conversation in [one for one in self._open if is_idle(one, limits.idle // IDLE_CHECK)]:
                self._end(conversation, now, "idle")

    def busy(self) -> bool:
        """Whether there is anything that time could change."""
        return bool(self._open or self._ended or self._syns)

    def close(self, at: int) -> None:
        """The capture is over."""
        for conversation in list(self._open):
            self._end(conversation, at, "end of capture")
        self.halves.clear()
        self._ended.clear()

    def open(self) -> Iterator[Conversation]:
        return iter(self._open)

    def give_up(self, conversation: Conversation, at: int) -> None:
        """It holds too much."""
        self._end(conversation, at, CROWDED)

    def remember(self) -> Iterator[Resumption]:
        """What it takes to go on with each connection where everything before is gone; of those where that is little,
        and nothing that came is waited with."""
        for conversation, key in self._open.items():
            half, flow = self.halves[key], conversation.flow
            if half.holds or half.peer.holds or (told := conversation.remember()) is None:
                continue
            halves = (half, half.peer)
            due = [None if one.next == UNKNOWN else one.next for one in halves]
            offsets = (half.offset(), half.peer.offset())
            client = int(flow.flipped)
            yield Resumption("tcp", key, flow.first, flow.seq, client, (due[0], due[1]), offsets, *told)

    def half_open(self) -> int:
        """SYNs remembered now."""
        return len(self._syns)

    def _advance(
        self,
        conversation: Conversation,
        half: Half,
        seq: int,
        ack: int,
        flags: int,
        payload: bytes,
        missing: int,
        at: int,
    ) -> None:
        peer = half.peer
        if flags & ACK:
            peer.acknowledged(ack, at)
        told = ack if flags & ACK else NO_ACK
        if missing:  # cut by the snapshot length, and a FIN comes behind what was cut
            if payload:
                half.segment(seq, payload, False, told, at)
            seq = (seq + len(payload)) & _MASK
            half.lost(seq, missing, at)
            seq, payload = (seq + missing) & _MASK, b""
        if payload or flags & FIN:
            half.segment(seq, payload, bool(flags & FIN), told, at)
        half.release(at)
        if flags & RST:
            self._flush(half, at)

    def _syn(self, key: bytes, half: Half | None, seq: int, flags: int, at: int) -> None:
        first = (seq + 1) & _MASK
        if half is not None:
            conversation = half.conversation
            if conversation is not None:
                if half.base == first and half.next != UNKNOWN:
                    return  # a retransmission
                if half.next == UNKNOWN and (flags & ACK or half.begins(first)):
                    half.start(first)  # the answer to a SYN that brought data (RFC 7413), or captured behind its data
                    half.release(at)
                    return
                self._end(conversation, at, "port reused")
            elif half.base == first and half.next != UNKNOWN:
                return  # of the connection that has just ended: a recording with repetitions
            self._drop(key, half)
        syns, ledger = self._syns, self._core.ledger
        if key not in syns:
            ledger.half_open += 1
            if len(syns) >= self._core.limits.half_open:
                syns.popitem(last=False)
                ledger.half_open_evicted += 1
        syns[key] = (first, bool(flags & ACK), at)

    def _use_syn(self, key: bytes) -> tuple[int, bool, int] | None:
        syn = self._syns.pop(key, None)
        if syn is not None:
            self._core.ledger.half_open_used += 1
        return syn

    def _begin(self, key: bytes, seq: int, ack: int, flags: int, at: int) -> Half:
        """The first payload of a connection."""
        core = self._core
        if len(self._open) >= core.limits.conversations:
            self._evict(at)
        back = reverse(key)
        resumption = core.resumed.pop(("tcp", key), None)
        if resumption is not None:
            del core.resumed["tcp", back]
            return self._resume(resumption, key == resumption.key, at)
        mine, theirs = self._use_syn(key), self._use_syn(back)
        half, peer = Half(core, CLIENT), Half(core, SERVER)
        half.peer, peer.peer = peer, half
        first = min([at] + [syn[2] for syn in (mine, theirs) if syn is not None])
        syn = mine or theirs
        # Without a SYN this segment stands for the connection; with one, reordered data gives the same name.
        flow = Flow("tcp", key, first, core.node, core.capture_source, seq if syn is None else syn[0])
        by_server = (mine is not None and mine[1]) or (theirs is not None and not theirs[1])
        if by_server:
            flow.flipped = True
            half.side, peer.side = SERVER, CLIENT
        oriented = mine is not None or theirs is not None
        midstream = mine is None
        halves = (peer, half) if by_server else (half, peer)
        conversation = Conversation(core, flow, halves, oriented=oriented, midstream=midstream)
        for one in (half, peer):
            one.conversation = conversation
        if mine is not None:
            half.start(mine[0])
        if theirs is not None:
            peer.start(theirs[0])
        elif mine is not None and flags & ACK:
            peer.start(ack)
        return self._add(conversation, key, half)

    def _resume(self, resumption: Resumption, leads: bool, at: int) -> Half:
        """A connection whose beginning is gone; whether its next packet goes as its key says."""
        core = self._core
        flow = Flow("tcp", resumption.key, resumption.first, core.node, core.capture_source, resumption.seq)
        flow.flipped = resumption.client == 1
        ends = Half(core, SERVER if flow.flipped else CLIENT), Half(core, CLIENT if flow.flipped else SERVER)
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        oriented = resumption.client is not None
        halves = (ends[1], ends[0]) if flow.flipped else ends
        conversation = Conversation(core, flow, halves, oriented=oriented, midstream=True)
        for half, due, before in zip(ends, resumption.due, resumption.offsets, strict=True):
            half.conversation = conversation
            if due is not None:
                half.start(due, before)
        conversation.promise(resumption.protocol, resumption.state, at)
        half = self._add(conversation, resumption.key, ends[0])
        return half if leads else half.peer

    def _add(self, conversation: Conversation, key: bytes, half: Half) -> Half:
        self._open[conversation] = key
        self.halves[key] = half
        self.halves[reverse(key)] = half.peer
        return half

    def _evict(self, at: int) -> None:
        """Room for one more: an old conversation that was quiet at the last check, else the oldest."""
        some = list(islice(self._open, _EVICTION_CHOICE))
        quiet = [conversation for conversation in some if conversation.quiet]
        self._end((quiet or some)[0], at, "evicted")

    def _end(self, conversation: Conversation, at: int, reason: str) -> None:
        key = self._open.pop(conversation)
        half = self.halves[key]
        self._flush(half, at)
        if self.ending is not None:
            self.ending(key, conversation, at)
        conversation.close(at, reason)
        for one in (half, half.peer):
            one.stop()
        if reason in ("idle", CROWDED):  # it may go on, and is joined in the middle then
            self._drop(key, half)
            return
        # Late segments shall not open a new conversation.
        self._ended.append((at + self._core.limits.linger, key, half))
        if len(self._ended) > self._core.limits.closed:
            self._drop(*self._ended.popleft()[1:])

    def _flush(self, half: Half, at: int) -> None:
        """Deliver what waits, questions before answers."""
        for one in sorted((half, half.peer), key=lambda one: one.side):
            if not one.skipping:
                one.flush(at)

    def _drop(self, key: bytes, half: Half) -> None:
        for one, known in ((key, (half, half.peer)), (reverse(key), (half, half.peer))):
            if self.halves.get(one) in known:
                del self.halves[one]


# Conversations looked at for one that is quiet.
_EVICTION_CHOICE = 64
# How often idleness is checked.
IDLE_CHECK = 16 * SECOND


def is_idle(conversation: Conversation, checks: int) -> bool:
    """Count how often in a row nothing new was seen."""
    mark = sum(half.progress() for half in conversation.halves)
    conversation.quiet = conversation.quiet + 1 if mark == conversation.mark else 0
    conversation.mark = mark
    return conversation.quiet > checks
