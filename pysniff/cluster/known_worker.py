"""One worker as a hub knows it: whether it is there, and what it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from pysniff.cluster.asked import Asked
from pysniff.cluster.frames import ANSWERS, Ask, Cancel, Error, Frame, Hello, Resumed, encode
from pysniff.cluster.handshake import Ending
from pysniff.cluster.incoming import Violation
from pysniff.cluster.link import Link
from pysniff.cluster.outgoing import CREDIT

REQUESTS = 256  # to one worker at a time; it allows no more
State: TypeAlias = Literal["connected", "away", "refused"]


class Worker:
    """`name` is its address until it said its name. `since_ns`: of the state, Unix time."""

    def __init__(
        self, address: str, ids: Iterator[int], figures: Counter[str], changed: Callable[[Worker], None]
    ) -> None:
        self.name = self.address = address
        self.state: State = "away"
        self.reason = "not connected yet"
        self.since_ns = time.time_ns()
        self.hello: Hello | None = None
        self.session = ""
        self.link: Link | None = None
        self._ids = ids
        self._figures = figures
        self._changed = changed
        self._open: dict[int, Asked] = {}
        self._stopping: dict[int, Asked] = {}  # cancelled; the worker has not said yet that it stopped

    @property
    def requests(self) -> int:
        return len(self._open) + len(self._stopping)

    def ask(self, what: str, params: dict[str, object], credit: int) -> Asked:
        """Ask now, or once it is there; of too many requests the answer is an Error at once.

        Raises FrameError where `what` or `params` cannot be sent.
        """
        ask = Ask(next(self._ids), what, params, max(1, min(credit, CREDIT)))
        encode(ask)
        asked = Asked(ask, self._post, self._over)
        if self.requests >= REQUESTS:
            self._figures["requests_refused"] += 1
            self._open[ask.id] = asked
            text = f"{REQUESTS} requests to {self.name} are open"
            asked.end(Error(ask.id, 1, "busy", text, "wait until others end"))
            return asked
        self._open[ask.id] = asked
        if self.link is None:
            asked.lost(self.reason)
        else:
            self._post(asked.begin())
        return asked

    # Its connections

    def attach(self, link: Link, hello: Hello) -> None:
        """It is connected: what was asked goes on, or is asked now."""
        same = hello.session == self.session
        self.link, self.hello, self.name, self.session = link, hello, hello.name, hello.session
        stopping, self._stopping = self._stopping, {}
        for asked in stopping.values() if same else ():
            self._stop(asked)
        for asked in list(self._open.values()):
            asked.lost("it connected again")
            if asked.sent and not same:
                asked.gone()
            else:
                self._post(asked.begin())
        self._set("connected", "")

    def detach(self, link: Link, ending: Ending) -> None:
        """That connection ended."""
        if self.link is link:
            self.link = None
            self.failed(ending)
            for asked in list(self._open.values()):
                asked.lost(ending.message)

    def failed(self, ending: Ending) -> None:
        """It is not connected, and why."""
        if self.link is None:
            self._set("refused" if ending.refused else "away", ending.message)

    def cut(self) -> None:
        """End its connection; who dials tries again."""
        if self.link is not None:
            self.link.end("closing", "the connection was closed")

    def close(self) -> None:
        """The hub ends, or knows this worker no more: so do its requests."""
        for asked in list(self._open.values()):
            asked.cancel()

    def _set(self, state: State, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            if state != self.state:
                self.since_ns = time.time_ns()
            self.state, self.reason = state, reason
            self._changed(self)

    # Frames

    def receive(self, frame: Frame, size: int) -> None:
        """A frame of the worker; what breaks the protocol ends the connection, and is counted."""
        try:
            self._receive(frame, size)
        except Violation as violation:
            self._figures["protocol_errors"] += 1
            if self.link is not None:
                self.link.end(violation.code, violation.message)

    def _receive(self, frame: Frame, size: int) -> None:
        match frame:
            case Cancel(id):
                if self._stopping.pop(id, None) is None:
                    raise Violation("unknown", f"request {id} was not cancelled")
            case Resumed(id):
                asked = self._open.get(id) or self._stopping.get(id)
                if asked is None or not asked.resuming:
                    raise Violation("unknown", f"request {id} was not resumed")
                if id in self._open:
                    asked.found()
                asked.resuming = False
            case Error(id, _, "gone") if id in self._open and self._open[id].resuming:
                self._figures["answers_gone"] += 1
                self._open[id].gone()
            case _ if isinstance(frame, ANSWERS):
                asked = self._open.get(frame.id)
                if asked is not None:
                    if asked.resuming:
                        raise Violation("order", f"request {frame.id} goes on without Resumed")
                    asked.receive(frame, size)
                elif (stopping := self._stopping.get(frame.id)) is not None:
                    stopping.incoming.received(frame.seq, size, last=False)  # on its way when it was cancelled
                else:
                    raise Violation("unknown", f"there is no request {frame.id}")
            case _:
                raise Violation("protocol", f"a worker does not send {type(frame).__name__}")

    def _post(self, frame: Frame) -> None:
        if self.link is not None:
            self.link.post(frame)

    def _over(self, asked: Asked, stop: bool) -> None:
        self._open.pop(asked.ask.id, None)
        if stop and asked.sent:
            self._stop(asked)

    def _stop(self, asked: Asked) -> None:
        self._stopping[asked.ask.id] = asked
        self._post(Cancel(asked.ask.id))
