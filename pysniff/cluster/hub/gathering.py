"""The packets of several workers, in order of time, as fast as somebody takes them: nothing is kept but credit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from pysniff.cluster.asked import Away, Back
from pysniff.cluster.frames import Chunk, End, Error, Value
from pysniff.cluster.hub.links import Asked, Links
from pysniff.cluster.hub.merge import Item, Merge
from pysniff.cluster.hub.owed import Owed

# How long a worker that went away is waited for: it keeps its answer for 30 s.
PATIENCE = 35.0
# Packets in one step, without letting others run.
STEP = 2_000
# Names of addresses in one file, and the characters of one.
NAMES, LONGEST = 65_536, 255
# Interfaces of one node that are told apart in a file; packets of others are said to be the node's.
INTERFACES = 4_096


class Gathering:
    """Iterate for lists of (time, node's number, 0, packet as in a Chunk). `failed`: nodes that told not all of theirs,
    and why: (code, message). `begun`: set when the first of them has said anything, or all have ended.
    """

    def __init__(self, links: Links, nodes: Sequence[str], params: Mapping[str, object]) -> None:
        self.failed: dict[str, tuple[str, str]] = {}
        self.packets = 0
        self._known: set[tuple[str, str]] = set()
        self._names: list[tuple[str, str]] = []
        self._interfaces: list[tuple[int, int, str]] = []
        self._told = [0] * len(nodes)  # interfaces of each
        self.begun = asyncio.Event()
        self._links = links
        self._nodes = nodes
        self._params = dict(params)
        self._merge = Merge()
        self._owed = [Owed() for _ in nodes]
        self._left = len(nodes)
        self._awake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Ask; needs a running loop."""
        loop = asyncio.get_running_loop()
        for number in range(len(self._nodes)):
            self._merge.join(number)
        self._tasks = [loop.create_task(self._hear(number)) for number in range(len(self._nodes))]

    async def steps(self) -> AsyncIterator[list[Item]]:
        """What may be written now; the workers go on once the next one is asked for."""
        while True:
            self._awake.clear()
            released = self._merge.release(0)
            for begin in range(0, len(released.items), STEP):
                part = released.items[begin : begin + STEP]
                self.packets += len(part)
                yield part
            for number, count in released.taken:
                self._owed[number].released(count)
            if not self._left and not self._merge.held_bytes:
                return
            if not released.items:
                await self._awake.wait()

    def names(self) -> list[tuple[str, str]]:
        """What addresses are called, (address, name), as far as that was not given before."""
        names, self._names = self._names, []
        return names

    def interfaces(self) -> list[tuple[int, int, str]]:
        """How nodes call their interfaces, (node's number, interface's, name), as far as not given before."""
        interfaces, self._interfaces = self._interfaces, []
        return interfaces

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hear(self, number: int) -> None:
        name = self._nodes[number]
        asked: Asked | None = None
        try:
            asked = self._links.ask(name, "packets", self._params)
            await self._take(number, asked)
        except Exception as error:  # NotFoundError: the worker was forgotten; anything else is a bug, and said too
            self.failed[name] = ("internal", str(error) or type(error).__name__)
        finally:
            if asked is not None:
                asked.cancel()
            self._merge.ended(number)
            self._left -= 1
            if not self._left:
                self.begun.set()
            self._awake.set()

    async def _take(self, number: int, asked: Asked) -> None:
        name = self._nodes[number]
        frames = aiter(asked)
        away: str | None = None
        while True:
            try:
                async with asyncio.timeout(None if away is None else PATIENCE):
                    frame = await anext(frames)
            except TimeoutError:
                self.failed[name] = ("away", away or "")
                return
            except StopAsyncIteration:
                self.failed.setdefault(name, ("away", "the worker does not know the question any more"))
                return
            match frame:
                case Chunk():
                    self._add(number, frame, asked)
                case Value(value={"names": list(names)}):
                    self._learn(names)
                    asked.grant(asked.size)
                case Value(value={"interfaces": list(interfaces)}):
                    self._meet(number, interfaces)
                    asked.grant(asked.size)
                case Away(reason):
                    away = reason
                case Back(resumed):
                    away = None
                    if not resumed:
                        self.failed[name] = ("away", "the worker was restarted in the middle")
                        return
                case Error():
                    self.failed[name] = (frame.code, frame.message)
                    return
                case End():
                    return
                case _:
                    asked.grant(asked.size)  # a notice: the packets say the same by being there or not

    def _learn(self, names: list[object]) -> None:
        for one in names:
            match one:
                case [str(address), str(name)] if name and len(self._known) < NAMES:
                    if (address, name[:LONGEST]) not in self._known:
                        self._known.add((address, name[:LONGEST]))
                        self._names.append((address, name[:LONGEST]))

    def _meet(self, node: int, interfaces: list[object]) -> None:
        for one in interfaces:
            match one:
                case [int(number), str(name)] if self._told[node] < INTERFACES:
                    self._told[node] += 1
                    self._interfaces.append((node, number, name[:LONGEST]))

    def _add(self, number: int, chunk: Chunk, asked: Asked) -> None:
        times, lengths = chunk.times, chunk.lengths
        # It comes in order of time: what is later than its last packet need not wait for it.
        until = max(times, default=0)
        self._merge.add(number, times, [0] * len(times), lengths, chunk.data, until, 0)
        self._owed[number].add(len(times), asked.size, asked)
        self.begun.set()
        self._awake.set()

    async def first(self, seconds: float) -> None:
        """Until somebody has said something, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.begun.wait()
