"""Many clients of one hub: those that do not read, that go away, that all come back at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from cluster_calls import connected, filter_of, load, once, stopped
from cluster_programs import until
from cluster_talk import Feed
from cluster_traffic import Buyer, Load, shop
from cluster_under_test import Cluster

pytestmark = pytest.mark.needs_root
MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A shop in the second pod of every node; its workers run, the hub is each test's own."""
    with Cluster(tmp_path_factory.mktemp("clients")) as cluster:
        cluster.all_workers()
        with shop(cluster.bed, "n1b"), shop(cluster.bed, "n2b"), shop(cluster.bed, "n3b"):
            yield cluster


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A word for the paths of this test's calls."""
    return str(request.node.name)


async def now_and_then(feed: Feed) -> None:
    """Who takes nothing for 30 s is let go, and a loaded machine may take as long for the calls."""
    while True:
        await asyncio.sleep(10)
        await feed.read()


def test_a_client_that_reads_nothing_for_a_while_is_told_how_many_it_missed(cluster: Cluster, name: str) -> None:
    """Another one with the same question misses nothing, and the hub keeps no more than its bound for the first."""
    hub = cluster.hub()
    size = 7_000  # of a path, so that few calls are many bytes

    def path_of(node: str) -> Callable[[int], str]:
        return lambda number: f"/{name}/{node}/{number}/{'x' * size}"

    async def watched() -> tuple[Feed, Feed, list[str], int]:
        async with AsyncExitStack() as stack:
            talk = await stack.enter_async_context(connected(cluster))
            lazy_talk = await stack.enter_async_context(cluster.talk(buffer=4_096))
            feed = await stack.enter_async_context(talk.feed(filter_of(name), from_="now"))
            lazy = await stack.enter_async_context(lazy_talk.feed(filter_of(name), from_="now"))
            await asyncio.gather(feed.caught_up(), lazy.caught_up())
            before = hub.memory()
            loads = [Load(cluster.bed, f"{node}a", f"{node}b", path_of(node), 0) for node in ("n1", "n2", "n3")]
            reading = asyncio.create_task(feed.until(lambda feed: len(feed.entries) > 3_000, "calls"))
            dozing = asyncio.create_task(now_and_then(lazy))
            # More than all buffers hold.
            await asyncio.to_thread(until, lambda: sum(len(one.sent) for one in loads) > 3_000, "calls")
            sent = await asyncio.to_thread(stopped, loads)
            await reading
            await feed.until(lambda feed: len(feed.entries) >= len(sent), f"{len(sent)} calls")
            grown = hub.memory() - before
            dozing.cancel()
            await asyncio.wait([dozing])
            await lazy.until(lambda lazy: len(lazy.entries) + lazy.missed >= len(sent), "what is left of them")
            return feed, lazy, sent, grown

    feed, lazy, sent, grown = asyncio.run(watched())
    assert once(feed) == Counter(sent) and feed.missed == 0
    assert lazy.missed > 0 and len(lazy.entries) + lazy.missed == len(sent)
    assert not once(lazy) - Counter(sent)
    assert grown < 64 * MIB
    hub.stop()


def test_clients_that_never_read_cost_the_others_nothing(cluster: Cluster, name: str) -> None:
    hub = cluster.hub()

    async def watched() -> tuple[Feed, list[str]]:
        async with AsyncExitStack() as stack:
            talk = await stack.enter_async_context(connected(cluster))
            never = await stack.enter_async_context(cluster.talk(buffer=4_096))
            for _ in range(5):
                await stack.enter_async_context(never.feed("", follow=True))
                await stack.enter_async_context(never.feed(filter_of(name), from_="now"))
            feed = await stack.enter_async_context(talk.feed(filter_of(name), from_="now"))
            await feed.caught_up()
            loads = [load(cluster, node, name, 0.005) for node in ("n1", "n2", "n3")]
            await feed.until(lambda feed: len(feed.entries) > 1_000, "calls")
            sent = await asyncio.to_thread(stopped, loads)
            await feed.until(lambda feed: len(feed.entries) >= len(sent), f"{len(sent)} calls")
            return feed, sent

    feed, sent = asyncio.run(watched())
    assert once(feed) == Counter(sent) and feed.missed == 0
    hub.stop()


def test_a_client_that_reads_slowly_gets_history_whole(cluster: Cluster, name: str) -> None:
    """Workers wait for it: nothing of history is dropped."""
    buyer = Buyer(cluster.bed, "n1a", "n1b")
    for number in range(2_000):
        buyer.get(f"/{name}/{number}")
    buyer.close()
    cluster.wait_held("n1", 2_000, filter_of(name))
    hub = cluster.hub()

    async def watched() -> Feed:
        async with connected(cluster) as talk, talk.feed(filter_of(name), follow=False) as feed:
            while not feed.heard("end") and not feed.over:
                await feed.read()
                await asyncio.sleep(0.05)
            return feed

    feed = asyncio.run(watched())
    assert once(feed) == Counter(f"GET /{name}/{number} 200" for number in range(2_000))
    assert feed.missed == 0
    hub.stop()


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(cluster: Cluster, name: str) -> None:
    """No question at a worker, and so no process that dissects for nobody."""
    hub = cluster.hub()
    worker = cluster.workers["n1"]
    calls = load(cluster, "n1", name)

    async def watched() -> int:
        async with connected(cluster) as talk:
            for _ in range(3):
                async with talk.feed(f"{filter_of(name)} && status_code == 200") as feed:
                    await feed.until(lambda feed: len(feed.entries) > 5, "calls")
            async with talk.feed(filter_of(name)) as feed:
                await feed.caught_up()
                return len(worker.children())

    busy = asyncio.run(watched())
    calls.stop()
    until(lambda: len(worker.children()) < busy, "the process that dissected to end")
    hub.stop()


def test_a_hub_that_restarts_with_a_hundred_clients(cluster: Cluster, name: str) -> None:
    """All are told that it goes, come back at once, and see every new call."""
    hub = cluster.hub()
    count = 100

    async def open_all(stack: AsyncExitStack) -> list[Feed]:
        talk = await stack.enter_async_context(cluster.talk())
        feeds = await asyncio.gather(
            *(stack.enter_async_context(talk.feed(filter_of(name), from_="now")) for _ in range(count))
        )
        await asyncio.gather(*(feed.caught_up() for feed in feeds))
        return feeds

    async def watched() -> tuple[list[list[str]], list[str]]:
        async with AsyncExitStack() as stack:
            feeds = await open_all(stack)
            await asyncio.to_thread(hub.stop)
            await asyncio.gather(*(feed.until(lambda feed: feed.over, "the feed to end") for feed in feeds))
        again = await asyncio.to_thread(cluster.hub)
        async with connected(cluster), AsyncExitStack() as stack:
            feeds = await open_all(stack)
            calls = load(cluster, "n1", name)
            await asyncio.to_thread(until, lambda: len(calls.sent) >= 50, "calls")
            sent = await asyncio.to_thread(calls.stop)
            await asyncio.gather(
                *(feed.until(lambda feed: len(feed.entries) >= len(sent), f"{len(sent)} calls") for feed in feeds)
            )
            shown = [feed.calls for feed in feeds]
        await asyncio.to_thread(again.stop)
        return shown, sent

    shown, sent = asyncio.run(watched())
    assert sent and all(sorted(one) == sorted(sent) for one in shown)
