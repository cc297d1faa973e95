"""A call that goes on, through real workers and a hub: history has it as open in every form, its end is told live."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import quote

import msgpack
import pytest
from cluster_programs import until
from web_bed import TOKEN, HubProgram, WebBed
from websockets.sync.client import ClientConnection, connect

import pysniff

pytestmark = pytest.mark.needs_root

FILTER = 'path == "/held"'
PORT = 7_997
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebBed]:
    with WebBed(tmp_path_factory.mktemp("open")) as bed:
        yield bed


@contextmanager
def held(bed: WebBed) -> Iterator[socket]:
    """The server's end of a call whose answer has begun."""
    with bed.bed.listen("n1b", PORT) as listener, bed.bed.connect("n1a", (bed.bed.address("n1b"), PORT)) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: held.test\r\n\r\n")
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nso far, ")
            yield server


def fetched(hub: HubProgram, path: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(hub.url + path, headers=HEADERS), timeout=30) as answer:
        return bytes(answer.read())


def heard(talk: ClientConnection) -> Iterator[dict[str, Any]]:
    """Calls as they are told."""
    while True:
        said = msgpack.unpackb(talk.recv(timeout=60))
        assert said["type"] != "error", said
        if said["type"] == "batch":
            calls = msgpack.Unpacker()
            calls.feed(said["entries"])
            yield from calls


def test_history_has_it_as_open_and_what_is_live_has_its_end(bed: WebBed, tmp_path: Path) -> None:
    hub = bed.hub
    url = hub.url.replace("http", "ws", 1) + "/api/entries"
    with connect(url, max_size=None, additional_headers=HEADERS) as live, held(bed) as server:
        live.send(json.dumps({"filter": FILTER, "from": "now"}))
        (told,) = hub.wait_calls(FILTER)
        assert (told["state"], told["completed"], told["status"], told["faults"]) == ("open", None, "200", [])
        assert hub.entries(FILTER, newest_first=True) == [told]

        place = f"/api/entries/{quote(told['id'])}"
        entry = hub.ask(place)
        assert (entry["state"], entry["completeness"], entry["faults"]) == ("open", "complete", [])
        assert entry["response"]["body"]["text"] == "so far, "
        (record,) = hub.ask(f"{place}?as=har")["log"]["entries"]
        assert (record["response"]["content"]["text"], record["comment"]) == ("so far, ", "it had not ended")
        assert "# it had not ended\n" in fetched(hub, f"{place}?as=curl").decode()
        packets = tmp_path / "held.pcapng"
        for path in (f"{place}/pcap", f"/api/pcap?stream={told['stream']}&node=n1"):
            packets.write_bytes(fetched(hub, path))
            assert [one.summary for one in pysniff.read(packets)] == ["GET /held"]
        kinds = {part["protocol"]: part for part in hub.ask(f"/api/services?filter={quote(FILTER)}")["edges"]}
        assert (kinds["http"]["calls"], kinds["http"]["open"], kinds["http"]["unanswered"]) == (1, 1, 0)

        server.sendall(b"so gut")
        end = next(call for call in heard(live) if call["state"] == "closed")
    assert (end["id"], end["status"], end["faults"]) == (told["id"], "200", [])
    (after,) = hub.entries(FILTER)
    assert (after["id"], after["state"]) == (told["id"], "closed")


def test_where_the_worker_ends_nobody_knows_how_the_call_went_on(bed: WebBed) -> None:
    """And nobody records: then the capture has ended before it."""
    with held(bed):
        until(lambda: any(one["state"] == "open" for one in bed.hub.entries(FILTER)), "the call to be held")
        bed.workers["n1"].stop()
    store = pysniff.Store(bed.folder / "store-n1", node="n1")
    states = [(entry.state, entry.completeness) for entry in store.query(FILTER)]
    assert states[-1] == ("closed", "truncated")
