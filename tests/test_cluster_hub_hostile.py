"""What a hub takes from strangers: bounded heads, bodies, times and connections; others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import ClientError, ClientSession, web
from hub_fakes import FakeWorker, Running, capturing, running

from pysniff.cluster.hub import application
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.limits import DEFAULT, HubLimits
from pysniff.errors import OptionError

PATIENCE = 60.0  # seconds for what happens at once on an idle machine
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def talk(conversation: Callable[[Running], Awaitable[None]], limits: HubLimits = DEFAULT) -> None:
    async def main() -> None:
        async with running(FakeWorker("n1", {"status": capturing()}), limits=limits) as hub:
            await conversation(hub)
            assert (await hub.get("/healthz"))[0] == 200, "others are served"

    asyncio.run(main())


@contextlib.asynccontextmanager
async def connection(hub: Running) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the hub closes the connection."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""


async def said(hub: Running, head: str, body: bytes = b"") -> bytes:
    async with connection(hub) as (reader, writer):
        writer.write(head.replace("HUB", f"127.0.0.1:{hub.port}").encode("latin-1") + body)
        return await all_of(reader)


def test_a_client_that_never_ends_its_head_is_let_go() -> None:
    async def conversation(hub: Running) -> None:
        async with connection(hub) as (reader, writer):
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n".encode())
            drip = asyncio.create_task(dripping(writer))
            assert await all_of(reader) == b""
            drip.cancel()

    talk(conversation, replace(DEFAULT, idle=1.0))


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Slowloris: a field every now and then."""
    number = 0
    with contextlib.suppress(OSError):
        while True:
            number += 1
            writer.write(f"X-{number}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)


def test_a_second_request_may_not_take_longer_either() -> None:
    async def conversation(hub: Running) -> None:
        async with connection(hub) as (reader, writer):
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n\r\nGET /".encode())
            answer = await all_of(reader)
            assert answer.count(b"HTTP/1.1 200 OK") == 1

    talk(conversation, replace(DEFAULT, idle=1.0))


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    head = "PATCH /api/config HTTP/1.1\r\nHost: HUB\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"

    async def conversation(hub: Running) -> None:
        answer = await said(hub, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "timeout"' in answer

    talk(conversation, replace(DEFAULT, body_time=0.2))


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\nHost: HUB\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: HUB\r\nX: " + "a" * 70_000 + "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: HUB\r\n" + "".join(f"X-{n}: y\r\n" for n in range(5_000)) + "\r\n",
        "GET / HTTP/1.1\r\nHost: HUB\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: HUB\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: HUB\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 200,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x00" * 10_000,
        "GET / HTTP/9.9\r\nHost: HUB\r\n\r\n",
    ],
    ids=["line", "field", "fields", "lengths", "negative", "smuggled", "tls", "http2", "zeros", "version"],
)
def test_what_is_no_request_ends_its_connection(head: str) -> None:
    async def conversation(hub: Running) -> None:
        answer = await said(hub, head)
        assert answer == b"" or answer.startswith(b"HTTP/1.")
        assert b" 200 " not in answer.partition(b"\r\n")[0]
        assert hub.told == []

    talk(conversation)


@pytest.mark.parametrize(
    "head",
    [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: HUB\r\nHost: HUB\r\n\r\n",
        "GET http://HUB/healthz HTTP/1.1\r\nHost: HUB\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/healthz HTTP/1.1\r\nHost: HUB\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: HUB\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: HUB\r\n\r\n",
    ],
    ids=["no-host", "http10", "two-hosts", "absolute", "other-host", "star", "connect"],
)
def test_a_request_names_one_host_and_a_path(head: str) -> None:
    async def conversation(hub: Running) -> None:
        answer = await said(hub, head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer

    talk(conversation)


def test_64_mib_of_body_are_refused_by_their_length() -> None:
    head = (
        "PATCH /api/config HTTP/1.1\r\nHost: HUB\r\nContent-Type: application/json\r\nContent-Length: 67108864\r\n\r\n"
    )

    async def conversation(hub: Running) -> None:
        answer = await said(hub, head)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert hub.hub.counts.refused["size"] == 1

    talk(conversation)


@pytest.mark.parametrize("path", ["/api/config", "/healthz"])
def test_64_mib_in_chunks_are_not_read_to_their_end(path: str) -> None:
    head = f"PATCH {path} HTTP/1.1\r\nHost: HUB\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    async def conversation(hub: Running) -> None:
        async with connection(hub) as (reader, writer):
            writer.write(head.replace("HUB", f"127.0.0.1:{hub.port}").encode())
            sent = 0
            with contextlib.suppress(OSError):
                async with asyncio.timeout(PATIENCE):
                    for _ in range(1024):
                        writer.write(chunk)
                        await writer.drain()
                        sent += 1
            answer = await all_of(reader)
            assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 405 ")) or answer == b""

    talk(conversation, replace(DEFAULT, idle=1.0))


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 40_000, b"\xff\xfe", b"", b"nul", b"[1]", b'"x"', b"1", b"null", b'{"version": 7}',
     b'{"interfaces": "' + b"a" * 200_000 + b'"}', b'{"targets": {}}', b'{"bpf": 1e999}', b'{"a":1,"a":2}'],
    ids=lambda body: body[:12].decode("latin-1"),
)  # fmt: skip
def test_a_configuration_that_is_none_is_a_problem_and_changes_nothing(body: bytes) -> None:
    async def conversation(hub: Running) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        status, problem = await hub.send("PATCH", "/api/config", data=body, headers=headers)
        assert status == 400, problem
        assert problem["detail"]
        assert (await hub.get("/api/config"))[1]["version"] == 0

    talk(conversation)


