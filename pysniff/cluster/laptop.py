"""Hub and worker of one machine in one process: what `pysniff --web` shows.

The worker dials the hub as one of another node would, with a token that nobody else is ever told. Packets are in other
processes, as they are of any worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from pysniff.cluster.access import Access
from pysniff.cluster.hub.program import HubOptions, Served, running
from pysniff.cluster.worker.worker import Worker, WorkerOptions

# Seconds for the worker to arrive at the hub; the page comes without it too, and says so.
_ARRIVAL = 10.0


class Laptop:
    """`async with Laptop(...) as laptop`: both serve while the block runs. Raises as a hub and a worker do when they
    begin, the hub first. `url`: that of the page. `tell`: takes what the worker has to say to people. The link between
    the two is made here, whatever the options say."""

    def __init__(self, hub: HubOptions, worker: WorkerOptions, tell: Callable[[str], None]) -> None:
        self._hub = hub
        self._options = worker
        self._tell = tell
        self._stack = AsyncExitStack()
        self.url = ""
        self.worker: Worker | None = None  # once the hub serves; afterwards too, for its account

    async def __aenter__(self) -> Self:
        secret = secrets.token_urlsafe(32)
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(running(replace(self._hub, worker_token=secret)))
            self.url = served.url
            self.worker = await self._started(served, secret)
            stack.push_async_callback(self.worker.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _started(self, served: Served, secret: str) -> Worker:
        options = replace(
            self._options,
            listen=None,
            hubs=(served.url.rstrip("/"),),
            access=Access(secret),
            # Before anything is captured: the page's first request is no call of anybody's.
            own=served.addresses,
        )
        arrived = asyncio.Event()

        def changed(_: object) -> None:
            if any(one.state == "connected" for one in served.workers.known.values()):
                arrived.set()

        served.workers.on_change.append(changed)
        worker = Worker(options, self._tell, self._hub.tell_more)
        await worker.start()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), _ARRIVAL)
        except BaseException:
            await worker.close()
            raise
        return worker
