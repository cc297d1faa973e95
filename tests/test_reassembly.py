"""What TCP does to bytes on their way, in transcripts of packets: each byte leaves once, or its loss is said."""

from __future__ import annotations

from typing import Any

import pytest
from wire import Watched, kinds, summaries

from pysniff.limits import SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.packet import ACK, FIN, PSH, RST, SYN
from pysniff.sniffer import Sniffer


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


LETTERS = bytes(range(97, 123))
PAGE = LETTERS * 40  # 1,040 bytes
ANSWER = ok(PAGE)


def limited(**limits: int) -> Sniffer:
    return Sniffer(limits=Limits(**limits))


def body(wire: Watched) -> bytes:
    """Of the only response so far."""
    (entry,) = wire.entries
    raw: bytes = entry.response.body.raw
    return raw


def parts(wire: Watched, size: int = 100) -> list[Any]:
    """The answer as packets of `size` bytes, in order."""
    return [wire.send(SERVER, ANSWER[at : at + size]) for at in range(0, len(ANSWER), size)]


def begun(**limits: int) -> Watched:
    return Watched(limited(**limits)).client(get("/"))


# In and out of order


@pytest.mark.parametrize("order", ["reversed", "swapped", "last first"])
def test_out_of_order_segments_are_put_in_order(order: str) -> None:
    wire = begun()
    packets = parts(wire)
    if order == "reversed":
        packets.reverse()
    elif order == "swapped":
        packets = [packet for at in range(0, len(packets), 2) for packet in reversed(packets[at : at + 2])]
    else:
        packets = packets[-1:] + packets[:-1]
    wire.see(*packets)
    assert body(wire) == PAGE
    assert wire.entries[0].faults == ()
    assert wire.ledger.gap_bytes == 0
    assert wire.bye().close().ledger.lossless()


def test_retransmissions_are_counted_once() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:5], *packets[2:5], *packets[5:], *packets)
    assert body(wire) == PAGE
    assert wire.ledger.duplicate_bytes == 300 + len(ANSWER)
    assert wire.entries[0].faults == ()
    assert wire.ledger.conflicts == 0


def test_a_retransmission_with_other_boundaries() -> None:
    wire = begun()
    first = wire.next[SERVER]
    wire.see(*parts(wire)[:3])
    for at in (50, 250, 700):
        wire.see(wire.packet(SERVER, ANSWER[at : at + 500], PSH | ACK, seq=first + at))
    assert body(wire) == PAGE
    assert wire.ledger.conflicts == 0


def test_the_first_transmission_stands_and_the_conflict_is_flagged() -> None:
    wire = begun()
    first = wire.next[SERVER]
    wire.see(*parts(wire)[:3])
    wire.see(wire.packet(SERVER, b"!" * 50, PSH | ACK, seq=first + 250))
    wire.see(wire.packet(SERVER, ANSWER[300:], PSH | ACK, seq=first + 300))
    assert body(wire) == PAGE
    assert [(fault.kind, fault.bytes) for fault in wire.entries[0].faults] == [("overlap", 50)]
    assert wire.ledger.conflicts == 1


def test_a_segment_that_overlaps_and_goes_on() -> None:
    wire = begun()
    first = wire.next[SERVER]
    wire.see(*parts(wire)[:3])
    wire.see(wire.packet(SERVER, b"!" * 50 + ANSWER[300:], PSH | ACK, seq=first + 250))
    assert body(wire) == PAGE
    assert kinds(wire.entries[0]) == ["overlap"]


def test_the_first_of_two_waiting_transmissions_stands() -> None:
    """Both came before what is in front of them."""
    wire = begun()
    first = wire.next[SERVER]
    wire.see(wire.packet(SERVER, ANSWER[150:300], PSH | ACK, seq=first + 150))
    wire.see(wire.packet(SERVER, ANSWER[100:150] + b"!" * 50, PSH | ACK, seq=first + 100))
    wire.see(wire.packet(SERVER, ANSWER[300:], PSH | ACK, seq=first + 300))
    wire.see(wire.packet(SERVER, ANSWER[:100], PSH | ACK, seq=first))
    assert body(wire) == PAGE
    assert kinds(wire.entries[0]) == ["overlap"]


def test_sequence_numbers_wrap() -> None:
    wire = Watched(starts=((1 << 32) - 20, (1 << 32) - 500)).client(get("/")).see()
    packets = parts(wire)
    wire.see(*packets[:3], *packets[5:], *packets[2:6])
    assert body(wire) == PAGE
    assert summaries(wire.client(get("/2")).server(ok(b"2")).entries) == [("GET /", "200"), ("GET /2", "200")]
    assert wire.bye().close().ledger.lossless()


# Losses


