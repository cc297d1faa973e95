"""Peers that hold the token and break the protocol: they are told Bye and counted, and hurt nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from cluster_links import PACE, Cluster, Raw, heard, hub_hello, numbers, talk, until, worker_hello
from msgpack import packb

from pysniff.cluster import hub_session, worker_links
from pysniff.cluster.asked import Away
from pysniff.cluster.frames import (
    MESSAGE,
    VERSION,
    Ask,
    Batch,
    Bye,
    Cancel,
    Credit,
    End,
    Error,
    Frame,
    Hello,
    Ping,
    Pong,
    Resume,
    Resumed,
    Value,
    encode,
)
from pysniff.cluster.link import OUTBOX, PINGS
from pysniff.cluster.workers import Workers
from pysniff.limits import KIB, MIB

HELLO = worker_hello("hostile")


@asynccontextmanager
async def hostile_worker(made: Cluster, hub: Workers) -> AsyncIterator[Raw]:
    """A worker that says what a test likes; the hub has greeted it."""
    raw: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(compress=False, max_msg_size=0, autoping=False)
        await websocket.prepare(request)
        if not raw.done():
            assert isinstance(await Raw(websocket).hear(), Hello)
            await Raw(websocket).say(HELLO)
            raw.set_result(Raw(websocket))
            await over.wait()
        return websocket

    application = web.Application()
    application.router.add_get("/link", serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    made.close_with(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hub.dial("127.0.0.1", runner.addresses[0][1])
    await made.connected(hub, "hostile")
    try:
        yield await raw
    finally:
        over.set()


VALUE = Value(1, 1, {"text": "x" * 2000})
# What it sends after request 1 was asked, and the code of the Bye.
WORKERS: dict[str, tuple[list[Frame | bytes], str]] = {
    "an answer to nothing": ([Value(2, 1, {})], "unknown"),
    "an answer to what it was not asked yet": ([Value(1 << 50, 1, {})], "unknown"),
    "a sequence that begins too late": ([Value(1, 2, {})], "order"),
    "a frame twice": ([Value(1, 1, {}), Value(1, 1, {})], "order"),
    "a hole": ([Value(1, 1, {}), Value(1, 3, {})], "order"),
    "more than its credit": ([VALUE, VALUE._replace(seq=2)], "credit"),
    "something behind the end": ([End(1, 1, {}), Value(1, 2, {})], "unknown"),
    "a second end": ([End(1, 1, {}), End(1, 2, {})], "unknown"),
    "a resumption of nothing": ([Resumed(1)], "unknown"),
    "a stop of nothing": ([Cancel(1)], "unknown"),
    "a request": ([Ask(1, "query", {}, 1)], "protocol"),
    "credit": ([Credit(1, 1, 0)], "protocol"),
    "a second Hello": ([HELLO], "protocol"),
    "a thousand Pings": ([Ping(n) for n in range(20 * PINGS)], "protocol"),
    "bytes that are no frame": ([b"\xc1"], "frame"),
    "a million nested arrays": ([b"\x91" * 1_000_000], "frame"),
    "a message beyond the limit": ([bytes(MESSAGE + 1)], "frame"),
    "64 MiB": ([bytes(64 * MIB)], "frame"),
    "a batch that does not agree": ([packb(["Batch", 1, 1, 0, b"", b"", b"\0\0\0\1", b""])], "frame"),
}


@pytest.mark.parametrize("name", WORKERS)
@talk
async def test_a_worker_that_breaks_the_protocol_is_told_and_shown(made: Cluster, name: str) -> None:
    frames, code = WORKERS[name]
    _, port = await made.worker("honest")
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    await made.connected(hub, "honest")
    waiting = hub.ask("honest", "wait", {})
    async with hostile_worker(made, hub) as raw:
        asked = hub.ask("hostile", "query", {}, 1000)
        ask = await raw.hear_until(Ask)
        assert isinstance(ask, Ask)
        renumbered = [_of(frame, ask.id) for frame in frames]
        saying = asyncio.create_task(raw.say(*renumbered))
        await until(lambda: hub.known["hostile"].state == "refused")
        saying.cancel()
        assert hub.known["hostile"].reason
        assert hub.figures[f"ended_{code}"] == 1
        if code not in ("frame", "protocol") or name in ("a request", "credit"):
            assert hub.figures["protocol_errors"] == 1
        told = [frame async for frame in _until_away(asked)]
        assert all(isinstance(frame, Value | End) for frame in told[:-1])
    made.answers.go.set()
    assert numbers(await heard(waiting)) == [1, 2, 3]
    assert hub.known["honest"].state == "connected"


def _of(frame: Frame | bytes, id: int) -> Frame | bytes:
    """Request 1 of the table is whatever id the hub gave it."""
    if isinstance(frame, bytes) or "id" not in frame._fields:
        return frame
    fields = frame._asdict()
    return type(frame)(**{**fields, "id": fields["id"] - 1 + id})


async def _until_away(asked: object) -> AsyncIterator[object]:
    async for frame in asked:  # type: ignore[attr-defined]
        yield frame
        if isinstance(frame, Away | End):
            return


@talk
async def test_a_worker_that_answers_what_was_cancelled_is_not_hostile(made: Cluster) -> None:
    """Its frames and the Cancel crossed on the way; after its own Cancel they did not."""
    hub = made.hub()
    async with hostile_worker(made, hub) as raw:
        asked = hub.ask("hostile", "query", {}, 1000)
        ask = await raw.hear_until(Ask)
        assert isinstance(ask, Ask)
        asked.cancel()
        assert await raw.hear_until(Cancel) == Cancel(ask.id)
        await raw.say(Value(ask.id, 1, {}), End(ask.id, 2, {}), Cancel(ask.id))
        await until(lambda: hub.known["hostile"].requests == 0)
        assert hub.known["hostile"].state == "connected"
        await raw.say(Value(ask.id, 3, {}))
        await until(lambda: hub.known["hostile"].state == "refused")
        assert hub.figures["ended_unknown"] == 1


@talk
async def test_a_worker_that_never_stops_what_was_cancelled_fills_no_memory(made: Cluster) -> None:
    hub = made.hub()
    async with hostile_worker(made, hub) as raw:
        asked = hub.ask("hostile", "query", {}, 1000)
        ask = await raw.hear_until(Ask)
        assert isinstance(ask, Ask)
        asked.cancel()
        await raw.say(*(VALUE._replace(id=ask.id, seq=seq) for seq in (1, 2)))
        await until(lambda: hub.figures["ended_credit"] == 1)


@talk
async def test_a_text_message_is_no_frame(made: Cluster) -> None:
    worker, port = await made.worker()
    raw = await made.raw(port)
    await raw.greet()
    await raw.websocket.send_str("hello")
    assert await raw.hear() == Bye("frame", "a text message, frames are binary")
    await until(lambda: worker.figures["ended_frame"] == 1)


# Hellos


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (packb(["Hello", 2, "hub", "n", "0" * 16, "", {}, "and more"]), "version"),
        (packb(["Hello", 0]), "version"),
        (encode(worker_hello()), "role"),
        (encode(Ping(1)), "protocol"),
        (encode(Ask(1, "query", {}, 1)), "protocol"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame"),
        (packb(["Hello", VERSION, "hub", "n", "0" * 16, "", {"much": "x" * 70_000}]), "frame"),
        (b"\x91" * MIB, "frame"),
    ],
    ids=["version 2", "version 0", "role", "Ping", "Ask", "HTTP", "too long", "no end"],
)
@talk
async def test_a_hello_that_does_not_fit_is_told_why(made: Cluster, said: bytes, code: str) -> None:
    worker, port = await made.worker()
    raw = await made.raw(port)
    await raw.say(said)
    bye = await raw.hear()
    assert isinstance(bye, Bye)
    assert bye.code == code
    assert (await raw.websocket.receive()).type is WSMsgType.CLOSE
    await until(lambda: worker.figures[f"ended_{code}"] == 1)
    await until(lambda: worker.hubs() == [])


@talk
async def test_a_worker_of_another_version_is_shown_as_such(made: Cluster) -> None:
    hub = made.hub()
    url = await made.server(hub)
    raw = await made.raw(int(url.rpartition(":")[2]), path="/api/link")
    await raw.say(packb(["Hello", 7]))
    bye = await raw.hear()
    assert bye == Bye("version", "this is version 1 of the protocol, the other side has 7")

    async def serve(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.receive_bytes()
        await websocket.send_bytes(packb(["Hello", 7]))
        await websocket.receive()
        return websocket

    application = web.Application()
    application.router.add_get("/link", serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    made.close_with(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    hub.dial("127.0.0.1", port)
    worker = hub.known[f"127.0.0.1:{port}"]
    await until(lambda: worker.state == "refused")
    assert worker.reason == "this is version 1 of the protocol, the other side has 7"


@talk
async def test_codes_that_a_peer_makes_up_are_counted_as_one(made: Cluster) -> None:
    worker, port = await made.worker()
    for code in ("abc", "xyz", "internal"):
        raw = await made.raw(port)
        await raw.greet()
        await raw.say(Bye(code, ""))
        await raw.websocket.receive()
    await until(lambda: worker.figures.total() == 3)
    assert worker.figures == {"ended_other": 2, "ended_internal": 1}


# Hubs

HUBS: dict[str, tuple[list[Frame], str]] = {
    "an id twice": ([Ask(5, "wait", {}, 1), Ask(5, "wait", {}, 1)], "protocol"),
    "an id that is smaller": ([Ask(5, "wait", {}, 1), Ask(4, "wait", {}, 1)], "protocol"),
    "an acknowledgement of what was not sent": ([Ask(1, "wait", {}, 1), Credit(1, 1, 9)], "protocol"),
    "an answer": ([Value(1, 1, {})], "protocol"),
    "a batch": ([Batch(1, 1, 0, [], [], [], b"")], "protocol"),
    "a resumption": ([Resumed(1)], "protocol"),
    "a second Hello": ([hub_hello()], "protocol"),
    "too many Pings": ([Ping(n) for n in range(20 * PINGS)], "protocol"),
}


@pytest.mark.parametrize("name", HUBS)
@talk
async def test_a_hub_that_breaks_the_protocol_is_told_and_others_go_on(made: Cluster, name: str) -> None:
    frames, code = HUBS[name]
    worker, port = await made.worker(pace=PACE.but(window=0.1))
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    await made.connected(hub)
    raw = await made.raw(port)
    await raw.greet()
    await raw.say(*frames)
    bye = await raw.hear_until(Bye)
    assert isinstance(bye, Bye)
    assert bye.code == code
    assert numbers(await heard(hub.ask("node-1", "query", {}))) == [1, 2, 3]
    await until(lambda: len(worker.hubs()) == 1)
    await until(lambda: len(made.answers.closed) == len(made.answers.asked))


@talk
async def test_a_hub_may_say_what_came_too_late(made: Cluster) -> None:
    """Credit and Cancel of what has ended, Resume of what was dropped: on their way when it did."""
    _, port = await made.worker()
    raw = await made.raw(port)
    await raw.greet()
    await raw.say(Credit(7, 1, 0), Cancel(7), Resume(8, 3, 100), Ping(9))
    assert [await raw.hear() for _ in range(3)] == [
        Pong(9),
        Cancel(7),
        Error(8, 4, "gone", "the answer was dropped while the hub was away", "ask again"),
    ]


@talk
async def test_too_many_requests_are_busy(made: Cluster) -> None:
    worker, port = await made.worker()
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    await made.connected(hub)
    raw = await made.raw(port)
    await raw.greet()
    await raw.say(*(Ask(id, "wait", {}, 1) for id in range(1, hub_session.REQUESTS + 11)))
    for id in range(hub_session.REQUESTS + 1, hub_session.REQUESTS + 11):
        busy = await raw.hear()
        assert isinstance(busy, Error)
        assert (busy.id, busy.seq, busy.code) == (id, 1, "busy")
    assert worker.figures["requests_refused"] == 10
    assert len(made.answers.asked) == hub_session.REQUESTS
    assert numbers(await heard(hub.ask("node-1", "query", {}))) == [1, 2, 3]


@talk
async def test_too_many_requests_of_all_hubs_are_busy(made: Cluster) -> None:
    _, port = await made.worker()
    hubs = [await made.raw(port) for _ in range(3)]
    for number, raw in enumerate(hubs):
        await raw.greet(session=f"{number:016x}")
        await raw.say(*(Ask(id, "wait", {}, 1) for id in range(1, hub_session.REQUESTS + 1)))
        await raw.say(Ping(1))
        assert await raw.hear_until(Pong)
    await until(lambda: len(made.answers.asked) == hub_session.REQUESTS_IN_ALL)
    busy = await raw.hear()
    assert isinstance(busy, Error)
    assert busy.code == "busy"


@talk
async def test_too_many_hubs_are_busy(made: Cluster) -> None:
    _, port = await made.worker()
    hubs = [await made.raw(port) for _ in range(worker_links.HUBS)]
    for number, raw in enumerate(hubs):
        assert isinstance(await raw.greet(session=f"{number:016x}"), Hello)
    one_more = await made.raw(port)
    bye = await one_more.greet(session="f" * 16)
    assert isinstance(bye, Bye)
    assert bye.code == "busy"
    await hubs[0].websocket.close()

    async def another() -> bool:
        return isinstance(await (await made.raw(port)).greet(session="e" * 16), Hello)

    while not await another():
        await asyncio.sleep(0.01)


@talk
async def test_a_hub_that_grants_much_and_reads_nothing_gets_little(made: Cluster) -> None:
    """16 MiB of credit, of which the sockets take what they hold; the rest is not even made."""
    worker, port = await made.worker(pace=PACE.but(beat=0.1, message=1.0, window=0.1))
    raw = await made.raw(port)
    await raw.greet()
    for id in range(1, 11):
        await raw.say(Ask(id, "endless", {"count": 1 << 30, "size": 64 * KIB}, 1 << 31))
    await until(lambda: worker.figures["ended_silent"] == 1)
    made_bytes = sum(made.answers.made.values()) * 64 * KIB
    assert made_bytes <= hub_session.KEPT + 10 * 128 * KIB
    await until(lambda: len(made.answers.closed) == 10)
    await until(lambda: worker.hubs() == [])


@talk
async def test_a_hub_that_acknowledges_nothing_is_kept_a_bounded_amount(made: Cluster) -> None:
    """It reads and never acknowledges: each answer stops at its credit, all of them at KEPT."""
    _, port = await made.worker()
    raw = await made.raw(port)
    await raw.greet()
    size = MIB
    for id in range(1, 9):
        await raw.say(Ask(id, "endless", {"count": 1 << 30, "size": size}, 1 << 31))
    received = 0
    while received < hub_session.KEPT:
        message = await raw.websocket.receive()
        received += len(message.data)
    await raw.say(Ping(77))
    while await raw.hear() != Pong(77):
        pass
    assert sum(made.answers.made.values()) * size <= hub_session.KEPT + 8 * size
    first = made.answers.made[1]
    await raw.say(Credit(1, MIB, first))
    assert isinstance(await raw.hear_until(Value), Value)


@talk
async def test_a_hub_that_asks_much_and_reads_nothing_is_ended(made: Cluster) -> None:
    """Each refusal is a frame that waits to be read: there are at most OUTBOX."""
    worker, port = await made.worker()
    raw = await made.raw(port)
    await raw.greet()
    await raw.say(Ask(1, "endless", {"count": 1 << 30, "size": MIB}, 1 << 31))
    await until(lambda: made.answers.made.get(1, 0) >= 4)
    id = 1
    with pytest.raises((ConnectionError, TimeoutError)):
        async with asyncio.timeout(60):
            while not worker.figures["ended_protocol"]:
                id += 1
                await raw.say(Cancel(1 << 40))
                await asyncio.sleep(0 if id % 100 else 0.001)
            raise ConnectionError
    assert id > OUTBOX
    await until(lambda: worker.figures["ended_protocol"] == 1)
