"""What a cluster itself sends over the network, beside what its workers capture."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster_bed import HUB
from cluster_traffic import Load, shop
from cluster_under_test import Cluster

pytestmark = pytest.mark.needs_root

SIZE = 10_000  # bytes of an answer, as of a page


class Moved(NamedTuple):
    """Bytes, headers of Ethernet, IP and TCP included: `own` through the hub's interface, `captured` by a worker."""

    own: int
    captured: int


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("overhead"), nodes=1) as cluster:
        cluster.all_workers()
        cluster.hub()
        with shop(cluster.bed, "n1b"):
            yield cluster


def through(cluster: Cluster, place: str, interface: str) -> int:
    """Bytes that an interface has received and sent."""
    table = cluster.bed.within(place, lambda: Path("/proc/thread-self/net/dev").read_text())
    line = next(line for line in table.splitlines() if line.strip().startswith(f"{interface}:"))
    numbers = line.partition(":")[2].split()
    return int(numbers[0]) + int(numbers[8])


async def during(cluster: Cluster, calls: int) -> Moved:
    """While calls happen between the two pods of a node."""
    own, pods = through(cluster, HUB, "eth0"), through(cluster, "n1", "n1a") + through(cluster, "n1", "n1b")
    load = Load(cluster.bed, "n1a", "n1b", lambda number: f"/size/{SIZE}/{number % 100:02}", 0.001)
    while len(load.sent) < calls:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(load.stop)
    await asyncio.sleep(1.0)  # what is told of them
    captured = through(cluster, "n1", "n1a") + through(cluster, "n1", "n1b") - pods
    return Moved(through(cluster, HUB, "eth0") - own, captured)


def test_nobody_asks_and_hardly_anything_is_sent(cluster: Cluster) -> None:
    moved = asyncio.run(during(cluster, 2_000))
    print(f"{moved.own} bytes beside {moved.captured}: {moved.own / moved.captured:.6%}")
    assert moved.own < moved.captured / 1_000


def test_who_asks_for_one_in_a_hundred_pays_for_one_in_a_hundred(cluster: Cluster) -> None:
    async def asked() -> tuple[Moved, int]:
        filter = "http && path.endsWith('/07')"
        # The client is on the hub's machine: what passes eth0 is between worker and hub.
        async with cluster.talk() as talk, talk.feed(filter, from_="now") as feed:
            await feed.caught_up()
            moved = await during(cluster, 2_000)
            await feed.until(lambda feed: len(feed.entries) >= 20, "the calls")
            return moved, len(feed.entries)

    moved, shown = asyncio.run(asked())
    print(f"{shown} entries, {moved.own} bytes beside {moved.captured}: {moved.own / moved.captured:.4%}")
    assert moved.own < moved.captured / 100
