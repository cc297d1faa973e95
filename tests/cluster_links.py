"""Workers and hubs on loopback, a wire between them that can be cut, and answers that tests can look into."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from pysniff.cluster.access import Access
from pysniff.cluster.asked import Asked, Told
from pysniff.cluster.frames import VERSION, Ask, End, Frame, Hello, Notice, Value, decode, encode
from pysniff.cluster.handshake import Ending, new_hello
from pysniff.cluster.known_worker import Worker
from pysniff.cluster.link import LinkLost
from pysniff.cluster.pace import Pace
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.cluster.workers import Workers

TOKEN = "a-token-of-the-tests"
ACCESS = Access(TOKEN)
# Quick, but no machine is so slow that it would be silent.
PACE = Pace(beat=0.2, silence=20, first=0.01, last=0.2, settled=0.05, resolve=0.05, probe=0.5, window=20, closing=0.2)


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Answers:
    """Numbered Values. params: `count` of them (default 3), `size` of each, `wait`: until somebody lets it go on."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.made: dict[int, int] = {}  # frames by request
        self.closed: list[int] = []
        self.go = asyncio.Event()
        self.due: asyncio.Queue[None] = asyncio.Queue()  # for each there is one Value of "follow"

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        self.asked.append(ask)
        self.made[ask.id] = 0
        try:
            if ask.what == "wait":
                await self.go.wait()
            if ask.what == "cancelled":
                raise asyncio.CancelledError
            if ask.what == "fail":
                raise RuntimeError("no such luck")
            if ask.what == "notice":
                yield encode(Notice(ask.id, 1, "info", "hear, hear"))
                yield encode(End(ask.id, 2, {}))
                return
            if ask.what == "follow":
                for seq in range(1, 1 << 30):
                    await self.due.get()
                    self.made[ask.id] = seq
                    yield encode(Value(ask.id, seq, {"number": seq}))
            count, size = ask.params.get("count", 3), ask.params.get("size", 10)
            assert isinstance(count, int)
            assert isinstance(size, int)
            for seq in range(1, count + 1):
                self.made[ask.id] = seq
                yield encode(Value(ask.id, seq, {"number": seq, "text": "x" * size}))
            if ask.what != "endless":
                yield encode(End(ask.id, count + 1, {}))
        finally:
            self.closed.append(ask.id)


def worker_hello(name: str = "node-1") -> Hello:
    return new_hello("worker", name, "test")


def hub_hello(name: str = "hub") -> Hello:
    return new_hello("hub", name, "test")


class Cluster:
    """What a test made, closed at its end."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.answers = Answers()

    def close_with(self, close: Callable[[], Awaitable[None]]) -> None:
        """Something else to close at the end."""
        self._stack.push_async_callback(close)

    def hub(self, access: Access = ACCESS, pace: Pace = PACE, hello: Hello | None = None) -> Workers:
        hub = Workers(hello or hub_hello(), access, pace)
        self._stack.push_async_callback(hub.close)
        return hub

    async def worker(
        self,
        name: str = "node-1",
        access: Access = ACCESS,
        pace: Pace = PACE,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> tuple[WorkerLinks, int]:
        """A worker and the port it listens on."""
        worker = WorkerLinks(self.answers, worker_hello(name), access, pace)
        self._stack.push_async_callback(worker.close)
        _, port = await worker.listen(host, port)
        return worker, port

    def dialling_worker(self, name: str = "node-1", access: Access = ACCESS, pace: Pace = PACE) -> WorkerLinks:
        """A worker that listens nowhere."""
        worker = WorkerLinks(self.answers, worker_hello(name), access, pace)
        self._stack.push_async_callback(worker.close)
        return worker

    async def wire(self, port: int, own: int = 0) -> Wire:
        wire = Wire(port)
        self._stack.push_async_callback(wire.close)
        await wire.listen(own)
        return wire

    async def server(self, hub: Workers, access: Access = ACCESS) -> str:
        """A hub's URL, as the hub's own server has it."""
        application = web.Application()
        application.router.add_get("/api/link", hub.accept)
        application.on_shutdown.append(lambda _: hub.close())
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=access.listen)
        await site.start()
        return f"{'https' if access.listen else 'http'}://127.0.0.1:{runner.addresses[0][1]}"

    async def raw(self, port: int, token: str = TOKEN, path: str = "/link") -> Raw:
        """A connection on which a test says what it likes."""
        session = aiohttp.ClientSession()
        self._stack.push_async_callback(session.close)
        url = f"http://127.0.0.1:{port}{path}"
        return Raw(await session.ws_connect(url, headers={"Authorization": f"Bearer {token}"}, max_msg_size=0))

    async def connected(self, hub: Workers, name: str = "node-1") -> Worker:
        await until(lambda: name in hub.known and hub.known[name].state == "connected")
        return hub.known[name]

    async def pair(self, pace: Pace = PACE) -> tuple[Workers, WorkerLinks]:
        """A hub that has dialled a worker."""
        worker, port = await self.worker(pace=pace)
        hub = self.hub(pace=pace)
        hub.dial("127.0.0.1", port)
        await self.connected(hub)
        return hub, worker

    async def wired(self, pace: Pace = PACE) -> tuple[Workers, WorkerLinks, Wire]:
        """The same, with a wire in between."""
        worker, port = await self.worker(pace=pace)
        wire = await self.wire(port)
        hub = self.hub(pace=pace)
        hub.dial("127.0.0.1", wire.port)
        await self.connected(hub)
        return hub, worker, wire


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    async with asyncio.timeout(120), AsyncExitStack() as stack:
        yield Cluster(stack)


def talk(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is given a Cluster, and whatever its parameters are, in a loop of its own."""

    def run(**arguments: object) -> None:
        async def inside() -> None:
            async with cluster() as made:
                await test(made, **arguments)

        asyncio.run(inside())

    signature = inspect.signature(test)
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    left = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=left, return_annotation=None)  # type: ignore[attr-defined]
    return run


