"""Calls within one node of a cluster under test, which no other node sees, and feeds of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from cluster_talk import Feed, Talk
from cluster_traffic import Load
from cluster_under_test import Cluster


def load(cluster: Cluster, node: str, name: str, pause: float = 0.01) -> Load:
    """Calls within one node, which no other node sees."""
    return Load(cluster.bed, f"{node}a", f"{node}b", lambda number: f"/{name}/{node}/{number}", pause)


def stopped(loads: Iterable[Load]) -> list[str]:
    """The calls of several."""
    return [call for each in loads for call in each.stop()]


def filter_of(name: str) -> str:
    return f'http && path.startsWith("/{name}/")'


def once(feed: Feed) -> Counter[str]:
    """The calls shown; each exchange once, if need be with its revisions."""
    ids = Counter(entry["id"] for entry in feed.entries if entry["state"] == "closed")
    assert max(ids.values(), default=1) == 1, ids.most_common(3)
    return Counter(f"{entry['summary']} {entry['status']}" for entry in feed.entries if entry["state"] == "closed")


@asynccontextmanager
async def following(cluster: Cluster, name: str, /, **question: object) -> AsyncIterator[Feed]:
    async with cluster.talk() as talk, talk.feed(filter_of(name), **question) as feed:
        yield await feed.caught_up()


@asynccontextmanager
async def connected(cluster: Cluster, nodes: int = 3) -> AsyncIterator[Talk]:
    """Once the hub has its workers."""
    async with cluster.talk() as talk:
        async with asyncio.timeout(60):
            while True:
                workers = (await talk.get("/api/workers"))["workers"]
                if sum(one["state"] == "connected" for one in workers) >= nodes:
                    break
                await asyncio.sleep(0.1)
        yield talk
