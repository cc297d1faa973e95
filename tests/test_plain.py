"""What processes tell is read where packets could not be decrypted: once, in its place, and accounted for."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from test_inside import GET, OK, Later, carried, get, greeted, ok
from veil import Veil, key, record
from wire import Watched, kinds

import pysniff.sniffer
from pysniff.dissectors import known
from pysniff.limits import SECOND, Limits
from pysniff.message import CLIENT, SERVER, Side
from pysniff.plain import PlainChunk
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer
from pysniff.tcp import reverse

KEY = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + (51000).to_bytes(2, "big") + (80).to_bytes(2, "big")


@pytest.fixture(autouse=True)
def veiled(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {"tcp": (Veil, *known()["tcp"]), "udp": known()["udp"]}
    monkeypatch.setattr(pysniff.sniffer, "known", lambda: every)


class Told:
    """A process that tells of one connection, into the sniffer of a wire whose packets may be seen too."""

    def __init__(self, wire: Watched, *, from_start: bool = True, reader: int = 1, knows_ends: bool = True) -> None:
        self.wire = wire
        self.from_start = from_start
        self.reader = reader
        self.knows_ends = knows_ends
        self.offsets = [0, 0]

    def say(self, side: Side, data: bytes, offset: int | None = None) -> Told:
        offset = self.offsets[side] if offset is None else offset
        self.offsets[side] = offset + len(data)
        key = reverse(KEY) if side else KEY
        is_client = side is CLIENT if self.knows_ends else None
        chunk = PlainChunk(self.wire.now, key, offset, data, self.from_start, is_client, self.reader)
        self.wire._take(self.wire.sniffer.feed_plain([chunk]))
        return self

    def client(self, data: bytes) -> Told:
        return self.say(CLIENT, data)

    def server(self, data: bytes) -> Told:
        return self.say(SERVER, data)


def summaries(wire: Watched) -> list[tuple[str, str]]:
    return [(entry.summary, entry.status) for entry in wire.entries]


def test_a_connection_without_packets_is_read_from_what_is_told() -> None:
    wire = Watched(shaken=False)
    told = Told(wire).client(GET).server(OK)
    assert wire.entries == []  # its packets may still come
    wire.wait(1)
    told.client(get("/2")).server(OK)
    wire.close()
    assert summaries(wire) == [("GET /", "200"), ("GET /2", "200")]
    entry = wire.entries[0].to_dict()
    assert entry["capture_source"] == "ebpf_tls"
    assert entry["tls"]["key_source"] == "plaintext"
    assert (entry["src"]["port"], entry["dst"]["port"]) == (51000, 80)
    assert wire.entries[0].faults == ()


def test_both_ends_in_one_machine_tell_the_same_once() -> None:
    wire = Watched(shaken=False)
    client, server = Told(wire, reader=1), Told(wire, reader=2)
    for n in range(3):
        for told in (client, server):
            told.client(get(f"/{n}"))
        for told in (server, client):
            told.server(OK)
        wire.wait(1)
    wire.close()
    assert summaries(wire) == [(f"GET /{n}", "200") for n in range(3)]
    assert wire.ledger.plain_duplicate_bytes == wire.ledger.plain_delivered


def test_what_could_not_be_read_is_a_gap_and_no_corruption() -> None:
    wire = Watched(shaken=False)
    told = Told(wire).client(GET).server(ok("x" * 5000)[:1000])
    told.offsets[SERVER] += 3000
    told.server(ok("x" * 5000)[4000:]).client(get("/2")).server(OK)
    wire.wait(1).close()
    assert [(entry.summary, "gap" in kinds(entry)) for entry in wire.entries] == [("GET /", True), ("GET /2", False)]
    assert wire.ledger.gap_bytes == 3000


def test_what_is_told_again_counts_as_such() -> None:
    wire = Watched(shaken=False)
    told = Told(wire).client(GET).say(CLIENT, GET, 0).say(CLIENT, GET[10:] + get("/2"), 10).server(OK + OK)
    wire.wait(1).close()
    assert summaries(wire) == [("GET /", "200"), ("GET /2", "200")]
    assert wire.ledger.plain_duplicate_bytes == 2 * len(GET) - 10
    assert told.offsets[CLIENT] == len(GET) + len(get("/2"))


def test_who_the_client_is_is_found_from_what_they_say() -> None:
    wire = Watched(shaken=False)
    Told(wire, knows_ends=False, from_start=False).server(OK).client(GET).server(OK)
    wire.wait(1).close()
    assert {(entry.src.port, entry.dst.port) for entry in wire.entries} == {(51000, 80)}


def test_packets_that_are_decrypted_need_nobody_to_tell() -> None:
    wire = greeted(Watched(Sniffer(secrets=Secrets(Later(key())))))
    told = Told(wire).client(GET)
    wire.client(record(GET))
    told.server(OK)
    wire.server(record(OK)).bye().close()
    assert carried(wire) == [("http", "GET /", "200")]
    assert wire.ledger.plain_duplicate_bytes == len(GET) + len(OK)


def test_packets_without_keys_are_told_by_the_process_in_the_same_conversation() -> None:
    wire = greeted(Watched())
    told = Told(wire).client(GET)
    wire.client(record(GET))
    told.server(OK)
    wire.server(record(OK)).bye().close()
    assert wire.protocols == ["veilx", "http"]
    handshake, call = wire.entries
    assert handshake.stream == call.stream
    assert handshake.id != call.id
    assert (handshake.capture_source, call.capture_source) == ("file", "ebpf_tls")
    assert call.tls.sni == "abcd"


def test_a_connection_joined_in_the_middle_is_told() -> None:
    wire = Watched(shaken=False).client(record(GET)).wait(3)
    told = Told(wire, from_start=False)
    for n in range(3):
        told.client(get(f"/{n}"))
        wire.client(record(get(f"/{n}"))).server(record(OK))
        told.server(OK)
    wire.wait(3).close()
    assert [entry.summary for entry in wire.entries if entry.tls] == ["GET /0", "GET /1", "GET /2"]
    assert len({entry.stream for entry in wire.entries}) == 1


def test_keys_that_come_behind_what_was_told_read_nothing_twice() -> None:
    source = Later()
    wire = greeted(Watched(Sniffer(secrets=Secrets(source))))
    told = Told(wire).client(GET)
    wire.client(record(GET)).wait(3)
    source.coming.append(key())
    wire.wait(1)
    told.server(OK)
    wire.server(record(OK)).bye().close()
    assert [entry.summary for entry in wire.entries if entry.tls] == ["GET /"]
    assert wire.ledger.undecoded == {}


def test_packets_that_come_late_read_nothing_twice() -> None:
    wire = Watched(Sniffer(secrets=Secrets(Later(key()))), shaken=False)
    told = Told(wire).client(GET).server(OK)
    wire.wait(1).see(*wire.handshake())
    greeted(wire)
    told.client(get("/2")).server(OK)
    wire.client(record(get("/2"))).server(record(OK)).bye().close()
    assert sorted(entry.summary for entry in wire.entries if entry.tls) == ["GET /", "GET /2"]


def test_a_process_that_closes_ends_a_body() -> None:
    wire = Watched(shaken=False)
    told = Told(wire).client(GET).server(b"HTTP/1.0 200 OK\r\n\r\nall")
    wire.wait(1)
    assert wire.entries == []
    told.server(b"").client(b"")
    assert [(entry.response.body.text, kinds(entry)) for entry in wire.entries] == [("all", [])]


def test_what_is_told_behind_the_end_of_its_packets_is_of_their_connection() -> None:
    wire = greeted(Watched()).client(record(GET)).server(record(OK)).bye()
    Told(wire).client(GET).server(OK).client(b"").server(b"")
    wire.wait(3).close()
    assert wire.protocols == ["veilx", "http"]
    assert len({entry.stream for entry in wire.entries}) == 1
    assert kinds(wire.entries[1]) == []


def test_what_is_told_behind_the_end_of_packets_that_were_decrypted_is_not_read_again() -> None:
    wire = greeted(Watched(Sniffer(secrets=Secrets(Later(key()))))).client(record(GET)).server(record(OK)).bye()
    Told(wire).client(GET).server(OK).client(b"").server(b"")
    wire.wait(3).close()
    assert wire.protocols == ["veilx", "http"]
    assert wire.ledger.plain_duplicate_bytes == len(GET) + len(OK)


def test_another_connection_of_the_same_ends_is_another_one() -> None:
    wire = Watched(shaken=False)
    Told(wire).client(GET).server(OK)
    wire.wait(1)
    Told(wire).client(b"").server(b"")
    Told(wire, reader=2).client(get("/2")).server(OK)
    wire.wait(1).close()
    assert summaries(wire) == [("GET /", "200"), ("GET /2", "200")]
    assert len({entry.id for entry in wire.entries}) == 2


def test_what_is_told_of_the_same_connection_is_given_up_after_a_while() -> None:
    wire = Watched(shaken=False)
    Told(wire).client(GET)
    wire.wait(400)
    assert summaries(wire) == [("GET /", "")]
    assert wire.ledger.waiting == 0


@pytest.mark.parametrize("offset", [-1, 1 << 61, 1 << 200])
def test_a_count_that_cannot_be_is_not_followed(offset: int) -> None:
    wire = Watched(shaken=False)
    Told(wire).client(GET).say(CLIENT, b"x" * 9, offset)
    wire.wait(1).close()
    assert wire.ledger.plain_duplicate_bytes == 9
    assert wire.ledger.gap_bytes == 0


def test_what_waits_for_its_packets_is_bounded() -> None:
    wire = greeted(Watched(Sniffer(secrets=Secrets(Later()))))
    wire.client(record(GET))
    told = Told(wire)
    for _ in range(40):
        told.client(b"x" * 60_000)
    assert wire.ledger.plain_held_bytes <= 1 << 20
    wire.wait(2 * SECOND // SECOND).close()
    assert wire.ledger.plain_held_bytes == 0


def test_an_end_that_is_told_before_its_last_bytes_loses_none() -> None:
    wire = Watched(shaken=False)
    told = Told(wire).client(GET)
    told.say(CLIENT, b"").say(SERVER, b"", len(OK)).say(SERVER, OK, 0)
    wire.wait(1).close()
    assert summaries(wire) == [("GET /", "200")]
    assert (wire.ledger.gap_bytes, wire.ledger.plain_duplicate_bytes) == (0, 0)


def test_bytes_that_are_told_after_the_end_are_counted_as_such() -> None:
    wire = greeted(Watched()).client(record(GET)).server(record(OK))
    Told(wire).client(GET).server(OK).client(b"").server(b"").server(OK)
    wire.close()
    assert wire.ledger.undecoded["told after the end"] == len(OK)


def test_an_end_behind_a_loss_is_a_gap() -> None:
    wire = Watched(shaken=False)
    Told(wire).client(GET).say(SERVER, OK[:-2]).say(SERVER, b"", len(OK))
    wire.wait(1).close()
    assert wire.ledger.gap_bytes == 2


def test_where_a_capture_filter_is_on_only_its_connections_are_told() -> None:
    wire = greeted(Watched(Sniffer(plain_alone=False)))
    Told(wire).client(GET).server(OK)
    other = Watched(wire.sniffer, shaken=False, sport=1)
    for n in range(3):
        chunk = PlainChunk(wire.now, KEY[:8] + b"\0\1\0\2", n * len(GET), GET, True, True)
        wire._take(wire.sniffer.feed_plain([chunk]))
        wire.wait(1)
    wire.close()
    assert [entry.summary for entry in (*wire.entries, *other.entries) if entry.tls] == ["GET /"]
    assert wire.ledger.plain_filtered == 3 * len(GET)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_told_is_accounted_for(seed: int) -> None:
    """In any order, with losses, by several readers, beside packets with keys and without."""
    rng = random.Random(seed)
    source = Later()
    limits = rng.choice([Limits(), Limits(conversations=2, held_total=100)])
    wire = Watched(Sniffer(limits=limits, secrets=Secrets(source), plain_alone=rng.random() < 0.7), shaken=False)
    if rng.random() < 0.5:
        wire.see(*wire.handshake())
        greeted(wire)
    said = (GET, OK)
    offsets: dict[tuple[Side, int], int] = {}
    for _ in range(80):
        side, reader, port = (
            rng.choice([CLIENT, SERVER]),
            rng.choice([1, 1, 2]),
            rng.choice([51000, 51000, 51001, 51002]),
        )
        key_there = KEY[:8] + port.to_bytes(2, "big") + KEY[10:]
        data = said[side][: rng.choice([None, None, None, 10])] if rng.random() < 0.9 else b""
        offset = offsets.get((side, port), 0) + rng.choice([0, 0, 0, 0, 0, 7, -7])
        offsets[side, port] = offset + len(data)
        client = rng.choice([None, side is CLIENT])
        there = reverse(key_there) if side else key_there
        chunk = PlainChunk(wire.now, there, offset, data, rng.random() < 0.5, client, reader)
        wire._take(wire.sniffer.feed_plain([chunk]))
        wire.now += 1
        if rng.random() < 0.3:
            wire.see(wire.send(side, record(said[side])))
        if rng.random() < 0.1:
            wire.wait(rng.choice([0.1, 1, 400]))
        if rng.random() < 0.03:
            source.coming.append(key())
        if rng.random() < 0.03:
            wire.bye()
    wire.close()
    ledger = wire.ledger
    assert ledger.pending_bytes == ledger.waiting == ledger.dissector_errors == ledger.plain_held_bytes == 0
    closed = [entry.id for entry in wire.seen if entry.state == "closed"]
    assert [one for one, times in Counter(closed).items() if times > 1] == []
