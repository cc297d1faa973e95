"""One question to every worker it concerns: asked, merged, each call told once, until it is answered.

Workers that join later are asked too. Nothing here is read of an entry but its header.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from pysniff.cluster.hub import messages
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.duplicates import Duplicates, Shown
from pysniff.cluster.hub.links import Links, Worker
from pysniff.cluster.hub.merge import Item, Merge, Released
from pysniff.cluster.hub.messages import Message
from pysniff.cluster.hub.question import Question
from pysniff.cluster.hub.source import Source, State
from pysniff.limits import KIB, SECOND

# Seconds between two releases of what is new: so entries come in batches, and a hundred clients cost little.
TICK = 0.05
# Bytes held that are not waited with: a worker may not send more than its credit.
FULL = 256 * KIB
# How long a question that does not follow waits for a worker that went away: workers keep answers for 30 s.
PATIENCE = 35.0
# Where no worker is connected, as when the hub has just begun: seconds until history counts as told, and how long the
# others have when the first one is there.
GRACE, GRACE_OTHERS = 2.0, 0.5
# Items taken from the merge in one step, without letting others run.
STEP = 4_000


class Audience(Protocol):
    """Who is told."""

    def put(self, message: Message, *, live: bool) -> None: ...
    def say(self, data: bytes, *, vital: bool = False) -> None: ...
    async def room(self) -> None:
        """Wait until history may go on."""


class Numbers:
    """Of the entries that this hub has shown, to whomever: one is never given twice."""

    def __init__(self) -> None:
        self._next = 1

    def take(self, count: int) -> None:
        self._next += count

    @property
    def next(self) -> int:
        return self._next


class Asking:
    """run() it until it returns the figures, or cancel that; `caught_up`: whether history is told.

    `remembered`: calls that are remembered to tell duplicates.
    """

    def __init__(
        self, links: Links, question: Question, audience: Audience, numbers: Numbers, counts: Counts, remembered: int
    ) -> None:
        self.question = question
        self.caught_up = False
        self.telling = False  # in the middle of what was released
        self.entries = 0
        self.sources: dict[str, Source] = {}
        self.names: list[str] = []  # by the sources' numbers
        self.merge = Merge(newest_first=question.newest_first)
        self.duplicates = Duplicates(most=remembered)
        self.on_released: list[Callable[[list[Item]], None]] = []  # told of items before the audience is
        self.passing: Callable[[list[Item]], list[Item]] | None = None  # which of them go on to it
        self._links = links
        self._audience = audience
        self._numbers = numbers
        self._counts = counts
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._awake = asyncio.Event()
        self._full = asyncio.Event()
        self._last = 0.0
        self._grace: asyncio.TimerHandle | None = None

    async def run(self) -> dict[str, object]:
        """Ask, and tell the audience, until everything is told."""
        self._links.on_change.append(self._changed)
        try:
            self.merge.expecting = True
            for worker in list(self._links.known.values()):
                self._changed(worker)
            self._expect(GRACE if not self.sources else 0.0)
            while True:
                await self._release()
                if self._is_answered():
                    return self.figures()
                await self._wait()
        finally:
            self._links.on_change.remove(self._changed)
            if self._grace is not None:
                self._grace.cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def figures(self) -> dict[str, object]:
        """What the client is told at the end."""
        return {
            "entries": self.entries,
            "duplicates": self.duplicates.merged,
            "late": self.merge.late,
            "repeated": sum(source.again for source in self.sources.values()),
            "forgotten": self.duplicates.forgotten,
            "nodes": {
                source.name: {"state": source.state.value, "error": source.failure, "figures": source.figures}
                for source in self.sources.values()
            },
        }

    def states(self) -> dict[str, str]:
        return {name: source.state.value for name, source in self.sources.items()}

    # What happens to workers

    def told(self, source: Source, state: str, text: str = "", *, severity: str = "info", hint: str = "") -> None:
        self._audience.say(messages.status(source.name, state, text, severity=severity, hint=hint))

    def woken(self) -> None:
        self._awake.set()
        if self.merge.held_bytes > FULL:
            self._full.set()

    def _changed(self, worker: Worker) -> None:
        """A worker came or went. Those that were asked tell that themselves."""
        name = worker.name
        if not self.question.asks(name) or name in self.sources:
            return
        if worker.state != "connected":
            self._audience.say(messages.status(name, worker.state, worker.reason, severity="warning"))
            return
        if self.merge.expecting and not self.sources and self._grace is not None:
            self._expect(GRACE_OTHERS)
        source = Source(name, self.number_of(name), self.question, self.merge, self)
        self.sources[name] = source
        self.merge.join(source.number)
        self._audience.say(messages.status(name, State.ASKED.value))
        self._tasks[name] = asyncio.get_running_loop().create_task(source.run(self._links))

    def _expect(self, seconds: float) -> None:
        """Let workers come for so long."""
        if self._grace is not None:
            self._grace.cancel()
        self._grace = asyncio.get_running_loop().call_later(seconds, self._all_there)

    def _all_there(self) -> None:
        self.merge.expecting = False
        self._awake.set()

    # What leaves

    async def _wait(self) -> None:
        """Until there may be something to release, and in the live part at least a tick."""
        loop = asyncio.get_running_loop()
        due = self.merge.due()
        wait = None if due is None else max(0.0, due / SECOND - loop.time())
        patience = [source.since + PATIENCE - loop.time() for source in self._away()]
        if patience and not self.question.follow:
            wait = min([max(0.0, one) for one in patience] + ([] if wait is None else [wait]))
        await _waited(self._awake, wait)
        if self.caught_up:
            await _waited(self._full, max(0.0, self._last + TICK - loop.time()))
        self._awake.clear()
        self._full.clear()
        self._last = loop.time()

    def _away(self) -> list[Source]:
        return [source for source in self.sources.values() if source.state is State.AWAY]

    async def _release(self) -> None:
        live = self.merge.live
        released = self.merge.release(int(asyncio.get_running_loop().time() * SECOND))
        self.telling = True
        for begin in range(0, len(released.items), STEP):
            await self._tell(released.items[begin : begin + STEP], live=live)
            if self._left() == 0:
                return
        self.telling = False
        self._pay(released)
        if self.merge.live and not self.caught_up:
            self.caught_up = True
            self._audience.say(messages.caught_up(self.states()), vital=True)

    async def _tell(self, items: list[Item], *, live: bool) -> None:
        for listener in list(self.on_released):
            listener(items)
        if self.passing is not None:
            items = self.passing(items)
        for message in self._messages(items):
            if not live:
                await self._audience.room()
            self._audience.put(message, live=live)
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Tell all that is here, before this question ends for another."""
        items = self.merge.flush().items
        self.tell_now(items if self.passing is None else self.passing(items))

    def tell_now(self, items: list[Item]) -> None:
        """Tell of new entries that another question found; their sources are numbered as this one's."""
        for message in self._messages(items):
            self._audience.put(message, live=True)

    def number_of(self, name: str) -> int:
        """A worker's place among `names`, also of one that this question has not asked."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def _messages(self, items: list[Item]) -> list[Message]:
        first = self._numbers.next
        shown = self._shown(items, first)
        self._numbers.take(len(shown.entries))
        self.entries += len(shown.entries)
        return list(messages.batches(shown, first, self.names))

    def _shown(self, items: list[Item], first: int) -> Shown:
        if self.question.show_duplicates:
            shown = Shown([item[3] for item in items], [1 << item[1] for item in items], [])
        else:
            merged = self.duplicates.merged
            shown = self.duplicates.show(items, first)
            self._counts.duplicates_merged += self.duplicates.merged - merged
        left = self._left()
        if left is None or left >= len(shown.entries):
            return shown
        known = [one for one in shown.also if one[0] < first + left]
        return Shown(shown.entries[:left], shown.nodes[:left], known)

    def _left(self) -> int | None:
        return None if self.question.limit is None else self.question.limit - self.entries

    def _pay(self, released: Released) -> None:
        for number, count in released.taken:
            self.sources[self.names[number]].released(count)

    def _is_answered(self) -> bool:
        if self._left() == 0:
            return True
        follows = self.question.follow and (self.question.end is None or not self._tasks)
        if follows or not self.merge.live or self.merge.held_bytes:
            return False
        now = asyncio.get_running_loop().time()
        given_up = [source for source in self._away() if source.since + PATIENCE <= now]
        return all(source.over or source in given_up for source in self.sources.values())


async def _waited(event: asyncio.Event, seconds: float | None) -> None:
    """For an event, so long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
