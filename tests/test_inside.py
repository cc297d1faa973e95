"""What is carried in another protocol is read as if it stood there alone, and lies where its carriers lie."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import stores
from veil import END, HELLO, Veil, hello, key, record, records
from wire import Watched, kinds

import pysniff.sniffer
from pysniff.cluster.summary import summary
from pysniff.dissectors import known
from pysniff.export.url import url_of
from pysniff.kfl.variables import compile
from pysniff.limits import Limits
from pysniff.message import CLIENT, SERVER
from pysniff.secrets import Secret, Secrets
from pysniff.sniffer import Sniffer
from pysniff.store.find import find_packets

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOISE = bytes(range(128, 250))


def get(path: str) -> bytes:
    return GET.replace(b"/", path.encode(), 1)


def ok(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@pytest.fixture(autouse=True)
def veiled(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {"tcp": (Veil, *known()["tcp"]), "udp": known()["udp"]}
    monkeypatch.setattr(pysniff.sniffer, "known", lambda: every)


class Later:
    """Secrets that come when a test says so."""

    name = "toy"

    def __init__(self, *secrets: Secret) -> None:
        self.coming = list(secrets)
        self.complete = False

    def take(self) -> Iterable[Secret]:
        coming, self.coming = self.coming, []
        return coming


def with_key(**wire: Any) -> Watched:
    return Watched(Sniffer(secrets=Secrets(Later(key()))), **wire)


def greeted(wire: Watched, within: str = "?") -> Watched:
    return wire.client(hello(CLIENT, within=within)).server(hello(SERVER, within=within))


def carried(wire: Watched) -> list[tuple[str, str, str]]:
    return [(entry.protocol, entry.summary, entry.status) for entry in wire.entries if entry.tls]


@pytest.mark.parametrize("within", "?h2x")
def test_what_is_carried_is_read(within: str) -> None:
    wire = greeted(with_key(), within)
    wire.client(record(GET)).server(record(OK)).client(record(get("/2"))).server(record(OK)).bye().close()
    found = [(entry.protocol, entry.summary, entry.status) for entry in wire.entries]
    if within == "2":  # what was agreed on is not what is spoken
        assert found[0][0] == "veilx"
        assert [protocol for protocol, *_ in found[1:]] != ["http", "http"]
        return
    assert found == [("veilx", "abcd read", ""), ("http", "GET /", "200"), ("http", "GET /2", "200")]
    assert [entry.faults for entry in wire.entries] == [(), (), ()]
    assert len({entry.id for entry in wire.entries}) == 3
    assert len({entry.stream for entry in wire.entries}) == 1


def test_an_entry_says_what_it_was_read_out_of() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK)).bye().close()
    handshake, call = wire.entries
    assert handshake.tls is None
    assert handshake.to_dict()["tls"] is None
    assert call.to_dict()["tls"]["version"] == "1.3"
    assert call.to_dict()["tls"]["key_source"] == "toy"
    assert "(tls)" in repr(call)
    assert (call.src.port, call.dst.port) == (51000, 80)


def test_a_message_lies_where_its_carrier_lies() -> None:
    wire = greeted(with_key())
    wire.client(record(GET[:10]), record(GET[10:])).server(record(OK)).client(record(get("/2"))).server(record(OK))
    wire.bye().close()
    first, second = (entry for entry in wire.entries if entry.tls)
    assert first.request.position == HELLO + 4
    assert second.request.position == HELLO + 7 + 10 + 7 + len(GET) - 10 + 4
    assert (first.response.position, second.response.position) == (HELLO + 4, HELLO + 7 + len(OK) + 4)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_it_does_not_matter_how_records_and_packets_are_cut(size: int) -> None:
    def told(cut: int) -> list[object]:
        wire = greeted(with_key())
        for n in range(4):
            for side, said in ((CLIENT, get(f"/{n}")), (SERVER, ok(f"{n}" * 30))):
                wire.see(*[wire.send(side, records(said, 7)[at : at + cut]) for at in range(0, 400, cut)])
        wire.bye().close()
        return [
            (entry.id, entry.protocol, entry.summary, entry.response.position, kinds(entry)) for entry in wire.entries
        ]

    assert told(size) == told(1000)


def test_bytes_inside_that_nobody_recognises_are_an_entry_of_tcp() -> None:
    wire = greeted(with_key()).client(record(NOISE), record(NOISE)).server(record(NOISE)).bye().close()
    assert carried(wire) == [("tcp", "244 bytes in 2 packets", "")]
    entry = wire.entries[-1]
    assert (entry.request.bytes, entry.response.bytes) == (244, 122)
    assert entry.request.position == HELLO + 4
    assert wire.ledger.unrecognised_bytes == 366
    assert wire.ledger.unrecognised == 1
    assert wire.ledger.conversations == 1


def test_what_lies_within_what_lies_within_is_read_up_to_a_depth() -> None:
    def deep(levels: int) -> Watched:
        wire = with_key()

        def said(side: object, data: bytes) -> None:
            for _ in range(levels):
                data = record(data)
            wire.client(data) if side is CLIENT else wire.server(data)

        for level in range(levels + 1):
            for side in (CLIENT, SERVER):
                data = hello(side) if level < levels else GET if side is CLIENT else OK
                for _ in range(level):
                    data = record(data)
                wire.client(data) if side is CLIENT else wire.server(data)
        return wire.bye().close()

    assert deep(4).protocols == ["veilx"] * 4 + ["http"]
    assert deep(5).protocols == ["veilx"] * 5 + ["tcp"]
    assert len({entry.id for entry in deep(4).entries}) == 5


def test_keys_that_come_late_are_waited_for() -> None:
    source = Later()
    wire = greeted(Watched(Sniffer(secrets=Secrets(source)))).client(record(GET)).server(record(OK))
    assert wire.entries == []
    source.coming.append(key())
    wire.wait(0.01)
    assert wire.protocols == ["veilx", "http"]
    assert wire.bye().close().ledger.conversations_open == 0


def test_news_of_one_connection_that_another_one_asked_for_is_not_missed() -> None:
    source = Later()
    sniffer = Sniffer(secrets=Secrets(source))
    waiting, other = Watched(sniffer), Watched(sniffer, sport=51001)
    greeted(waiting).client(record(GET)).server(record(OK))
    source.coming += [key(), key("efgh")]
    other.client(hello(CLIENT, "efgh")).server(hello(SERVER, "efgh")).client(record(GET))
    assert [entry.protocol for entry in (*waiting.seen, *other.seen)].count("http") == 1


def test_without_keys_there_is_the_handshake_and_nothing_is_silent() -> None:
    wire = greeted(Watched()).client(record(GET)).server(record(OK)).bye().close()
    assert [entry.summary for entry in wire.entries] == ["abcd no key"]
    assert wire.ledger.undecoded == {"encrypted, no key": len(record(GET)) + len(record(OK))}


def test_a_record_that_is_lost_is_a_gap_inside() -> None:
    wire = greeted(with_key()).client(record(GET))
    wire.skip(SERVER, len(record(OK)))
    wire.see(wire.packet(CLIENT)).wait(1).client(record(get("/2"))).server(record(OK)).see(wire.packet(CLIENT)).wait(1)
    wire.client(record(get("/3"))).server(record(OK)).bye().close()
    assert [("unanswered" in kinds(entry), entry.summary) for entry in wire.entries if entry.tls] == [
        (True, "GET /"), (False, "GET /2"), (False, "GET /3"),
    ]  # fmt: skip
    assert wire.ledger.gap_bytes == len(record(OK)) == wire.ledger.gap_dissected


def test_a_record_that_cannot_be_read_is_a_gap_inside() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(ok("lost"))[:-3] + b"bad")
    wire.client(record(get("/2"))).server(record(OK)).client(record(get("/3"))).server(record(OK)).bye().close()
    assert [entry.summary for entry in wire.entries if entry.tls and entry.response] == ["GET /2", "GET /3"]
    assert wire.ledger.gap_bytes == 0
    assert wire.ledger.undecoded == {"bad record": len(record(ok("lost")))}


@pytest.mark.parametrize("lost", range(8))
def test_no_pair_is_wrong_without_a_mark_where_a_record_is_lost_in_a_pipeline(lost: int) -> None:
    wire = greeted(with_key()).client(*(record(get(f"/{n}")) for n in range(8)))
    for n in range(8):
        if n == lost:
            wire.skip(SERVER, len(record(ok(f"{n}"))))
        else:
            wire.server(record(ok(f"{n}")))
    wire.see(wire.packet(CLIENT)).wait(1)
    for n in range(8, 12):
        wire.client(record(get(f"/{n}"))).server(record(ok(f"{n}")))
    wire.bye().close()
    whole = [entry for entry in wire.entries if entry.protocol == "http" and entry.request and entry.response]
    pairs = [(entry.request.path, "/" + entry.response.body.text) for entry in whole if not entry.faults]
    assert all(path == answer for path, answer in pairs)
    assert pairs[-1] == ("/11", "/11")


def test_a_body_that_ends_with_the_half_ends_with_what_is_carried() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(b"HTTP/1.0 200 OK\r\n\r\nall"), END)
    assert wire.entries[-1].response.body.text == "all"
    assert kinds(wire.bye().close().entries[-1]) == []


def test_a_capture_that_ends_inside_cuts_the_message() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(b"HTTP/1.0 200 OK\r\n\r\nall")).close()
    assert kinds(wire.entries[-1]) == ["truncated"]


def test_an_answer_that_lasts_is_shown_while_it_is_open_and_keeps_its_id() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK[:-2].replace(b": 2", b": 9000") + b"a" * 50))
    wire.wait(11)
    [opened] = [entry for entry in wire.seen if entry.state == "open"]
    assert opened.tls is not None
    wire.server(*[records(b"b" * 895, 1) for _ in range(10)]).bye().close()
    [closed] = [entry for entry in wire.seen if entry.tls and entry.state == "closed"]
    assert closed.id == opened.id
    assert closed.response.body.size == 9000


def test_a_message_keeps_its_place_however_many_records_come_in_it() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK))
    wire.client(record(get("/up").replace(b"GET", b"PUT").replace(b"\r\n\r\n", b"\r\nContent-Length: 6000\r\n\r\n")))
    wire.client(*[records(b"x" * 600, 1) for _ in range(10)]).server(record(OK)).bye().close()
    assert wire.entries[-1].request.position == HELLO + len(record(GET)) + 4
    assert wire.entries[-1].summary == "PUT /up"


def test_other_bytes_in_a_repetition_mark_what_is_carried() -> None:
    wire = greeted(with_key())
    sent = wire.send(CLIENT, record(GET)[:-1])
    again = wire.packet(CLIENT, b"y" * 9, seq=wire.next[CLIENT] - 9)
    wire.see(sent, again).client(b"g").server(record(OK)).bye().close()
    assert wire.ledger.conflicts == 1
    assert kinds(wire.entries[-1]) == ["overlap"]


def test_what_is_malformed_inside_stays_inside() -> None:
    bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    wire = greeted(with_key()).client(record(GET)).server(record(bad))
    wire.client(record(get("/2"))).server(record(OK)).bye().close()
    assert "GET /2" in [entry.summary for entry in wire.entries]
    assert wire.ledger.dissector_errors == 0


def test_a_carrier_that_becomes_malformed_ends_what_it_carried() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK)).client(record(get("/2")))
    wire.client(b"no record at all, and never was").server(record(OK)).bye().close()
    assert [entry.summary for entry in wire.entries if entry.tls] == ["GET /", "GET /2"]
    assert wire.ledger.waiting == 0


def test_requests_that_wait_inside_are_in_the_account() -> None:
    wire = greeted(with_key()).client(record(GET))
    assert (wire.ledger.waiting, wire.ledger.waiting_bytes) == (1, len(GET))
    wire.server(record(OK[:9]))
    assert wire.ledger.pending_bytes == 9


# Behind other words


BANNER, HELO, READY = b"220 mail ready\r\n", b"EHLO a\r\n250 STARTTLS\r\n", b"STARTTLS\r\n"


def test_what_begins_behind_the_words_of_a_protocol_that_nobody_knows_is_found() -> None:
    wire = with_key().server(BANNER).client(HELO).server(HELO).client(READY).server(BANNER)
    greeted(wire).client(record(GET)).server(record(OK)).bye().close()
    assert [(entry.protocol, entry.summary) for entry in wire.entries] == [
        ("tcp", "32 bytes in 2 packets"), ("veilx", "abcd read"), ("http", "GET /"),
    ]  # fmt: skip
    plain = wire.entries[0]
    assert (plain.request.bytes, plain.response.bytes) == (len(HELO + READY), len(BANNER + HELO + BANNER))
    assert wire.entries[2].request.position == len(HELO + READY) + HELLO + 4
    assert wire.ledger.undecoded == {}


def test_a_hello_that_is_cut_is_found_behind_other_words_too() -> None:
    wire = with_key().server(BANNER).client(READY).server(BANNER)
    wire.client(hello(CLIENT)[:3], hello(CLIENT)[3:]).server(hello(SERVER)[:7], hello(SERVER)[7:])
    wire.client(record(GET)).server(record(OK)).bye().close()
    assert wire.protocols == ["tcp", "veilx", "http"]


def test_a_hello_behind_words_that_might_have_been_something_is_found() -> None:
    """PostgreSQL's request for TLS could be the beginning of DNS."""
    wire = with_key().client(b"\0\0\0\x08\x04\xd2\x16\x2f").server(b"S")
    greeted(wire).client(record(GET)).server(record(OK)).bye().close()
    assert wire.protocols == ["tcp", "veilx", "http"]
    assert (wire.entries[0].request.bytes, wire.entries[0].response.bytes) == (8, 1)


