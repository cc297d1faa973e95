"""Three nodes with two pods each, real servers and clients, a worker on every node, one hub that is asked.

What the hub says is compared with what the three stores hold and with what the servers logged.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster_programs import until
from cluster_talk import Feed, Json
from cluster_traffic import (
    DNS,
    HTTP,
    REDIS,
    Buyer,
    Load,
    Shop,
    dns_ask,
    dns_server,
    grpc_calls,
    grpc_server,
    redis_server,
    redis_talk,
    shop,
)
from cluster_under_test import DOOR, WORKER, Cluster

import pysniff
from pysniff.cluster.summary import summary
from pysniff.store import Store

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("redis-server", "dnsmasq", "tshark")]

Call = tuple[str, frozenset[str]]  # summary with status, and the nodes that see it


class Stage(NamedTuple):
    """A cluster in which something has happened. `calls`: each, and on which nodes; `shop`: the server of it."""

    cluster: Cluster
    calls: Counter[Call]
    shop: Shop

    def of(self, protocol: str) -> Counter[Call]:
        words = {"http": ("GET /", "POST /"), "redis": ("SET", "GET k", "INCR"), "dns": ("A ",), "grpc": ("shop.",)}
        return Counter({call: count for call, count in self.calls.items() if call[0].startswith(words[protocol])})


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """HTTP to n3b, Redis on n2b, DNS on n3a, gRPC on n1b; calls within a node, and between nodes."""
    folder = tmp_path_factory.mktemp("nodes")
    with Cluster(folder) as cluster:
        bed, programs = cluster.bed, cluster.programs
        redis_server(bed, programs, "n2b", folder / "redis")
        dns_server(bed, programs, "n3a", {"shop.test": bed.address("n3b"), "cart.test": bed.address("n1b")})
        grpc_server(bed, programs, "n1b")
        cluster.all_workers()
        cluster.hub("--replay-target", f"{bed.address('n3b')}:{HTTP}")
        with shop(bed, "n3b") as server:
            stage = Stage(cluster, _happen(cluster, folder), server)
            for node in bed.nodes:
                expected = sum(count for (_, nodes), count in stage.calls.items() if node in nodes)
                cluster.wait_held(node, expected, "http || redis || dns")
            yield stage


def _happen(cluster: Cluster, folder: Path) -> Counter[Call]:
    """Traffic; what calls it was."""
    bed = cluster.bed
    calls: Counter[Call] = Counter()

    def count(text: str, *places: str) -> None:
        calls[text, frozenset(place[:2] for place in places)] += 1

    for place, number in (("n1a", 30), ("n2a", 20), ("n3a", 10)):
        buyer = Buyer(bed, place, "n3b")
        for item in range(number):
            status = 404 if item % 10 == 9 else 200
            path = f"/status/404/{item}" if status == 404 else f"/item/{item % 3}"
            assert buyer.get(path) == status
            count(f"GET {path} {status}", place, "n3b")
        buyer.post("/order", b"tea" * 1_000)
        count("POST /order 200", place, "n3b")
        buyer.close()
    large = Buyer(bed, "n2a", "n3b")
    large.get("/size/200000")
    large.close()
    count("GET /size/200000 200", "n2a", "n3b")
    for place in ("n1a", "n2a"):
        redis_talk(bed, place, "n2b", "SET k v", "GET k", "INCR n")
        for text in ("SET k v OK", "GET k OK", "INCR n OK"):
            count(text, place, "n2b")
    for number, place in enumerate(("n1a", "n2b", "n3b")):
        dns_ask(bed, place, "n3a", "shop.test", number)
        count("A shop.test NOERROR", place, "n3a")
    grpc_calls(bed, cluster.programs, "n3b", "n1b", 10)
    for number in range(10):
        count(f"shop.Cart/Add {'NOT_FOUND' if number % 5 == 4 else 'OK'}", "n3b", "n1b")
    return calls


async def answered(stage: Stage, filter: str = "", /, **question: object) -> Feed:
    """All entries of history."""
    async with stage.cluster.talk() as talk, talk.feed(filter, follow=False, **question) as feed:
        return await feed.end()


def shown(feed: Feed) -> Counter[Call]:
    pairs = zip(feed.calls, feed.entries, strict=True)
    return Counter((call, frozenset(entry["nodes"])) for call, entry in pairs)


KNOWN = "http || redis || dns"
HTTP_ALONE = "http && !grpc"


# What the stores hold


def test_a_query_gives_what_the_three_stores_hold(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, show_duplicates=True))
    held = {entry.id: (node, json.loads(json.dumps(summary(entry)))) for node, entry in stage.cluster.holding()}
    assert Counter(entry["id"] for entry in feed.entries) == Counter(held.keys())
    for entry in feed.entries:
        node, wanted = held[entry["id"]]
        assert entry.pop("nodes") == [node]
        assert entry == wanted


@pytest.mark.parametrize("protocol", ["http", "redis", "dns", "grpc"])
def test_each_call_is_shown_once_with_the_nodes_that_saw_it(protocol: str, stage: Stage) -> None:
    feed = asyncio.run(answered(stage, HTTP_ALONE if protocol == "http" else protocol))
    assert shown(feed) == stage.of(protocol)


def test_the_calls_are_those_that_the_server_logged(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, f"http && dst.port == {HTTP}"))
    assert Counter(feed.calls) == Counter(stage.shop.log)


def test_duplicates_are_both_shown_to_who_asks_for_them(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, HTTP_ALONE, show_duplicates=True))
    wanted: Counter[Call] = Counter()
    for (call, nodes), count in stage.of("http").items():
        for node in nodes:
            wanted[call, frozenset([node])] += count
    assert shown(feed) == wanted


FILTERS = (
    "http && status_code == 404",
    f"dst.port == {REDIS}",
    f"dst.port == {DNS} && dns",
    "grpc && grpc_status == 5",
    'path.startsWith("/item/") && src.ip == "10.78.1.10"',
    "http && response.bodySize > 100000",
    "tcp",
)


@pytest.mark.parametrize("text", [text for text in FILTERS if "bodySize" not in text])
def test_a_filter_says_at_the_hub_what_it_says_at_the_stores(text: str, stage: Stage) -> None:
    feed = asyncio.run(answered(stage, text, show_duplicates=True))
    assert sorted(entry["id"] for entry in feed.entries) == sorted(entry.id for _, entry in stage.cluster.holding(text))


def test_entries_come_in_the_order_in_which_they_completed(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, KNOWN))
    completed = [entry["completed"] for entry in feed.entries]
    assert completed == sorted(completed)


def test_the_newest_come_first_where_they_are_asked_for(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, HTTP_ALONE, newest_first=True))
    times = [entry["timestamp"] for entry in feed.entries]
    assert times == sorted(times, reverse=True)
    assert shown(feed) == stage.of("http")
    few = asyncio.run(answered(stage, HTTP_ALONE, newest_first=True, limit=7))
    assert [entry["id"] for entry in few.entries] == [entry["id"] for entry in feed.entries[:7]]


def test_only_the_nodes_that_were_named_are_asked(stage: Stage) -> None:
    feed = asyncio.run(answered(stage, HTTP_ALONE, nodes=["n1"]))
    assert {tuple(entry["nodes"]) for entry in feed.entries} == {("n1",)}
    assert len(feed.entries) == sum(count for (_, nodes), count in stage.of("http").items() if "n1" in nodes)


def test_a_window_of_time_at_the_hub_is_that_of_the_stores(stage: Stage) -> None:
    times = sorted(entry.time_ns for _, entry in stage.cluster.holding("http"))
    start, end = times[len(times) // 3], times[2 * len(times) // 3]
    feed = asyncio.run(answered(stage, "http", from_=start, to=end, show_duplicates=True))
    wanted = [entry.id for _, entry in stage.cluster.holding("http") if start <= entry.time_ns <= end]
    assert sorted(entry["id"] for entry in feed.entries) == sorted(wanted)


def test_nothing_of_the_clusters_own_traffic_is_stored(stage: Stage) -> None:
    for node in stage.cluster.bed.nodes:
        assert stage.cluster.held(node, f"dst.port == {WORKER} || dst.port == {DOOR}") == []


def test_on_many_interfaces_a_packet_is_stored_once(stage: Stage) -> None:
    """On `any` a packet that a node passes on is seen when it comes and when it goes."""
    for node in stage.cluster.bed.nodes:
        for entry in stage.cluster.held(node, KNOWN):
            assert not entry.faults, entry.to_dict()


# One call


@pytest.mark.parametrize("filter", ["http && status_code == 404", "redis", "dns", "grpc", 'path == "/size/200000"'])
def test_an_entry_opens_with_all_that_its_node_knows(filter: str, stage: Stage) -> None:
    async def opened() -> list[tuple[Json, Json]]:
        feed = await answered(stage, filter, show_duplicates=True)
        async with stage.cluster.talk() as talk:
            return [(entry, await talk.get(f"/api/entries/{entry['id']}")) for entry in feed.entries[:4]]

    for entry, found in asyncio.run(opened()):
        (node,) = entry["nodes"]
        wanted = Store(stage.cluster.directory(node), node=node).entry(entry["id"]).to_dict()
        assert found.pop("nodes") == [node]
        wanted.pop("nodes")
        assert found == json.loads(json.dumps(wanted))


@pytest.mark.parametrize("filter", ['path == "/item/1"', "redis", "dns", "grpc", 'path == "/size/200000"'])
def test_the_packets_of_an_entry_are_its_call(filter: str, stage: Stage, tmp_path: Path) -> None:
    async def downloaded() -> tuple[Json, bytes]:
        feed = await answered(stage, filter)
        async with stage.cluster.talk() as talk:
            return feed.entries[0], await talk.bytes(f"/api/entries/{feed.entries[0]['id']}/pcap")

    entry, data = asyncio.run(downloaded())
    (tmp_path / "one.pcapng").write_bytes(data)
    found = [one.summary for one in pysniff.read(tmp_path / "one.pcapng", filter=entry["protocol"])]
    assert entry["summary"] in found
    node = entry["id"].partition(".")[0]
    assert node in entry["nodes"]
    packets = Store(stage.cluster.directory(node), node=node).packets(entry["id"])
    assert count_packets(data) == len(packets)


def count_packets(data: bytes) -> int:
    done = subprocess.run(["tshark", "-r", "-", "-T", "fields", "-e", "frame.number"], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    return len(done.stdout.split())


def test_what_is_not_there_is_not_found(stage: Stage) -> None:
    async def asked() -> list[int]:
        async with stage.cluster.talk() as talk:
            ids = ("n1.0123456789abcdef.00000001", "n9.0123456789abcdef.00000001", "nonsense", "n1." + "x" * 500)
            return [(await talk.send("GET", f"/api/entries/{id}", None))[0] for id in ids]

    assert set(asyncio.run(asked())) <= {404, 400}


# Packets of all nodes


def test_the_capture_of_all_nodes_opens_in_tshark_with_their_names(stage: Stage, tmp_path: Path) -> None:
    async def downloaded() -> bytes:
        async with stage.cluster.talk() as talk:
            return await talk.bytes("/api/pcap", filter=KNOWN)

    path = tmp_path / "all.pcapng"
    path.write_bytes(asyncio.run(downloaded()))
    fields = ["frame.interface_name", "frame.time_epoch", "ip.dst", "ip.dst_host"]
    words = [
        "tshark",
        "-N",
        "n",
        "-r",
        str(path),
        "-T",
        "fields",
        *(word for field in fields for word in ("-e", field)),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert {row[0].partition("/")[0] for row in rows} == set(stage.cluster.bed.nodes)
    assert len({row[0] for row in rows}) > len(stage.cluster.bed.nodes)  # several interfaces of a node
    times = [float(row[1]) for row in rows]
    assert times == sorted(times)
    assert {row[3] for row in rows if row[2] == stage.cluster.bed.address("n3b")} == {"shop.test"}


# What is downloaded, and what of it is read. A datagram that a node passed on is captured on two interfaces, by which
# store and file tell that it is one.
@pytest.mark.parametrize(
    ("filter", "compared"), [("", KNOWN), (HTTP_ALONE, HTTP_ALONE), ("redis || dns", "redis || dns")]
)
def test_a_capture_of_one_node_reads_as_its_store(filter: str, compared: str, stage: Stage, tmp_path: Path) -> None:
    async def downloaded() -> bytes:
        async with stage.cluster.talk() as talk:
            return await talk.bytes("/api/pcap", filter=filter, node="n3")

    (tmp_path / "n3.pcapng").write_bytes(asyncio.run(downloaded()))
    found = Counter(f"{one.summary} {one.status}" for one in pysniff.read(tmp_path / "n3.pcapng", filter=compared))
    assert found == Counter(f"{one.summary} {one.status}" for one in stage.cluster.held("n3", compared))


def test_a_server_goes_by_the_name_that_dns_gave_it(stage: Stage) -> None:
    """From then on, on each node that saw the answer."""
    bed = stage.cluster.bed

    async def called() -> Feed:
        async with stage.cluster.talk() as talk, talk.feed('http && path == "/named"', show_duplicates=True) as feed:
            dns_ask(bed, "n1a", "n3a", "shop.test", 77)
            buyer = Buyer(bed, "n1a", "n3b")
            buyer.get("/named")
            buyer.close()
            return await feed.until(lambda feed: len(feed.entries) == 2, "the call, of both nodes")

    feed = asyncio.run(called())
    assert {(entry["nodes"][0], entry["dst"]["name"]) for entry in feed.entries} == {
        ("n1", "shop.test"),
        ("n3", "shop.test"),
    }


# While it happens


def test_a_feed_during_load_shows_every_call_once(stage: Stage) -> None:
    """From four pods at once, within nodes and between them."""

    async def watched() -> Feed:
        bed = stage.cluster.bed
        async with stage.cluster.talk() as talk, talk.feed("http && path.startsWith('/load/')", from_="now") as feed:
            await feed.caught_up()
            loads = [Load(bed, place, "n3b", path_of(place)) for place in ("n1a", "n1b", "n2a", "n3a")]
            reading = asyncio.create_task(feed.until(lambda feed: len(feed.entries) >= 1_000, "a thousand calls"))
            await reading
            sent = await asyncio.to_thread(lambda: [call for load in loads for call in load.stop()])
            await feed.until(lambda feed: len(feed.entries) >= len(sent), f"all {len(sent)} calls")
            again = asyncio.create_task(feed.read())  # there is nothing behind them
            await asyncio.sleep(1.5)
            again.cancel()
            assert Counter(feed.calls) == Counter(sent)
            return feed

    feed = asyncio.run(watched())
    assert feed.missed == 0
    for entry in feed.entries:
        place = entry["summary"].split("/")[2]
        assert set(entry["nodes"]) == {place[:2], "n3"}, entry


def path_of(place: str) -> Callable[[int], str]:
    return lambda number: f"/load/{place}/{number}"


def test_a_feed_without_a_beginning_tells_history_first(stage: Stage) -> None:
    async def watched() -> None:
        bed = stage.cluster.bed
        async with stage.cluster.talk() as talk, talk.feed("http && path == '/late'") as feed:
            await feed.caught_up()
            assert feed.entries == []
            buyer = Buyer(bed, "n1a", "n3b")
            buyer.get("/late")
            buyer.close()
            await feed.until(lambda feed: feed.calls == ["GET /late 200"], "the call")
        async with stage.cluster.talk() as talk, talk.feed("http && path == '/late'") as feed:
            await feed.caught_up()
            assert feed.calls == ["GET /late 200"]

    asyncio.run(watched())


# The hub's own pages


def test_the_workers_and_their_figures_are_listed(stage: Stage) -> None:
    async def asked() -> tuple[Json, Json, bytes]:
        async with stage.cluster.talk() as talk:
            return await talk.get("/api/workers"), await talk.get("/readyz"), await talk.bytes("/metrics")

    workers, ready, metrics = asyncio.run(asked())
    assert {one["node"]: one["state"] for one in workers["workers"]} == dict.fromkeys(
        stage.cluster.bed.nodes, "connected"
    )
    assert ready
    assert b"# HELP pysniff_" in metrics and b"# TYPE pysniff_" in metrics


def test_the_map_of_services_counts_what_the_server_logged(stage: Stage) -> None:
    async def asked() -> Json:
        async with stage.cluster.talk() as talk:
            return await talk.get("/api/services", filter=f"http && dst.port == {HTTP}")

    found = asyncio.run(asked())
    assert sum(edge["calls"] for edge in found["edges"]) == len(stage.shop.log)


def test_a_stored_call_is_sent_again_to_the_target_that_was_allowed(stage: Stage) -> None:
    """To no other, however it is written."""
    target = f"{stage.cluster.bed.address('n3b')}:{HTTP}"

    async def replayed() -> tuple[tuple[int, Json], tuple[int, Json]]:
        feed = await answered(stage, 'path == "/item/1"', limit=1)
        async with stage.cluster.talk() as talk:
            asked = {"id": feed.entries[0]["id"], "target": target, "count": 3}
            return await talk.send("POST", "/api/replay", asked), await talk.send(
                "POST", "/api/replay", {**asked, "target": f"{stage.cluster.bed.address('n2b')}:{REDIS}"}
            )

    before = stage.shop.log.count("GET /item/1 200")
    (status, said), (refused, _) = asyncio.run(replayed())
    assert status == 200, said
    assert (said["answered"], said["same"], said["statuses"]) == (3, 3, {"200": 3})
    assert stage.shop.log.count("GET /item/1 200") == before + 3
    assert refused == 400


def test_a_configuration_reaches_all_workers_and_is_kept_by_them(stage: Stage) -> None:
    """Also over a restart of the worker, and a worker that comes later gets it."""
    cluster = stage.cluster

    async def patched(bpf: str) -> Json:
        async with cluster.talk() as talk:
            status, said = await talk.send("PATCH", "/api/config", {"bpf": bpf})
            assert status == 200, said
            return said

    async def config() -> Json:
        async with cluster.talk() as talk:
            return await talk.get("/api/config")

    asyncio.run(patched("not tcp port 12345"))
    cluster.workers["n2"].stop()
    cluster.worker("n2").wait_for("records")
    until(lambda: "n2" in str(asyncio.run(config())), "n2 to be back")
    assert asyncio.run(config())["config"]["bpf"] == "not tcp port 12345"
    asyncio.run(patched(""))
