"""What the hub gives of one call, and packets of many nodes as one file; services and replay as far as the hub goes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError
from hub_stage import Answer, Stage, run, settled, until
from packets import ethernet_tcp

from pysniff.capture.pcapng import PcapngParser
from pysniff.cluster.chunked import pack
from pysniff.cluster.hub import entry_routes, gathering, packet_routes, replay_routes, service_routes
from pysniff.cluster.hub.packet_file import PacketFile
from pysniff.packet import Packet

ROUTES = [entry_routes.routes, packet_routes.routes, service_routes.routes, replay_routes.routes]
ID = "a.5f3a9c0012ab34cd.00000001"


def packet(data: bytes, linktype: int = 1, wire: int = 0, interface: int = 0, comment: str = "") -> bytes:
    """As a Chunk has it."""
    return pack(Packet(data, 0, wire or len(data), linktype), interface, comment)


def read(data: bytes) -> list[tuple[int, bytes, int, str]]:
    """Time, bytes, link type and interface of each packet of a file."""
    parser = PcapngParser()
    found = [
        (one.time_ns, one.data, one.linktype, one.interface) for block in parser.feed(data) for one in block.packets()
    ]
    parser.end()
    return found


def test_packets_of_all_nodes_are_one_file_in_order_of_time() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            path = "/api/pcap?filter=http&from=2026-01-01T00:00:00Z"
            asking = asyncio.create_task(stage.get(path))
            a, b = await stage["a"].asked(what="packets"), await stage["b"].asked(what="packets")
            assert a.params == {"filter": "http", "start": 1767225600 * 10**9, "end": None}
            a.value(names=[["10.0.0.1", "cart"], ["10.0.0.1", "cart"], ["nonsense", "x"], 7])
            a.chunk([1, 4], [packet(b"one"), packet(b"four", linktype=101)])
            b.chunk([2, 3], [packet(b"two"), packet(b"three", wire=1500)])
            a.end()
            b.end()
            response = await asking
            assert response.content_type == "application/x-pcapng"
            data = await response.read()
            assert read(data) == [
                (1, b"one", 1, "a"), (2, b"two", 1, "b"), (3, b"three", 1, "b"), (4, b"four", 101, "a"),
            ]  # fmt: skip
            assert b"filter: http" in data
            assert data.count(b"cart\0") == 1
            assert b"nodes: a, b" in data

    run(talk)


def test_all_packets_of_a_connection_come_from_the_node_that_knows_it() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap?stream=5f3a9c0012ab34cd&node=a"))
            a = await stage["a"].asked(what="packets")
            assert a.params == {"stream": "5f3a9c0012ab34cd"}
            a.chunk([1, 2], [packet(b"SYN"), packet(b"one")])
            a.end()
            response = await asking
            assert 'filename="5f3a9c0012ab34cd.pcapng"' in response.headers["Content-Disposition"]
            assert [data for _, data, _, _ in read(await response.read())] == [b"SYN", b"one"]
            assert not stage["b"].answers("packets")

    run(talk)


def test_interfaces_of_a_node_are_told_apart_and_calls_have_comments() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap?filter=dns"))
            a, b = await stage["a"].asked(what="packets"), await stage["b"].asked(what="packets")
            a.value(interfaces=[[1, "eth0"], [2, "pod0"], ["x", 7]])
            a.chunk([1, 2], [packet(b"one", interface=2, comment="a.1 dns A shop"), packet(b"two", interface=1)])
            b.chunk([3], [packet(b"three", interface=9)])
            a.end()
            b.end()
            data = await (await asking).read()
            assert read(data) == [(1, b"one", 1, "a/pod0"), (2, b"two", 1, "a/eth0"), (3, b"three", 1, "b")]
            assert data.count(b"a.1 dns A shop") == 1

    run(talk)


def test_a_file_of_any_size_is_not_held_and_waits_for_its_reader() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap"))
            a = await stage["a"].asked(what="packets")
            piece = packet(bytes(1000))
            for at in range(400):
                a.chunk(range(at * 100, at * 100 + 100), [piece] * 100)
            a.end()
            response = await asking
            await settled()
            assert a.sent < 200  # of 40 MB: what sockets and one credit hold
            size = 0
            async for part in response.content.iter_any():
                size += len(part)
            assert size > 40_000 * 1032

    run(talk)


def test_a_worker_that_fails_in_the_middle_breaks_the_file_off_with_a_note() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap"))
            a, b = await stage["a"].asked(what="packets"), await stage["b"].asked(what="packets")
            a.chunk([1], [packet(b"one")])
            a.error("internal", "the disk is gone")
            b.chunk([2], [packet(b"two")])
            b.end()
            data = b""
            with pytest.raises(ClientPayloadError):
                async for part in (await asking).content.iter_any():
                    data += part
            assert [one[1] for one in read(data)] == [b"one", b"two"]  # the other node's are all there
            assert b"packets of a are missing from here on: internal: the disk is gone" in data

    run(talk)


def test_a_worker_that_stays_away_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE", 0.3)

    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap"))
            a, b = await stage["a"].asked(what="packets"), await stage["b"].asked(what="packets")
            a.chunk([1], [packet(b"one")])
            b.chunk([2], [packet(b"two")])
            b.end()
            response = await asking
            await stage["a"].stop()
            data = b""
            with pytest.raises(ClientPayloadError):
                async for part in response.content.iter_any():
                    data += part
            assert b"packets of a are missing from here on: away: " in data

    run(talk)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/pcap?filter=http+%26%26%26", 400, "filter"),
        ("/api/pcap?from=yesterday", 400, "option"),
        ("/api/pcap?form=10m", 400, "option"),
        ("/api/pcap?node=zebra", 404, "notfound"),
        ("/api/pcap?stream=5f3a&node=zebra", 404, "notfound"),
        ("/api/pcap?stream=5f3a", 400, "option"),
        ("/api/pcap?stream=5f3a&node=a&node=b", 400, "option"),
        ("/api/pcap?stream=5f3a&node=a&filter=http", 400, "option"),
        ("/api/pcap?stream=../x&node=a", 400, "option"),
        (f"/api/entries/z{ID}", 404, "notfound"),
        (f"/api/entries/z{ID}/pcap", 404, "notfound"),
        ("/api/entries/one", 400, "option"),
        (f"/api/entries/{ID}?body_limit=-1", 400, "option"),
        (f"/api/entries/{ID}?as=exe", 400, "option"),
        ("/api/services?filter=http+%26%26%26", 400, "filter"),
        ("/api/services?until=now", 400, "option"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_worker_hears_of_it(path: str, status: int, code: str) -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            response = await stage.get(path)
            assert (response.status, (await response.json())["code"]) == (status, code)
            asked = {one for what in ("packets", "entry", "services") for one in stage["a"].answers(what)}
            assert not asked

    run(talk)


def test_packets_that_nobody_has_are_an_error_and_no_empty_file() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get("/api/pcap"))
            (await stage["a"].asked(what="packets")).error("busy", "4 questions are answered already")
            response = await asking
            assert response.status == 503
            assert "4 questions are answered already" in (await response.json())["detail"]

    run(talk)


def answered(answer: Answer, **fields: object) -> None:
    answer.value(id=ID, summary="GET /cart", **fields)
    answer.end()


def test_an_entry_comes_from_the_node_that_its_id_names() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get(f"/api/entries/{ID}?body_limit=100"))
            a = await stage["a"].asked(what="entry")
            assert a.params == {"id": ID, "body_limit": 100}
            answered(a, state="closed")
            assert await (await asking).json() == {
                "id": ID, "summary": "GET /cart", "state": "closed", "nodes": ["a"],
            }  # fmt: skip
            assert stage["b"].answers("entry") == []

    run(talk)


@pytest.mark.parametrize(("format", "type"), [("curl", "text/plain"), ("har", "application/json")])
def test_an_entry_in_the_words_of_an_export_is_what_the_worker_wrote(format: str, type: str) -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get(f"/api/entries/{ID}?as={format}&body_limit=0"))
            a = await stage["a"].asked(what="entry")
            assert a.params == {"id": ID, "body_limit": 0, "as": format}
            a.value(bytes="curl http://shop.test/café".encode())
            a.end()
            response = await asking
            assert (response.content_type, response.charset) == (type, "utf-8")
            assert await response.text() == "curl http://shop.test/café"

    run(talk)


def test_an_entry_that_an_export_has_no_place_for_is_refused_with_the_reason() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get(f"/api/entries/{ID}?as=curl"))
            a = await stage["a"].asked(what="entry")
            a.error("option", "curl has no place for it: no HTTP")
            problem = await (await asking).json()
            assert (problem["status"], problem["detail"]) == (400, "a: curl has no place for it: no HTTP")

    run(talk)


def test_an_entry_that_is_gone_or_whose_node_is_away_is_not_found_with_the_reason() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get(f"/api/entries/{ID}"))
            (await stage["a"].asked(what="entry")).error("notfound", "its packets may have been dropped since")
            response = await asking
            problem = await response.json()
            assert (response.status, problem["code"]) == (404, "notfound")
            assert "dropped" in problem["detail"]
            await stage["a"].stop()
            await until(lambda: not stage.connected("a"))
            response = await stage.get(f"/api/entries/{ID}")
            assert (response.status, (await response.json())["code"]) == (404, "away")

    run(talk)


@pytest.mark.needs("tshark")
def test_packets_of_an_entry_open_in_tshark_with_the_nodes_and_names(tmp_path: Path) -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a") as stage:
            asking = asyncio.create_task(stage.get(f"/api/entries/{ID}/pcap"))
            names = {"src": {"ip": "10.0.0.1", "name": "cart"}, "dst": {"ip": "10.0.0.2", "name": "shop.test"}}
            answered(await stage["a"].asked(what="entry"), **names)
            a = await stage["a"].asked(what="packets")
            assert a.params == {"id": ID}
            frame = ethernet_tcp("10.0.0.1", "10.0.0.2", 51022, 80, b"GET / HTTP/1.1\r\n\r\n")
            a.chunk([1_767_225_600_123_456_789], [packet(frame)])
            a.end()
            response = await asking
            assert response.headers["Content-Disposition"] == f'attachment; filename="{ID}.pcapng"'
            (tmp_path / "call.pcapng").write_bytes(await response.read())

    run(talk)
    fields = tshark(tmp_path / "call.pcapng", "frame.interface_name", "frame.time_epoch", "ip.dst_host")
    assert fields == [["a", "1767225600.123456789", "shop.test"]]


@pytest.mark.needs("tshark")
def test_a_note_of_missing_packets_does_not_keep_tshark_from_the_rest(tmp_path: Path) -> None:
    file = PacketFile(["a", "b"], "test")
    frame = packet(ethernet_tcp("10.0.0.1", "10.0.0.2", 51022, 80, b"x"))
    data = file.begin(["two\ncomments", "and ünïcode"]) + file.packets([(1, 0, 0, frame), (2, 0, 0, frame)])
    (tmp_path / "notes.pcapng").write_bytes(data + file.incomplete(0, "gone") + file.incomplete(1, "never came"))
    assert tshark(tmp_path / "notes.pcapng", "frame.interface_name") == [["a"], ["a"]]


def tshark(path: Path, *fields: str) -> list[list[str]]:
    command: Sequence[str] = ("tshark", "-r", str(path), "-N", "nm", "-T", "fields")
    chosen = [part for field in fields for part in ("-e", field)]
    done = subprocess.run([*command, *chosen], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


# Services and replay


def test_a_service_map_says_whose_calls_are_missing() -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", "b") as stage:
            asking = asyncio.create_task(stage.get("/api/services?filter=http"))
            edge = ["10.0.0.1", "", "10.0.0.2", 80, "shop", "http"]
            a = await stage["a"].asked(what="services")
            a.value(edges=[edge], calls=b"", truncated=3, end=True)
            a.end()
            (await stage["b"].asked(what="services")).value(edges="nonsense")
            found = await (await asking).json()
            assert found["truncated"] == 3
            assert list(found["nodes_failed"]) == ["b"]

    run(talk)


@pytest.mark.parametrize(
    "body",
    [
        {"id": ID, "target": "169.254.169.254:80"},
        {"id": ID, "target": "http://10.0.0.1:80"},
        {"target": "shop:80"},
        {"id": ID, "target": "shop:80", "count": True},
        {"id": ID, "target": "shop:80", "proxy": "evil:80"},
        [],
    ],
)
def test_a_replay_goes_to_no_target_but_those_allowed(body: object) -> None:
    async def talk() -> None:
        async with Stage(ROUTES, "a", replay_targets=(("shop", 80),)) as stage:
            assert await (await stage.get("/api/replay")).json() == {"targets": ["shop:80"]}
            response = await stage.session.post(stage.url + "/api/replay", json=body)
            assert response.status == 400
            assert stage["a"].answers("replay") == []

    run(talk)