def test_a_compressed_body_is_not_unpacked() -> None:
    async def conversation(hub: Running) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        status, _ = await hub.send("PATCH", "/api/config", data=b"x", headers=headers)
        assert status == 415

    talk(conversation)


def test_one_address_gets_its_share_of_the_connections() -> None:
    async def main() -> None:
        limits = replace(DEFAULT, connections_peer=3)
        async with running(limits=limits) as hub:
            async with contextlib.AsyncExitStack() as stack:
                held = [await stack.enter_async_context(connection(hub)) for _ in range(3)]
                async with connection(hub) as (reader, _):
                    assert await all_of(reader) == b""
                assert hub.hub.counts.refused["connections_peer"] == 1
                held[0][1].write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n\r\n".encode())
                assert (await held[0][0].readline()) == b"HTTP/1.1 200 OK\r\n"
            await served_again(hub)

    asyncio.run(main())


def test_all_together_get_no_more_connections_than_there_are() -> None:
    async def main() -> None:
        async with running(limits=replace(DEFAULT, connections=2)) as hub:
            async with connection(hub), connection(hub), connection(hub) as (reader, _):
                assert await all_of(reader) == b""
                assert hub.hub.counts.refused["connections"] == 1
            await served_again(hub)

    asyncio.run(main())


async def served_again(hub: Running) -> None:
    """Once the hub has seen that the others are gone, of whom it remembers nothing."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                if (await hub.get("/healthz", Connection="close"))[0] == 200:
                    break
            await asyncio.sleep(0.01)
        while hub.server.peers:
            await asyncio.sleep(0.01)


def test_a_client_that_never_reads_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def routes(_: Hub) -> list[web.RouteDef]:
        async def much(request: web.Request) -> web.StreamResponse:
            return web.Response(body=b"x" * (64 << 20))

        return [web.get("/much", much)]

    async def conversation(hub: Running) -> None:
        with socket.create_connection(("127.0.0.1", hub.port)) as client:
            client.sendall(f"GET /much HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n\r\n".encode())
            async with asyncio.timeout(PATIENCE):
                while not hub.hub.counts.refused["slow"]:
                    await asyncio.sleep(0.01)

    monkeypatch.setattr(application, "ROUTES", (*application.ROUTES, routes))
    talk(conversation, replace(DEFAULT, sending=0.3))


def test_a_bug_is_a_problem_without_details_and_a_line_for_who_runs_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def routes(_: Hub) -> list[web.RouteDef]:
        async def bug(request: web.Request) -> web.StreamResponse:
            raise ZeroDivisionError("secret")

        return [web.get("/bug", bug)]

    async def conversation(hub: Running) -> None:
        status, problem = await hub.get("/bug")
        assert (status, problem["code"]) == (500, "internal")
        assert "secret" not in str(problem)
        assert hub.told == ["GET /bug: ZeroDivisionError: secret (this is a bug)"]

    monkeypatch.setattr(application, "ROUTES", (*application.ROUTES, routes))
    talk(conversation)


@pytest.mark.parametrize("error", [OptionError("too late"), ZeroDivisionError()], ids=["refusal", "bug"])
def test_an_answer_that_fails_half_way_breaks_off(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem document in the middle of a capture file would be read as packets."""

    def routes(_: Hub) -> list[web.RouteDef]:
        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"one half")
            raise error

        return [web.get("/half", half)]

    async def conversation(hub: Running) -> None:
        async with hub.client.get(hub.url + "/half") as answer:
            assert answer.status == 200
            with pytest.raises(ClientError):
                await answer.read()

    monkeypatch.setattr(application, "ROUTES", (*application.ROUTES, routes))
    talk(conversation)


def test_the_end_of_the_hub_tells_clients_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def routes(hub: Hub) -> list[web.RouteDef]:
        async def feed(request: web.Request) -> web.StreamResponse:
            async with hub.sockets.accept(request) as websocket:
                async for _ in websocket:
                    pass
            return websocket

        async def stuck(request: web.Request) -> web.StreamResponse:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        return [web.get("/feed", feed), web.get("/stuck", stuck)]

    async def main() -> None:
        async with ClientSession() as client:
            async with running(limits=replace(DEFAULT, shutdown=0.2)) as hub:
                websocket = await client.ws_connect(hub.url + "/feed")
                pending = asyncio.create_task(client.get(hub.url + "/stuck"))
                await asyncio.wait_for(reached.wait(), PATIENCE)
                assert hub.hub.counts.clients == 1
                told = asyncio.create_task(websocket.receive())
            await asyncio.wait_for(told, PATIENCE)
            assert websocket.close_code == 1001
            with pytest.raises(ClientError):
                await asyncio.wait_for(pending, PATIENCE)
            assert hub.hub.counts.clients == 0

    reached = asyncio.Event()
    monkeypatch.setattr(application, "ROUTES", (*application.ROUTES, routes))
    asyncio.run(main())
