"""HTTP/2 as transcripts: what each half sent, and the calls that come of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from random import Random

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Step, Talk, cut, in_bytes, played
from transcripts import H2, ws
from transcripts import h2 as frame

from pysniff.dissector import Context, Match, Output
from pysniff.dissectors.http1 import Http1
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.http2_messages import Http2Message, Http2Request, Http2Response
from pysniff.limits import KIB, MIB, Limits
from pysniff.message import CLIENT, SERVER, Message, Role

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ES, EH, PADDED, PRIO = 1, 4, 8, 32
Lines = list[tuple[str, str]]
OK: Lines = [(":status", "200")]


def get(path: str = "/", *more: tuple[str, str], method: str = "GET") -> Lines:
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "shop"), *more]


class Wire(Talk):
    """Both ends write frames; header blocks are coded by the hpack package."""

    def __init__(self, limits: Limits | None = None, context: Context | None = None) -> None:
        super().__init__(Http2(limits) if limits else Http2(), context)
        self.coders = (Encoder(), Encoder())

    @classmethod
    def greeted(cls, limits: Limits | None = None) -> Wire:
        wire = cls(limits)
        wire.client(H2)
        wire.server(frame(SETTINGS, 0, 0))
        return wire

    def block(self, side: int, lines: Iterable[tuple[str, str]]) -> bytes:
        return bytes(self.coders[side].encode(lines))

    def ask(self, stream: int, lines: Lines, end: bool = True) -> Wire:
        self.client(frame(HEADERS, EH | end, stream, self.block(CLIENT, lines)))
        return self

    def answer(self, stream: int, lines: Lines, body: bytes | None = None) -> Wire:
        self.server(frame(HEADERS, EH | (body is None), stream, self.block(SERVER, lines)))
        if body is not None:
            self.server(frame(DATA, ES, stream, body))
        return self

    def said(self, at: int = -1) -> Http2Message:
        message = self.messages[at]
        assert isinstance(message, Http2Message)
        return message


@pytest.fixture
def wire() -> Wire:
    return Wire.greeted()


def request_of(message: Message) -> Http2Request:
    assert isinstance(message, Http2Request)
    return message


def response_of(message: Message) -> Http2Response:
    assert isinstance(message, Http2Response)
    return message


def words(message: Message) -> list[str]:
    return [f"{fault.kind}: {fault.message}" for fault in message.faults]


# What a call is


def test_a_call(wire: Wire) -> None:
    wire.ask(1, get("/cart?id=7", ("accept", "*/*"))).answer(1, [*OK, ("content-type", "text/plain")], b"three things")
    request, response = request_of(wire.messages[0]), response_of(wire.messages[1])
    assert (request.method, request.url, request.path, request.host) == ("GET", "/cart?id=7", "/cart", "shop")
    assert (request.version, request.stream_id, request.headers) == ("2", 1, (("accept", "*/*"),))
    assert (response.status, response.reason, response.body.text) == (200, "", "three things")
    assert response.headers == (("content-type", "text/plain"),)
    record = request.to_dict(MIB)
    assert (record["host"], record["query"], record["stream_id"]) == ("shop", [["id", "7"]], 1)


def test_host_field_where_there_is_no_authority(wire: Wire) -> None:
    wire.ask(1, [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "old")]).answer(1, OK)
    assert wire.said(0).to_dict(0)["host"] == "old"


def test_crumbs_of_a_cookie_are_one(wire: Wire) -> None:
    wire.ask(1, get("/", ("cookie", "a=1"), ("cookie", "b=2"))).answer(1, OK)
    assert request_of(wire.messages[0]).cookies == (("a", "1"), ("b", "2"))


def test_size_is_what_the_wire_had_and_the_head_as_it_was_coded(wire: Wire) -> None:
    block = wire.block(CLIENT, get())
    wire.client(frame(HEADERS, EH | PADDED, 1, b"\x05" + block + bytes(5)), frame(DATA, ES | PADDED, 1, b"\2ab\0\0"))
    wire.answer(1, OK)
    request = wire.said(0)
    assert request.size == 9 + 1 + len(block) + 5 + 9 + 5
    assert request.headers_size == len(block)
    assert request.body.raw == b"ab"


def test_streams_in_each_other_are_paired_by_their_number(wire: Wire) -> None:
    wire.ask(1, get("/slow")).ask(3, get("/fast")).answer(3, OK, b"fast")
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(DATA, 0, 1, b"sl"))
    wire.ask(5, get("/more")).answer(5, OK)
    wire.server(frame(DATA, ES, 1, b"ow"))
    assert [message.key for message in wire.messages] == [3, 3, 5, 5, 1, 1]
    assert wire.said().body.raw == b"slow"


def test_trailers_of_both(wire: Wire) -> None:
    wire.client(frame(HEADERS, EH, 1, wire.block(CLIENT, get())), frame(DATA, 0, 1, b"x"))
    wire.client(frame(HEADERS, EH | ES, 1, wire.block(CLIENT, [("sum", "1")])))
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(DATA, 0, 1, b"y"))
    wire.server(frame(HEADERS, EH | ES, 1, wire.block(SERVER, [("grpc-status", "0")])))
    assert [message.trailers for message in (wire.said(0), wire.said(1))] == [(("sum", "1"),), (("grpc-status", "0"),)]


@pytest.mark.parametrize("body", [b"done", None])
def test_interim_answers(wire: Wire, body: bytes | None) -> None:
    wire.ask(1, get())
    for status in ("100", "103"):
        wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, [(":status", status), ("link", status)])))
    wire.answer(1, [(":status", "204" if body is None else "200")], body)
    response = response_of(wire.messages[1])
    assert [one.status for one in response.interim] == [100, 103]
    assert response.status == (204 if body is None else 200)
    assert response.to_dict(0)["interim"][1]["headers"] == [["link", "103"]]


def test_a_head_right_behind_a_block_without_end_is_whole(wire: Wire) -> None:
    first, second = wire.block(CLIENT, get("/1")), b"\x82\x86\x84"
    wire.client(frame(HEADERS, ES, 1, first) + frame(HEADERS, EH | ES, 3, second))
    wire.answer(1, OK).answer(3, OK)
    assert words(wire.requests[0]) == ["malformed: a header block without end"]
    assert (wire.requests[1].summary, wire.requests[1].faults) == ("GET /", ())


def test_blocks_in_continuation_frames(wire: Wire) -> None:
    block = wire.block(CLIENT, get("/long", *[(f"x-{n}", str(n) * 40) for n in range(30)]))
    pieces = [block[at : at + 100] for at in range(0, len(block), 100)]
    wire.client(frame(HEADERS, ES, 1, pieces[0]))
    for piece in pieces[1:-1]:
        wire.client(frame(CONTINUATION, 0, 1, piece))
    wire.client(frame(CONTINUATION, EH, 1, pieces[-1])).close()
    assert len(wire.said(0).headers) == 30


def test_an_answer_to_what_is_still_being_sent_waits_for_it(wire: Wire) -> None:
    wire.ask(1, get(method="POST"), end=False).answer(1, [(":status", "413")], b"no")
    assert not wire.messages
    wire.client(frame(DATA, ES, 1, b"rest"))
    assert [message.role for message in wire.messages] == [Role.REQUEST, Role.RESPONSE]


def test_tables_are_resized_by_both(wire: Wire) -> None:
    wire.server(frame(SETTINGS, 0, 0, b"\0\1\0\0\x40\0"))
    for number, size in enumerate((16384, 0, 100, 4096)):
        for coder in wire.coders:
            coder.header_table_size = min(size, 4096) if coder is wire.coders[1] else size
        stream = 2 * number + 1
        wire.ask(stream, get("/same", ("x", "y" * 30))).answer(stream, [*OK, ("x", "z" * 30)], b"")
    assert {message.headers for message in wire.messages[::2] if isinstance(message, Http2Message)} == {
        (("x", "y" * 30),)
    }
    assert not any(message.faults for message in wire.messages)


# What the server begins, and what ends early


def test_pushed_requests_are_the_servers(wire: Wire) -> None:
    wire.ask(1, get("/page"))
    wire.server(frame(PUSH, EH, 1, b"\0\0\0\2" + wire.block(SERVER, get("/style.css"))))
    wire.answer(1, OK, b"page").answer(2, OK, b"style")
    pushed = [message for message in wire.messages if message.key == 2]
    assert [(message.side, message.role) for message in pushed] == [(SERVER, Role.REQUEST), (SERVER, Role.RESPONSE)]
    assert pushed[0].summary == "GET /style.css"


def test_a_reset_before_the_answer_leaves_a_request_alone(wire: Wire) -> None:
    wire.ask(1, get("/slow"))
    wire.client(frame(RST, 0, 1, b"\0\0\0\x08"))
    assert [message.hopeless for message in wire.messages] == ["the client reset the stream: CANCEL"]
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(DATA, ES, 1, b"late"))
    wire.ask(3, get("/next")).answer(3, OK)
    assert [message.key for message in wire.messages] == [1, 3, 3]
    assert not wire.undecoded


def test_a_reset_within_the_answer_cuts_it(wire: Wire) -> None:
    wire.ask(1, get())
    wire.server(
        frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(DATA, 0, 1, b"so "), frame(RST, 0, 1, bytes(3) + b"\2")
    )
    assert words(wire.messages[1]) == ["truncated: the server reset the stream: INTERNAL_ERROR"]
    assert wire.said().body.raw == b"so "


def test_an_answer_that_needs_no_more_of_its_request_is_whole(wire: Wire) -> None:
    """RFC 9113 §8.1: NO_ERROR after a complete response."""
    wire.ask(1, get(method="POST"), end=False).answer(1, OK, b"enough")
    wire.server(frame(RST, 0, 1, bytes(4)))
    assert [words(message) for message in wire.messages] == [[], []]
    wire.ask(3, get("/", ("content-length", "9"), method="POST"), end=False).answer(3, OK, b"enough")
    wire.server(frame(RST, 0, 3, bytes(4)))
    assert words(wire.messages[2]) == ["truncated: the server reset the stream: NO_ERROR"]


def test_what_a_leaving_server_never_looked_at(wire: Wire) -> None:
    wire.ask(1, get("/1")).ask(3, get("/3"))
    wire.server(frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\x0bbusy"))
    assert wire.messages[0].hopeless == "the server left before it looked at the stream: ENHANCE_YOUR_CALM"
    wire.answer(1, OK)
    assert [message.key for message in wire.messages] == [3, 1, 1]


def test_what_is_open_when_the_connection_ends(wire: Wire) -> None:
    wire.ask(1, get("/1")).ask(3, get("/3"))
    wire.server(frame(HEADERS, EH, 3, wire.block(SERVER, OK)), frame(DATA, 0, 3, b"be"))
    wire.close()
    assert {message.key: words(message) for message in wire.responses} == {
        3: ["truncated: the connection ended within this message"]
    }
    assert [message.key for message in wire.requests] == [1, 3]


def test_open_shows_copies_of_what_has_begun(wire: Wire) -> None:
    wire.ask(1, get("/watch"))
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)), frame(DATA, 0, 1, b"one"))
    request, response = wire.dissector.open()
    wire.server(frame(DATA, 0, 1, b"two"))
    assert (request.key, response_of(response).body.raw, response.key) == (1, b"one", 1)
    assert response.size < list(wire.dissector.open())[1].size


def test_connect_has_the_tunnel_as_bodies(wire: Wire) -> None:
    wire.ask(1, [(":method", "CONNECT"), (":authority", "db:6379")], end=False)
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)))
    wire.client(frame(DATA, 0, 1, b"PING"), frame(DATA, ES, 1)).server(frame(DATA, ES, 1, b"PONG"))
    request = request_of(wire.messages[0])
    assert (request.summary, request.path, request.host) == ("CONNECT db:6379", "", "db:6379")
    assert (request.body.raw, wire.said().body.raw) == (b"PING", b"PONG")


def test_extended_connect_says_what_it_begins(wire: Wire) -> None:
    lines = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "http"),
        (":path", "/u"),
        (":authority", "a"),
    ]
    wire.ask(1, lines, end=False).answer(1, OK, b"")
    wire.client(frame(DATA, ES, 1))
    request = request_of(wire.messages[0])
    assert (request.connect_protocol, request.path, request.headers) == ("connect-udp", "/u", ())


def test_a_websocket_in_a_stream(wire: Wire) -> None:
    """RFC 8441: the exchange is over when it begins, as with HTTP/1; its messages lie where their bytes lie."""
    wire.ask(1, [*get("/chat", method="CONNECT"), (":protocol", "websocket")], end=False)
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, OK)))
    assert [message.role for message in wire.messages] == [Role.REQUEST, Role.RESPONSE]
    hello = ws(0x81, b"hello", b"mask")
    wire.client(
        frame(DATA, 0, 1, hello[:4]), frame(PING, 0, 0, bytes(8)), frame(DATA, PADDED, 1, b"\2" + hello[4:] + b"\0\0")
    )
    wire.server(frame(DATA, ES, 1, ws(0x81, b"hi") + ws(0x88, b"\x03\xe8")))
    said = [(message.side, message.protocol, message.position, message.size) for message in wire.alone]
    begin = wire.messages[0].position + wire.messages[0].size + 9
    assert said[0] == (CLIENT, "ws", begin, len(hello))
    assert [message.summary for message in wire.alone][1:] and len(said) == 3
    wire.close()
    assert not wire.undecoded


def test_an_upgraded_request_is_that_of_stream_1() -> None:
    first = Talk(Http1())
    first.client(b"POST /up?a=1 HTTP/1.1\r\nHost: shop\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi")
    first.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
    outputs: list[Output] = []
    dissector = Http2()
    outputs += dissector.begin(Context(request=first.messages[0], response=first.messages[1]))
    coder = Encoder()
    outputs += dissector.feed(SERVER, frame(SETTINGS, 0, 0) + frame(HEADERS, EH | ES, 1, coder.encode(OK)), 5)
    outputs += dissector.feed(CLIENT, H2, 6)
    outputs += [*dissector.close(CLIENT, 7), *dissector.close(SERVER, 7)]
    request, response = [message for message in outputs if isinstance(message, Http2Message)]
    assert (request.size, request.position, request.key, response.key) == (0, 0, 1, 1)
    assert (request.summary, request.body.raw) == ("POST /up", b"hi")
    assert request.header("host") == "shop"
    assert [dissector.pending(side) for side in (CLIENT, SERVER)] == [0, 0]


# Against the h2 package


def dialogue(seed: int) -> tuple[list[Step], dict[int, list[object]]]:
    """A random connection of two h2 ends, and what they said by stream: method and path, bodies, trailers."""
    random = Random(seed)
    ends = [
        h2.connection.H2Connection(h2.config.H2Configuration(client_side=side is CLIENT, header_encoding="utf-8"))
        for side in (CLIENT, SERVER)
    ]
    steps: list[Step] = []
    said: dict[int, list[object]] = {}
    todo: list[tuple[int, int, int]] = []  # side, stream, frames of body left

    def pump() -> None:
        for _ in range(3):
            for side in (CLIENT, SERVER):
                if data := ends[side].data_to_send():
                    steps.append((side, data))
                    ends[side.other].receive_data(data)

    for end in ends:
        end.initiate_connection()
    pump()
    while len(said) < 12 or todo:
        if len(said) < 12 and random.random() < 0.5:
            stream = ends[0].get_next_available_stream_id()
            path = f"/{random.choice('abc')}/{random.randrange(3)}"
            said[stream] = [path, b"", b"", ()]
            ends[0].send_headers(stream, get(path, ("x", str(random.random())), method="POST"))
            todo.append((CLIENT, stream, random.randrange(1, 4)))
        elif todo:
            side, stream, left = todo.pop(random.randrange(len(todo)))
            piece = random.randbytes(random.randrange(300))
            said[stream][1 + side] = bytes(said[stream][1 + side]) + piece  # type: ignore[call-overload]
            trailers = left == 1 and random.random() < 0.5
            pad = random.choice((None, 0, 7))
            ends[side].send_data(stream, piece, end_stream=left == 1 and not trailers, pad_length=pad)
            if trailers:
                ends[side].send_headers(stream, [("sum", str(stream))], end_stream=True)
                said[stream][3] = (*said[stream][3], side)  # type: ignore[misc]
            if left > 1:
                todo.append((side, stream, left - 1))
            elif side is CLIENT:
                ends[1].send_headers(stream, [*OK, ("y", str(random.randrange(4)))])
                todo.append((SERVER, stream, random.randrange(1, 4)))
        if random.random() < 0.1:
            ends[random.randrange(2)].update_settings({1: 16384})
        pump()
    return steps, said


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_what_two_ends_of_the_h2_package_said(seed: int, sizes: list[int]) -> None:
    steps, said = dialogue(seed)
    talk = played(Http2, cut(steps, sizes))
    found: dict[int, list[object]] = {}
    for message in talk.messages:
        assert isinstance(message, Http2Message)
        assert not message.faults
        if isinstance(message, Http2Request):
            found[message.key] = [message.path, message.body.raw, b"", (0,) * bool(message.trailers)]
        else:
            found[message.key][2] = message.body.raw
            found[message.key][3] += (1,) * bool(message.trailers)  # type: ignore[operator]
    assert found == said
    assert not talk.undecoded


# Losses


def three_calls() -> tuple[Wire, list[Step]]:
    """A connection whose dissector sees nothing yet."""
    wire = Wire()
    steps: list[Step] = []
    for stream, path in ((1, "/a"), (3, "/b"), (5, "/a")):
        lines = get(path, ("authorization", "secret"))
        steps.append((CLIENT, frame(HEADERS, EH | ES, stream, wire.block(CLIENT, lines))))
        block = wire.block(SERVER, [*OK, ("server", "h")])
        steps.append((SERVER, frame(HEADERS, EH, stream, block) + frame(DATA, ES, stream, b"body %d" % stream)))
    return wire, steps


def test_a_gap_within_a_body_leaves_everything_else_whole(wire: Wire) -> None:
    wire.ask(1, get("/a"))
    wire.server(frame(HEADERS, EH, 1, wire.block(SERVER, [*OK, ("server", "h")])), frame(DATA, ES, 1, bytes(100))[:49])
    wire.gap(SERVER, 40).server(bytes(20))
    assert words(wire.messages[1]) == ["gap: bytes of this message were lost"]
    assert wire.said(1).body.encoded_size == 60
    assert [tuple(hole) for hole in wire.said(1).body.holes] == [(40, 40)]
    wire.ask(3, get("/b")).answer(3, [*OK, ("server", "h")], b"")
    assert wire.said().headers == (("server", "h"),)
    assert not wire.messages[3].faults


def test_a_gap_that_swallows_frames_makes_the_table_unknown() -> None:
    wire, steps = three_calls()
    wire.client(H2, steps[0][1]).server(frame(SETTINGS, 0, 0), steps[1][1])
    wire.client(steps[2][1])
    wire.gap(SERVER, len(steps[3][1]))
    wire.client(steps[4][1]).server(steps[5][1]).close()
    last = wire.said(-1) if wire.said(-1).key == 5 else next(one for one in wire.responses if one.key == 5)
    assert isinstance(last, Http2Response)
    assert last.status == 200
    assert last.headers in ((("?1-1", "?1-1"),), (("server", "h"),))  # or concluded, but never without a mark
    assert {fault.kind for fault in last.faults} & {"gap", "inferred"}
    assert last.body.raw == b"body 5"


def test_joined_in_the_middle_a_name_from_before_is_the_same_in_every_call() -> None:
    wire, steps = three_calls()
    wire.gap(CLIENT, 0).gap(SERVER, 0)
    for side, data in steps[2:]:
        wire.feed(side, data)
    second, third = (request_of(message) for message in wire.requests)
    assert second.path == "/b"
    assert third.path.startswith("?")
    assert third.path == "?-1" or third.url.startswith("?-")
    again = frame(HEADERS, EH | ES, 7, wire.block(CLIENT, get("/a", ("authorization", "secret"))))
    wire.feed(CLIENT, again)
    wire.answer(7, OK)
    fourth = request_of(wire.requests[-1])
    assert fourth.path == third.path
    assert any(fault.kind in ("midstream", "inferred") for fault in fourth.faults)
    assert [response_of(message).status for message in wire.responses] == [200, 200, 200]


def test_joined_before_the_preface_nothing_was_missed() -> None:
    wire, steps = three_calls()
    wire.gap(CLIENT, 0).gap(SERVER, 0).client(H2).server(frame(SETTINGS, 0, 0))
    for side, data in steps:
        wire.feed(side, data)
    wire.close()
    assert not [message.faults for message in wire.messages if message.faults]
    assert not wire.undecoded


def test_settings_alone_are_no_beginning_where_it_is_not_known() -> None:
    """gRPC sends them at any time."""
    wire, steps = three_calls()
    wire.gap(CLIENT, 0).gap(SERVER, 0).server(frame(SETTINGS, 0, 0))
    for side, data in steps[2:]:
        wire.feed(side, data)
    assert {fault.kind for message in wire.responses for fault in message.faults} <= {"midstream", "inferred"}
    assert any(message.faults for message in wire.responses)


def test_joined_within_a_frame_the_next_ones_are_found() -> None:
    wire, steps = three_calls()
    wire.gap(CLIENT, 0).gap(SERVER, 0)
    stream = b"".join(data for side, data in steps if side is SERVER)
    wire.server(stream[15:])
    assert sum(one.size for one in wire.undecoded) > 0
    assert [message.key for message in wire.responses][-2:] == [3, 5]


def test_a_placeholder_is_a_path_and_no_query() -> None:
    wire, steps = three_calls()
    wire.gap(CLIENT, 0).gap(SERVER, 0)
    wire.client(steps[4][1])
    wire.answer(5, OK)
    record = wire.said(0).to_dict(0)
    assert record["path"] == record["url"]
    assert record["url"].startswith("?")
    assert record["query"] == []


# Hostile


def flood(wire: Wire, side: int, data: Iterable[bytes]) -> int:
    """Bytes that it took to remember it."""
    feed = wire.dissector.feed
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for piece in data:
            for _ in feed(CLIENT if side == CLIENT else SERVER, piece, wire.now):
                pass
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_a_hundred_thousand_streams_that_are_never_answered_stay_bounded() -> None:
    """Zero-window stalls look the same: streams that are open and say nothing more."""
    wire = Wire.greeted(Limits(streams=100))
    block = wire.block(CLIENT, get())
    block = wire.block(CLIENT, get())
    opened = [frame(HEADERS, EH, stream, block) + frame(DATA, 0, stream, b"x" * 10) for stream in range(1, 200_001, 2)]
    given = [sum(1 for _ in wire.dissector.feed(CLIENT, data, wire.now)) for data in opened[:90_000]]
    assert sum(given) == 89_900
    assert flood(wire, CLIENT, opened[90_000:]) < 100 * KIB
    assert len(list(wire.dissector.open())) == 100


def test_a_hundred_thousand_streams_reset_at_once_are_as_many_calls() -> None:
    wire = Wire.greeted()
    block = wire.block(CLIENT, get())
    block = wire.block(CLIENT, get())
    count = 0
    for stream in range(1, 200_001, 2):
        data = frame(HEADERS, EH | ES, stream, block) + frame(RST, 0, stream, b"\0\0\0\x08")
        count += sum(isinstance(one, Message) for one in wire.dissector.feed(CLIENT, data, stream))
    assert count == 100_000
    assert not list(wire.dissector.open())


def test_endless_continuation_is_not_kept() -> None:
    wire = Wire.greeted()
    wire.client(frame(HEADERS, ES, 1, wire.block(CLIENT, get())))
    more = frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 3000)
    assert flood(wire, CLIENT, (more for _ in range(500))) < 100 * KIB
    wire.dissector.feed(CLIENT, frame(CONTINUATION, EH, 1), 1)
    shown = next(iter(wire.dissector.open()))
    assert [fault.kind for fault in shown.faults] == ["truncated"]


def test_a_header_bomb_is_cut() -> None:
    """64 KiB of one-byte references to an entry of 4,000 bytes are 250 MB of header list."""
    wire = Wire.greeted()
    wire.ask(1, get("/", ("bomb", "x" * 4000)))
    block = wire.block(CLIENT, get()) + bytes([0x80 | 62]) * 60_000
    pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    flags = [0] * (len(pieces) - 1) + [EH]
    wire.client(frame(HEADERS, ES, 3, pieces[0]))
    wire.client(*[frame(CONTINUATION, flag, 3, piece) for flag, piece in zip(flags[1:], pieces[1:], strict=True)])
    wire.answer(3, OK)
    request = request_of(wire.messages[0])
    assert sum(len(name) + len(value) for name, value in request.headers) <= 256 * KIB
    assert any("too many fields" in fault.message for fault in request.every_fault)


def test_a_table_beyond_the_bound_loses_its_oldest_entries_and_says_so() -> None:
    wire = Wire.greeted(Limits(table_bytes=1024))
    wire.server(frame(SETTINGS, 0, 0, b"\0\1\0\1\0\0"))
    wire.coders[0].header_table_size = 65536
    wire.ask(1, get("/", *[(f"x-{n}", "v" * 60) for n in range(40)])).answer(1, OK)
    wire.ask(3, get("/", ("x-0", "v" * 60), ("x-39", "v" * 60))).answer(3, OK)
    request = request_of(wire.messages[2])
    assert ("x-39", "v" * 60) in request.headers
    assert ("x-0", "v" * 60) not in request.headers
    assert [fault.kind for fault in request.faults] == ["truncated"]


def test_a_larger_table_than_was_allowed_is_malformed(wire: Wire) -> None:
    wire.client(frame(HEADERS, EH | ES, 1, b"\x3f\xe2\x5f" + wire.block(CLIENT, get()))).close()
    assert [fault.kind for fault in wire.messages[0].faults] == ["malformed"]


def test_a_frame_that_is_too_long_is_searched_behind(wire: Wire) -> None:
    wire.ask(1, get("/a")).answer(1, OK)
    wire.client(b"\xff\xff\xff\x00\x00\0\0\0\x03" + bytes(50))
    for stream in (5, 7, 9):
        wire.client(frame(HEADERS, EH | ES, stream, b"\x82\x86\x84"))
    wire.answer(5, OK).close()
    assert [message.key for message in wire.messages][-4:] != []
    assert {5, 7, 9} <= {message.key for message in wire.requests}
    assert any("not understood" in fault.message for message in wire.requests for fault in message.faults)


def test_header_blocks_and_bodies_of_no_stream_are_counted(wire: Wire) -> None:
    wire.server(frame(DATA, 0, 9, b"what"), frame(CONTINUATION, EH, 9, b"\x88")).client(frame(HEADERS, EH, 8, b"\x82"))
    assert {(one.side, one.reason) for one in wire.undecoded} == {(SERVER, "of no stream"), (CLIENT, "of no stream")}


def test_long_bodies_together_are_bounded() -> None:
    limits = Limits(waiting_bytes=256 * KIB, body_bytes=128 * KIB)
    wire = Wire.greeted(limits)
    wire.ask(1, get(), end=False)
    block = b"\x83\x86\x84"
    streams = range(3, 203, 2)
    opened = (frame(HEADERS, EH, stream, block) for stream in streams)
    assert flood(wire, CLIENT, opened) < 400 * KIB
    pieces = (frame(DATA, 0, stream, bytes(16_000)) for _ in range(8) for stream in streams)
    assert flood(wire, CLIENT, pieces) < 5 * MIB  # of 12.8: 32 KiB of each, and the rest within the bound
    whole = next(one for one in wire.dissector.open() if one.key == 201)
    assert isinstance(whole, Http2Message)
    assert whole.body.encoded_size == 128_000
    assert whole.body.truncated


# Whose bytes these are


def test_match_knows_each_half() -> None:
    _, steps = three_calls()
    client = b"".join(data for side, data in steps if side is CLIENT)
    server = b"".join(data for side, data in steps if side is SERVER)
    assert Http2.match(H2, b"") is Match.YES
    assert Http2.match(H2[:10], b"") is Match.UNSURE
    assert Http2.match(b"", frame(SETTINGS, 0, 0)) is Match.YES
    assert Http2.match(frame(SETTINGS, 0, 0), b"") is Match.UNSURE
    assert Http2.match(client, b"") is Match.YES
    assert Http2.match(b"", client) is Match.NO
    assert Http2.match(b"", server) is Match.YES
    assert Http2.match(server, b"") is Match.NO
    assert Http2.match(b"GET / HTTP/1.1\r\n", b"") is Match.NO
    assert Http2.match(b"PRI * HTTP/2.0\r\n\r\nXX", b"") is Match.NO


def test_byte_by_byte_is_the_same_as_whole() -> None:
    steps, _ = dialogue(7)
    whole, bits = played(Http2, steps), played(Http2, in_bytes(steps))
    assert [message.to_dict(MIB) for message in bits.messages] == [message.to_dict(MIB) for message in whole.messages]
