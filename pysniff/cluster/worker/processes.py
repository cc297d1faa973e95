"""Answers by processes that dissect, one each: how many at a time is bounded, and what one hub may have of them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

from pysniff.cluster.frames import Ask, Error, encode, is_last
from pysniff.cluster.worker.dissector import Dissector
from pysniff.cluster.worker.keys import NO_KEYS, Keys
from pysniff.cluster.worker.pool import Pool

# Those that answer at a time: each takes some 60 MB and more, and its share of the processors.
MOST = max(10, 2 * (os.cpu_count() or 1))
# Of those kept free of questions that follow, so that a call can be opened while many watch.
FREE = 2
# And of those that follow, so many are left for hubs that have none, however much the others watch.
OTHERS = 2


class Processes:
    """`await start()`; then frames() for each question, and `await close()`. For one event loop.

    `figures` counts answers by what became of them: answered (errors too), failed, cancelled, refused, died; and texts
    that were untold. `names`: a file with names of addresses, read again when it has changed.
    `keys`: what decrypts TLS, beside what the store keeps.
    """

    def __init__(
        self, directory: Path, node: str, most: int = MOST, names: Path | None = None, keys: Keys = NO_KEYS
    ) -> None:
        self.figures: Counter[str] = Counter()
        self.most = most
        words = ["-m", "pysniff.cluster.worker.dissecting", str(directory), node]
        words += ["" if names is None else str(names.absolute()), keys.word()]
        self._pool = Pool((sys.executable, *words), keys.descriptors)
        self._running: dict[Dissector, Ask] = {}
        self._taken = 0
        self._following: Counter[str] = Counter()  # by hub

    @property
    def running(self) -> Counter[str]:
        """How many answers are under way, by what was asked."""
        return Counter(ask.what for ask in self._running.values())

    def answering(self) -> list[int]:
        """Process numbers of those that answer."""
        return [one.pid for one in self._running]

    def waiting(self) -> list[int]:
        """Of those that wait for a question."""
        return self._pool.idle()

    def pids(self) -> list[int]:
        """Of all."""
        return self.answering() + self._pool.pids()

    async def start(self) -> None:
        """Have a process begin; raise OSError where none can be started."""
        await self._pool.start()

    async def close(self) -> None:
        """Kill what is left; answers end with an Error."""
        for one in self._running:
            one.kill()
        await self._pool.close()

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
            process = await self._pool.take()
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
            self._pool.give(process, answered=became == "answered")


_DEATH_HINT = "ask again; if memory ran out, ask for less: a filter, times"


def _busy(ask: Ask, taken: int, *, follows: bool) -> Error:
    text = f"this worker answers {taken} questions already"
    hint = "close a feed" if follows else "ask again when others have their answer"
    return Error(ask.id, 1, "busy", text, hint)
