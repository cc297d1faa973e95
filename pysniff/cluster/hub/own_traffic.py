"""Tells workers the endpoints of the cluster, whose traffic they leave out of the capture.

A worker knows its own links. That of other workers, and of the hub's clients, only the hub knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pysniff.cluster.hub.hosts import WILDCARDS
from pysniff.cluster.hub.links import Links, Worker
from pysniff.cluster.hub.single import NoAnswer, value

MOST = 256  # endpoints; a capture filter with more is too long for the kernel
_WAIT = 10.0
_PAUSE = 0.2  # seconds; many workers come at once
Endpoint = tuple[str, int]


class OwnTraffic:
    """`listening`: where the hub serves clients and workers that dial in."""

    def __init__(self, links: Links, listening: Iterable[Endpoint]) -> None:
        self._links = links
        self._listening = list(listening)
        self._told: dict[str, tuple[str, list[Endpoint]]] = {}  # by node: its session, and what it was told
        self._task: asyncio.Task[None] | None = None
        links.on_change.append(self._changed)

    def endpoints(self) -> list[Endpoint]:
        """At most MOST, in order: of each connection the end that listens, with the hub's address as workers see it."""
        ports = {port for _, port in self._listening}
        found = {one for one in self._listening if one[0] not in WILDCARDS}
        for ours, theirs in self._links.endpoints():
            if ours[1] not in ports:
                found.add(theirs)
            found |= {(ours[0], port) for port in ports}
        return sorted(found)[:MOST]

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, worker: Worker) -> None:
        if worker.state != "connected":
            self._told.pop(worker.name, None)  # it believes a hub that is gone for a while only
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Until every worker that is connected knows what is so now."""
        while True:
            await asyncio.sleep(_PAUSE)
            endpoints = self.endpoints()
            behind = [
                worker
                for worker in self._links.known.values()
                if worker.state == "connected" and self._told.get(worker.name) != (worker.session, endpoints)
            ]
            if not behind:
                return
            self._told = {name: told for name, told in self._told.items() if name in self._links.known}
            await asyncio.gather(*(self._give(worker.name, worker.session, endpoints) for worker in behind))

    async def _give(self, name: str, session: str, endpoints: list[Endpoint]) -> None:
        self._told[name] = session, endpoints  # once: a worker that does not understand is not asked again and again
        params: dict[str, object] = {"exclude": [list(one) for one in endpoints]}
        try:
            await value(self._links, name, "configure", params, _WAIT)
        except NoAnswer:
            pass
