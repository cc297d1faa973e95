"""An entry as its user holds it: frozen, typed, named for good."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from wire import MILLISECOND, Watched

from pysniff.entry import Endpoint, Entry
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER, Fault
from pysniff.packet import Packet
from pysniff.sniffer import Sniffer

GET = b"GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"items":1}'


def talk(**wire: Any) -> Watched:
    return Watched(**wire).client(GET).server(OK).client(GET).server(OK).bye().close()


def entry_of(**wire: Any) -> Any:
    return talk(**wire).entries[0]


# Ids


def test_an_id_is_node_flow_and_position() -> None:
    first, second = talk(sniffer=Sniffer(node="worker-1")).entries
    assert first.id == f"worker-1.{first.stream}.00000000"
    assert second.id == f"worker-1.{first.stream}.{len(GET):08x}"
    assert second.stream == first.stream


def test_an_id_is_safe_in_a_url() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", entry_of().id)
    assert re.fullmatch(r"[0-9a-f]{16}", entry_of().stream)


def test_an_answer_alone_is_named_for_its_place_in_the_servers_half() -> None:
    wire = Watched().client(GET).server(OK, OK).bye().close()
    assert wire.entries[1].id == f"local.{wire.entries[0].stream}.s{len(OK):08x}"


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def packets() -> list[Packet]:
    wire = talk(shaken=False)
    found = wire.handshake()
    for _ in range(3):
        found += [wire.send(CLIENT, GET), wire.send(SERVER, OK[:30]), wire.send(SERVER, OK[30:])]
    return [*found, *wire.farewell()]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_ids_are_the_same_however_packets_are_batched(size: int) -> None:
    sent = packets()
    whole, batched = Sniffer(), Sniffer()
    found = [entry for at in range(0, len(sent), size) for entry in batched.feed(sent[at : at + size])]
    assert ids(found + batched.close()) == ids(whole.feed(sent) + whole.close())


def test_ids_do_not_depend_on_what_else_is_captured() -> None:
    """Nothing is counted: other connections change no name."""
    alone, crowded = Sniffer(), Sniffer()
    other = Wired(crowded, sport=1234, now=0)
    other.client(GET).server(OK)
    sent = packets()
    assert set(ids(alone.feed(sent) + alone.close())) <= set(ids(crowded.feed(sent) + crowded.close()))


class Wired(Watched):
    """Another connection in the same capture."""


def test_a_port_that_is_used_again_is_another_stream() -> None:
    wire = Watched().client(GET).server(OK).bye()
    wire.next[:] = [700_000, 800_000]
    wire.see(*wire.handshake()).client(GET).server(OK).bye().close()
    first, second = wire.entries
    assert first.stream != second.stream
    assert (first.src, first.dst) == (second.src, second.dst)


def test_two_connections_at_the_same_time_are_two_streams() -> None:
    assert entry_of().stream != entry_of(sport=51001).stream
    assert entry_of().stream == entry_of().stream


# The record

KEYS = [
    "schema",
    "id",
    "stream",
    "protocol",
    "version",
    "timestamp",
    "completed",
    "elapsed_time",
    "src",
    "dst",
    "nodes",
    "capture_source",
    "tls",
    "status",
    "ok",
    "summary",
    "state",
    "request",
    "response",
    "completeness",
    "faults",
]


def test_to_dict_has_the_keys_of_the_contract_in_their_order() -> None:
    record = entry_of().to_dict()
    assert list(record) == KEYS
    assert list(record["request"]) == [
        "method",
        "url",
        "path",
        "query",
        "host",
        "headers",
        "trailers",
        "cookies",
        "headers_size",
        "body",
    ]
    assert list(record["response"]) == ["status", "reason", "headers", "trailers", "cookies", "headers_size", "body"]
    assert list(record["response"]["body"]) == ["size", "encoded_size", "mime_type", "encoding", "text", "truncated"]


def test_to_dict_is_json() -> None:
    record = entry_of().to_dict()
    assert json.loads(json.dumps(record)) == record


def test_to_dict_says_what_the_properties_say() -> None:
    entry = entry_of(now=5 * SECOND)
    record = entry.to_dict()
    for name in [
        "id",
        "stream",
        "protocol",
        "version",
        "elapsed_time",
        "capture_source",
        "status",
        "ok",
        "summary",
        "state",
        "completeness",
    ]:
        assert record[name] == getattr(entry, name), name
    assert record["src"] == {"ip": "10.0.0.1", "port": 51000, "name": ""}
    assert record["dst"] == entry.dst._asdict()
    assert record["nodes"] == list(entry.nodes)
    assert (record["schema"], record["tls"], record["faults"]) == (1, None, [])


def test_to_dict_twice_is_the_same_and_each_its_own() -> None:
    entry = entry_of()
    record = entry.to_dict()
    record["request"]["headers"].clear()
    record["src"]["ip"] = ""
    assert entry.to_dict() != record
    assert entry.to_dict() == entry.to_dict()


# Times


def test_times_are_nanoseconds_of_first_and_last_byte() -> None:
    base = 1_795_291_200 * SECOND
    wire = Watched(now=base + 123_456_789 - 4 * MILLISECOND).client(GET).server(OK)
    entry = wire.entries[0]
    assert entry.time_ns == base + 123_456_789
    assert entry.completed_ns == entry.time_ns + MILLISECOND
    assert entry.elapsed_time == 1000
    assert entry.timestamp == datetime(2026, 11, 21, 20, 0, 0, 123_456, tzinfo=UTC)
    assert entry.to_dict()["timestamp"] == "2026-11-21T20:00:00.123456789Z"
    assert entry.to_dict()["completed"] == "2026-11-21T20:00:00.124456789Z"


def test_elapsed_time_is_whole_microseconds_from_first_to_last_byte() -> None:
    wire = Watched()
    wire.client(GET[:10])
    begun = wire.now
    wire.client(GET[10:]).server(OK[:10])
    wire.now += 1_999
    wire.server(OK[10:])
    entry = wire.entries[0]
    assert entry.elapsed_time == (wire.now - begun) // 1000
    assert entry.time_ns == begun


def test_elapsed_time_of_half_an_exchange_is_unknown() -> None:
    assert Watched().client(GET).bye().close().entries[0].elapsed_time is None
    assert Watched().server(OK).bye().close().entries[0].elapsed_time is None


@pytest.mark.parametrize("now", [0, 1 << 62, 253_402_300_800 * SECOND, (1 << 63) - 1, -SECOND, -(1 << 63)])
def test_a_capture_may_claim_any_year(now: int) -> None:
    entry = entry_of(now=now)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", entry.to_dict()["timestamp"])
    assert entry.timestamp.tzinfo is UTC


# What it says of itself


def with_faults(*kinds: str) -> Entry:
    entry = entry_of()
    return Entry(entry._flow, entry.request, entry.response, "closed", tuple(Fault(kind, "") for kind in kinds))


@pytest.mark.parametrize(
    ("faults", "completeness"),
    [
        ((), "complete"),
        (("gap",), "gap"),
        (("inferred", "midstream", "truncated", "gap"), "gap"),
        (("midstream", "truncated"), "truncated"),
        (("inferred", "midstream"), "midstream"),
        (("inferred",), "inferred"),
        (("malformed", "unanswered", "unrequested", "overlap"), "complete"),
    ],
)
def test_completeness_is_the_worst_of_the_faults(faults: tuple[str, ...], completeness: str) -> None:
    entry = with_faults(*faults)
    assert entry.completeness == entry.to_dict()["completeness"] == completeness
    assert [fault["kind"] for fault in entry.to_dict()["faults"]] == list(faults)


def test_faults_of_both_messages_are_faults_of_the_entry() -> None:
    wire = Watched().client(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
    wire.server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").reset()
    assert [fault.kind for fault in wire.entries[0].faults] == ["malformed", "truncated"]


def test_the_ends() -> None:
    entry = entry_of(client="fd00::7", server="fd00::9")
    assert entry.src == Endpoint("fd00::7", 51000, "")
    assert str(entry.src) == "[fd00::7]:51000"
    assert str(entry_of().dst) == "10.0.0.2:80"


def test_ok_needs_an_answer_that_reports_success() -> None:
    assert entry_of().ok
    assert not Watched().client(GET).bye().close().entries[0].ok
    assert not Watched().client(GET).server(OK.replace(b"200", b"500")).entries[0].ok


def test_its_text_names_what_one_wants_to_know() -> None:
    entry = entry_of()
    for part in (entry.id, "10.0.0.1:51000", "10.0.0.2:80", "http", "GET /cart", "200"):
        assert part in repr(entry)


# Frozen

PUBLIC = [name for name in dir(Entry) if not name.startswith("_") and name != "to_dict"]


@pytest.mark.parametrize("name", [*PUBLIC, "anything"])
def test_no_attribute_can_be_set(name: str) -> None:
    entry = entry_of()
    before = repr(entry.to_dict())
    with pytest.raises(AttributeError):
        setattr(entry, name, "changed")
    with pytest.raises(AttributeError):
        delattr(entry, name)
    assert repr(entry.to_dict()) == before


def test_what_it_hands_out_cannot_be_changed_in_place() -> None:
    entry = entry_of()
    for value in (
        entry.request.headers,
        entry.request.query,
        entry.response.cookies,
        entry.nodes,
        entry.faults,
        entry.src,
    ):
        assert isinstance(value, tuple)


def test_an_emitted_entry_never_changes() -> None:
    wire = Watched().client(GET).server(OK[:-5]).wait(11)
    (shown,) = wire.seen
    before = shown.to_dict()
    wire.server(OK[-5:]).client(GET).server(OK).bye().close()
    assert shown.to_dict() == before
    assert shown.state == "open"
