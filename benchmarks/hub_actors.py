"""Who plays in the hub's benchmark, each in a process of its own; benchmarks/hub.py directs.

`python -m benchmarks.hub_actors ROLE ...` prints a line of JSON when it is ready and, of hub and relay, another at its
end, which is when stdin closes. Entries are summaries of about 420 bytes, packed once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import ClientSession, WSMsgType, web

from benchmarks.subject import peak
from pysniff.cluster.access import Access
from pysniff.cluster.frames import Ask, Batch, CaughtUp, End, Hello, encode
from pysniff.cluster.hub import feed
from pysniff.cluster.hub.front import Front
from pysniff.cluster.hub.hub import new_hub
from pysniff.cluster.packed import pack
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.cluster.workers import Workers

BATCH = 500  # entries of a batch that is sent as fast as possible
SECOND = 1_000_000_000
_END = pack({"type": "end"})[1:10]


def summary() -> bytes:
    """An entry as workers pack it."""
    end = {"ip": "10.20.1.7", "port": 51022, "name": "shop.default"}
    told: dict[str, object] = {
        "schema": 1, "id": "node-1.5f3a9c0012ab34cd.00000001", "stream": "5f3a9c0012ab34cd", "protocol": "http",
        "version": "1.1", "timestamp": "2026-11-21T20:00:00.123456789Z", "completed": "2026-11-21T20:00:00.125290789Z",
        "elapsed_time": 1834, "src": end, "dst": end, "capture_source": "live", "tls": None, "status": "200",
        "ok": True, "summary": "GET /cart", "state": "closed", "completeness": "complete", "faults": [],
        "request_size": 0, "response_size": 17,
    }  # fmt: skip
    return pack(told)


class Batches:
    """`entries` in batches; `rate`: so many a second, 0 for as fast as they are taken. No fingerprint comes twice."""

    def __init__(self, number: int, entries: int, rate: int) -> None:
        self._number, self._entries, self._rate = number, entries, rate
        self._size = rate // 20 if rate else BATCH
        self._packed = summary() * self._size
        self._lengths = [len(summary())] * self._size

    async def parts(self) -> AsyncIterator[tuple[list[int], list[int], list[int], bytes]]:
        began = time.monotonic()
        base = time.time_ns()
        for at in range(0, self._entries, self._size):
            if self._rate:
                await asyncio.sleep(max(0.0, began + at / self._rate - time.monotonic()))
                base = time.time_ns() - at * 1000
            times = list(range(base + at * 1000, base + (at + self._size) * 1000, 1000))
            marks = [(self._number << 60) + at + one for one in range(self._size)]
            yield times, marks, self._lengths, self._packed


class Answers:
    """A worker that has, or sees, so many entries."""

    def __init__(self, number: int, entries: int, rate: int) -> None:
        self._number, self._entries, self._rate = number, entries, rate

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        seq = 1
        if ask.what != "query":
            yield encode(End(ask.id, seq, {}))
            return
        if self._rate:
            yield encode(CaughtUp(ask.id, seq))
            seq += 1
            await asyncio.sleep(2)  # for all clients to join
        async for times, marks, lengths, packed in Batches(self._number, self._entries, self._rate).parts():
            yield encode(Batch(ask.id, seq, times[-1] + 1, times, marks, lengths, packed))
            seq += 1
        if self._rate:
            await asyncio.sleep(3600)
        yield encode(End(ask.id, seq, {}))


async def worker(number: int, entries: int, rate: int) -> None:
    links = WorkerLinks(
        Answers(number, entries, rate), Hello(1, "worker", f"n{number}", f"{number:016x}", "", {}), Access()
    )
    _, port = await links.listen("127.0.0.1", 0)
    await told(port)
    await links.close()


async def source(number: int, entries: int, rate: int) -> None:
    """The same bytes over a plain WebSocket, for the relay."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        await asyncio.sleep(2 if rate else 0)
        async for times, marks, lengths, packed in Batches(number, entries, rate).parts():
            await socket.send_bytes(encode(Batch(1, 1, 1, times, marks, lengths, packed)))
        await socket.send_bytes(_END)
        await asyncio.sleep(3600 if rate else 0)
        return socket

    await _served(serve, {})


async def hub(*ports: str) -> None:
    workers = Workers(Hello(1, "hub", "hub", "ff" * 8, "", {}), Access())
    for port in ports:
        workers.dial("127.0.0.1", int(port))
    made = new_hub(workers)
    application = web.Application(middlewares=[Front(made.limits, made.counts, print).answer])
    application.add_routes(feed.routes(made))
    while not workers.known or not all(one.state == "connected" for one in workers.known.values()):
        await asyncio.sleep(0.01)
    await made.filters.compiled("")  # which imports every dissector
    counts = made.counts
    await _run(application, lambda: {"forwarded": counts.entries_forwarded, "missed": counts.entries_missed})
    await made.close()
    await workers.close()


async def relay(*ports: str) -> None:
    """What forwarding bytes costs on the same library: from each source to every client."""
    clients: list[web.WebSocketResponse] = []
    begun = asyncio.Event()

    async def forward(port: str) -> None:
        await begun.wait()
        async with (
            ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{port}/api/entries", max_msg_size=0) as one,
        ):
            async for message in one:
                for client in clients:
                    await client.send_bytes(message.data)

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for _ in socket:
            clients.append(socket)
            begun.set()
        return socket

    tasks = [asyncio.create_task(forward(port)) for port in ports]
    await _served(serve, {})
    for task in tasks:
        task.cancel()


async def clients(port: str, count: str, question: str, ends: str, seconds: str) -> None:
    """Count messages; until `ends` of them are ends, or so many seconds have passed. Prints what was counted."""
    done = asyncio.Event()
    figures = {"messages": 0, "bytes": 0, "ends": 0}

    async def listen(session: ClientSession) -> None:
        async with session.ws_connect(f"http://127.0.0.1:{port}/api/entries", max_msg_size=0) as socket:
            await socket.send_str(question)
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    figures["messages"] += 1
                    figures["bytes"] += len(message.data)
                    if _END in message.data[:16]:
                        figures["ends"] += 1
                        if figures["ends"] >= int(ends) > 0:
                            done.set()

    async with ClientSession() as session:
        tasks = [asyncio.create_task(listen(session)) for _ in range(int(count))]
        try:
            async with asyncio.timeout(float(seconds)):
                await done.wait()
        except TimeoutError:
            pass
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(figures), flush=True)


async def _served(handler: object, figures: dict[str, object]) -> None:
    application = web.Application()
    application.add_routes([web.get("/api/entries", handler)])  # type: ignore[arg-type]
    await _run(application, lambda: figures)


async def _run(application: web.Application, figures: object) -> None:
    """Serve until stdin closes; then print what it took since it was ready."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    used, before = time.process_time(), peak()
    await told(runner.addresses[0][1])
    assert callable(figures)
    print(json.dumps({"cpu": time.process_time() - used, "before": before, "peak": peak(), **figures()}), flush=True)
    await runner.cleanup()


async def told(port: int) -> None:
    """Say which port it is, and wait until stdin closes."""
    print(json.dumps({"port": port}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role in ("worker", "source"):
        number, entries, rate = map(int, rest)
        asyncio.run((worker if role == "worker" else source)(number, entries, rate))
    elif role == "clients":
        port, count, question, ends, seconds = rest
        asyncio.run(clients(port, count, question, ends, seconds))
    else:
        asyncio.run((hub if role == "hub" else relay)(*rest))
    os._exit(0)
