"""Servers on loopback for tests of replay, and the recorded calls that they are sent.

Each server notes what it was asked; what it answers is up to a function.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
from test_grpc import framed
from test_grpc_http2 import Dialogue, sniffed
from wire import MILLISECOND, Watched

from pysniff.cluster.replay import Replays
from pysniff.cluster.replay_recording import Assembly, Recording, values
from pysniff.cluster.replay_target import Targets
from pysniff.entry import Entry

GET = b"GET /cart HTTP/1.1\r\nHost: shop\r\nX-Trace: 1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Connection, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The HOST:PORT at which `serve` takes connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(one, host, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Http1Server:
    """Answers each request with `answer(head, body)`; `asked`: all of them, as they came; `connections`: how many."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes]) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await self._body(head.lower(), reader)
            self.asked.append((head, body))
            answer = self._answer(head, body)
            writer.write(answer)
            await writer.drain()
            if b"connection: close" in answer.lower():
                return

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        """As it came, chunks and all."""
        if b"\r\ntransfer-encoding: chunked" in head:
            body = b""
            while not body.endswith((b"\r\n0\r\n\r\n", b"END\r\n\r\n")) and body != b"0\r\n\r\n":
                body += await reader.readline()
            return body
        _, found, rest = head.partition(b"\r\ncontent-length: ")
        return await reader.readexactly(int(rest.split(b"\r\n")[0])) if found else b""


class Http2Server:
    """Answers each request with what `answer(fields, body)` gives: fields, body and trailers."""

    def __init__(self, answer: Callable[[dict[str, str], bytes], tuple[Any, bytes, Any]]) -> None:
        self.asked: list[tuple[list[tuple[str, str]], bytes, list[tuple[str, str]]]] = []
        self.connections = 0
        self.most_at_once = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_inbound_headers=False, validate_outbound_headers=False
        )
        talk = h2.connection.H2Connection(config)
        most = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
        talk.local_settings = h2.settings.Settings(client=False, initial_values={most: 10})
        talk.initiate_connection()
        heads: dict[int, list[Any]] = {}
        unsent: dict[int, tuple[bytes, Any]] = {}
        while True:
            writer.write(talk.data_to_send())
            await writer.drain()
            data = await reader.read(65_536)
            if not data:
                return
            for event in talk.receive_data(data):
                match event:
                    case h2.events.RequestReceived():
                        heads[event.stream_id] = [event.headers, b"", []]
                        self.most_at_once = max(self.most_at_once, talk.open_inbound_streams)
                    case h2.events.DataReceived():
                        heads[event.stream_id][1] += event.data
                        talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    case h2.events.TrailersReceived():
                        heads[event.stream_id][2] = event.headers
                    case h2.events.StreamEnded():
                        head, body, trailers = heads.pop(event.stream_id)
                        self.asked.append((head, body, trailers))
                        fields, answer, behind = self._answer(dict(head), body)
                        talk.send_headers(event.stream_id, fields, end_stream=not answer and not behind)
                        if answer or behind:
                            unsent[event.stream_id] = answer, behind
            for stream in list(unsent):
                unsent[stream] = _some(talk, stream, *unsent[stream])
                if unsent[stream] == (b"", None):
                    del unsent[stream]


def _some(talk: h2.connection.H2Connection, stream: int, body: bytes, trailers: Any) -> tuple[bytes, Any]:
    """Send what the window allows; what is left, (b"", None) once it has ended."""
    while body:
        room = min(talk.local_flow_control_window(stream), talk.max_outbound_frame_size)
        if not room:
            return body, trailers
        piece, body = body[:room], body[room:]
        talk.send_data(stream, piece, end_stream=not body and not trailers)
    if trailers:
        talk.send_headers(stream, trailers, end_stream=True)
    return b"", None


def recorded(*calls: tuple[bytes, bytes], wait: int = 0) -> list[Entry]:
    """Calls of HTTP/1 on one connection; `wait` ms between them."""
    talk = Watched()
    for request, answer in calls:
        talk.client(*_segments(request)).server(*_segments(answer))
        talk.now += wait * MILLISECOND
    return talk.bye().close().seen


def _segments(data: bytes) -> Iterable[bytes]:
    return [data[at : at + 60_000] for at in range(0, len(data), 60_000)]


def recording(entries: Iterable[Entry]) -> Recording:
    """As a worker tells of them, and a hub puts them together."""
    assembly = Assembly()
    for value in values(entries):
        assembly.add(value)
    return assembly.recording()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(bounded())


def replayed(server: Http1Server | Http2Server, what: Recording, **options: Any) -> dict[str, Any]:
    """What comes of a recording, sent to a server."""

    async def work() -> dict[str, Any]:
        async with listening(server.serve) as target:
            return await Replays(Targets([target])).run(what, target, **options)

    found: dict[str, Any] = run(work)
    return found


def failing(serve: Any, what: Recording | None = None, **options: Any) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with listening(serve) as target:
            return await Replays(Targets([target])).run(what or recording(recorded((GET, OK))), target, **options)

    found: dict[str, Any] = run(work)
    assert found["sent"] == found["answered"] + found["failed"]
    assert found["failed"] == sum(one["count"] for one in found["failures"])
    return found


def calls(*asked: tuple[str, bytes], trailers: Any = (("grpc-status", "0"),)) -> Recording:
    """Recorded calls of gRPC on one connection."""
    talk = Dialogue()
    for path, body in asked:
        talk.answer(talk.ask(path, body, ("x-token", "abc")), framed(b"pong"), trailers=list(trailers))
    return recording(sniffed(talk))


def pong(fields: dict[str, str], body: bytes) -> Any:
    head = [(":status", "200"), ("content-type", "application/grpc")]
    return head, framed(b"pong"), [("grpc-status", "0")]
