"""HTTP/2 of peers that mean harm, or err: bounded, accounted for, and the same however it is cut."""

from __future__ import annotations

from random import Random

import pytest
from dialogue import PLAIN, segments
from talk import Step, cut, played, records
from test_contract import calls
from test_http2 import (
    CONTINUATION,
    DATA,
    EH,
    ES,
    GOAWAY,
    HEADERS,
    OK,
    PUSH,
    RST,
    SETTINGS,
    Wire,
    flood,
    get,
    request_of,
    response_of,
    words,
)
from transcripts import H2
from transcripts import h2 as frame

import pysniff
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.limits import KIB, MIB, Limits
from pysniff.message import CLIENT, SERVER, Role


@pytest.fixture
def wire() -> Wire:
    return Wire.greeted()


def test_a_telling_field_behind_a_literal_is_found(wire: Wire) -> None:
    """nghttp2 never inserts a path: what follows it may be an index all the same."""
    wire.client(frame(HEADERS, EH | ES, 1, b"\x83\x86\x84" + b"\x5f\x10application/grpc"))
    wire.client(frame(HEADERS, EH | ES, 3, b"\x83\x86\x04\x04/a/b" + b"\xbe"))
    wire.answer(1, OK).answer(3, OK)
    request = request_of(wire.requests[1])
    assert (request.content_type, request.mentions(b"application/grpc")) == ("application/grpc", True)


def test_an_answer_behind_the_end_of_the_clients_half_is_one(wire: Wire) -> None:
    wire.ask(1, get("/1")).ask(3, get("/3"), end=False)
    wire.close(CLIENT)
    wire.answer(1, OK, b"late").answer(3, OK).answer(3, OK)
    wire.close(SERVER)
    assert [(message.role, message.key) for message in wire.messages] == [
        (Role.REQUEST, 1), (Role.REQUEST, 3), (Role.RESPONSE, 1), (Role.RESPONSE, 3)
    ]  # fmt: skip


def test_stream_0_has_no_messages(wire: Wire) -> None:
    wire.server(frame(HEADERS, EH | ES, 0, b"\x88")).client(frame(HEADERS, EH | ES, 0, b"\x82"))
    assert not wire.messages
    assert {(one.side, one.reason) for one in wire.undecoded} == {(SERVER, "of no stream"), (CLIENT, "of no stream")}


def test_trailers_need_no_end_of_the_stream_to_be_no_head(wire: Wire) -> None:
    wire.ask(1, get())
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(HEADERS, EH, 1, wire.block(SERVER, [("a", "b")])))
    wire.server(frame(DATA, ES, 1))
    response = response_of(wire.messages[1])
    assert (response.status, response.interim, response.trailers) == (200, (), (("a", "b"),))


def test_a_content_length_of_other_digits_is_none(wire: Wire) -> None:
    wire.ask(1, get("/", ("content-length", "²"), method="POST"), end=False).answer(1, OK)
    wire.server(frame(RST, 0, 1, bytes(4)))
    assert [words(message) for message in wire.messages] == [[], []]


@pytest.mark.parametrize("kind", [HEADERS, PUSH, SETTINGS, GOAWAY, CONTINUATION, 77])
@pytest.mark.parametrize("size", [16_385, 65_537, 70_000])
def test_a_frame_longer_than_is_read_is_the_same_in_pieces(kind: int, size: int) -> None:
    longer = frame(SETTINGS, 0, 0, b"\0\5\0\2\0\0")
    stream = 0 if kind in (SETTINGS, GOAWAY) else 1
    begin = b"\0\0\0\2\x82" if kind == PUSH else b"\x88"
    payload = begin + bytes([0x88]) * (size - len(begin))
    steps: list[Step] = [
        (CLIENT, H2 + longer + frame(HEADERS, EH | ES, 1, b"\x82\x86\x84")),
        (SERVER, frame(SETTINGS, 0, 0) + frame(kind, EH if stream else 0, stream, payload)),
        (SERVER, frame(HEADERS, EH | ES, 1, b"\x88")),
    ]
    assert records(played(Http2, steps)) == records(played(Http2, cut(steps, [1_460])))


