"""The processes that dissect: one for each answer under way, and those that wait for the next question.

How many answer at a time is bounded, and so is what one hub may have of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path

from pysniff.cluster.frames import Ask, Error, encode, is_last
from pysniff.cluster.worker.dissector import Dissector

# Those that answer at a time: each takes some 60 MB and more, and its share of the processors.
MOST = max(10, 2 * (os.cpu_count() or 1))
# Of those kept free of questions that follow, so that a call can be opened while many watch.
FREE = 2
# And of those that follow, so many are left for hubs that have none, however much the others watch.
OTHERS = 2
# Processes that wait for a question, once there were so many at a time.
IDLE = 2


class Processes:
    """`await start()`; then frames() for each question, and `await close()`. For one event loop.

    `figures` counts answers by what became of them: answered (errors too), failed, cancelled, refused, died; and texts
    that were untold. `names`: a file with names of addresses, read again when it has changed.
    """

    def __init__(self, directory: Path, node: str, most: int = MOST, names: Path | None = None) -> None:
        self.figures: Counter[str] = Counter()
        self.most = most
        words = ["-m", "pysniff.cluster.worker.dissecting", str(directory), node]
        self._words = (sys.executable, *words, *([] if names is None else [str(names.absolute())]))
        self._running: dict[Dissector, Ask] = {}
        self._taken = 0
        self._following: Counter[str] = Counter()  # by hub
        self._idle: list[Dissector] = []
        self._resting: set[Dissector] = set()  # that have answered, and clear up
        self._starting = False
        self._chores: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def running(self) -> Counter[str]:
        """How many answers are under way, by what was asked."""
        return Counter(ask.what for ask in self._running.values())

    def answering(self) -> list[int]:
        """Process numbers of those that answer."""
        return [one.pid for one in self._running]

    def waiting(self) -> list[int]:
        """Of those that wait for a question."""
        return [one.pid for one in self._idle]

    def pids(self) -> list[int]:
        """Of all."""
        return self.answering() + self.waiting() + [one.pid for one in self._resting]

    async def start(self) -> None:
        """Have a process ready; raise OSError where none can be started."""
        if not self._idle:
            self._idle.append(await Dissector.begun(self._words))

    async def close(self) -> None:
        """Kill what is left; answers end with an Error."""
        self._closing = True
        while self._idle:
            await self._idle.pop().end()
        for one in (*self._running, *self._resting):
            one.kill()
        while self._chores:
            await asyncio.wait(self._chores)

    def tell(self, what: str, text: str) -> None:
        """Have a line for people told in each answer under way to this kind of question."""
        for one, ask in self._running.items():
            if ask.what == what and not one.tell(text):
                self.figures["untold"] += 1

    async def frames(self, ask: Ask, hub: str = "") -> AsyncGenerator[bytes, None]:
        """Encoded frames, the last one an End or Error, also where the process dies. Closing it kills the process."""
        follows = ask.params.get("follow") is True
        if not self._has_room(hub, follows=follows):
            self.figures["refused"] += 1
            yield encode(_busy(ask, self._taken, follows=follows))
            return
        self._taken += 1
        self._following[hub] += follows
        try:
            async with contextlib.aclosing(self._answered(ask)) as answered:
                async for frame in answered:
                    yield frame
        finally:
            self._taken -= 1
            self._following[hub] -= follows
            self._following += Counter()  # forgets hubs that have none

    def _has_room(self, hub: str, *, follows: bool) -> bool:
        if self._taken >= self.most:
            return False
        # A hub's first question may have the last place; its next ones leave some to hubs that have none yet.
        left = self.most - FREE - self._following.total()
        return not follows or left > (OTHERS if self._following[hub] else 0)

    async def _answered(self, ask: Ask) -> AsyncGenerator[bytes, None]:
        try:
            process = await self._take()
        except OSError as error:
            self.figures["failed"] += 1
            text = f"no process can be started: {error.strerror or error}"
            yield encode(Error(ask.id, 1, "internal", text, "see the limits of the worker's user and container"))
            return
        self._running[process] = ask
        became = "cancelled"
        seq = 0
        try:
            process.ask(ask)
            while (frame := await process.read()) is not None:
                seq += 1
                last = is_last(frame)
                if last:
                    became = "answered"
                yield frame
                if last:
                    return
            became = "died"
            yield encode(Error(ask.id, seq + 1, "internal", await process.death(), _DEATH_HINT))
        finally:
            del self._running[process]
            self.figures[became] += 1
            self._resting.add(process)
            self._do(self._rest(process, answered=became == "answered"))

    async def _take(self) -> Dissector:
        """A process that waits, or a new one; where none is left, another one begins to wait."""
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                break
            self._do(process.end())
        else:
            process = await Dissector.begun(self._words)
        self._do(self._refill())
        return process

    async def _rest(self, process: Dissector, *, answered: bool) -> None:
        """One that has answered to its end is as good as new; of any other nobody knows what it is at."""
        try:
            if answered and await process.rested() and len(self._idle) < IDLE and not self._closing:
                self._idle.append(process)
            else:
                await process.end(patiently=answered)
        finally:
            self._resting.discard(process)

    async def _refill(self) -> None:
        if self._idle or self._starting or self._closing:
            return
        self._starting = True
        try:
            with contextlib.suppress(OSError):  # the next question tells
                process = await Dissector.begun(self._words)
                if len(self._idle) < IDLE and not self._closing:
                    self._idle.insert(0, process)  # it is not ready yet: others are taken first
                else:
                    await process.end()
        finally:
            self._starting = False

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


_DEATH_HINT = "ask again; if memory ran out, ask for less: a filter, times"


def _busy(ask: Ask, taken: int, *, follows: bool) -> Error:
    text = f"this worker answers {taken} questions already"
    hint = "close a feed" if follows else "ask again when others have their answer"
    return Error(ask.id, 1, "busy", text, hint)
