"""What workers say of themselves, asked at most once a second each, however many clients want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.links import Links, Worker
from pysniff.cluster.hub.single import NoAnswer, value


class Status(NamedTuple):
    """A worker's answer to "status"; empty where it gave none, and why."""

    figures: dict[str, object]
    error: str

    @property
    def capturing(self) -> bool:
        return self.figures.get("capturing") is True

    @property
    def finished(self) -> str:
        """What of a worker that captures nothing is served, a finished capture or one that is being read; else ""."""
        capture = self.figures.get("capture")
        if not isinstance(capture, dict) or capture.get("state") not in ("reading", "finished"):
            return ""
        return f"{capture['state']}: {capture.get('reason')}"


class Figures:
    """Those of every worker that is known; `clock` gives seconds."""

    def __init__(self, links: Links, limits: HubLimits, clock: Callable[[], float]) -> None:
        self._links = links
        self._limits = limits
        self._clock = clock
        self._asked: dict[str, tuple[float, asyncio.Task[Status]]] = {}  # by node; as many as there are workers

    async def all(self) -> dict[str, tuple[Worker, Status]]:
        """Every known worker and its status, by name, in its order."""
        names = sorted(self._links.known)
        found = await asyncio.gather(*map(self.status, names))
        known = self._links.known
        return {name: (known[name], status) for name, status in zip(names, found, strict=True) if name in known}

    async def status(self, name: str) -> Status:
        now = self._clock()
        when, task = self._asked.get(name, (now, None))
        if task is None or (task.done() and now - when >= self._limits.status_age) or task.cancelled():
            task = asyncio.create_task(self._ask(name))
            self._asked = {node: asked for node, asked in self._asked.items() if node in self._links.known}
            self._asked[name] = (now, task)
        # Who stops waiting does not stop it for the others.
        return await asyncio.shield(task)

    async def _ask(self, name: str) -> Status:
        try:
            return Status(await value(self._links, name, "status", {}, self._limits.status_wait), "")
        except NoAnswer as error:
            return Status({}, error.message)
