"""TLS 1.0 to 1.3: the handshake as a call of its own (`tlsx`), and what it carries, decrypted.

Every byte comes back: in the two messages of the handshake, as plain text, or as the overhead that protects it; what
cannot be decrypted says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar
from weakref import WeakSet

from pysniff.dissector import Context, Dissector, Malformed, Match, Output, Receiver, Undecoded
from pysniff.limits import DEFAULT, Limits
from pysniff.message import Message, Side
from pysniff.tls.beginning import judge
from pysniff.tls.half import END, LOSS, Half, Record
from pysniff.tls.session import CUT_OFF, DAMAGED, Session
from pysniff.tls.state import recall, remember
from pysniff.tls.variables import VARIABLES

_NOTHING = memoryview(b"")
# Bytes of a record that waits, besides its own.
_RECORD = 320
# What waits in all connections is counted anew when one holds this part of the limit more.
_PART = 1024


class Tls(Dissector):
    """Both halves of a connection.

    Records wait, in their order, while a secret may still come and while the other half has to say what they are;
    in all no more than Limits.undecrypted_bytes, and no longer than Limits.undecrypted_wait.
    """

    protocol: ClassVar[str] = "tls"
    gives: ClassVar[tuple[str, ...]] = ("tlsx",)
    decrypts: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    begins_later: ClassVar[bool] = True
    variables = VARIABLES

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._session = Session(limits)
        self._halves = self._session.halves
        self._arrivals = 0
        self._since = 0  # when the oldest record that waits came
        self._counted = 0
        self._waiting: WeakSet[Tls] = WeakSet()
        self._wait: Callable[[], None] | None = None
        self._known = 0  # Secrets.newest() of this connection, when it last looked for one

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        return judge(client, server)

    def begin(self, context: Context) -> Iterable[Output]:
        self._session.agreement.secrets = context.secrets
        self._session.remembering = context.remembering
        self._wait = context.wait
        self._waiting = context.memory.setdefault("waiting", WeakSet())
        return ()

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        return self._take(self._halves[side], data, at)

    def receiver(self, side: Side) -> Receiver:
        return partial(self._take, self._halves[side])

    def _take(self, half: Half, data: bytes, at: int) -> Iterable[Output]:
        if half.dead is not None and self._session.is_done(half):
            size = len(data) + half.clear()
            return (Undecoded(half.side, size, half.dead.word),) if size else ()
        if not half.add(data, at):
            return ()
        try:
            self._read(half, at)
        except Malformed as problem:
            return _then(self._given(), problem)
        return self._given()

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        half = self._halves[side]
        if half.dead is not None and self._session.is_done(half):
            held = half.clear()
            return (Undecoded(side, held, half.dead.word),) if held else ()
        half.lose(size, at)
        self._drop(half)
        if half.queue:
            self._keep(half, Record(LOSS, b"", _NOTHING, size, at, at))
        else:
            self._session.lose(half, size)
        return self._given()

    def close(self, side: Side, at: int) -> Iterable[Output]:
        half, other = self._halves[side], self._halves[1 - side]
        size = half.clear()
        if size:
            self._session.outlet.undecoded(half, size, half.dead.word if half.dead is not None else CUT_OFF)
        half.ended = True
        try:
            if half.queue:
                self._keep(half, Record(END, b"", _NOTHING, 0, at, at))
            else:
                self._session.end(half, at)
            if other.ended:
                self._finish()
            else:
                self._drain()
        except Malformed as problem:
            return _then(self._given(), problem)
        return self._given()

    def again(self, at: int) -> Iterable[Output]:
        if self._newest() == self._known and not self._session.agreement.secrets.complete:
            return ()  # what is new is others'
        try:
            self._drain()
        except Malformed as problem:
            return _then(self._given(), problem)
        return self._given()

    def open(self) -> Iterable[Message]:
        return self._session.exchange.begun()

    def remember(self) -> bytes | None:
        return remember(self._session)

    def recall(self, state: bytes) -> bool:
        return recall(self._session, state, self.limits)

    def pending(self, side: Side) -> int:
        half = self._halves[side]
        return half.size + half.run + half.queued + self._session.exchange.held(side)

    def held(self) -> int:
        """Bytes that wait, and about what it takes to keep them in records."""
        one, other = self._halves
        return one.queued + other.queued + _RECORD * (len(one.queue) + len(other.queue))

    def _read(self, half: Half, at: int) -> None:
        """All whole records that there are."""
        session = self._session
        other = self._halves[1 - half.side]
        while (record := half.take(at)) is not None:
            if half.dropped:
                self._drop(half)
            if half.searching and not session.fits(half, record):
                half.reject(at)
                continue
            half.accept(record)
            if half.queue or not session.read(half, record):
                self._keep(half, record)
            if other.queue or half.queue:
                self._drain()
            if half.dead is not None and session.is_done(half):
                size = half.clear()
                if size:
                    session.outlet.undecoded(half, size, half.dead.word)
                return
        if half.dropped:
            self._drop(half)

    def _drop(self, half: Half) -> None:
        size, half.dropped = half.dropped, 0
        if size:
            self._session.outlet.undecoded(half, size, DAMAGED)

    # What waits

    def _keep(self, half: Half, record: Record) -> None:
        self._arrivals += 1
        if not self.held():
            self._since = record.at
            self._waiting.add(self)
        kept = record._replace(body=memoryview(bytes(record.body)), arrival=self._arrivals)
        half.queue.append(kept)
        half.queued += kept.size if kept.kind >= 0 else 0
        too_much = self.held() > self.limits.undecrypted_bytes or self._others_hold_too_much()
        if too_much or record.at - self._since > self.limits.undecrypted_wait:
            self._give_up()

    def _others_hold_too_much(self) -> bool:
        held = self.held()
        if held - self._counted < self.limits.undecrypted_total // _PART:
            return False
        self._counted = held
        return sum([one.held() for one in self._waiting]) > self.limits.undecrypted_total

    def _give_up(self) -> None:
        """Nobody waits any longer: what cannot be read now is not read."""
        keyring = self._session.keyring
        keyring.late = keyring.final = True
        self._drain()
        keyring.final = False

    def _drain(self) -> None:
        """Read what waits, in the order in which it came, as far as that goes."""
        session = self._session
        session.keyring.waits = False
        self._known = self._newest()
        while True:
            ready = [half for half in self._halves if half.queue]
            ready.sort(key=_head)
            for half in ready:
                # Taken off before it is read: what is read is not pending any more, whatever is raised.
                record = half.queue.popleft()
                if record.kind == LOSS:
                    session.lose(half, record.position)
                elif record.kind == END:
                    session.end(half, record.at)
                else:
                    half.queued -= record.size
                    if not session.read(half, record):
                        half.queued += record.size
                        half.queue.appendleft(record)
                        continue
                break
            else:
                break
        if session.keyring.waits and not self.waits and self._wait is not None:
            self._wait()
        self.waits = session.keyring.waits
        if not self.held():
            self._counted = 0
            self._waiting.discard(self)

    def _newest(self) -> int:
        agreement = self._session.agreement
        return agreement.secrets.newest(agreement.hello.random) if agreement.hello is not None else 0

    def _finish(self) -> None:
        """Both halves have ended."""
        self._session.keyring.final = True
        self._drain()
        self._session.outlet.settle()

    def _given(self) -> list[Output]:
        outlet = self._session.outlet
        self.sealed = outlet.sealed
        return outlet.given()


def _head(half: Half) -> int:
    return half.queue[0].arrival


def _then(outputs: list[Output], problem: Malformed) -> Iterator[Output]:
    """What was found before the problem."""
    yield from outputs
    raise problem
