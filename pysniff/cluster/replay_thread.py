"""A coroutine in an event loop of its own, in a thread: what takes the processor there holds up nobody's loop here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


async def elsewhere(executor: Executor, make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What the coroutine that `make` makes gives or raises. Cancelled, it is cancelled there, and waited for."""
    work = _Work(make)
    done = asyncio.get_running_loop().run_in_executor(executor, work.run)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait([done])
        done.exception()  # whatever it was, nobody waits for it any more
        raise


class Ended(Exception):
    """It was cancelled: CancelledError itself would cancel whoever waits."""


class _Work(Generic[Result]):
    def __init__(self, make: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def run(self) -> Result:
        """In the thread."""
        try:
            return asyncio.run(self._main())
        except asyncio.CancelledError:
            raise Ended from None

    def cancel(self) -> None:
        """From another thread."""
        self._cancelled = True
        if self._loop is not None and self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # the loop is closed: it has ended by itself
                pass

    async def _main(self) -> Result:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._cancelled:  # before there was anything to cancel
            raise Ended
        return await self._make()
