"""What breaks in a cluster, and what people see of it: programs that die, networks that are cut, peers that do not fit.

Feeds go on and say so; what a store holds is shown, and shown once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cluster_calls import connected, filter_of, following, load, once, stopped
from cluster_programs import Program, until
from cluster_talk import Feed, Json
from cluster_traffic import shop
from cluster_under_test import WORKER, Cluster

from pysniff.cluster.frames import Bye, Hello, decode, encode
from pysniff.entry import rfc3339

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A shop in the second pod of every node; its workers run, the hub is each test's own."""
    with Cluster(tmp_path_factory.mktemp("failures")) as cluster:
        cluster.all_workers()
        with shop(cluster.bed, "n1b"), shop(cluster.bed, "n2b"), shop(cluster.bed, "n3b"):
            yield cluster


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A word for the paths of this test's calls."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def at_least(count: int, node: str) -> tuple[Callable[[Feed], object], str]:
    return lambda feed: sum(entry["nodes"] == [node] for entry in feed.entries) >= count, f"{count} calls of {node}"


# Workers


@pytest.mark.parametrize("how", ["kill", "kill_all"])
def test_a_worker_that_is_killed_and_comes_back(how: str, cluster: Cluster, name: str) -> None:
    """By itself, or with its children, as when its container is: in the end the feed has what its store has."""
    hub = cluster.hub()

    async def watched() -> Feed:
        async with following(cluster, name) as feed:
            loads = [load(cluster, node, name) for node in ("n1", "n2")]
            await feed.until(lambda feed: len(feed.entries) > 50, "calls")
            worker = cluster.workers["n1"]
            children = worker.children()
            await asyncio.to_thread(getattr(worker, how))
            until(lambda: not any(is_there(pid) for pid in children), "its children to end by themselves")
            await feed.until(lambda feed: feed.heard("status", node="n1", state="away"), "the feed to say so")
            others = sum(entry["nodes"] == ["n2"] for entry in feed.entries)
            await feed.until(*at_least(others + 50, "n2"))
            cluster.worker("n1")
            await feed.until(lambda feed: feed.heard("status", node="n1", state="back") or back(feed), "n1 to be back")
            mine = sum(entry["nodes"] == ["n1"] for entry in feed.entries)
            await feed.until(*at_least(mine + 50, "n1"))
            last = {(await asyncio.to_thread(each.stop))[-1] for each in loads}
            await feed.until(lambda feed: last <= set(feed.calls), "the last calls")  # all others are flushed, too
            wanted = {entry.id for node in ("n1", "n2") for entry in cluster.held(node, filter_of(name))}
            await feed.until(lambda feed: wanted <= {entry["id"] for entry in feed.entries}, "what the stores hold")
            return feed

    feed = asyncio.run(watched())
    once(feed)
    held = {entry.id for node in ("n1", "n2") for entry in cluster.held(node, filter_of(name))}
    assert {entry["id"] for entry in feed.entries} == held
    hub.stop()


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def back(feed: Feed) -> bool:
    states = [one["state"] for one in feed.said if one["type"] == "status" and one["node"] == "n1"]
    return "away" in states and states[-1] not in ("away", "failed")


def test_a_worker_with_another_token_is_refused_by_name_and_the_others_go_on(cluster: Cluster, name: str) -> None:
    token = cluster.folder / "another"
    token.write_text("another-token-for-tests-of-36-letters\n")
    token.chmod(0o600)
    cluster.workers["n3"].stop()
    cluster.worker("n3", "--token-file", str(token)).wait_for("records")
    hub = cluster.hub()

    async def watched() -> Json:
        async with cluster.talk() as talk:
            async with talk.feed(filter_of(name)) as feed:
                await feed.caught_up()
                calls = load(cluster, "n1", name)
                await feed.until(lambda feed: len(feed.entries) > 20, "calls of n1")
                await asyncio.to_thread(calls.stop)
            return await talk.get("/api/workers")

    workers = asyncio.run(watched())["workers"]
    refused = [one for one in workers if one["state"] == "refused"]
    assert len(refused) == 1 and cluster.bed.address("n3") in refused[0]["address"], workers
    assert "token" in refused[0]["reason"]
    hub.stop()
    cluster.workers["n3"].stop()
    cluster.worker("n3").wait_for("records")


