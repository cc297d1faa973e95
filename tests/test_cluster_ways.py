"""Who calls whom: a hub that asks DNS where its workers are, a worker that dials the hub, hubs beside each other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from cluster_talk import Feed, Json
from cluster_traffic import Load, dns_server, shop
from cluster_under_test import DOOR, Cluster

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("dnsmasq")]

OTHER = DOOR + 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("ways"), nodes=2) as cluster:
        cluster.all_workers()
        with shop(cluster.bed, "n1b"), shop(cluster.bed, "n2b"):
            yield cluster


async def connected(cluster: Cluster, *nodes: str, port: int = DOOR) -> None:
    """Wait until the hub has these workers, and no others."""
    async with cluster.talk(port=port) as talk, asyncio.timeout(60):
        while True:
            workers = (await talk.get("/api/workers"))["workers"]
            if sorted(one["node"] for one in workers if one["state"] == "connected") == sorted(nodes):
                return
            await asyncio.sleep(0.1)


async def shown(cluster: Cluster, node: str, name: str, port: int = DOOR) -> tuple[Feed, Counter[str]]:
    """A feed that saw calls within a node from the first to the last, and the calls."""
    filter = f"http && path.startsWith('/{name}/')"
    async with cluster.talk(port=port) as talk, talk.feed(filter, from_="now") as feed:
        await feed.caught_up()
        load = Load(cluster.bed, f"{node}a", f"{node}b", lambda number: f"/{name}/{number}")
        await feed.until(lambda feed: len(feed.entries) > 20, "calls")
        sent = Counter(await asyncio.to_thread(load.stop))
        await feed.until(lambda feed: len(feed.entries) >= sum(sent.values()), "every call")
        return feed, sent


def test_workers_are_found_by_name_and_looked_for_again(cluster: Cluster) -> None:
    """A node that joins is in DNS one day, and in every feed some seconds later."""
    bed, programs = cluster.bed, cluster.programs
    dns = dns_server(bed, programs, "n1a", {"workers.test": bed.address("n1")})
    hub = cluster.hub("--workers-dns", "workers.test", nodes=[], resolver="n1a")
    asyncio.run(connected(cluster, "n1"))
    dns.stop()
    dns = dns_server(bed, programs, "n1a", {"workers.test": f"{bed.address('n1')},{bed.address('n2')}"})
    asyncio.run(connected(cluster, "n1", "n2"))
    feed, sent = asyncio.run(shown(cluster, "n2", "dns"))
    assert Counter(feed.calls) == sent
    dns.stop()
    feed, sent = asyncio.run(shown(cluster, "n2", "without"))  # who is connected stays so
    assert Counter(feed.calls) == sent
    hub.stop()


def test_who_dials_the_hub_is_a_worker_like_any_other(cluster: Cluster) -> None:
    """`--hub URL`: a node that opens no port."""
    cluster.workers["n2"].stop()
    hub = cluster.hub(nodes=["n1"])
    words = ["worker", "--node", "n2", "--store", str(cluster.directory("n2")), "--listen", "no"]
    words += ["--hub", f"http://{cluster.door}", "--token-file", str(cluster.token)]
    worker = cluster.program("n2", "worker on n2 that dials", words)
    asyncio.run(connected(cluster, "n1", "n2"))
    feed, sent = asyncio.run(shown(cluster, "n2", "dials"))
    assert Counter(feed.calls) == sent
    hub.stop()
    again = cluster.hub(nodes=["n1"])
    asyncio.run(connected(cluster, "n1", "n2"))
    worker.stop()
    again.stop()
    cluster.worker("n2").wait_for("records")


def test_two_hubs_beside_each_other(cluster: Cluster) -> None:
    """Both show everything, and what one of them configures the other has too."""
    hubs = [cluster.hub(), cluster.hub(port=OTHER)]

    async def configured() -> Json:
        await connected(cluster, "n1", "n2")
        await connected(cluster, "n1", "n2", port=OTHER)
        async with cluster.talk() as first, cluster.talk(port=OTHER) as second:
            status, said = await first.send("PATCH", "/api/config", {"bpf": "not tcp port 4711"})
            assert status == 200, said
            async with asyncio.timeout(60):
                while (found := await second.get("/api/config"))["config"].get("bpf") != "not tcp port 4711":
                    await asyncio.sleep(0.2)
            status, said = await second.send("PATCH", "/api/config", {"bpf": ""})
            assert status == 200, said
            return found

    asyncio.run(configured())

    async def both() -> tuple[tuple[Feed, Counter[str]], tuple[Feed, Counter[str]]]:
        return await asyncio.gather(shown(cluster, "n1", "first"), shown(cluster, "n1", "second", port=OTHER))

    for feed, sent in asyncio.run(both()):
        assert Counter(feed.calls) == sent
    for hub in hubs:
        hub.stop()
