"""Two halves that talk: finds their protocol, feeds its dissector, contains what goes wrong.

Every byte given here ends in an entry, in a reason of the ledger, or is still waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pysniff import recollection
from pysniff.containment import begun, relieve, remembered, unclaimed, weight
from pysniff.core import Core
from pysniff.detect import CHUNK, Chunk, Detection, Found, forced
from pysniff.dissector import (
    Context,
    Dissector,
    Inside,
    InsideGap,
    Malformed,
    Output,
    Overhead,
    Receiver,
    Switch,
    Undecoded,
    Within,
)
from pysniff.encryption import Encryption
from pysniff.entry import Flow
from pysniff.halves import Half
from pysniff.inside import HalfWithin, Layer, flow_within
from pysniff.ledger import CROWDED, count
from pysniff.message import CLIENT, SERVER, Fault, Message, Side
from pysniff.ongoing import Exchange, Ongoing, exchanges
from pysniff.pairing import Pairs
from pysniff.unrecognised import Transfer, Unrecognised

# Protocols inside protocols, and fresh starts after Malformed, before a conversation is left alone.
_STAGES = 16
# Conversations carried in one another, as TLS in a tunnel in TLS; what is deeper is not looked at.
_LEVELS = 4
# Reasons of close() that the ends themselves gave.
_ENDS = ("finished", "reset")
_NOT_SEEN = "the capture ended before the connection did"
_GIVEN_UP = "the connection was given up here: too much was held of all together, and much of it"


def _cut(outputs: Iterable[Output], words: str) -> Iterable[Output]:
    """Whatever a dissector says to the end of its bytes: there were more, or may have been."""
    for output in outputs:
        if isinstance(output, Message):
            told = any(fault.kind == "truncated" for fault in output.faults)
            if not told or words == _GIVEN_UP:
                output.faults += (Fault("truncated", words),)
        yield output


class Conversation:
    """One TCP connection, or one pair of UDP ports; or, with a `level`, what another conversation carries."""

    __slots__ = (
        "flow", "halves", "pairs", "quiet", "mark", "closed", "level", "overheard",
        "_core", "_detection", "_dissector", "_base", "_unfed", "_ended", "_stages", "_alarm",
        "_ongoing", "_unknown", "_faults", "_conflicts", "_moved", "_promised", "_layer", "_within", "_reads",
        "_sealed",
    )  # fmt: skip

    def __init__(
        self,
        core: Core,
        flow: Flow,
        halves: tuple[Half, Half],
        *,
        oriented: bool,
        midstream: bool,
        level: int = 0,
    ) -> None:
        self.flow = flow
        self.halves = halves  # client, server; the first sender counts as the client until it is known better
        self.pairs = Pairs(core, flow, midstream and flow.transport == "tcp")
        self.quiet = 0  # idle checks in a row that saw nothing new
        self.mark = 0  # what the last one saw
        self.closed = False
        self.level = level
        # Bytes of what it carries that processes told: then it is not read here; None: nobody tells.
        self.overheard: int | None = None
        self._core = core
        self._detection: Detection | None = Detection(core, flow.transport, oriented=oriented, midstream=midstream)
        self._dissector: Dissector | None = None
        # Where in each half the current protocol began; of datagrams the position of the last message.
        self._base = [0, 0] if flow.transport == "tcp" else [-1, -1]
        self._unfed = [0, 0]  # bytes of each half that came and are fed later
        self._ended = [False, False]
        self._stages = 0
        self._alarm = 0  # the number of the deadline for showing what is open
        self._ongoing = Ongoing(core, flow)
        self._unknown: Unrecognised | None = None
        self._faults: tuple[Fault, ...] = ()  # of that
        self._conflicts = [0, 0]
        self._promised: type[Dissector] | None = None
        self._moved = True  # messages need their positions moved or a fault added
        self._layer: Layer | None = None  # what the dissector carries
        self._within: recollection.Within | None = None  # what it carried before this was joined
        self._reads = False  # whether there was anything
        self._sealed: Encryption | None = None
        if level:
            core.ledger.conversations_inside += 1
        else:
            core.ledger.conversations += 1
            core.ledger.conversations_open += 1
            flow.called, flow.given = core.names.called(flow.key, flow.first), core.names.given(flow.key, flow.first)
        self._connect()

    @property
    def reads(self) -> bool | None:
        """Whether what it carries can be read; None while that is not clear."""
        dissector = self._dissector
        if self._reads:
            return True
        if dissector is None:
            return None if self._detection is not None else False
        return False if dissector.sealed is not None else None

    @property
    def decrypts(self) -> bool:
        """Whether it is encrypted, as far as anybody knows."""
        return self._dissector is not None and self._dissector.decrypts

    @property
    def sealed(self) -> Encryption | None:
        """What is known of the encryption that cannot be undone; also when it is over."""
        return self._sealed if self._dissector is None else self._dissector.sealed

    def promise(self, protocol: str, state: bytes = b"", at: int = 0) -> None:
        """It spoke this before, "" for nobody knows what; joined in the middle, the bytes to come cannot say.

        `state`: as Dissector.remember() gave it there, or empty: nothing is lost then, where it fits.
        """
        promised = self._core.named(protocol, self.flow.transport) if protocol else None
        forced = self._forced()
        if promised is not None and (forced is None or forced.dissector is promised):
            if state and self._recall(promised, state, at):
                return
            self._promised = promised
        if protocol and self.flow.transport == "tcp":  # what stays unrecognised begins here, not where the flow did
            self._base = [half.offset() for half in self.halves]

    def remember(self) -> tuple[str, bytes] | None:
        """For promise(): what it speaks, and what it takes to go on from here; None where nothing does."""
        told = remembered(self._dissector, self._core.ledger)
        if told is None or not self.decrypts:
            return told
        within = self._within if self._layer is None else self._layer.remember()
        if self.overheard is not None or self.sealed is not None:
            within = recollection.UNKNOWN
        return told[0], recollection.written(told[1], within)

    def spoken(self) -> tuple[str, bytes]:
        """As remember(), but with nothing where going on takes no more than the protocol's name, or nobody knows it."""
        found = self.remember()
        return found or (self._dissector.protocol if self._dissector is not None else "", b"")

    def held(self, side: Side) -> int:
        """Bytes of one half that its dissector has not given back."""
        return self._unclaimed()[side]

    def settled(self, before: int) -> bool:
        """Whether nothing that began up to that time can become an entry any more, or another one than it is."""
        dissector, layer = self._dissector, self._layer
        if dissector is None or any(request.first <= before for request in self.pairs.waiting()):
            return False
        if layer is not None and not layer.conversation.settled(before):
            return False
        found = begun(dissector, self._core.ledger)
        return all(message.first > before for message in found) and (bool(found) or not any(self._unclaimed()))

    def feed(self, side: Side, data: bytes, at: int) -> None:
        """The next bytes of one half, or one datagram."""
        try:
            outputs = self.halves[side].receive(data, at)
        except Exception as problem:
            self.failed(problem)
        else:
            if outputs:
                self.take(outputs, at)

    def take(self, outputs: Iterable[Output], at: int) -> None:
        """What `receive` of one half gave."""
        dissector = self._dissector
        try:
            if self._moved:
                self._take(outputs, at)
                return
            add = self.pairs.add
            for output in outputs:
                if isinstance(output, tuple):
                    self._take((output,), at)
                    if self._dissector is not dissector:
                        return  # as in _take(): nothing comes behind a Switch
                else:
                    add(output)
        except Exception as problem:
            self.failed(problem)

    def failed(self, problem: Exception) -> None:
        """The dissector gave up; a bug of its own ends its work on this conversation, no more."""
        if isinstance(problem, Malformed):
            self._fail(str(problem))
        else:
            self._broken(problem)

    def gap(self, side: Side, size: int, at: int) -> None:
        """Bytes of one half were lost."""
        ledger = self._core.ledger
        if self._dissector is None:
            ledger.gap_unrecognised += size
        else:
            ledger.gap_dissected += size
        self.lose(side, size, at)

    def lose(self, side: Side, size: int, at: int) -> None:
        """As gap(), of bytes that are counted elsewhere."""
        dissector = self._dissector
        if dissector is not None:
            self._lost(side)
            self._run(partial(dissector.gap, side, size, at), at)
        elif self._detection is not None:
            self._detection.lose(side)
            self._lost(side)

    def conflict(self, side: Side, size: int) -> None:
        """A repetition had other bytes than the first transmission, which stands."""
        self._core.ledger.conflicts += 1
        self.contradict(side, size)

    def contradict(self, side: Side, size: int) -> None:
        """Mark the next message for it."""
        if self._layer is not None:
            self._layer.contradict(side, size)
            return
        self._conflicts[side] += size
        self._settle()

    def end(self, side: Side, at: int, *, cut: str = "") -> None:
        """One half has ended; `cut`: it went on, but nobody saw how, in words."""
        dissector = self._dissector
        if self._ended[side]:
            return
        self._ended[side] = True
        if cut and self._layer is not None:
            self._layer.cut = cut
        if dissector is not None:
            self._run(lambda: _cut(dissector.close(side, at), cut) if cut else dissector.close(side, at), at)

    def close(self, at: int, reason: str) -> None:
        """Both halves are over: everything still open becomes an entry."""
        if self.closed:
            return
        cut = "" if reason in _ENDS else _GIVEN_UP if reason == CROWDED else _NOT_SEEN
        for side in Side:
            self.end(side, at, cut=cut)
        self.closed = True
        self._core.deadlines.cancel(self._alarm)
        self._leave("not finished", reason)
        if self._detection is not None:
            self._give_up()
        if self._unknown is not None:
            self._unknown.show(self.halves, "closed", self._faults)
        if not self.level:
            self._core.ledger.conversations_open -= 1
            count(self._core.ledger.ended, reason)

    def pending(self) -> int:
        """Bytes taken that are in no entry and no reason yet; requests that wait are apart."""
        if self._detection is not None:
            return self._detection.held() + sum(self._detection.dropped)
        carried = 0 if self._layer is None else self._layer.conversation.pending()
        return sum(self._unclaimed()) + sum(self._unfed) + carried

    def weight(self) -> int:
        """About how many bytes of memory it holds that its ends can make more."""
        total = sum([half.weight() for half in self.halves]) + self.pairs.weight()
        if self._detection is not None:
            return total + self._detection.weight()
        carried = 0 if self._layer is None else self._layer.conversation.weight()
        return total + weight(self._dissector, self._core.ledger) + carried

    def relieve(self) -> None:
        """Let go of what only makes it faster."""
        relieve(self._dissector, self._core.ledger)
        if self._layer is not None:
            self._layer.conversation.relieve()

    def waiting(self) -> Iterator[Message]:
        """The requests without answers, those of what it carries too."""
        yield from self.pairs.waiting()
        if self._layer is not None:
            yield from self._layer.conversation.waiting()

    def offsets_of_begun(self, side: Side) -> list[int]:
        """Where they begin in their half."""
        every = begun(self._dissector, self._core.ledger)
        return [message.position + self._base[side] for message in every if message.side is side]

    def ask_again(self, at: int) -> bool:
        """There are secrets that were not known, or time has passed; whether it waits for others."""
        dissector = self._dissector
        if dissector is not None and dissector.waits:
            self._run(partial(dissector.again, at), at)
            dissector = self._dissector
        return dissector is not None and dissector.waits

    def _wait(self) -> None:
        """Bytes wait for a secret from here on."""
        self._core.waiting[self] = None

    # Finding the protocol

    def _connect(self) -> None:
        """Have the bytes of both halves go where they belong now."""
        dissector = self._dissector
        for side, half in zip(Side, self.halves, strict=True):
            half.receive = partial(self._look, side) if dissector is None else dissector.receiver(side)
            # Within another protocol nobody would look for names: a store reads what promises them.
            if dissector is not None and dissector.names and not self._stages and not self.level:
                half.receive = partial(self._learning, half.receive)
        if dissector is not None and dissector.decrypts:
            self._core.decrypting[self] = None

    def _learning(self, receive: Receiver, data: bytes, at: int) -> Iterable[Output]:
        """As a receiver; what a message says of names is known before there is an entry of it."""
        for output in receive(data, at):
            if isinstance(output, Message):
                self._core.learn(output)
            yield output

    def _look(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        """Bytes of a protocol that nobody knows yet."""
        if not self._alarm:
            self._alarm = self._core.deadlines.add(at + self._core.limits.open_after, self._due)
        self._judge(Chunk(side, data, at))
        return ()

    def _judge(self, chunk: Chunk) -> None:
        detection = self._detection
        if detection is None:  # nobody is interested any more, but the half did not know yet
            assert self._unknown is not None
            self._unknown.add(chunk.side, len(chunk.data), chunk.at)
            return
        self._core.kept.beside += CHUNK
        if self.level > _LEVELS:
            detection.add(chunk)
            self._give_up()
            return
        found = (self._forced() if not self._stages else None) or self._remembered() or detection.add(chunk)
        if found is not None and not detection.chunks:  # decode_as did not look at the bytes
            detection.chunks.append(chunk)
        if found is not None:
            self._start(found, detection)
        elif detection.exhausted:
            self._give_up()

    def _remembered(self) -> Found | None:
        """What promise() said; once."""
        promised, self._promised = self._promised, None
        if promised is None:
            return None
        self._core.ledger.resumed_blind += promised.remembers
        return Found(promised, lost=(CLIENT, SERVER))

    def _recall(self, promised: type[Dissector], state: bytes, at: int) -> bool:
        """Go on from a state, before anything is fed; whether it fitted."""
        detection = self._detection
        try:
            dissector = self._dissector = promised(self._core.limits)
            outputs = [*dissector.begin(self._context(at))]
            within = None
            if dissector.decrypts:
                state, within = recollection.read(state)
            is_whole = dissector.recall(state)
        except Exception as problem:
            self._dissector = None
            self._core.ledger.dissector_errors += not isinstance(problem, Malformed)
            return False
        assert detection is not None and not outputs
        self._detection = None
        if dissector.decrypts:
            self._within = within if is_whole else recollection.UNKNOWN
        self._rebase()
        self._connect()
        self._core.ledger.recalled_bytes += sum(self._unclaimed())
        self._core.ledger.resumed_blind += not is_whole
        self._alarm = self._core.deadlines.add(at + self._core.limits.open_after, self._due)
        return True

    def _forced(self) -> Found | None:
        """What decode_as says about the ports."""
        # A SYN knows better than a port who the client is.
        oriented = self._detection is not None and self._detection.oriented
        return forced(self._core, self.flow, "tls" if self.level else self.flow.transport, oriented=oriented)

    def _start(self, found: Found, detection: Detection) -> None:
        if found.flip:
            self._flip()
        self._detection = None
        if found.behind is not None:
            self._show_behind(found.behind[::-1] if found.flip else found.behind, detection)
        elif any(detection.dropped):
            count(self._core.ledger.undecoded, "before the first message", sum(detection.dropped))
        chunks = [chunk._replace(side=chunk.side.other) if found.flip else chunk for chunk in detection.chunks]
        for chunk in chunks:
            self._unfed[chunk.side] += len(chunk.data)
        self._rebase()
        at = chunks[-1].at
        if self._alarm < 0:
            self._alarm = self._core.deadlines.add(at + self._core.limits.open_after, self._due)
        self._begin(found.dissector, at)
        for side in found.lost if self.flow.transport == "tcp" else ():
            if self._dissector is not None:
                self._lost(side)
                self._run(partial(self._dissector.gap, side, 0, at), at)
        for chunk in chunks:
            self._unfed[chunk.side] -= len(chunk.data)
            self.feed(*chunk)
        self._end_again(at)

    def _show_behind(self, behind: tuple[Transfer, Transfer], detection: Detection) -> None:
        """An entry of what was said before, in a protocol that nobody recognised; client first."""
        for side, part in zip(Side, behind, strict=True):
            part.side = side
        self._core.ledger.unrecognised_bytes += sum(detection.dropped)
        Unrecognised(self._core, self.flow, behind, self._base).show(self.halves, "closed", ())

    def _context(self, at: int, answer: Message | None = None) -> Context:
        client, server = self.flow.ends
        assert self._dissector is not None
        memory = self._core.memories.setdefault(self._dissector.protocol, {})
        request = self.pairs.asked(answer)
        core = self._core
        return Context(
            client.ip, str(server), memory, request, answer, at, core.secrets, core.kept, core.remembering, self._wait
        )

    def _flip(self) -> None:
        """The first sender is the server."""
        self.flow.flipped = True
        self.halves = (self.halves[1], self.halves[0])
        for side, half in zip(Side, self.halves, strict=True):
            half.side = side
        self._connect()
        self._conflicts.reverse()
        self._ended.reverse()
        self._base.reverse()

    def _lost(self, side: Side) -> None:
        self.pairs.gap(side)
        for half in self.halves:
            half.slow()

    # Taking what the dissector gives

    def _run(self, call: Callable[[], Iterable[Output]], at: int) -> None:
        try:
            self._take(call(), at)
        except Exception as problem:
            self.failed(problem)

    def _take(self, outputs: Iterable[Output], at: int) -> None:
        for output in outputs:
            if isinstance(output, Message):
                self._place(output, at)
                self.pairs.add(output)
            elif isinstance(output, Overhead):
                self._core.ledger.overhead_bytes += output.size
            elif isinstance(output, Undecoded):
                count(self._core.ledger.undecoded, output.reason, output.size)
            elif isinstance(output, Switch):
                self._switch(output, at)
                return
            elif isinstance(output, Within):
                self._carry(output, at)
            elif self._layer is None:
                if isinstance(output, Inside):  # a process has told it, or will
                    self._core.ledger.overhead_bytes += len(output.data)
            elif isinstance(output, Inside):
                self._layer.feed(output, self._placed(output.side, output.position))
            elif isinstance(output, InsideGap):
                self._layer.lose(output)
            else:
                self._layer.end(output)
        self._settle()

    def _carry(self, within: Within, at: int) -> None:
        """The dissector carries another protocol."""
        self._drop_layer("left")
        if self.overheard is not None:
            return
        self._reads = True
        flow = flow_within(self.flow, within.encryption)
        before, self._within = self._within, None
        behind = before.behind if before is not None else ((), ())
        client, server = [HalfWithin(self._core, side, self._slow_down, behind[side]) for side in Side]
        halves, level, joined = (client, server), self.level + 1, before is not None
        inner = Conversation(self._core, flow, halves, oriented=True, midstream=joined, level=level)
        self._layer = Layer(inner, halves, self.pairs)
        if before is None:
            inner.speak(within.protocol, at)
        else:
            inner.promise(before.protocol or within.protocol or "", before.state, at)

    def speak(self, protocol: str | None, at: int) -> None:
        """Begin with this protocol, where it is known; what is too deep is not looked at."""
        found = self._forced()
        dissector = found.dissector if found is not None else protocol and self._core.named(protocol, "tcp")
        if dissector and self.level <= _LEVELS:
            self._alarm = self._core.deadlines.add(at + self._core.limits.open_after, self._due)
            self._detection = None
            self._begin(dissector, at)

    def _slow_down(self) -> None:
        """What is carried has to know what the ends have acknowledged."""
        self.pairs.synchronised = False
        self.pairs.acked = None  # of these very bytes nobody looked
        for half in self.halves:
            half.slow()

    def _drop_layer(self, reason: str) -> None:
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.conversation.close(layer.at, reason)

    def _place(self, message: Message, at: int) -> None:
        """Say where in its half a message lies, and what is known of it besides."""
        base, side = self._base, message.side
        if self.flow.transport == "udp":
            # Offsets would depend on what came before; times do not.
            message.position = base[side] = max(base[side] + 1, at - self.flow.first)
        else:
            message.position = self._placed(side, message.position)
        if self._conflicts[side]:
            size, self._conflicts[side] = self._conflicts[side], 0
            message.faults += (Fault("overlap", "a repetition had other bytes; the first ones stand", size),)

    def _placed(self, side: Side, position: int) -> int:
        """Where on the wire it is, of a position that the dissector counted."""
        offset = position + self._base[side]
        return self.halves[side].place(offset) if self.level else offset

    def _rebase(self, left: tuple[int, int] = (0, 0)) -> None:
        """Another protocol begins here, with bytes `left` of each half that came and are looked at again."""
        if self.flow.transport == "tcp":
            self._base = [
                half.offset() - unfed - size for half, unfed, size in zip(self.halves, self._unfed, left, strict=True)
            ]
        self._settle()

    def _settle(self) -> None:
        self._moved = (
            self._layer is not None
            or bool(self.level)
            or self.flow.transport == "udp"
            or any(self._base)
            or any(self._conflicts)
        )

    def _switch(self, switch: Switch, at: int) -> None:
        """Go on in another protocol with what is left of both halves."""
        self._leave("left over at a protocol switch")
        self._stages += 1
        self._seek((len(switch.client), len(switch.server)), midstream=False)
        rest = [Chunk(CLIENT, switch.client, at), Chunk(SERVER, switch.server, at)]
        inner = switch.protocol and self._core.named(switch.protocol, self.flow.transport)
        for chunk in rest:
            self._unfed[chunk.side] += len(chunk.data)
        if self._stages >= _STAGES:
            self._give_up()
        elif inner:
            self._detection = None
            self._begin(inner, at, switch.answer)
        for chunk in rest:
            self._unfed[chunk.side] -= len(chunk.data)
            if chunk.data:
                self.feed(*chunk)
        self._end_again(at)

    def _begin(self, dissector: type[Dissector], at: int, answer: Message | None = None) -> None:
        """Read the bytes to come by this protocol."""
        try:
            self._dissector = dissector(self._core.limits)
        except Exception as problem:
            self._broken(problem)
        else:
            self._connect()
            self._run(partial(self._dissector.begin, self._context(at, answer)), at)

    def _end_again(self, at: int) -> None:
        """Tell a dissector that came later of the halves that had ended by then."""
        for side in Side:
            if self._ended[side] and self._dissector is not None:
                self._run(partial(self._dissector.close, side, at), at)

    def _fail(self, reason: str) -> None:
        """The dissector cannot go on; a later chunk may begin with a message of its protocol again."""
        protocol = type(self._dissector) if self._dissector is not None else None
        self._leave(reason or "malformed")
        # Who forces a protocol shall see that it does not fit.
        self._stages += _STAGES if self._forced() is not None else 1
        fault = Fault("malformed", reason)
        if fault not in self._faults:
            self._faults += (fault,)
        # Of its own only: what a conversation began as is what a store may take it for.
        self._seek(midstream=True, only=protocol)
        for side in Side:
            self._lost(side)
        if self._stages >= _STAGES:
            self._give_up()

    def _broken(self, problem: Exception) -> None:
        """The dissector has a bug."""
        self._core.ledger.dissector_errors += 1
        name = self._dissector.protocol if self._dissector is not None else "a"
        self._leave(f"{name} dissector failed")
        self._faults += (Fault("malformed", f"{name} dissector failed: {type(problem).__name__}: {problem}"[:300]),)
        self._seek(midstream=True)
        self._give_up()

    def _seek(self, left: tuple[int, int] = (0, 0), *, midstream: bool, only: type[Dissector] | None = None) -> None:
        """Find out anew what this is; `left` as of _rebase()."""
        self._detection = Detection(self._core, self.flow.transport, oriented=True, midstream=midstream, only=only)
        self._rebase(left)

    def _unclaimed(self) -> tuple[int, int]:
        return unclaimed(self._dissector, self._core.ledger)

    def _leave(self, reason: str, ended: str = "left") -> None:
        """End the current protocol; what its dissector still holds is not decoded."""
        left = sum(self._unclaimed())
        if left:
            count(self._core.ledger.undecoded, reason, left)
        self._drop_layer(ended)
        if self._dissector is not None and self._dissector.decrypts:
            self._core.decrypting.pop(self, None)
            self._core.waiting.pop(self, None)
            self._sealed = self._dissector.sealed
        self._dissector = None
        self._connect()
        if ended == CROWDED:
            self.pairs.close(_GIVEN_UP)
        else:
            self.pairs.close()

    # What nobody recognised

    def _give_up(self) -> None:
        """Nobody knows this protocol: count what comes, keep nothing."""
        detection, self._detection = self._detection, None
        assert detection is not None
        self._core.ledger.unrecognised_bytes += detection.held() + sum(detection.dropped)
        first = self.flow.transport == "udp"
        self._unknown = Unrecognised(self._core, self.flow, detection.seen, [base + first for base in self._base])
        for half in self.halves:
            half.skip()

    # Exchanges that stay open

    def show_open(self, now: int) -> None:
        """Show all that is open, as it stands; what was shown and has not moved on stays as it is."""
        unknown = self._unknown_so_far()
        if unknown is not None:
            unknown.show(self.halves, "open", self._faults)
        else:
            self._ongoing.show(self._exchanges(), now, every=True)
        if self._layer is not None:
            self._layer.conversation.show_open(now)

    def _due(self, now: int) -> None:
        """Show what has been open for long enough and has moved on since it was shown."""
        unknown = self._unknown_so_far()
        if unknown is not None:
            unknown.show(self.halves, "open", self._faults, left_out=False)
            self._alarm = -1  # once is enough
            return
        again = self._ongoing.show(self._exchanges(), now)
        if again is None:
            again = now + self._core.limits.open_after
        self._alarm = self._core.deadlines.add(again, self._due)

    def _unknown_so_far(self) -> Unrecognised | None:
        """What it is where nobody recognises it, also if something known may follow."""
        if self._detection is not None and (seen := self._detection.seen_of_nobody()) is not None:
            return Unrecognised(self._core, self.flow, seen, self._base)
        return self._unknown

    def _exchanges(self) -> Iterator[Exchange]:
        """Those that are open."""
        every = begun(self._dissector, self._core.ledger)
        for message in every:
            message.position = self._placed(message.side, message.position)
        return exchanges(self.pairs.waiting(), every)