def test_a_hole_waits_and_then_is_a_gap() -> None:
    wire = begun(hole_wait=10 * SECOND)
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:]).wait(9.9)
    assert wire.ledger.gap_bytes == 0
    assert [entry.state for entry in wire.entries] == []
    wire.wait(0.2)
    assert wire.ledger.gap_bytes == wire.ledger.gap_dissected == 100
    offset = ANSWER.index(PAGE)
    assert body(wire) == PAGE[: 400 - offset] + PAGE[500 - offset :]
    assert [(fault.kind, fault.bytes) for fault in wire.entries[0].faults] == [("gap", 100)]
    assert not wire.ledger.lossless()


def test_a_hole_that_the_receiver_acknowledged_waits_shortly() -> None:
    """The capture lost it, or sees it late: the sender will not send it again."""
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:], wire.packet(CLIENT)).wait(0.1)
    assert wire.ledger.gap_bytes == 0
    wire.wait(0.2)
    assert wire.ledger.gap_bytes == 100
    assert wire.entries[0].completeness == "gap"


def test_what_comes_late_but_in_time_fills_the_hole() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:], wire.packet(CLIENT)).wait(0.1)
    wire.see(packets[4])
    assert body(wire) == PAGE
    assert wire.wait(60).entries[0].faults == ()


def test_what_comes_after_the_gap_is_a_repetition() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:]).wait(11)
    wire.see(packets[4])
    assert wire.ledger.duplicate_bytes == 100
    assert wire.ledger.gap_bytes == 100


def test_each_hole_has_its_own_wait() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:2], packets[3]).wait(6)
    wire.see(*packets[5:]).wait(5)
    assert wire.ledger.gap_bytes == 100
    wire.wait(10)
    assert wire.ledger.gap_bytes == 200


def test_the_wait_ends_before_any_later_packet() -> None:
    """Deadlines are in packet time: no advance() is needed."""
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:])
    wire.now += 11 * SECOND
    wire.client(get("/2"))
    assert wire.ledger.gap_bytes == 100
    assert wire.entries[0].summary == "GET /"


def test_a_hole_at_the_end_of_the_capture_is_a_gap() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:]).close()
    assert wire.ledger.gap_bytes == 100
    assert wire.entries[0].completeness == "gap"


def test_a_fin_behind_a_hole_is_no_lost_byte() -> None:
    """It counts in sequence numbers, and the other side acknowledges it."""
    wire = begun()
    packets = [*parts(wire), wire.send(SERVER, flags=FIN | ACK), wire.send(CLIENT, flags=FIN | ACK)]
    wire.see(*packets[:4], *packets[5:]).close()
    assert wire.ledger.gap_bytes == 100


# Beginnings


