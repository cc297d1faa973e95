"""Processes that dissect and wait for a question: the next one need not wait for a process to start."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence

from pysniff.cluster.worker.dissector import Dissector

# Processes that wait, once there were so many at a time.
IDLE = 2
# Seconds: until a new process can be asked, on a machine that has much to do; and one that has answered.
_BEGINNING, _RESTING = 60.0, 2.0


class Pool:
    """`words`: the command, whose process inherits `descriptors`. take() gives a process, which comes back with give().
    For one event loop."""

    def __init__(self, words: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        self.words = words
        self._descriptors = descriptors
        self._idle: list[Dissector] = []
        self._coming: set[Dissector] = set()  # that are beginning, or clear up
        self._spawning = 0
        self._waiters: deque[asyncio.Future[Dissector]] = deque()
        self._chores: set[asyncio.Task[None]] = set()
        self._closing = False

    def idle(self) -> list[int]:
        """Process numbers of those that can be asked."""
        return [one.pid for one in self._idle]

    def pids(self) -> list[int]:
        """Of those that soon can, too."""
        return self.idle() + [one.pid for one in self._coming]

    async def start(self) -> None:
        """Have a process begin; raise OSError where none can be started."""
        if not self._idle and not self._coming:
            process = await self._spawned()
            self._do(self._begin(process))

    async def close(self) -> None:
        """Kill what is here; who waits gets an OSError. Those that are taken must be given back before."""
        self._closing = True
        for one in self._coming:
            one.kill()
        while self._idle:
            await self._idle.pop().end()
        while self._waiters:
            self._fail(OSError("the worker ends"))
        while self._chores:
            await asyncio.wait(self._chores)

    async def take(self) -> Dissector:
        """A process that can be asked, as soon as there is one; raise OSError where none can be started."""
        if self._closing:
            raise OSError("the worker ends")
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                self._more()
                return process
            self._do(process.end())
        waiter: asyncio.Future[Dissector] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._more()
        try:
            process = await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._offer(waiter.result())
            raise
        self._more()
        return process

    def give(self, process: Dissector, *, answered: bool) -> None:
        """One that has answered to its end is as good as new; of any other nobody knows what it is at."""
        if answered and not self._closing:
            self._coming.add(process)
            self._do(self._rest(process))
        else:
            self._do(process.end())

    def _more(self) -> None:
        """Have one begin for each who waits, and where nobody does for the next."""
        wanted = max(len(self._waiters), 0 if self._idle else 1)
        for _ in range(wanted - len(self._coming) - self._spawning):
            self._spawning += 1
            self._do(self._spawn())

    async def _spawn(self) -> None:
        try:
            process = await self._spawned()
        except OSError as error:
            self._fail(error)
            return
        finally:
            self._spawning -= 1
        await self._begin(process)

    async def _spawned(self) -> Dissector:
        process = await Dissector.begun(self.words, self._descriptors)
        self._coming.add(process)
        if self._closing:
            process.kill()
        return process

    async def _begin(self, process: Dissector) -> None:
        if await self._is_ready(process, _BEGINNING):
            self._offer(process)
            return
        self._fail(OSError(await process.death()))
        await process.end()

    async def _rest(self, process: Dissector) -> None:
        if await self._is_ready(process, _RESTING):
            self._offer(process)
            return
        if self._waiters:
            self._more()
        await process.end(patiently=True)

    async def _is_ready(self, process: Dissector, patience: float) -> bool:
        try:
            return await process.rested(patience)
        finally:
            self._coming.discard(process)

    def _offer(self, process: Dissector) -> None:
        """To who waits for longest."""
        while self._waiters and not self._closing:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(process)
                return
        if len(self._idle) < IDLE and not self._closing:
            self._idle.append(process)
        else:
            self._do(process.end())

    def _fail(self, error: OSError) -> None:
        """Who waits for longest is told; where nobody does the next question tells."""
        with contextlib.suppress(IndexError):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
