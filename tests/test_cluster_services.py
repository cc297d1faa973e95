"""`/api/services` and `/api/replay`: what workers tell of real entries, put together by a hub and sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiohttp import web
from hub_stage import Answer, Stage, until
from replay_servers import Http1Server, listening, recorded
from store_traffic import some
from stores import fed

from pysniff.cluster.hub import replay_routes, service_routes
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.replay_recording import values
from pysniff.cluster.summary import fingerprint
from pysniff.entry import Entry
from pysniff.services import ServiceMap
from pysniff.services.columns import columns

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CALLS = recorded(*[(b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n" % number, OK) for number in range(3)])
Routes = Callable[[Hub], list[web.RouteDef]]


def told(answer: Answer, pieces: Iterable[dict[str, object]]) -> None:
    """What a worker says: values, then the end."""
    for piece in pieces:
        answer.value(**piece)
    answer.end()


def replaying(*targets: str) -> Routes:
    """The routes of a hub that was started with those targets."""

    def routes(hub: Hub) -> list[web.RouteDef]:
        hub.replay_targets = tuple((target.rpartition(":")[0], int(target.rpartition(":")[2])) for target in targets)
        return replay_routes.routes(hub)

    return routes


def pieces(entries: list[Entry]) -> Iterator[dict[str, object]]:
    return columns(entries, fingerprint)


# Services


def test_the_map_of_a_hub_is_that_of_all_its_stores_together() -> None:
    entries = list({entry.id: entry for entry in fed(some(3, 1000))}.values())

    async def run() -> dict[str, Any]:
        async with Stage([service_routes.routes], "a", "b") as stage:
            asked = asyncio.create_task(stage.session.get(stage.url + "/api/services?filter=http&from=5000000000"))
            first, second = await stage["a"].asked(1, "services"), await stage["b"].asked(1, "services")
            assert first.params == {"filter": "http", "start": 5_000_000_000, "end": None}
            told(first, pieces(entries))
            told(second, pieces(entries[::2]))
            found: dict[str, Any] = await (await asked).json()
            return found

    found = asyncio.run(run())
    assert found.pop("nodes_failed") == {}
    assert found.pop("duplicates") == len(entries[::2])
    alone = ServiceMap.of(entries).to_dict()
    assert found == {name: value for name, value in alone.items() if name != "duplicates"}


def test_a_node_that_fails_is_named_and_nothing_of_it_counts() -> None:
    async def run() -> dict[str, Any]:
        async with Stage([service_routes.routes], "a", "b", "c") as stage:
            asked = asyncio.create_task(stage.session.get(stage.url + "/api/services"))
            answers = [await stage[name].asked(1, "services") for name in "abc"]
            told(answers[0], pieces(CALLS))
            answers[1].value(**next(pieces(CALLS[:1])))
            answers[1].error("internal", "disk on fire")
            answers[2].value(edges=[], calls=b"123")
            found: dict[str, Any] = await (await asked).json()
            return found

    found = asyncio.run(run())
    assert (found["calls"], found["duplicates"]) == (3, 0)
    assert sorted(found["nodes_failed"]) == ["b", "c"]
    assert "disk on fire" in found["nodes_failed"]["b"]


# Replay


def test_a_call_that_a_worker_tells_is_sent_to_the_target() -> None:
    async def run() -> tuple[dict[str, Any], list[bytes], dict[str, Any]]:
        server = Http1Server(lambda head, body: OK)
        async with listening(server.serve) as target, Stage([replaying(target)], "a") as stage:
            body = {"stream": CALLS[0].stream, "node": "a", "target": target, "count": 2, "rate": 500}
            asked = asyncio.create_task(stage.session.post(stage.url + "/api/replay", json=body))
            answer = await stage["a"].asked(1, "replay")
            told(answer, values(CALLS))
            found: dict[str, Any] = await (await asked).json()
            targets = await (await stage.session.get(stage.url + "/api/replay")).json()
            assert targets == {"targets": [target]}
            return found, [head for head, _ in server.asked], answer.params

    found, heads, params = asyncio.run(run())
    assert params == {"stream": CALLS[0].stream}
    assert (found["calls"], found["sent"], found["same"], found["failed"]) == (3, 6, 6, 0)
    assert [head.split()[1] for head in heads] == [b"/0", b"/1", b"/2"] * 2


def test_no_worker_is_asked_for_a_target_that_was_not_named() -> None:
    async def run() -> list[tuple[int, int]]:
        async with Stage([replaying("127.0.0.1:1")], "a") as stage:
            id = "a." + "0" * 16 + ".00000000"
            seen = []
            for change in ({"target": "127.0.0.1:2"}, {"target": 5}, {"url": "http://127.0.0.1:1"}, {"count": "5"}):
                body = {"id": id, "target": "127.0.0.1:1", **change}
                response = await stage.session.post(stage.url + "/api/replay", json=body)
                seen.append((response.status, len(stage["a"].answers("replay"))))
            return seen

    assert asyncio.run(run()) == [(400, 0)] * 4


def test_who_closes_the_request_ends_the_run() -> None:
    async def run() -> int:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await reader.read(100_000)
                await reader.read()  # no answer
            finally:
                connections -= 1

        async with listening(serve) as target, Stage([replaying(target)], "a") as stage:
            id = "a." + "0" * 16 + ".00000000"
            body = {"id": id, "target": target, "count": 1000}
            asked = asyncio.create_task(stage.session.post(stage.url + "/api/replay", json=body))
            told(await stage["a"].asked(1, "replay"), values(CALLS[:1]))
            await until(lambda: connections)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await until(lambda: not connections)
        return connections

    assert asyncio.run(run()) == 0