def test_joined_in_the_middle_a_hello_is_found_behind_what_might_have_been_something() -> None:
    wire = Watched(Sniffer(secrets=Secrets(Later(key()))), shaken=False)
    wire.client(b"\0\0\0\x08\x04\xd2\x16\x2f").wait(1)
    greeted(wire).client(record(GET)).server(record(OK)).bye().close()
    assert [(entry.protocol, entry.summary) for entry in wire.entries] == [("veilx", "abcd read"), ("http", "GET /")]


def test_words_of_a_protocol_that_nobody_knows_stay_one_entry() -> None:
    wire = Watched()
    for n in range(60):
        wire.client(NOISE[: n + 1]).server(NOISE)
    wire.bye().close()
    assert [(entry.protocol, entry.request.packets, entry.response.packets) for entry in wire.entries] == [
        ("tcp", 60, 60)
    ]
    assert wire.ledger.skipped_bytes + wire.ledger.unrecognised_bytes == wire.ledger.tcp_bytes


def test_such_a_conversation_is_shown_while_it_is_open_and_what_begins_in_it_too() -> None:
    wire = with_key().server(BANNER).client(HELO).wait(11)
    assert [(entry.protocol, entry.state) for entry in wire.seen] == [("tcp", "open")]
    greeted(wire, "h").client(record(GET)).server(record(OK[:-1])).wait(30)
    assert ("http", "open") in [(entry.protocol, entry.state) for entry in wire.seen]
    wire.bye().close()
    assert len({entry.id for entry in wire.entries}) == 3
    assert all(entry.state == "closed" for entry in wire.entries)