def test_broken_trailers_without_end_are_one_fault(wire: Wire) -> None:
    wire.client(frame(HEADERS, EH, 1, b"\x82\x86\x84"))
    for words_ in (b"\xff\xff\xff\x00", b"\x00\x7f"):
        assert flood(wire, CLIENT, [frame(HEADERS, EH, 1, words_)] * 30_000) < 300 * KIB
    assert flood(wire, SERVER, [frame(HEADERS, EH, 1, b"\x08\x03103")] * 30_000) < 100 * KIB
    assert all(len(message.faults) < 20 for message in wire.dissector.open())


def test_bodies_of_streams_without_end_from_before_the_capture_stay_bounded() -> None:
    wire = Wire(Limits(streams=100))
    wire.gap(CLIENT, 0).gap(SERVER, 0)
    wire.server(frame(HEADERS, EH, 1, b"\x88") * 3)
    opened = [frame(DATA, 0, stream, b"x") for stream in range(3, 40_003, 2)]
    assert flood(wire, SERVER, opened[:1_000]) < 100 * KIB
    assert flood(wire, SERVER, opened[1_000:]) < 100 * KIB
    assert len(list(wire.dissector.open())) == 100


def test_what_was_not_kept_of_a_body_makes_no_room_for_another() -> None:
    """Of 100 long bodies no more than the bound is kept, though as many ended before."""
    wire = Wire.greeted(Limits(waiting_bytes=1 * MIB, body_bytes=512 * KIB))
    for streams in (range(1, 201, 2), range(201, 401, 2)):
        for stream in streams:
            wire.client(frame(HEADERS, EH, stream, b"\x83\x86\x84"), *[frame(DATA, 0, stream, bytes(16_000))] * 30)
        opened = [message for message in wire.dissector.open() if isinstance(message, Http2Message)]
        assert len(opened) == 100
        assert sum(len(message.body.raw) for message in opened) < 6 * MIB  # 32 KiB of each, the rest within the bound
        wire.client(*[frame(RST, 0, stream, b"\0\0\0\x08") for stream in streams])


@pytest.mark.parametrize("mss", [500, 1_460, 9_000])
def test_a_long_frame_at_the_beginning_of_a_capture_may_come_in_small_segments(mss: int) -> None:
    steps: list[Step] = [
        (SERVER, frame(DATA, ES, 1, bytes(16_384)) + frame(HEADERS, EH | ES, 3, b"\x88")),
        (CLIENT, frame(HEADERS, EH | ES, 5, b"\x82\x86\x84")),
        (SERVER, frame(HEADERS, EH | ES, 5, b"\x88")),
    ]

    def found(size: int) -> list[tuple[str, str, int]]:
        packets = PLAIN.packets(segments(steps, size, syn=False))
        entries = [*pysniff.Sniffer().feed(packets)]
        return [(entry.protocol, entry.status, entry.response.body.size) for entry in entries]

    assert found(mss) == found(60_000) == [("http", "", 16_384), ("http", "200", 0), ("http", "200", 0)]


def test_beginnings_of_blocks_are_not_remembered_without_bound(wire: Wire) -> None:
    random = Random(1)
    blocks = (bytes(random.choices(range(0x81, 0xBD), k=16_000)) for _ in range(40))
    assert flood(wire, CLIENT, (frame(HEADERS, EH | ES, 1, block) for block in blocks)) < 2 * MIB


def test_a_gap_takes_few_steps_however_many_streams_are_open(wire: Wire) -> None:
    for stream in range(1, 2_001, 2):
        wire.client(frame(HEADERS, EH, stream, b"\x83\x86\x84"))
    wire.gap(CLIENT, 5)
    assert calls(lambda: wire.gap(CLIENT, 5)) < 200
    shown = next(iter(wire.dissector.open()))
    assert [fault.kind for fault in shown.faults] == ["gap"]