class Stranger:
    """Where a worker should be: says what a test wants, and keeps what it hears."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.heard: list[bytes] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_bytes(self.first)
        async for message in websocket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.heard.append(message.data)
        return websocket


def test_a_worker_of_another_version_is_refused_with_words_on_both_sides(cluster: Cluster, name: str) -> None:
    stranger = Stranger(b"\x97" + encode(Hello(1, "worker", "n4", "0123456789abcdef", "next", {}))[1:])
    stranger.first = stranger.first.replace(b"Hello\x01", b"Hello\x02")

    async def watched() -> Json:
        application = web.Application()
        application.add_routes([web.get("/link", stranger.serve)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.SockSite(runner, cluster.bed.listen("n3a", WORKER)).start()
        hub = await asyncio.to_thread(cluster.hub, "--worker", f"{cluster.bed.address('n3a')}:{WORKER}")
        async with cluster.talk() as talk:
            async with talk.feed(filter_of(name)) as feed:
                await feed.caught_up()
            async with asyncio.timeout(60):
                found: Json = {"workers": []}
                while not any(one["state"] == "refused" for one in found["workers"]):
                    await asyncio.sleep(0.1)
                    found = await talk.get("/api/workers")
        await asyncio.to_thread(hub.stop)
        await runner.cleanup()
        return found

    workers = asyncio.run(watched())["workers"]
    (refused,) = (one for one in workers if one["state"] == "refused")
    assert "version" in refused["reason"]
    byes = [frame for data in stranger.heard if isinstance(frame := decode(data), Bye)]
    assert byes and byes[0].code == "version"


# Hubs


def test_a_hub_that_is_killed_and_comes_back(cluster: Cluster, name: str) -> None:
    """Stores go on; who asks again gets everything; workers forget what they were doing for the dead one."""
    hub = cluster.hub()

    async def watched() -> tuple[Counter[str], Counter[str]]:
        calls = load(cluster, "n1", name)
        async with following(cluster, name) as feed:
            await feed.until(lambda feed: len(feed.entries) > 50, "calls")
            await asyncio.to_thread(hub.kill)
            await feed.until(lambda feed: feed.over, "the feed to end")
        again = await asyncio.to_thread(cluster.hub)
        async with connected(cluster) as talk, talk.feed(filter_of(name)) as feed:
            sent = Counter(await asyncio.to_thread(calls.stop))
            await feed.until(lambda feed: len(feed.entries) >= sum(sent.values()), "every call")
            shown = once(feed)
        await asyncio.to_thread(again.stop)
        return shown, sent

    shown, sent = asyncio.run(watched())
    assert shown == sent


# Networks


@pytest.mark.parametrize("seconds", [2, 20])  # the link outlives the first
def test_a_node_whose_network_is_cut(seconds: int, cluster: Cluster, name: str) -> None:
    """Its calls are shown late, those of others meanwhile, and each of them once."""
    hub = cluster.hub()

    async def watched() -> tuple[Feed, Counter[str]]:
        async with following(cluster, name) as feed:
            loads = [load(cluster, node, name, 0.02) for node in ("n1", "n2")]
            await feed.until(lambda feed: len(feed.entries) > 50, "calls")
            with cluster.bed.cut_off("n1"):
                cut = rfc3339(time.time_ns())
                others = sum(entry["nodes"] == ["n2"] for entry in feed.entries)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        while not feed.over:
                            await feed.read()
                await feed.until(*at_least(others + 20, "n2"))
                assert not [entry for entry in feed.entries if entry["nodes"] == ["n1"] and entry["timestamp"] > cut]
            sent = Counter(await asyncio.to_thread(stopped, loads))
            await feed.until(lambda feed: len(feed.entries) >= sum(sent.values()), f"{sum(sent.values())} calls")
            return feed, sent

    feed, sent = asyncio.run(watched())
    assert once(feed) == sent
    hub.stop()


def test_a_connection_that_is_reset_goes_on_where_it_was(cluster: Cluster, name: str) -> None:
    """A firewall that forgets: the worker still has the answer and resumes it."""
    hub = cluster.hub()

    async def watched() -> tuple[Feed, Counter[str]]:
        async with following(cluster, name) as feed:
            calls = load(cluster, "n1", name)
            await feed.until(lambda feed: len(feed.entries) > 50, "calls")
            with cluster.bed.firewall("n1", f"tcp dport {WORKER} reject with tcp reset"):
                await feed.until(lambda feed: feed.heard("status", node="n1", state="away"), "the feed to say so")
            await feed.until(back, "n1 to be back")
            sent = Counter(await asyncio.to_thread(calls.stop))
            await feed.until(lambda feed: len(feed.entries) >= sum(sent.values()), f"{sum(sent.values())} calls")
            return feed, sent

    feed, sent = asyncio.run(watched())
    assert once(feed) == sent
    hub.stop()


# Pieces that die inside a worker


def piece_of(worker: Program, what: str) -> int:
    """The process that a worker has for something."""
    return next(pid for pid in worker.children() if what in command_line(pid))


def command_line(pid: int) -> str:
    """Nothing of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_capture_that_dies_is_begun_again_and_the_feed_goes_on(cluster: Cluster, name: str) -> None:
    hub = cluster.hub()

    async def watched() -> Feed:
        async with following(cluster, name) as feed:
            calls = load(cluster, "n1", name)
            await feed.until(lambda feed: len(feed.entries) > 20, "calls")
            os.kill(piece_of(cluster.workers["n1"], "capturing"), signal.SIGKILL)
            await feed.until(lambda feed: feed.heard("status", node="n1", state="notice"), "the feed to say so")
            count = len(feed.entries)
            await feed.until(lambda feed: len(feed.entries) > count + 50, "more calls")
            await asyncio.to_thread(calls.stop)
            return feed

    once(asyncio.run(watched()))
    hub.stop()


def test_a_dissecting_process_that_dies_is_said_and_nothing_is_missed(cluster: Cluster, name: str) -> None:
    hub = cluster.hub()

    async def watched() -> tuple[Feed, Counter[str]]:
        async with following(cluster, name) as feed:
            calls = load(cluster, "n1", name)
            await feed.until(lambda feed: len(feed.entries) > 20, "calls")
            worker = cluster.workers["n1"]
            for pid in [pid for pid in worker.children() if "dissecting" in command_line(pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await feed.until(lambda feed: feed.heard("status", node="n1", state="failed"), "the feed to say so")
            sent = Counter(await asyncio.to_thread(calls.stop))
            await feed.until(lambda feed: len(feed.entries) >= sum(sent.values()), f"{sum(sent.values())} calls")
            return feed, sent

    feed, sent = asyncio.run(watched())
    assert once(feed) == sent
    hub.stop()
