"""Workers get to know the endpoints of the cluster, so that its own traffic is in no capture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub_fakes import JSON, FakeLinks, FakeWorker

from pysniff.cluster.frames import Error
from pysniff.cluster.hub.own_traffic import MOST, OwnTraffic

PATIENCE = 60.0
HUB = ("10.0.0.5", 8898)


def excluded(worker: FakeWorker) -> list[object]:
    """What it was told, one after the other."""
    return [params["exclude"] for what, params in worker.asked if what == "configure"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def node(name: str) -> FakeWorker:
    return FakeWorker(name, {"configure": lambda params: {}})


def test_every_worker_is_told_where_the_others_and_the_hub_listen() -> None:
    async def main() -> None:
        links = FakeLinks()
        own = OwnTraffic(links, [("0.0.0.0", 8898)])
        dialled, dials_in = node("n1"), node("n2")
        links.ends = [(("10.0.0.5", 40001), ("10.0.0.7", 8897))]
        links.joins(dialled)
        await until(lambda: excluded(dialled) == [[["10.0.0.5", 8898], ["10.0.0.7", 8897]]])
        links.ends.append((("10.0.0.5", 8898), ("10.0.0.8", 50000)))
        links.joins(dials_in)
        await until(lambda: bool(excluded(dials_in)))
        # The end of a worker that dials in is a port like any other: the hub's end says enough.
        assert excluded(dials_in) == [[["10.0.0.5", 8898], ["10.0.0.7", 8897]]]
        assert len(excluded(dialled)) == 1, "nothing has changed for it"
        await own.close()

    asyncio.run(main())


def test_a_worker_that_came_back_is_told_again_and_one_that_knows_no_such_thing_once() -> None:
    async def main() -> None:
        links = FakeLinks()
        own = OwnTraffic(links, [HUB])
        one, old = node("n1"), FakeWorker("old", {"configure": lambda params: Error(1, 1, "option", "unknown", "")})
        for worker in (one, old):
            links.joins(worker)
        await until(lambda: len(excluded(one)) == len(excluded(old)) == 1)
        one.session = "fedcba9876543210"
        links.joins(one)
        await until(lambda: len(excluded(one)) == 2)
        assert len(excluded(old)) == 1
        await own.close()

    asyncio.run(main())


def test_a_worker_whose_connection_broke_is_told_again() -> None:
    """It may have forgotten what this hub said."""

    async def main() -> None:
        links = FakeLinks()
        own = OwnTraffic(links, [HUB])
        one = node("n1")
        links.joins(one)
        await until(lambda: len(excluded(one)) == 1)
        one.state = "away"
        for callback in links.on_change:
            callback(one)
        one.state = "connected"
        links.joins(one)
        await until(lambda: len(excluded(one)) == 2)
        await own.close()

    asyncio.run(main())


def test_no_more_endpoints_are_told_than_a_capture_filter_holds() -> None:
    async def main() -> None:
        links = FakeLinks()
        links.ends = [(HUB, (f"10.1.{number // 250}.{number % 250}", 8897)) for number in range(2_000)]
        links.ends = [((HUB[0], 40_000 + at), theirs) for at, (_, theirs) in enumerate(links.ends)]
        own = OwnTraffic(links, [HUB])
        assert len(own.endpoints()) == MOST
        assert HUB in own.endpoints()
        await own.close()

    asyncio.run(main())


def test_it_is_no_configuration() -> None:
    params: list[JSON] = []

    async def main() -> None:
        links = FakeLinks()
        own = OwnTraffic(links, [HUB])
        links.joins(FakeWorker("n1", {"configure": lambda told: params.append(told) or {}}))  # type: ignore[func-returns-value]
        await until(lambda: bool(params))
        assert params[0].keys() == {"exclude"}
        await own.close()

    asyncio.run(main())
