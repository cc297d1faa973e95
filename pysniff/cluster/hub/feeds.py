"""The questions of all clients. Those that want the same of what is new are asked once.

A hundred dashboards with one filter cost the workers one dissection. Who asks for nothing of the past joins at once;
the others ask on their own for history, and are handed over (handover.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from pysniff.cluster.hub import messages
from pysniff.cluster.hub.asking import Asking, Audience, Numbers
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.filters import Filters
from pysniff.cluster.hub.handover import Handover
from pysniff.cluster.hub.links import Links
from pysniff.cluster.hub.messages import Message
from pysniff.cluster.hub.outbox import Outbox
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.question import Question, question
from pysniff.cluster.hub.turns import Turns

# Questions asked at a time: a worker answers 256 of one hub.
QUESTIONS = 240
# And of one address: different ones of what is new, and those that are asked for one client alone.
QUESTIONS_PEER = 32
# Seconds in which workers may still join, when the hub has just begun; and between two looks at how far a question is.
SETTLED, LOOK = 5.0, 0.25
# Clients whose history is told by a question of their own at a time, and seconds after which such a one does not count:
# a worker dissects for a few at once, and what it is too busy for is asked again much later.
HISTORIES, LONG = 3, 10.0
# Calls remembered to tell duplicates: of one question, at least, and of all; a call takes about 200 bytes.
REMEMBERED, REMEMBERED_LEAST, REMEMBERED_IN_ALL = 65_536, 4_096, 1_000_000


class Shared:
    """One question of several clients: an Audience that passes on. What is new waits for nobody."""

    def __init__(self) -> None:
        self.outboxes: list[Outbox] = []

    def put(self, message: Message, *, live: bool) -> None:
        for outbox in self.outboxes:
            outbox.put(message, live=True)

    def say(self, data: bytes, *, vital: bool = False) -> None:
        for outbox in self.outboxes:
            outbox.say(data, vital=vital)

    async def room(self) -> None:
        """Nothing of the past was asked for."""


class _Common:
    """A shared question, the task that asks it, and how many clients it is kept for."""

    def __init__(self, asking: Asking, shared: Shared, task: asyncio.Task[dict[str, object]]) -> None:
        self.asking = asking
        self.shared = shared
        self.task = task
        self.clients = 0


class Feeds:
    """Of one hub. `asked`: questions that are open now."""

    def __init__(self, links: Links, filters: Filters, counts: Counts) -> None:
        self._links = links
        self._filters = filters
        self._counts = counts
        self._numbers = Numbers()
        self._common: dict[object, _Common] = {}
        self._peers: dict[str, Counter[object]] = {}  # what is asked for each address, and how often
        self._remembered = 0
        self._histories = Turns(HISTORIES, LONG)
        self._settled = time.monotonic() + SETTLED
        self.asked = 0

    async def checked(self, text: str | bytes) -> Question:
        """The question of a client's message; raise OptionError or FilterError."""
        put = question(text, time.time_ns())
        await self._filters.compiled(put.filter)
        return put

    async def answer(self, put: Question, outbox: Outbox, peer: str) -> dict[str, object]:
        """Ask, and tell the outbox until it is answered; the figures. Raise Refused where too many are asked.

        `peer`: who asks, as admission.caller() tells.
        """
        if not put.goes_on:
            with self._counted(peer, object()):
                async with self._asked(put, outbox) as (_, task):
                    return await task
        with self._counted(peer, put.shared_as), self._joined(put) as common:
            try:
                if not put.from_now:
                    if self._histories.are_taken:
                        outbox.say(messages.status("", "waiting", f"history is told to {HISTORIES} clients at a time"))
                    async with self._histories.taken():
                        with self._counted(peer, object()):
                            await self._until_handed_over(put, outbox, common)
                else:
                    _join(common.asking, outbox)
                    common.shared.outboxes.append(outbox)
                return await asyncio.shield(common.task)
            finally:
                if outbox in common.shared.outboxes:
                    common.shared.outboxes.remove(outbox)

    async def close(self) -> None:
        """End the shared questions; the others end with their clients."""
        tasks = [common.task for common in self._common.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_handed_over(self, put: Question, outbox: Outbox, common: _Common) -> None:
        """Ask for one client alone, until the shared question tells all that it would be told, and does."""
        async with self._asked(put, outbox) as (own, task):
            await _looked(lambda: own.caught_up)
            await asyncio.sleep(max(self._settled - time.monotonic(), 0.0))
            await _looked(lambda: Handover.is_possible(own, common.asking))
            handover = Handover(own, common.asking)
            handover.begin()
            listeners = common.asking.on_released
            listeners.append(handover.shared_released)
            try:
                await _looked(lambda: handover.look() or handover.own_over)
                await _cancelled(task)
                await _looked(handover.look)
                # In the step in which it ends to listen: what is released in between would be told to nobody.
                common.shared.outboxes.append(outbox)
            finally:
                listeners.remove(handover.shared_released)

    @asynccontextmanager
    async def _asked(
        self, put: Question, audience: Audience
    ) -> AsyncIterator[tuple[Asking, asyncio.Task[dict[str, object]]]]:
        """A question that is asked until the end of the block."""
        asking, task = self._ask(put, audience)
        try:
            yield asking, task
        finally:
            await _cancelled(task)

    def _ask(self, put: Question, audience: Audience) -> tuple[Asking, asyncio.Task[dict[str, object]]]:
        remembered = self._take_room()
        asking = Asking(self._links, put, audience, self._numbers, self._counts, remembered)
        task = asyncio.get_running_loop().create_task(asking.run())
        task.add_done_callback(lambda _: self._give_back(remembered))
        return asking, task

    @contextmanager
    def _joined(self, put: Question) -> Iterator[_Common]:
        """The shared question for what is new, asked as long as somebody is in the block."""
        key = put.shared_as
        common = self._common.get(key)
        if common is None:
            shared = Shared()
            asking, task = self._ask(put.what_is_new(time.time_ns()), shared)
            common = self._common[key] = _Common(asking, shared, task)
        common.clients += 1
        try:
            yield common
        finally:
            common.clients -= 1
            if not common.clients:
                common.task.cancel()
                del self._common[key]

    @contextmanager
    def _counted(self, peer: str, asked: object) -> Iterator[None]:
        """One of what is asked for this address, equal ones once; raise Refused where there are too many."""
        of_peer = self._peers.setdefault(peer, Counter())
        if asked not in of_peer and len(of_peer) >= QUESTIONS_PEER:
            self._counts.refuse("queries_peer")
            text = f"{QUESTIONS_PEER} questions of one address are asked at a time"
            raise Refused(503, "busy", text, hint="close a feed, or wait until others end")
        of_peer[asked] += 1
        try:
            yield
        finally:
            of_peer[asked] -= 1
            if not of_peer[asked]:
                del of_peer[asked]
            if not of_peer:
                self._peers.pop(peer, None)

    def _take_room(self) -> int:
        """Calls that one more question may remember; raise Refused where there is no room for it."""
        if self.asked >= QUESTIONS:
            self._counts.refuse("queries")
            raise Refused(503, "busy", f"{QUESTIONS} questions are asked at a time", hint="wait until others end")
        most = (REMEMBERED_IN_ALL - self._remembered) // 4
        remembered = min(REMEMBERED, max(REMEMBERED_LEAST, most))
        self.asked += 1
        self._remembered += remembered
        return remembered

    def _give_back(self, remembered: int) -> None:
        self.asked -= 1
        self._remembered -= remembered


async def _looked(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(LOOK)


async def _cancelled(task: asyncio.Task[dict[str, object]]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _join(asking: Asking, outbox: Outbox) -> None:
    """Tell a client what those before it were told of the workers."""
    for name, state in asking.states().items():
        outbox.say(messages.status(name, state))
    if asking.caught_up:
        outbox.say(messages.caught_up(asking.states()), vital=True)