def test_data_in_the_syn() -> None:
    """RFC 7413."""
    wire = Watched(shaken=False)
    wire.see(wire.send(CLIENT, get("/"), SYN), wire.send(SERVER, b"", SYN | ACK))
    wire.server(ok(b"fast")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200")]
    assert wire.ledger.lossless()


def test_data_in_a_syn_that_the_server_did_not_take_is_sent_again() -> None:
    wire = Watched(shaken=False)
    wire.see(wire.send(CLIENT, get("/"), SYN), wire.send(SERVER, b"", SYN | ACK))
    wire.see(wire.packet(CLIENT, get("/"), PSH | ACK, seq=1001)).server(ok(b"fast")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200")]
    assert wire.ledger.duplicate_bytes == len(get("/"))


def test_a_syn_is_sent_again() -> None:
    wire = Watched(shaken=False)
    syn = wire.send(CLIENT, flags=SYN)
    wire.see(syn, syn, wire.send(SERVER, flags=SYN | ACK), wire.packet(SERVER, flags=SYN | ACK, seq=5000))
    wire.client(get("/")).see(wire.packet(SERVER, flags=SYN | ACK, seq=5000)).server(ok(b"x")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200")]
    assert wire.ledger.conversations == 1


def test_half_open_connections_are_counted_and_forgotten() -> None:
    sniffer = limited(half_open=10)
    for port in range(30):
        wire = Watched(sniffer, shaken=False, sport=2000 + port)
        wire.see(wire.send(CLIENT, flags=SYN))
    ledger = sniffer.ledger
    assert (ledger.half_open, ledger.half_open_evicted, ledger.half_open_waiting) == (30, 20, 10)
    assert sniffer.advance(400 * SECOND) == []
    assert (sniffer.ledger.half_open_expired, sniffer.ledger.half_open_waiting) == (10, 0)
    assert sniffer.ledger.conversations == 0


def test_a_refused_connection_is_no_conversation() -> None:
    wire = Watched(shaken=False)
    wire.see(wire.send(CLIENT, flags=SYN), wire.packet(SERVER, flags=RST | ACK)).close()
    assert wire.entries == []
    assert (wire.ledger.half_open_used, wire.ledger.half_open_waiting) == (1, 0)


def test_only_the_client_was_captured() -> None:
    wire = Watched(shaken=False)
    wire.see(wire.send(CLIENT, flags=SYN)).client(get("/1"), get("/2")).close()
    assert summaries(wire.entries) == [("GET /1", ""), ("GET /2", "")]
    assert [kinds(entry) for entry in wire.entries] == [["unanswered"], ["unanswered"]]


def test_only_the_server_was_captured() -> None:
    wire = Watched(shaken=False)
    wire.see(wire.send(SERVER, flags=SYN | ACK)).server(ok(b"1"), ok(b"2")).close()
    assert [entry.response.body.raw for entry in wire.entries] == [b"1", b"2"]
    assert all("unrequested" in kinds(entry) for entry in wire.entries)
    assert all(entry.dst.port == 80 for entry in wire.entries)


def test_joined_in_the_middle_the_first_packet_need_not_be_the_first_byte() -> None:
    wire = Watched(shaken=False)
    head, tail = wire.send(CLIENT, get("/")[:10]), wire.send(CLIENT, get("/")[10:])
    wire.see(tail, head).wait(1)
    wire.server(ok(b"x")).wait(1).close()
    assert summaries(wire.entries) == [("GET /", "200")]
    assert wire.ledger.gap_bytes == 0


# Probes


def test_keep_alive_probes_mean_nothing() -> None:
    """RFC 9293 §3.8.4: one old byte, or none; its content may be garbage."""
    wire = begun()
    wire.see(wire.packet(CLIENT, b"\0", seq=wire.next[CLIENT] - 1), wire.packet(CLIENT, seq=wire.next[CLIENT] - 1))
    wire.server(ok(b"1")).see(wire.packet(SERVER, b"\0", seq=wire.next[SERVER] - 1))
    wire.client(get("/2")).server(ok(b"2")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200"), ("GET /2", "200")]
    assert [entry.faults for entry in wire.entries] == [(), ()]
    assert wire.ledger.conflicts == 0


def test_a_zero_window_probe_brings_a_byte_that_comes_again() -> None:
    """RFC 9293 §3.8.6.1."""
    wire = begun()
    first = wire.next[SERVER]
    wire.see(*parts(wire)[:3], wire.packet(SERVER, ANSWER[300:301], seq=first + 300))
    wire.see(wire.packet(SERVER, ANSWER[300:], PSH | ACK, seq=first + 300))
    assert body(wire) == PAGE
    assert wire.entries[0].faults == ()


# Ends


def test_fin_with_data() -> None:
    wire = begun().see()
    wire.see(wire.send(SERVER, b"HTTP/1.0 200 OK\r\n\r\nbye", PSH | FIN | ACK))
    assert body(wire) == b"bye"
    assert wire.entries[0].faults == ()


def test_fin_before_the_data_in_front_of_it() -> None:
    wire = begun()
    data, fin = wire.send(SERVER, b"HTTP/1.0 200 OK\r\n\r\nbye"), wire.send(SERVER, flags=FIN | ACK)
    wire.see(fin)
    assert wire.entries == []
    wire.see(data)
    assert body(wire) == b"bye"
    assert wire.entries[0].faults == ()


def test_fin_that_is_sent_again() -> None:
    wire = begun().server(ok(b"x"))
    fins = wire.send(CLIENT, flags=FIN | ACK), wire.send(SERVER, flags=FIN | ACK)
    wire.see(*fins, *fins, wire.packet(CLIENT), *fins).close()
    assert summaries(wire.entries) == [("GET /", "200")]
    assert wire.ledger.ended == {"finished": 1}
    assert wire.ledger.discarded == {}


def test_a_half_closed_connection_still_answers() -> None:
    """RFC 9293 §3.6: a client may end its half and wait."""
    wire = begun().see()
    wire.see(wire.send(CLIENT, flags=FIN | ACK)).wait(5)
    wire.server(b"HTTP/1.1 200 OK\r\n\r\nall ", b"of it").see(wire.send(SERVER, flags=FIN | ACK)).close()
    assert body(wire) == b"all of it"


def test_reset_ends_both_halves() -> None:
    wire = begun().server(ok(b"0123456789")[:-4]).reset()
    assert (body(wire), wire.entries[0].completeness) == (b"012345", "truncated")
    assert wire.ledger.ended == {"reset": 1}


def test_reset_delivers_what_waits() -> None:
    wire = begun()
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:]).reset(SERVER)
    assert wire.entries[0].completeness == "gap"
    assert wire.ledger.gap_bytes == 100


def test_late_segments_open_nothing() -> None:
    wire = begun().server(ok(b"x")).bye()
    wire.see(wire.packet(SERVER, ok(b"x"), PSH | ACK, seq=5001), wire.packet(SERVER, b"new")).wait(1).close()
    assert len(wire.entries) == 1
    assert wire.ledger.duplicate_bytes == len(ok(b"x"))
    assert wire.ledger.discarded == {"after the end": 3}


def test_a_port_that_is_used_again_is_another_stream() -> None:
    wire = begun().server(ok(b"1")).bye()
    wire.next[:] = [900_000, 800_000]
    wire.see(*wire.handshake()).client(get("/2")).server(ok(b"2")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200"), ("GET /2", "200")]
    assert len({entry.stream for entry in wire.entries}) == 2


def test_a_port_that_is_used_again_without_an_end() -> None:
    wire = begun()
    wire.next[:] = [900_000, 800_000]
    wire.see(*wire.handshake()).client(get("/2")).server(ok(b"2")).bye().close()
    assert summaries(wire.entries) == [("GET /", ""), ("GET /2", "200")]
    assert wire.ledger.ended == {"port reused": 1, "finished": 1}


def test_an_idle_connection_is_given_up() -> None:
    wire = begun(idle=60 * SECOND).wait(50)
    assert wire.ledger.ended == {}
    wire.wait(60)
    assert wire.ledger.ended == {"idle": 1}
    assert kinds(wire.entries[-1]) == ["unanswered"]


def test_a_connection_that_goes_on_is_not_idle() -> None:
    wire = begun(idle=60 * SECOND).server(ok(b"1"))
    for n in range(10):
        wire.wait(40).client(get(f"/{n}")).server(ok(b"x"))
    assert wire.ledger.ended == {}
    assert wire.bye().ledger.conversations == 1


# Bounds


@pytest.mark.parametrize("limits", [{"held_segments": 3}, {"held_bytes": 300}, {"held_total": 300}])
def test_what_waits_is_bounded(limits: dict[str, int]) -> None:
    wire = begun(**limits)
    packets = parts(wire)
    wire.see(*packets[:4], *packets[5:8])
    assert wire.ledger.gap_bytes == 0
    wire.see(*packets[8:10])
    assert wire.ledger.gap_bytes == 100
    assert wire.ledger.held_bytes == 0


def test_a_conversation_too_many_evicts_another() -> None:
    sniffer = limited(conversations=3)
    for port in range(5):
        Watched(sniffer, sport=2000 + port, now=port * SECOND).client(get(f"/{port}"))
    assert sniffer.ledger.ended == {"evicted": 2}
    assert sniffer.ledger.conversations_open == 3


def test_what_the_snapshot_cut_is_a_gap() -> None:
    wire = begun()
    wire.see(wire.send(SERVER, ANSWER, keep=200))
    wire.client(get("/2")).server(ok(b"2")).bye().close()
    assert [(fault.kind, fault.bytes) for fault in wire.entries[0].faults] == [("gap", len(ANSWER) - 200)]
    assert (wire.entries[1].faults, wire.entries[1].response.body.raw) == ((), b"2")
    assert wire.ledger.snapped_bytes == wire.ledger.gap_bytes == len(ANSWER) - 200


def test_what_the_snapshot_cut_is_missing_once_however_often_it_is_sent() -> None:
    wire = begun()
    cut = wire.send(SERVER, ANSWER, keep=200)
    wire.see(cut, cut)
    wire.client(get("/2")).server(ok(b"2")).bye().close()
    assert summaries(wire.entries) == [("GET /", "200"), ("GET /2", "200")]
    assert wire.ledger.gap_bytes == len(ANSWER) - 200


def test_the_snapshot_left_no_payload_at_all() -> None:
    wire = begun().server(ANSWER[:500])
    wire.see(wire.send(SERVER, ANSWER[500:600], keep=0)).server(ANSWER[600:])
    assert [(fault.kind, fault.bytes) for fault in wire.entries[0].faults] == [("gap", 100)]


def test_the_snapshot_cut_a_segment_that_ends_the_half() -> None:
    wire = begun()
    wire.see(wire.send(SERVER, ANSWER, PSH | FIN | ACK, keep=200)).see(wire.send(CLIENT, flags=FIN | ACK)).close()
    assert wire.entries[0].completeness == "gap"
    assert wire.ledger.snapped_bytes == len(ANSWER) - 200


def test_a_segment_far_outside_the_window_belongs_elsewhere() -> None:
    wire = begun()
    wire.see(wire.packet(SERVER, b"x" * 10, seq=wire.next[SERVER] + (1 << 30) + 100)).server(ok(b"1")).bye().close()
    assert wire.entries[0].faults == ()
    assert wire.ledger.discarded == {"out of window": 10}
