"""So many at a time, in the order in which they came; who takes long makes way for the next one meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`count` at a time; after `longest` seconds a turn counts as over, though what it is for may go on."""

    def __init__(self, count: int, longest: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._longest = longest

    @property
    def are_taken(self) -> bool:
        """Whether the next one has to wait."""
        return self._free.locked()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        await self._free.acquire()
        over = asyncio.Event()

        def end() -> None:
            if not over.is_set():
                over.set()
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._longest, end)
        try:
            yield
        finally:
            timer.cancel()
            end()
