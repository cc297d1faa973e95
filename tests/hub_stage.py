"""A hub between workers that say what a test tells them and clients that a test is: real links, on loopback."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Self

import msgpack
from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType, web

from pysniff.cluster.access import Access
from pysniff.cluster.frames import Ask, Batch, CaughtUp, Chunk, End, Error, Hello, Notice, Value, encode
from pysniff.cluster.hub.front import Front
from pysniff.cluster.hub.hub import Hub, new_hub
from pysniff.cluster.pace import Pace
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.cluster.workers import Workers
from pysniff.limits import SECOND

DEADLINE = 60.0
# Quick, but no machine is so slow that it would be silent.
QUICK = Pace(beat=0.2, silence=20, first=0.05, last=0.2, window=3.0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def settled() -> None:
    """Whatever is on its way has arrived: in so many rounds of the event loop, however long each takes."""
    for _ in range(60):
        await asyncio.sleep(0.005)


class Answer:
    """What one worker says to one question; it stays silent until told what to say."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.params = ask.params
        self.closed = False
        self.sent = 0  # frames that were pulled
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._seq = 0

    def _say(self, make: Callable[[int, int], Any]) -> None:
        self._seq += 1
        self._queue.put_nowait(encode(make(self.ask.id, self._seq)))

    def batch(self, *calls: tuple[float, int] | float, until: float = 0, size: int = 0) -> None:
        """Entries that completed at those seconds, with a fingerprint, the second itself where none is given."""
        told = [one if isinstance(one, tuple) else (one, hash(one) & 0xFFFF) for one in calls]
        node = self.params.get("node", "")
        entries = [msgpack.packb({"id": f"{node}{at:g}", "pad": "x" * size}) for at, _ in told]
        times = [round(at * SECOND) for at, _ in told]
        lengths = [len(entry) for entry in entries]
        moved = round(until * SECOND)
        self._say(lambda id, seq: Batch(id, seq, moved, times, [one[1] for one in told], lengths, b"".join(entries)))

    def caught_up(self) -> None:
        self._say(CaughtUp)

    def notice(self, text: str, severity: str = "info") -> None:
        self._say(lambda id, seq: Notice(id, seq, severity, text))

    def value(self, **fields: object) -> None:
        self._say(lambda id, seq: Value(id, seq, fields))

    def chunk(self, times: Sequence[int], packets: Sequence[bytes]) -> None:
        lengths = [len(packet) for packet in packets]
        self._say(lambda id, seq: Chunk(id, seq, list(times), lengths, b"".join(packets)))

    def end(self, **figures: object) -> None:
        self._say(lambda id, seq: End(id, seq, figures))

    def error(self, code: str, message: str = "because") -> None:
        self._say(lambda id, seq: Error(id, seq, code, message, ""))

    async def frames(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield await self._queue.get()
                self.sent += 1
        finally:
            self.closed = True


class Node:
    """A worker process as the hub sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._answers: list[Answer] = []
        self.port = 0
        self.links: WorkerLinks | None = None
        self._lives = 0

    def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        found = Answer(ask)
        self._answers.append(found)
        return found.frames()

    async def start(self) -> None:
        self._lives += 1
        hello = Hello(1, "worker", self.name, f"{self._lives:016x}", "test", {})
        self.links = WorkerLinks(self, hello, Access(), QUICK)
        _, self.port = await self.links.listen("127.0.0.1", self.port)

    async def stop(self) -> None:
        """As if its process had ended."""
        if self.links is not None:
            await self.links.close()
            self.links = None

    async def asked(self, count: int = 1, what: str = "query") -> Answer:
        """The answer to the latest question, once there were so many of that kind; "new" is the shared one."""
        await until(lambda: len(self.answers(what)) >= count)
        return self.answers(what)[-1]

    def answers(self, what: str = "query") -> list[Answer]:
        """To the questions of a kind so far, in their order."""
        return [one for one in self._answers if what == _kind(one.ask)]


def _kind(ask: Ask) -> str:
    # Tests live in the seconds after 1970, only a shared question is asked from now on.
    since = ask.params.get("since")
    return "new" if isinstance(since, int) and since > 10**18 else ask.what


class Stage:
    """`async with Stage(routes, "a", "b") as stage`: nodes are `stage["a"]`."""

    def __init__(
        self,
        routes: Sequence[Callable[[Hub], list[web.RouteDef]]],
        *names: str,
        replay_targets: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self._routes = routes
        self._replay_targets = replay_targets
        self._responses: list[ClientResponse] = []
        self.nodes = {name: Node(name) for name in names}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    async def __aenter__(self) -> Self:
        self.workers = Workers(Hello(1, "hub", "hub", "ff" * 8, "test", {}), Access(), QUICK)
        self.hub = new_hub(self.workers, replay_targets=self._replay_targets)
        for node in self.nodes.values():
            await node.start()
            self.workers.dial("127.0.0.1", node.port)
        application = web.Application(middlewares=[Front(self.hub.limits, self.hub.counts, print).answer])
        for routes in self._routes:
            application.add_routes(routes(self.hub))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.session = ClientSession()
        await until(lambda: all(self.connected(name) for name in self.nodes))
        return self

    async def __aexit__(self, *_: object) -> None:
        for response in self._responses:
            response.close()
        await self.session.close()
        await self.hub.close()
        await self._runner.cleanup()
        await self.workers.close()
        for node in self.nodes.values():
            await node.stop()

    async def get(self, path: str) -> ClientResponse:
        """Closed with the stage, read or not."""
        response = await self.session.get(self.url + path)
        self._responses.append(response)
        return response

    def connected(self, name: str) -> bool:
        known = self.workers.known.get(name)
        return known is not None and known.state == "connected"

    async def add(self, name: str) -> Node:
        """One more worker."""
        node = self.nodes[name] = Node(name)
        await node.start()
        self.workers.dial("127.0.0.1", node.port)
        await until(lambda: self.connected(name))
        return node

    async def client(self, **question: object) -> Client:
        socket = await self.session.ws_connect(self.url + "/api/entries", max_msg_size=0)
        client = Client(socket)
        if question:
            await client.ask(**question)
        return client


class Client:
    """`messages`: all so far, without entries; `entries`: (number, seconds, nodes) as they came."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.entries: list[tuple[int, str, str]] = []

    async def ask(self, **question: object) -> None:
        """`start` stands for `from`."""
        if "start" in question:
            question["from"] = question.pop("start")
        await self.socket.send_str(json.dumps(question))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            message = await self.socket.receive()
        if message.type is not WSMsgType.BINARY:
            raise EOFError(f"{message.type.name} {self.socket.close_code}")
        found: dict[str, Any] = msgpack.unpackb(message.data)
        self.messages.append(found)
        if found["type"] == "batch":
            self._take(found)
        return found

    def _take(self, batch: dict[str, Any]) -> None:
        of, lengths = array("H", batch["of"]), array("I", batch["lengths"])
        at = 0
        for place, (nodes, length) in enumerate(zip(of, lengths, strict=True)):
            entry = msgpack.unpackb(batch["entries"][at : at + length])
            self.entries.append((batch["first"] + place, entry["id"], "+".join(batch["nodes"][nodes])))
            at += length
        assert at == len(batch["entries"])

    async def until(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next message of a kind, with those values."""
        while True:
            found = await self.next()
            if found["type"] == kind and all(found.get(name) == value for name, value in fields.items()):
                return found

    async def shows(self, count: int) -> list[str]:
        """The entries so far, once there are so many: "id node+node"."""
        while len(self.entries) < count:
            await self.next()
        assert len(self.entries) == count
        return [f"{id} {nodes}" for _, id, nodes in self.entries]

    async def close(self) -> None:
        await self.socket.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """One test, within a deadline."""

    async def limited() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(limited())
