"""Odd and hostile sequences of packets: each was got wrong once."""

from __future__ import annotations

from typing import Any

import pytest
from wire import Watched, Wire, kinds, summaries

from pysniff.dissector import Output
from pysniff.dissectors.http1 import Http1
from pysniff.limits import KIB, SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.packet import ACK, FIN, RST, SYN, Block
from pysniff.sniffer import Sniffer


def ask(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def closed_ids(wire: Watched) -> list[str]:
    return [entry.id for entry in wire.seen if entry.state == "closed"]


# Structures that a peer can grow


def test_filled_holes_leave_no_deadlines() -> None:
    wire = Watched().client(ask("/"))
    for _ in range(2_000):
        first, second = wire.send(SERVER, b"a"), wire.send(SERVER, b"b")
        wire.see(second._replace(time_ns=SECOND), first._replace(time_ns=SECOND))
    assert len(wire.sniffer._core.deadlines._heap) < 600


def test_what_was_shown_as_open_is_forgotten_when_it_ends() -> None:
    wire = Watched().client(ask("/always-one-open"))
    for number in range(50):
        wire.client(ask(f"/{number}")).server(ok(b"")).wait(11)
    (conversation,) = wire.sniffer._tcp.open()
    assert len(conversation._ongoing._shown) <= 2


def test_only_one_answer_waits_for_the_end_of_its_request() -> None:
    wire = Watched().client(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123")
    wire.server(*[ok(b"")] * 50)
    assert len(wire.entries) == 49
    wire.client(b"456789").bye()
    assert ("POST /", "200") in summaries(wire.entries)


@pytest.mark.parametrize(("limits", "body"), [(Limits(pipeline=3), 0), (Limits(waiting_bytes=16 * KIB), 5 * KIB)])
def test_answers_to_forgotten_requests_are_nobody_elses(limits: Limits, body: int) -> None:
    wire = Watched(Sniffer(limits=limits))
    for number in range(5):
        wire.client(b"POST /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (number, body) + bytes(body))
    for number in range(5):
        wire.server(b"HTTP/1.1 20%d OK\r\nContent-Length: 0\r\n\r\n" % number)
    wire.bye()
    assert sorted(summaries(wire.entries)) == [
        ("200 OK", "200"), ("201 OK", "201"), ("POST /0", ""), ("POST /1", ""),
        ("POST /2", "202"), ("POST /3", "203"), ("POST /4", "204"),
    ]  # fmt: skip


def test_a_lossy_download_has_one_fault() -> None:
    wire = Watched().client(ask("/")).server(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(20):
        wire.skip(SERVER, 10)
        wire.server(b"x" * 10).see(wire.packet(CLIENT)).wait(1)
    wire.bye()
    faults = wire.entries[0].response.faults
    assert [(fault.kind, fault.bytes) for fault in faults] == [("gap", 200)]


def test_an_endless_head_made_of_start_lines_is_passed_over_at_once() -> None:
    wire = Watched().client(b"GET / HTTP/1.1\r\n" * 3_900, b"GET / HTTP/1.1\r\n" * 3_900, b"\r\n", ask("/next"))
    wire.server(ok(b"")).bye()
    assert wire.ledger.dissector_errors == 0
    assert summaries(wire.entries) == [("GET /next", "200")]


# Lives of connections


def test_an_idle_connection_may_go_on() -> None:
    wire = Watched().client(ask("/before")).server(ok(b"1")).wait(400)
    wire.client(ask("/after")).server(ok(b"2")).bye()
    assert summaries(wire.entries) == [("GET /before", "200"), ("GET /after", "200")]


@pytest.mark.parametrize("flags", [FIN | ACK, RST])
def test_an_end_that_cannot_be_meant_is_ignored(flags: int) -> None:
    wire = Watched().client(ask("/1")).server(ok(b"1"))
    away = -20 if flags & FIN else 1 << 29
    wire.see(wire.packet(CLIENT, flags=flags, seq=wire.next[CLIENT] + away))
    wire.client(ask("/2")).server(ok(b"2")).bye()
    assert summaries(wire.entries) == [("GET /1", "200"), ("GET /2", "200")]


def test_a_syn_captured_behind_its_data() -> None:
    wire = Watched(shaken=False)
    syn, answer, _ = wire.handshake()
    wire.see(wire.send(CLIENT, ask("/")), syn, answer).server(ok(b"1")).bye()
    assert summaries(wire.entries) == [("GET /", "200")]


def test_connections_without_times_have_their_own_ids() -> None:
    sniffer = Sniffer()
    entries: list[Any] = []
    for start in (1_000, 900_000):
        wire = Wire(starts=(start, start))
        packets = [*wire.handshake(), wire.send(CLIENT, ask("/")), wire.send(SERVER, ok(b"1")), *wire.farewell()]
        entries += sniffer.feed([packet._replace(time_ns=0) for packet in packets])
    assert len({entry.id for entry in entries}) == 2


# Losses


def test_after_a_lost_answer_no_kind_of_request_is_mistaken() -> None:
    """Which request an answer belongs to says whether it has a body."""
    wire = Watched().client(ask("/1")).server(ok(b"1")).client(ask("/lost"))
    wire.skip(SERVER, len(ok(b"1")))
    for number in range(3):
        wire.client(ask(f"/h{number}", "HEAD")).server(ok(b"12345")[:-5])
        answer = ok(b"G" * 50)
        wire.client(ask(f"/g{number}")).server(answer[:-50], answer[-50:])
    wire.bye().wait(1)
    assert [status for _, status in summaries(wire.entries)] == ["200", "", *["200"] * 6]
    assert [len(entry.response.body.raw) for entry in wire.entries if entry.response] == [1, *[0, 50] * 3]
    assert not wire.ledger.total("undecoded")


def test_what_lies_on_both_sides_of_a_gap_is_no_request() -> None:
    wire = Watched().client(b"GE")
    wire.skip(CLIENT, 100)
    wire.server(ok(b"1")).client(b"T /forged HTTP/1.1\r\nHost: a\r\n\r\n").wait(1).bye()
    assert "GET /forged" not in [summary for summary, _ in summaries(wire.entries)]


# One id for one entry


def test_what_follows_a_failure_has_an_id_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Watched().client(ask("/")).server(ok(b"1"))

    (conversation,) = wire.sniffer._tcp.open()
    http1 = conversation._dissector
    assert isinstance(http1, Http1)

    def fail(data: bytes, at: int) -> list[Output]:
        http1.server.buffer += data  # taken, so that the ledger knows of it
        http1.server.offset += len(data)
        raise ValueError("a bug")

    monkeypatch.setattr(conversation.halves[CLIENT], "receive", fail)
    wire.client(b"unlucky")
    wire.client(b"and so on").close()
    ids = closed_ids(wire)
    assert [kinds(entry) for entry in wire.entries] == [[], ["malformed"]]
    assert len(ids) == len(set(ids)) == 2


# Runs


@pytest.mark.parametrize("flags", [ACK, FIN | ACK, RST | ACK, SYN])
def test_a_run_of_packets_with_flags_is_taken_apart(flags: int) -> None:
    wire = Wire()
    packets = [*wire.handshake(), wire.send(CLIENT, b"\0\1garbage" * 200)]
    packets += [wire.send(CLIENT, b"\7" * 900), wire.send(CLIENT, b"\7" * 900)]
    run = []
    for _ in range(8):
        run.append(wire.packet(CLIENT, b"\7" * 900, flags))
        wire.skip(CLIENT, 900)
    apart, together = Sniffer(), Sniffer()
    apart.feed(packets + run)
    together.feed(packets)
    together.feed_block(as_run(run))
    assert together.ledger.to_dict() == apart.ledger.to_dict()


def as_run(packets: list[Any]) -> Block:
    """One record for all, as from a reader that was asked for runs."""
    size = len(packets[0].data)
    times = {number * (size + 16) + 16: packet.time_ns for number, packet in enumerate(packets)}
    data = b"".join(bytes(16) + packet.data for packet in packets) + bytes(Block.PADDING)
    return Block(data, [(packets[0].time_ns, 16, -len(packets), size)], 1, header=16, time_at=lambda _, at: times[at])
