"""The cluster's configuration, as one hub knows it. Workers keep it; a hub keeps nothing.

The greatest configuration wins everywhere (pysniff/cluster/precedence.py): with every worker that comes, the hub asks
what it has, adopts what is greater than its own, and gives its own to those that have less. Version 0 is what a
worker's command line says, and no configuration of the cluster.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.links import Links, Worker
from pysniff.cluster.hub.merge_patch import merge_patch
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.single import NoAnswer, value
from pysniff.cluster.precedence import precedence
from pysniff.cluster.worker.configuration import Document
from pysniff.errors import OptionError

VERSIONS = 1 << 48  # nobody counts that far; a worker that claims more would leave no room for the next one
CONFLICTS = 20  # remembered, the last ones

Rank = tuple[int, bytes]
_NOTHING: Rank = (-1, b"")


class Taken(NamedTuple):
    """What a worker made of a configuration: `version` it has now, `effective` is what it does."""

    version: int
    accepted: bool
    reason: str
    effective: dict[str, object]


class Configuration:
    """`tell` gets a line for what people should know."""

    def __init__(self, links: Links, limits: HubLimits, tell: Callable[[str], None]) -> None:
        self.present = Document()
        self._conflicts: deque[str] = deque(maxlen=CONFLICTS)
        self._taken: dict[str, Taken] = {}  # by node; as many as there are workers
        self._held: dict[str, Rank] = {}  # what each is known to have
        self._refused: dict[str, Rank] = {}  # what each was given and did not take; it is given that once
        self._highest = 0  # version met, adopted or not
        self._links = links
        self._limits = limits
        self._tell = tell
        self._changing = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = -math.inf
        self._tasks: set[asyncio.Task[object]] = set()
        links.on_change.append(self._changed)

    async def report(self) -> dict[str, object]:
        """JSON types: what is wanted, and what each worker made of it."""
        taken = await self.taken()
        return {
            "version": self.present.version,
            "config": _settings(self.present),
            "workers": {name: one._asdict() for name, one in taken.items()},
            "conflicts": list(self._conflicts),
        }

    async def taken(self) -> dict[str, Taken]:
        """What each worker that is known made of it, by node in order; those that are away have accepted nothing."""
        await self._refresh()
        return {name: self._state(worker) for name, worker in sorted(self._links.known.items())}

    async def change(self, patch: object, expected: int | None) -> None:
        """Apply a merge patch and give it to all workers; raise Refused or OptionError, and then nothing is changed.

        `expected`: the version that whoever asks has read, None for any.
        """
        async with self._changing:
            await self._refresh()
            if expected is not None and expected != self.present.version:
                message = f"the configuration has version {self.present.version} by now, not {expected}"
                raise Refused(412, "version", message, hint="read it again")
            settings = merge_patch(_settings(self.present), patch)
            if not isinstance(settings, dict):
                raise Refused(400, "json", "a configuration is a JSON object")
            if "version" in settings:
                raise OptionError("version: the hub counts it", hint="send If-Match to change what you have read")
            wanted = Document.of({**settings, "version": max(self._highest, self.present.version) + 1})
            await self._spread(wanted)
            self._adopt(wanted)

    async def close(self) -> None:
        tasks = [*self._tasks, *([self._refreshing] if self._refreshing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What workers have

    def _changed(self, worker: Worker) -> None:
        if worker.state == "connected":
            self._refused.pop(worker.name, None)
            self._spawn(self._meet(worker.name))

    async def _refresh(self) -> None:
        """Ask every worker what it has, unless that was done within a second: another hub may have changed it."""
        loop = asyncio.get_running_loop()
        if self._refreshing is None and loop.time() - self._refreshed >= self._limits.status_age:
            self._refreshing = loop.create_task(self._meet_all())
        if self._refreshing is not None:
            await asyncio.shield(self._refreshing)

    async def _meet_all(self) -> None:
        try:
            await asyncio.gather(*map(self._meet, self._connected()))
        finally:
            self._refreshed = asyncio.get_running_loop().time()
            self._refreshing = None

    async def _meet(self, name: str) -> None:
        """Ask a worker what it has, and bring both to the same."""
        try:
            told = await value(self._links, name, "config", {}, self._limits.status_wait)
            theirs = Document.of(_map(told.get("config")))
        except NoAnswer as error:
            self._deny(name, error.message)
            return
        except OptionError as error:
            self._deny(name, f"it has what this hub does not know: {error}")
            return
        self._found(name, theirs, _map(told.get("effective")))
        if theirs.version > VERSIONS:
            self._tell(f"{name}: no configuration has version {theirs.version}; it is not adopted")
            return
        self._highest = max(self._highest, theirs.version)
        own = self.present
        if theirs.version and theirs.version == own.version and theirs != own:
            self._conflict(name, theirs)
        if _rank(theirs) > _rank(own):
            self._adopt(theirs)
        elif own.version and _rank(theirs) < _rank(own) != self._refused.get(name):
            self._spawn(self._give(name, own))

    def _found(self, name: str, theirs: Document, effective: dict[str, object]) -> None:
        """A worker said what it has."""
        if _rank(theirs) < _rank(self.present) and name in self._taken:
            self._note(name, self._taken[name]._replace(version=theirs.version, effective=effective), theirs)
        else:
            self._note(name, Taken(theirs.version, True, "", effective), theirs)

    def _adopt(self, document: Document) -> None:
        """Make it the present one, and give it to all workers that have less."""
        if _rank(document) <= _rank(self.present):
            return
        self.present = document
        self._highest = max(self._highest, document.version)
        for name in self._connected():
            if self._held.get(name, _NOTHING) < _rank(document) != self._refused.get(name):
                self._spawn(self._give(name, document))

    async def _spread(self, wanted: Document) -> None:
        """Give it to every worker that is there; raise Refused where each of them says no."""
        names = self._connected()
        taken = await asyncio.gather(*(self._give(name, wanted) for name in names))
        said_no = [f"{name}: {one.reason}" for name, one in zip(names, taken, strict=True) if one and not one.accepted]
        if names and len(said_no) == len(names):
            raise Refused(422, "refused", "every worker refused it: " + "; ".join(said_no[:3]))

    async def _give(self, name: str, document: Document) -> Taken | None:
        """What the worker made of it; None where it did not say."""
        self._refused[name] = _rank(document)
        params: dict[str, object] = {"config": document.to_dict()}
        try:
            told = await value(self._links, name, "configure", params, self._limits.configure_wait)
        except NoAnswer as error:
            taken = self._deny(name, error.message)
            return None if error.code in ("away", "late") else taken
        taken = _taken(told)
        if taken.accepted:
            self._refused.pop(name, None)
        self._note(name, taken, document if taken.accepted else None)
        if not taken.accepted and taken.version >= document.version:
            # Another hub was faster: what it wrote is to be adopted here too.
            self._spawn(self._meet(name))
        return taken

    def _state(self, worker: Worker) -> Taken:
        taken = self._taken.get(worker.name, Taken(0, False, "not asked yet", {}))
        if worker.state == "connected":
            return taken
        return taken._replace(accepted=False, reason=worker.reason or worker.state)

    def _note(self, name: str, taken: Taken, has: Document | None) -> None:
        known = self._links.known
        self._taken = {node: one for node, one in self._taken.items() if node in known} | {name: taken}
        self._held = {node: one for node, one in self._held.items() if node in known}
        self._refused = {node: one for node, one in self._refused.items() if node in known}
        if has is not None:
            self._held[name] = _rank(has)

    def _deny(self, name: str, reason: str) -> Taken:
        """It has not taken anything now, and why."""
        taken = self._taken.get(name, Taken(0, False, "", {}))._replace(accepted=False, reason=reason)
        self._note(name, taken, None)
        return taken

    def _conflict(self, name: str, theirs: Document) -> None:
        wins = "theirs" if _rank(theirs) > _rank(self.present) else "the present one"
        text = f"{name} has another configuration of version {theirs.version}; {wins} is kept, as its text is greater"
        if text not in self._conflicts:
            self._conflicts.append(text)
            self._tell(text)

    def _connected(self) -> list[str]:
        return sorted(name for name, worker in self._links.known.items() if worker.state == "connected")

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _rank(document: Document) -> Rank:
    return precedence(document.to_dict())


def _settings(document: Document) -> dict[str, object]:
    return {name: value for name, value in document.to_dict().items() if name != "version"}


def _map(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _taken(told: Mapping[str, object]) -> Taken:
    """What a worker answered, of whatever types."""
    number = told.get("version")
    version = number if isinstance(number, int) and not isinstance(number, bool) else 0
    return Taken(version, told.get("accepted") is True, str(told.get("reason", ""))[:500], _map(told.get("effective")))
