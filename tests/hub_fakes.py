"""A hub on loopback whose workers are objects of the test: what each answers is a function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from pysniff.cluster.access import Access
from pysniff.cluster.frames import End, Error, Hello, Value
from pysniff.cluster.hub.hub import Hub, new_hub
from pysniff.cluster.hub.limits import DEFAULT, HubLimits
from pysniff.cluster.hub.server import Server, bound
from pysniff.cluster.hub.serving import serving

TOKEN = "the-token-of-the-tests"
JSON = dict[str, Any]
Ends = tuple[tuple[str, int], tuple[str, int]]


class FakeAsked:
    """Frames one after another; without any, silence."""

    size = 0

    def __init__(self, frames: Iterable[object] | None) -> None:
        self._frames = frames
        self.cancelled = False

    async def __aiter__(self) -> AsyncIterator[object]:
        if self._frames is None:
            await asyncio.Event().wait()
        for frame in self._frames or ():
            await asyncio.sleep(0)
            yield frame

    def grant(self, size: int) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeWorker:
    """`answers`: by what is asked, what the Value holds, a frame, or None for silence."""

    name: str
    answers: dict[str, Callable[[JSON], object]] = field(default_factory=dict)
    state: str = "connected"
    reason: str = ""
    address: str = "192.0.2.7:8897"
    since_ns: int = 1_700_000_000_000_000_000
    session: str = "0123456789abcdef"
    asked: list[tuple[str, JSON]] = field(default_factory=list)

    @property
    def hello(self) -> Hello | None:
        return Hello(1, "worker", self.name, self.session, "pysniff 1", {}) if self.state == "connected" else None


class FakeLinks:
    """The hub's side of links to workers that are here."""

    def __init__(self, *workers: FakeWorker) -> None:
        self.known = {worker.name: worker for worker in workers}
        self.figures = {"ended_lost": 2}
        self.unresolved: dict[str, str] = {}
        self.ends: list[Ends] = []
        self.on_change: list[Callable[[Any], None]] = []

    def ask(self, name: str, what: str, params: JSON) -> FakeAsked:
        worker = self.known[name]
        worker.asked.append((what, params))
        if what not in worker.answers:
            return FakeAsked([Error(1, 1, "unsupported", f"no {what} here", "")])
        told = worker.answers[what](params)
        if told is None:
            return FakeAsked(None)
        return FakeAsked([told] if isinstance(told, Error) else [Value(1, 1, dict(told)), End(1, 2, {})])  # type: ignore[call-overload]

    async def accept(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="a link")

    def endpoints(self) -> list[Ends]:
        return self.ends

    async def close(self) -> None: ...

    def joins(self, worker: FakeWorker) -> None:
        self.known[worker.name] = worker
        worker.state = "connected"
        for tell in self.on_change:
            tell(worker)


def capturing(packets: int = 7) -> Callable[[JSON], object]:
    """A worker's answer to "status"."""
    return lambda params: {"capturing": True, "ledger": {"store_packets": packets, "not_ip": {"arp": 2}}}


@dataclass
class Running:
    """A hub that serves, and a client without a token."""

    hub: Hub
    links: FakeLinks
    server: Server
    client: ClientSession
    told: list[str]

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, **headers: str) -> tuple[int, JSON]:
        return await self.send("GET", path, headers=headers)

    async def send(self, method: str, path: str, **options: Any) -> tuple[int, JSON]:
        async with self.client.request(method, self.url + path, allow_redirects=False, **options) as answer:
            return answer.status, json.loads(await answer.read() or b"{}")


@asynccontextmanager
async def running(
    *workers: FakeWorker,
    links: FakeLinks | None = None,
    limits: HubLimits = DEFAULT,
    access: Access | None = None,
    allowed_hosts: Iterable[str] = (),
    abroad: bool = False,
) -> AsyncIterator[Running]:
    """`abroad`: as if it listened beyond loopback too, so that everybody needs the token."""
    told: list[str] = []
    links = links or FakeLinks(*workers)
    hub = new_hub(links, limits=limits, tell=told.append)
    listeners = bound("127.0.0.1", 0)
    if abroad:
        listeners += bound("0.0.0.0", 0)
    async with (
        serving(hub, listeners, access or Access(TOKEN), allowed_hosts=allowed_hosts) as server,
        ClientSession() as client,
    ):
        yield Running(hub, links, server, client, told)
