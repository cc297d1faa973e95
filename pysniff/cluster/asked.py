"""One request to a worker, as who asked sees it: an async iterator that outlives connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

from pysniff.cluster.frames import Answer, Ask, Batch, Chunk, Credit, End, Error, Frame, Resume, Value
from pysniff.cluster.incoming import Incoming


class Away(NamedTuple):
    """The connection to the worker is lost, or was not there yet; the answer may go on."""

    reason: str


class Back(NamedTuple):
    """The worker is back. `resumed`: the answer goes on without hole or duplicate; otherwise this is its end."""

    resumed: bool


Told: TypeAlias = Answer | Away | Back


class Asked:
    """Iterate, and grant() what was used. `async with` cancels what is left over.

    Frames wait here up to the credit. Of Batch, Chunk and Value the caller grants the size once it has used them;
    the rest is granted by itself.
    """

    def __init__(self, ask: Ask, post: Callable[[Frame], None], over: Callable[[Asked, bool], None]) -> None:
        self.ask = ask
        self.size = 0  # encoded bytes of the Batch, Chunk or Value given last, as grant() takes them; else 0
        self.incoming = Incoming(ask.id, ask.credit)
        self._post = post
        self._over = over  # told once: this request, and whether the worker must be told to stop
        self._frames: deque[tuple[Told, int]] = deque()
        self._came = asyncio.Event()
        self._ended = False  # nothing comes any more
        self.sent = False  # whether the worker may know of it
        self.away = False
        self.resuming = False

    # For who asked

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Told:
        while not self._frames:
            if self._ended:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        told, size = self._frames.popleft()
        if isinstance(told, Batch | Chunk | Value):
            self.size = size
        else:
            self.size = 0
            self.grant(size)
        return told

    def grant(self, size: int | None = None) -> None:
        """So many bytes were used, None: the frame given last. The worker may send as many more."""
        self.incoming.grant(self.size if size is None else size)
        self._tell()

    def cancel(self) -> None:
        """No more of it; the iteration ends."""
        self._frames.clear()
        self._finish(stop=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    # For the worker's session

    def receive(self, frame: Answer, size: int) -> None:
        """A frame came; raise Violation where it must not."""
        last = isinstance(frame, End | Error)
        self.incoming.received(frame.seq, size, last=last)
        self._add(frame, size)
        self._tell()
        if last:
            self._finish(stop=False)

    def lost(self, reason: str) -> None:
        """The worker is away."""
        if self.away:
            return
        self.away, self.resuming = True, False
        if self._frames and isinstance(self._frames[-1][0], Back):
            self._frames.pop()  # who has not heard that it was back need not hear that it is away again
        else:
            self._add(Away(reason), 0)

    def begin(self) -> Ask | Resume:
        """What to send on a new connection."""
        if self.sent:
            self.resuming = True
            return self.incoming.resume()
        self.sent = True
        if self.away:
            self.found()
        return self.ask

    def found(self) -> None:
        """The worker goes on with it."""
        self.away = self.resuming = False
        self._add(Back(True), 0)
        self._tell()

    def gone(self) -> None:
        """The worker is back, and knows nothing of it."""
        self._add(Back(False), 0)
        self._finish(stop=False)

    def end(self, told: Error | None = None) -> None:
        """Nothing comes any more, for a reason of this side."""
        if told is not None:
            self._add(told, 0)
        self._finish(stop=False)

    def _add(self, told: Told, size: int) -> None:
        self._frames.append((told, size))
        self._came.set()

    def _tell(self) -> None:
        credit: Credit | None = None if self.away or self._ended or not self.sent else self.incoming.credit()
        if credit is not None:
            self._post(credit)

    def _finish(self, *, stop: bool) -> None:
        self._came.set()
        if not self._ended:
            self._ended = True
            self._over(self, stop)