def test_hellos_that_come_too_late_are_not_looked_for() -> None:
    wire = with_key()
    for _ in range(40):
        wire.client(NOISE).server(NOISE)
    greeted(wire).bye().close()
    assert wire.protocols == ["tcp"]


CONNECT = b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def test_a_tunnel_leads_to_what_is_carried_in_it() -> None:
    wire = greeted(with_key().client(CONNECT).server(ESTABLISHED)).client(record(GET)).server(record(OK)).bye().close()
    assert [(entry.protocol, entry.summary, bool(entry.tls)) for entry in wire.entries] == [
        ("http", "CONNECT b:443", False), ("veilx", "abcd read", False), ("http", "GET /", True),
    ]  # fmt: skip
    assert wire.entries[2].request.position == len(CONNECT) + HELLO + 4
    assert wire.entries[2].response.position == len(ESTABLISHED) + HELLO + 4


def test_a_tunnel_inside_leads_on_too() -> None:
    wire = greeted(with_key()).client(record(CONNECT)).server(record(ESTABLISHED))
    wire.client(record(hello(CLIENT))).server(record(hello(SERVER)))
    wire.client(record(record(GET))).server(record(record(OK))).bye().close()
    assert [entry.summary for entry in wire.entries] == ["abcd read", "CONNECT b:443", "abcd read", "GET /"]
    at = HELLO + len(record(CONNECT)) + len(record(hello(CLIENT))) + 4 + 4
    assert wire.entries[3].request.position == at
    assert len({entry.id for entry in wire.entries}) == 4