async def heard(asked: Asked) -> list[Told]:
    """All of an answer, each frame granted when it came."""
    told = []
    async for frame in asked:
        told.append(frame)
        asked.grant()
    return told


def numbers(told: list[Told]) -> list[object]:
    return [frame.value["number"] for frame in told if isinstance(frame, Value)]


class Unconnected:
    """A Link without a connection: remembers what was said."""

    def __init__(self) -> None:
        self.pace = Pace(window=0.001)
        self.ending: Ending | None = None
        self.said: list[Frame] = []
        self.sent = 0

    def post(self, frame: Frame) -> None:
        encode(frame)
        if self.ending is None:
            self.said.append(frame)

    async def send(self, frame: bytes) -> None:
        await asyncio.sleep(0)
        if self.ending is not None:
            raise LinkLost
        self.sent += len(frame)

    def end(self, code: str, message: str) -> None:
        self.ending = self.ending or Ending(code, message)


class Raw:
    """A WebSocket without manners."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse | web.WebSocketResponse) -> None:
        self.websocket = websocket

    async def say(self, *frames: Frame | bytes) -> None:
        for frame in frames:
            await self.websocket.send_bytes(frame if isinstance(frame, bytes) else encode(frame))

    async def hear(self) -> Frame:
        return decode(await self.websocket.receive_bytes())

    async def hear_until(self, kind: type[Frame]) -> Frame:
        while not isinstance(frame := await self.hear(), kind):
            pass
        return frame

    async def greet(self, role: str = "hub", name: str = "raw", session: str = "0123456789abcdef") -> Frame:
        await self.say(Hello(VERSION, role, name, session, "raw", {}))
        return await self.hear()


class Wire:
    """Passes bytes on to a port, until it is cut or frozen."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0  # made so far
        self.passed = 0  # bytes
        self._to = port
        self._server: asyncio.Server | None = None
        self._whole = asyncio.Event()
        self._whole.set()
        self._down = False
        self._pause = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *, down: bool = False) -> None:
        """End all connections abruptly; `down`: and let none come until up()."""
        self._down = down
        for writer in self._writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

    def lead_to(self, port: int) -> None:
        """New connections go there."""
        self._to = port

    def up(self) -> None:
        self._down = False

    def slow(self, seconds: float) -> None:
        """Take so long for 64 KiB."""
        self._pause = seconds

    def freeze(self) -> None:
        """Pass nothing on, and let nobody know."""
        self._whole.clear()

    def thaw(self) -> None:
        self._whole.set()

    def leave_frozen(self) -> None:
        """What is connected stays frozen; new connections pass."""
        self._whole.clear()
        self._whole = asyncio.Event()
        self._whole.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._down:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        whole = self._whole
        ways = [self._pass(reader, back, whole), self._pass(there, writer, whole)]
        tasks = [asyncio.create_task(way) for way in ways]
        self._tasks |= set(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, back):
            one.transport.abort()
        self._writers -= {writer, back}
        self._tasks -= set(tasks)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await whole.wait()
                await asyncio.sleep(self._pause * len(data) / 65536)
                self.passed += len(data)
                writer.write(data)
                await writer.drain()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut(down=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def whole(told: list[Told], count: int) -> bool:
    """Each number once and in order, whatever came between."""
    return numbers(told) == list(range(1, count + 1)) and isinstance(told[-1], End)
