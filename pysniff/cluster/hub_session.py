"""What a worker does for one hub: its requests, each answered by a generator, over one connection after another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Protocol

from pysniff.cluster.frames import Ask, Cancel, Credit, Error, Frame, Hello, Resume, Resumed, encode
from pysniff.cluster.link import Link, LinkLost
from pysniff.cluster.outgoing import Outgoing
from pysniff.limits import MIB

REQUESTS = 256  # of one hub at a time: 100 clients with questions of their own
REQUESTS_IN_ALL = 512
KEPT = 64 * MIB  # sent to one hub and not acknowledged; hubs acknowledge every 64 KiB
_log = logging.getLogger(__name__)


class Answers(Protocol):
    """What a worker can be asked."""

    def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        """Encoded frames with ask.id and seq 1, 2, 3; the last one is an End or Error. `hub`: its session.

        Pulled only while the hub has given credit; closed when the hub cancels, or stays away too long.
        """


class _Answer:
    """One request, and the task that answers it."""

    __slots__ = ("generator", "outgoing", "attached", "stopped", "told", "work", "task", "pulling")

    def __init__(self, generator: AsyncGenerator[bytes, None], credit: int) -> None:
        self.generator = generator
        self.outgoing = Outgoing(credit)
        self.attached = True  # whether the hub wants it on this connection
        self.stopped = False
        self.told = False  # whether the hub wants to know that it has stopped
        self.work = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.pulling: asyncio.Task[bytes] | None = None  # the generator's next frame


class HubSession:
    """The life of one hub process as a worker sees it. `figures` counts what people should know."""

    def __init__(self, answers: Answers, hello: Hello, figures: Counter[str], total: list[int]) -> None:
        self.hello = hello
        self.link: Link | None = None
        self.address = ""  # of its newest connection
        self.since_ns = time.time_ns()
        self._answers = answers
        self._figures = figures
        self._total = total  # [requests of all hubs]
        self._open: dict[int, _Answer] = {}
        self._last = 0  # the greatest id so far
        self._held: set[_Answer] = set()  # which wait until less than KEPT is kept
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def requests(self) -> int:
        """Answers that have not come to their end, those that are being stopped too."""
        return len(self._open)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to remember of this hub."""
        return self.link is None and not self._open

    def attach(self, link: Link) -> None:
        """A connection to this hub, in place of the one before; answers wait until the hub resumes them."""
        self.link = link
        self.since_ns = time.time_ns()
        for answer in self._open.values():
            answer.attached = False

    def detach(self, link: Link) -> None:
        """It ended: what is not resumed within pace.window is dropped."""
        if self.link is not link:
            return
        self.link = None
        self.since_ns = time.time_ns()
        for answer in self._open.values():
            answer.attached = False
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(link.pace.window, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for answer in self._open.values():
            if not answer.attached and not answer.stopped:
                self._figures["answers_dropped"] += 1
                self._stop(answer)

    async def close(self) -> None:
        """Stop everything."""
        if self._expiry is not None:
            self._expiry.cancel()
        tasks = [answer.task for answer in self._open.values() if answer.task is not None]
        for answer in self._open.values():
            self._stop(answer)
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the hub says

    def receive(self, frame: Frame, size: int) -> None:
        """A frame of the hub; what breaks the protocol ends the connection."""
        match frame:
            case Ask():
                self._ask(frame)
            case Credit(id, granted, seq):
                found = self._open.get(id)
                # Of an answer that ended, or was not resumed, it may come late.
                if found is not None and found.attached:
                    self._grant(found, granted, seq)
            case Cancel(id):
                self._cancel(id)
            case Resume(id, seq, credit):
                self._resume(id, seq, credit)
            case _:
                self._violated(f"a hub does not send {type(frame).__name__}")

    def _ask(self, ask: Ask) -> None:
        if ask.id <= self._last:
            self._violated("the ids of requests must grow")
            return
        self._last = ask.id
        if len(self._open) >= REQUESTS or self._total[0] >= REQUESTS_IN_ALL:
            self._figures["requests_refused"] += 1
            text = f"this worker answers {REQUESTS} requests of a hub, {REQUESTS_IN_ALL} in all, at a time"
            self._post(Error(ask.id, 1, "busy", text, "wait until others end"))
            return
        self._total[0] += 1
        answer = self._open[ask.id] = _Answer(self._answers.answer(ask, self.hello.session), ask.credit)
        answer.task = asyncio.create_task(self._run(ask.id, answer))
        # A task that is cancelled before it began runs no line of its own.
        answer.task.add_done_callback(lambda _: self._over(ask.id, answer))

    def _resume(self, id: int, seq: int, credit: int) -> None:
        answer = self._open.get(id)
        if answer is None or answer.stopped or not answer.outgoing.resume(seq, credit):
            if answer is not None:
                self._stop(answer)
            self._post(Error(id, seq + 1, "gone", "the answer was dropped while the hub was away", "ask again"))
            return
        self._figures["answers_resumed"] += 1
        answer.attached = True
        self._post(Resumed(id))
        answer.work.set()

    def _grant(self, answer: _Answer, size: int, seq: int) -> None:
        if not answer.outgoing.grant(size, seq):
            self._violated("frames were acknowledged that were never sent")
            return
        for one in (answer, *self._held):
            one.work.set()
        self._held.clear()

    def _cancel(self, id: int) -> None:
        answer = self._open.get(id)
        if answer is None:
            self._post(Cancel(id))
        else:
            answer.told = True
            self._stop(answer)

    def _violated(self, message: str) -> None:
        self._figures["protocol_errors"] += 1
        if self.link is not None:
            self.link.end("protocol", message)

    def _post(self, frame: Frame) -> None:
        if self.link is not None:
            self.link.post(frame)

    def _stop(self, answer: _Answer) -> None:
        if not answer.stopped and answer.task is not None:
            answer.stopped = True
            answer.task.cancel()

    # An answer's own task

    async def _run(self, id: int, answer: _Answer) -> None:
        outgoing = answer.outgoing
        try:
            while not outgoing.done:
                if not await self._step(id, answer):
                    await answer.work.wait()
                    answer.work.clear()
        finally:
            await self._end(id, answer)

    async def _step(self, id: int, answer: _Answer) -> bool:
        """Send or pull one frame; False where there is nothing to do until the hub says something."""
        outgoing, link = answer.outgoing, self.link
        if link is None or not answer.attached:
            return False
        frame = outgoing.take()
        if frame is not None:
            try:
                await link.send(frame)
            except LinkLost:
                if self.link is link:
                    answer.attached = False  # until the hub is back, and says with what to go on
            return True
        if answer.pulling is not None:
            return self._pulled(id, answer, answer.pulling)
        if not outgoing.wants():
            return False
        if outgoing.kept and sum(one.outgoing.kept for one in self._open.values()) >= KEPT:
            self._held.add(answer)
            return False
        # A task of its own: while it waits for news, the hub may want again what was lost with a connection.
        answer.pulling = asyncio.create_task(self._pull(id, answer))
        answer.pulling.add_done_callback(lambda _: answer.work.set())
        return False

    def _pulled(self, id: int, answer: _Answer, pulling: asyncio.Task[bytes]) -> bool:
        if not pulling.done():
            return False
        answer.pulling = None
        if pulling.cancelled():  # by itself: nobody here did
            answer.outgoing.add(self._failure(id, answer, "the answer was cancelled"))
        else:
            answer.outgoing.add(pulling.result())
        return True

    async def _pull(self, id: int, answer: _Answer) -> bytes:
        try:
            return await anext(answer.generator)
        except StopAsyncIteration:
            text = "the answer ended without an end"
        except Exception as error:  # whatever it is, the hub's people see it, and other answers go on
            _log.exception("request %d failed", id)
            text = f"{type(error).__name__}: {error}"
        return self._failure(id, answer, text)

    def _failure(self, id: int, answer: _Answer, text: str) -> bytes:
        self._figures["answers_failed"] += 1
        return encode(Error(id, answer.outgoing.pulled + 1, "internal", text, ""))

    async def _end(self, id: int, answer: _Answer) -> None:
        if answer.pulling is not None:
            answer.pulling.cancel()
            await asyncio.gather(answer.pulling, return_exceptions=True)
        try:
            await answer.generator.aclose()
        except Exception:
            _log.exception("request %d did not close", id)

    def _over(self, id: int, answer: _Answer) -> None:
        del self._open[id]
        self._held.discard(answer)
        self._total[0] -= 1
        if answer.told:
            self._post(Cancel(id))