def test_an_upgrade_to_websocket_is_followed_inside() -> None:
    asking = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    asking += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    agreed += b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    wire = greeted(with_key()).client(record(asking)).server(record(agreed + b"\x81\x02hi")).bye().close()
    assert [(entry.protocol, bool(entry.tls)) for entry in wire.entries] == [
        ("veilx", False), ("http", True), ("ws", True),
    ]  # fmt: skip
    assert wire.entries[2].response.text == "hi"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_is_accounted_for(seed: int) -> None:
    """Records of everything, cut, lost, repeated and changed, with keys that come at any time, or never."""
    rng = random.Random(seed)
    source = Later()
    wire = Watched(Sniffer(limits=rng.choice([Limits(), Limits(detect_chunks=5, pipeline=2)]), secrets=Secrets(source)))
    said = ((GET, hello(CLIENT), CONNECT, NOISE, BANNER), (OK, hello(SERVER), ESTABLISHED, NOISE, OK[:30]))
    if rng.random() < 0.8:
        greeted(wire)
    for _ in range(60):
        side = rng.choice([CLIENT, SERVER])
        data = rng.choice(said[side])
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 7])):
            data = records(data, rng.choice([5, 1000]))
        data = rng.choice([data, data, data, data[: rng.randrange(len(data))], bytes(reversed(data))])
        packet = wire.send(side, data)
        if rng.random() < 0.95:
            wire.see(*[packet] * rng.choice([1, 1, 1, 2]))
        if rng.random() < 0.1:
            wire.wait(rng.choice([0.1, 1, 20]))
        if rng.random() < 0.05:
            source.coming.append(key())
            source.complete = rng.random() < 0.5
    if rng.random() < 0.5:
        wire.bye()
    wire.close()
    assert wire.ledger.pending_bytes == wire.ledger.waiting == wire.ledger.dissector_errors == 0
    closed = [entry.id for entry in wire.seen if entry.state == "closed"]
    assert len(closed) == len(set(closed))


# What is made of it


def test_what_was_read_out_of_tls_has_the_scheme_of_https() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK)).client(record(get("/2"))).bye().close()
    assert [url_of(entry) for entry in wire.entries if entry.tls] == ["https://a/", "https://a/2"]
    plain = Watched().client(GET).server(OK).bye().close()
    assert url_of(plain.entries[0]) == "http://a/"


def test_a_filter_tells_what_was_read_out_of_tls() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK)).bye().close()
    handshake, call = wire.entries
    for text in ("tls && http", 'tls_version == "1.3"', 'tls_summary.contains("abcd")', 'tls_info == "key: toy"'):
        assert compile(text).matches(call), text
        assert not compile(text).matches(handshake), text
    assert compile(f"tls_request_size == {len(GET)} && tls_total_size == {len(GET) + len(OK)}").matches(call)


def test_a_summary_says_it_too() -> None:
    wire = greeted(with_key()).client(record(GET)).server(record(OK)).bye().close()
    assert [(told["tls"] or {}).get("sni") for told in map(summary, wire.entries)] == [None, "abcd"]


def test_packets_of_a_call_are_those_of_its_records(corpus: Path, tmp_path: Path) -> None:
    capture = corpus / "public/pcap/pcap2har/http2-dump.pcap"
    stores.recorded(tmp_path / "store", stores.blocks_of(capture), secrets=stores.secrets_of(capture))
    calls = [entry for entry in stores.asked(tmp_path / "store") if entry.tls]
    assert len(calls) == 8
    for call in calls:
        times = [packet.time_ns for packet in find_packets(tmp_path / "store", call.id)]
        assert (times[0], times[-1]) == (call.time_ns, call.completed_ns)
