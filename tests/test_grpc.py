"""gRPC and gRPC-Web: calls, messages and statuses, whatever carries them."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from dialogue import PLAIN, segments
from hypothesis import given, settings
from hypothesis import strategies as st
from protos import descriptor_set, message_class
from test_schema import complaints

from pysniff.body import Body, BodyBuilder, Hole
from pysniff.dissectors.grpc import Grpc
from pysniff.dissectors.grpc_framing import MESSAGE_BYTES, MESSAGES, MessageCounter, from_base64, split
from pysniff.dissectors.grpc_messages import GrpcRequest, GrpcResponse
from pysniff.dissectors.http import Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.entry import Entry, Flow
from pysniff.limits import DEFAULT, MIB, Limits
from pysniff.message import CLIENT, SERVER, Fault, Side
from pysniff.protobuf.schema import NOTHING, Schemas
from pysniff.sniffer import Sniffer

GRPC = (("content-type", "application/grpc"),)
OK = (("grpc-status", "0"),)


def framed(*messages: bytes, flags: int = 0) -> bytes:
    return b"".join(bytes([flags]) + struct.pack(">I", len(message)) + message for message in messages)


class Said(HttpMessage):
    """A message of some HTTP."""

    def __init__(
        self, side: Side, fields: Fields, body: Body | bytes, trailers: Fields = (), faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__(side, 1000, 2000, 0, 100, faults)
        self._fields = fields
        self._body = body
        self._trailers = trailers

    @property
    def headers_size(self) -> int:
        return 50

    @property
    def version(self) -> str:
        return "2"


class Asked(Said, HttpRequest):
    path_asked = "/shop.Cart/Get"

    @property
    def target(self) -> tuple[str, str]:
        return "POST", self.path_asked


class Answered(Said, HttpResponse):
    status_answered = 200

    def __init__(
        self, side: Side, fields: Fields, body: Body | bytes, trailers: Fields = (), faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__(side, fields, body, trailers, faults)
        self.interim = ()

    @property
    def status(self) -> int:
        return self.status_answered


def request(body: Body | bytes = b"", *more: tuple[str, str], faults: tuple[Fault, ...] = ()) -> Asked:
    return Asked(CLIENT, GRPC + more, body, faults=faults)


def response(
    body: Body | bytes = b"", *more: tuple[str, str], trailers: Fields = OK, faults: tuple[Fault, ...] = ()
) -> Answered:
    return Answered(SERVER, GRPC + more, body, trailers, faults)


def refined(
    asked: Asked | None, answered: Answered | None, schemas: Schemas = NOTHING, limits: Limits = DEFAULT
) -> Entry:
    """The entry that the two become."""
    both = Grpc(limits, schemas).refine(asked, answered)
    assert both is not None
    entry = Entry(Flow("tcp", bytes(12), 0, "local", "file"), *both, "closed")
    assert complaints(entry.to_dict()) == []
    return entry


def called(asked: Asked, answered: Answered) -> tuple[GrpcRequest, GrpcResponse]:
    entry = refined(asked, answered)
    return entry.request, entry.response


# Calls


def test_a_call_has_service_method_messages_and_status() -> None:
    entry = refined(request(framed(b"\x08\x05")), response(framed(b"\x0a\x02ok", b"")))
    assert (entry.protocol, entry.version, entry.summary, entry.status, entry.ok) == (
        "grpc", "2", "shop.Cart/Get", "OK", True,
    )  # fmt: skip
    record = entry.to_dict()
    assert record["request"]["grpc_service"] == "shop.Cart"
    assert record["request"]["grpc_method"] == "Get"
    assert record["request"]["messages"] == [{"compressed": False, "size": 2, "fields": {"1": [{"varint": 5}]}}]
    assert record["response"]["grpc_status"] == 0
    assert record["response"]["message_count"] == 2
    assert record["response"]["messages"][1] == {"compressed": False, "size": 0, "fields": {}}


def test_what_http_says_stays_readable() -> None:
    asked, answered = called(request(framed(b"")), response(framed(b""), ("x-a", "1")))
    assert (asked.method, asked.path, asked.header("Content-Type")) == ("POST", "/shop.Cart/Get", "application/grpc")
    assert (answered.status, answered.header("x-a"), answered.trailers) == (200, "1", OK)
    assert answered.body.raw == framed(b"")
    assert answered.to_dict(100)["headers"] == [["content-type", "application/grpc"], ["x-a", "1"]]


def test_what_a_version_of_http_has_of_its_own_stays_readable() -> None:
    answered = response()
    answered.stream_id = 7  # type: ignore[attr-defined]
    refined_answer = refined(None, answered).response
    assert refined_answer.stream_id == 7
    with pytest.raises(AttributeError):
        _ = refined_answer.no_such_thing


@pytest.mark.parametrize(
    ("number", "name"), [("0", "OK"), ("5", "NOT_FOUND"), ("16", "UNAUTHENTICATED"), ("17", "17"), ("999", "999")]
)
def test_a_status_has_the_name_of_its_number(number: str, name: str) -> None:
    entry = refined(request(), response(trailers=(("grpc-status", number),)))
    assert (entry.status, entry.response.grpc_status, entry.ok) == (name, int(number), number == "0")


@pytest.mark.parametrize(
    ("sent", "meant"), [("k%C3%A4se 100%25", "käse 100%"), ("50% off%0A", "50% off\n"), ("%FF", "\ufffd"), ("", "")]
)
def test_a_status_message_is_percent_decoded(sent: str, meant: str) -> None:
    trailers = (("grpc-status", "2"), ("grpc-message", sent))
    assert called(request(), response(trailers=trailers))[1].grpc_message == meant


def test_an_answer_of_trailers_only_has_its_status_in_the_head() -> None:
    answered = response(b"", ("grpc-status", "12"), ("grpc-message", "no%20such"), trailers=())
    entry = refined(request(framed(b"")), answered)
    assert (entry.status, entry.response.grpc_message, entry.faults) == ("UNIMPLEMENTED", "no such", ())


def test_a_call_that_was_cancelled_has_no_status_and_keeps_its_fault() -> None:
    reset = Fault("truncated", "the stream was reset: CANCEL")
    entry = refined(request(framed(b"")), response(framed(b"")[:3], trailers=(), faults=(reset,)))
    assert (entry.status, entry.response.grpc_status, entry.ok, entry.faults) == ("", None, False, (reset,))


def test_an_error_of_a_proxy_is_shown_with_its_http_status() -> None:
    answered = Answered(SERVER, (("content-type", "text/html"),), b"<h1>Bad Gateway</h1>")
    answered.status_answered = 502
    entry = refined(request(framed(b"")), answered)
    assert (entry.status, entry.ok, entry.response.grpc_status, entry.response.messages) == ("502", False, None, ())
    assert entry.response.body.text == "<h1>Bad Gateway</h1>"
    assert entry.faults == ()


def test_a_status_that_is_no_number_is_a_fault() -> None:
    entry = refined(request(), response(trailers=(("grpc-status", "fine"),)))
    assert (entry.status, entry.faults) == ("", (Fault("malformed", "grpc-status is not a number"),))


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [("1H", 3_600_000_000), ("2M", 120_000_000), ("5S", 5_000_000), ("100m", 100_000), ("7u", 7), ("1500n", 1),
     ("", None), ("5", None), ("123456789S", None), ("5s", None)],
)  # fmt: skip
def test_a_deadline_is_read_in_microseconds(value: str, microseconds: int | None) -> None:
    assert called(request(b"", ("grpc-timeout", value)), response())[0].grpc_timeout == microseconds


def test_a_service_may_stand_behind_the_prefix_of_a_proxy() -> None:
    asked = request()
    asked.path_asked = "/api/v1/shop.Cart/Get"
    call = refined(asked, response()).request
    assert (call.grpc_service, call.grpc_method) == ("api/v1/shop.Cart", "Get")


@pytest.mark.parametrize(
    ("content_type", "is_grpc"),
    [("application/grpc", True), ("application/grpc+proto", True), ("application/grpc; charset=utf-8", True),
     ("application/grpc-web", True), ("application/grpc-web-text+proto", True), ("application/GRPC", True),
     ("application/grpcx", False), ("application/grpc-text", False), ("application/json", False)],
)  # fmt: skip
def test_a_call_is_known_by_its_content_type(content_type: str, is_grpc: bool) -> None:
    asked = Asked(CLIENT, (("content-type", content_type),), b"")
    assert (Grpc().refine(asked, None) is not None) == is_grpc


def test_a_half_alone_is_enough() -> None:
    assert refined(request(framed(b"")), None).request.message_count == 1
    entry = refined(None, response(framed(b"")))
    assert (entry.response.message_count, entry.summary, entry.status) == (1, "OK", "OK")


def test_joined_in_the_middle_a_call_is_known_by_what_only_grpc_has() -> None:
    midstream = (Fault("midstream", "names are unknown"),)
    answered = Answered(SERVER, (("?-12", "?-12"),), framed(b"\x08\x01"), OK, midstream)
    entry = refined(None, answered)
    assert (entry.protocol, entry.status, entry.response.message_count) == ("grpc", "OK", 1)
    asked = Asked(CLIENT, (("content-type", "?-3"),), framed(b""), faults=midstream)
    assert refined(asked, answered).request.message_count == 1


def test_nothing_of_a_body_is_read_until_somebody_asks() -> None:
    class Untouched(Asked):
        @property
        def body(self) -> Body:
            raise AssertionError("read")

        @property
        def short_body(self) -> bytes | None:
            raise AssertionError("read")

    both = Grpc().refine(Untouched(CLIENT, GRPC, b""), response())
    assert both is not None
    call = both[0]
    assert call is not None
    assert call.summary == "shop.Cart/Get"
    with pytest.raises(AssertionError):
        _ = call.every_fault


# Compression


def compressed(coding: str, content: bytes) -> bytes:
    if coding == "gzip":
        return gzip.compress(content)
    if coding == "deflate":
        return zlib.compress(content)
    if coding == "br":
        import brotli

        return bytes(brotli.compress(content))
    from backports import zstd

    return bytes(zstd.compress(content))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_messages_are_decompressed_each_on_its_own(coding: str) -> None:
    packed = compressed(coding, b"\x0a\x02hi")
    body = framed(packed, flags=1) + framed(b"\x08\x01") + framed(packed, flags=1)
    asked = called(request(body, ("grpc-encoding", coding)), response())[0]
    assert [message.content for message in asked.messages] == [b"\x0a\x02hi", b"\x08\x01", b"\x0a\x02hi"]
    assert [(message.compressed, message.size) for message in asked.messages] == [
        (True, len(packed)), (False, 2), (True, len(packed)),
    ]  # fmt: skip
    assert asked.every_fault == ()


@pytest.mark.parametrize(
    ("coding", "words"),
    [("snappy", "no decoder for messages in snappy (and 1 more)"),
     ("identity", "a message is compressed, and nothing says how (and 1 more)"),
     ("gzip", "a message does not decompress")],
)  # fmt: skip
def test_what_cannot_be_decompressed_is_shown_as_sent_and_said(coding: str, words: str) -> None:
    entry = refined(request(framed(b"abc", b"abc", flags=1), ("grpc-encoding", coding)), response())
    assert len(entry.faults) == 1
    assert entry.faults[0].message.startswith(words)
    assert entry.faults[0].bytes == 6
    messages = entry.to_dict()["request"]["messages"]
    assert messages == [{"compressed": True, "size": 3, "base64": "YWJj"}] * 2


def test_a_bomb_ends_at_a_bound() -> None:
    bomb = gzip.compress(bytes(4 * MIB))
    entry = refined(
        request(framed(*[bomb] * 50, flags=1), ("grpc-encoding", "gzip")), response(), limits=Limits(body_bytes=8 * MIB)
    )
    contents = [len(message.content or b"") for message in entry.request.messages]
    assert sum(contents) <= 12 * MIB
    assert entry.request.message_count == 50
    assert {fault.kind for fault in entry.faults} == {"truncated"}


# Framing


def test_more_messages_than_are_kept_are_counted() -> None:
    asked = called(request(framed(*[b"\x08\x01"] * 2_500)), response())[0]
    assert (len(asked.messages), asked.message_count) == (MESSAGES, 2_500)


def test_more_bytes_of_messages_than_are_kept_are_counted() -> None:
    big = bytes(MESSAGE_BYTES // 2)
    asked = called(request(framed(big, big, b"x", b"")), response())[0]
    assert ([message.size for message in asked.messages], asked.message_count) == ([len(big)] * 2, 4)


def test_messages_of_a_body_that_is_too_long_to_be_kept_are_counted() -> None:
    limits = Limits(body_bytes=1_000)
    builder = BodyBuilder(limits, "", "application/grpc", MessageCounter)
    sent = framed(*[bytes(90)] * 100)
    for at in range(0, len(sent), 77):
        builder.add(sent[at : at + 77])
    entry = refined(request(builder.body()), response(), limits=limits)
    assert (entry.request.message_count, len(entry.request.messages), entry.faults) == (100, 10, ())


def test_where_nobody_counted_behind_what_is_kept_that_is_said() -> None:
    limits = Limits(body_bytes=1_000)
    builder = BodyBuilder(limits)
    builder.add(framed(*[bytes(90)] * 100))
    entry = refined(request(builder.body()), response(), limits=limits)
    assert entry.request.message_count == 10
    assert [fault.kind for fault in entry.faults] == ["truncated"]


def test_a_message_of_four_gigabytes_that_never_comes_is_a_fault() -> None:
    entry = refined(request(b"\x00\xff\xff\xff\xffabc"), response())
    assert entry.faults == (Fault("truncated", "a message of 4294967295 bytes ends early", 4294967292),)
    assert (entry.request.messages, entry.request.message_count) == ((), 0)


def test_a_message_still_on_its_way_is_no_fault() -> None:
    half_sent = framed(b"\x08\x01") + framed(b"abcdef")[:-2]
    entry = refined(request(half_sent), response(half_sent, trailers=()))
    assert entry.faults == ()
    assert (entry.request.message_count, entry.response.message_count) == (1, 1)
    assert len(refined(request(half_sent), response(half_sent)).faults) == 2


def test_a_body_that_is_not_framed_is_a_fault() -> None:
    entry = refined(request(framed(b"") + b"{}     "), response())
    assert entry.faults == (Fault("malformed", "a message begins with 0x7b", 7),)
    assert entry.request.message_count == 1


def test_messages_around_lost_bytes_are_right() -> None:
    sent = framed(b"\x08\x01", b"0123456789", b"\x08\x02")
    # Of the second one the four bytes from 3 to 6 never came.
    body = Body(sent[:15] + sent[19:], len(sent) - 4, "", "application/grpc", holes=(Hole(15, 4),))
    entry = refined(request(body, faults=(Fault("gap", "bytes of this message were lost", 4),)), response())
    assert [message["fields"] for message in entry.to_dict()["request"]["messages"] if "fields" in message] == [
        {"1": [{"varint": 1}]}, {"1": [{"varint": 2}]},
    ]  # fmt: skip
    assert entry.to_dict()["request"]["messages"][1] == {"compressed": False, "size": 10, "truncated": True}
    assert entry.request.message_count == 3


@pytest.mark.parametrize("hole", [Hole(7, 4), Hole(9, 1), Hole(13, 0), Hole(13, 50)])
def test_behind_lost_bytes_that_held_a_length_no_message_is_made_up(hole: Hole) -> None:
    sent = framed(b"\x08\x01", b"0123456789", b"\x08\x02")
    came = sent[: hole.at] + sent[hole.at + hole.size :]
    body = Body(came, len(came), "", "", holes=(hole,))
    entry = refined(request(body, faults=(Fault("gap", "bytes of this message were lost", 4),)), response())
    assert entry.request.message_count == 1
    assert "midstream" in {fault.kind for fault in entry.faults}


sizes = st.lists(st.integers(0, 30), max_size=12)


@settings(deadline=None)
@given(sizes, st.lists(st.integers(1, 40), min_size=1, max_size=8), st.binary(max_size=6))
def test_the_counter_counts_what_splitting_finds_however_the_bytes_are_cut(
    lengths: list[int], cuts: list[int], behind: bytes
) -> None:
    sent = framed(*[bytes(length) for length in lengths]) + behind
    assert counted(sent, cuts) == split(sent).whole
    assert counted(sent, cuts, web=True) == split(sent, web=True).whole


@settings(deadline=None)
@given(sizes, st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 300), st.integers(0, 40))
def test_the_counter_counts_the_same_around_holes(lengths: list[int], cuts: list[int], at: int, size: int) -> None:
    sent = framed(*[bytes(length) for length in lengths])
    at = min(at, len(sent))
    holes = (Hole(at, size),)
    came = sent[:at] + sent[at + size :]
    assert counted(came, cuts, holes) == split(came, holes=holes).whole


def counted(sent: bytes, cuts: Sequence[int], holes: Iterable[Hole] = (), *, web: bool = False) -> int:
    counter = MessageCounter(web=web)
    marks = {hole.at: hole.size for hole in holes}
    at = turn = 0
    while at < len(sent) or at in marks:
        if at in marks:
            counter.lost(marks.pop(at))
            continue
        stop = min([at + cuts[turn % len(cuts)], *[mark for mark in marks if mark > at]])
        counter.add(sent[at:stop])
        at = min(stop, len(sent))
        turn += 1
    return counter.count


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["gzip", "zstd", "", "snappy"]), st.booleans())
def test_any_bytes_give_an_entry(body: bytes, coding: str, web: bool) -> None:
    fields = (("content-type", "application/grpc-web" if web else "application/grpc"), ("grpc-encoding", coding))
    entry = refined(Asked(CLIENT, fields, body), Answered(SERVER, fields, body, OK))
    json.dumps(entry.to_dict(), allow_nan=False)
    assert entry.status
    assert isinstance(entry.faults, tuple)


# gRPC-Web


def web(start: str, kind: str, body: bytes, *more: str) -> bytes:
    lines = [start, "Host: a", f"Content-Type: application/grpc-{kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def web_call(kind: str, asked: bytes, answered: bytes) -> Entry:
    steps = [
        (CLIENT, web("POST /shop.Cart/Get HTTP/1.1", kind, asked)),
        (SERVER, web("HTTP/1.1 200 OK", kind, answered)),
    ]
    sniffer = Sniffer()
    entries = [*sniffer.feed(PLAIN.packets(segments(steps))), *sniffer.close()]
    assert sniffer.ledger.imbalances() == []
    assert len(entries) == 1
    assert complaints(entries[0].to_dict()) == []
    return entries[0]


TRAILERS = framed(b"grpc-status:5\r\ngrpc-message:gone%21\r\n", flags=0x80)


@pytest.mark.parametrize("kind", ["web", "web+proto"])
def test_grpc_web_has_its_trailers_in_the_body(kind: str) -> None:
    entry = web_call(kind, framed(b"\x08\x01"), framed(b"\x0a\x01a") + TRAILERS)
    assert (entry.protocol, entry.status, entry.version) == ("grpc", "NOT_FOUND", "1.1")
    assert (entry.response.grpc_message, entry.response.message_count) == ("gone!", 1)
    assert entry.response.trailers == (("grpc-status", "5"), ("grpc-message", "gone%21"))


def test_grpc_web_text_is_base64_in_pieces() -> None:
    answered = b64encode(framed(b"\x0a\x01a")) + b64encode(TRAILERS)
    entry = web_call("web-text", b64encode(framed(b"\x08\x01")), answered)
    assert (entry.status, entry.request.message_count, entry.response.message_count) == ("NOT_FOUND", 1, 1)
    assert entry.faults == ()


def test_grpc_web_text_that_is_no_base64_is_a_fault() -> None:
    entry = web_call("web-text", b64encode(framed(b"\x08\x01")) + b"!!", b64encode(TRAILERS))
    assert entry.request.message_count == 1
    assert entry.status == "NOT_FOUND"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=6))
def test_base64_in_pieces_is_what_was_encoded(pieces: list[bytes]) -> None:
    assert from_base64(b"".join(b64encode(piece) for piece in pieces)) == (b"".join(pieces), 0)


# Contents


def test_messages_that_are_not_protobuf_are_text_or_bytes() -> None:
    fields = (("content-type", "application/grpc+json"),)
    entry = refined(Asked(CLIENT, fields, framed(b'{"a": 1}', b"\xff\x00")), response())
    assert entry.to_dict()["request"]["messages"] == [
        {"compressed": False, "size": 8, "text": '{"a": 1}'},
        {"compressed": False, "size": 2, "base64": "/wA="},
    ]


def test_a_message_that_does_not_parse_is_shown_as_it_is() -> None:
    messages = refined(request(framed(b"{}", b"\x0f")), response()).to_dict()["request"]["messages"]
    assert [*messages[0]] == ["compressed", "size", "text"]
    assert [*messages[1]] == ["compressed", "size", "base64"]


def test_contents_beyond_the_body_limit_are_left_out() -> None:
    entry = refined(request(framed(b"\x08\x01", b"\x0a\x08" + b"x" * 8, b"")), response())
    messages = entry.to_dict(body_limit=5)["request"]["messages"]
    assert [*messages[0]] == ["compressed", "size", "fields"]
    assert messages[1] == {"compressed": False, "size": 10, "truncated": True}


def test_a_descriptor_set_gives_the_fields_their_names() -> None:
    schemas = Schemas()
    schemas.add(descriptor_set())
    item = message_class("shop.Item")(name="tea", count=2, parts=[{"name": "leaf"}])
    answer = message_class("shop.Everything")(an_int64=-5, colour=1, counts={"a": 1})
    entry = refined(
        request(framed(item.SerializeToString())), response(framed(answer.SerializeToString())), schemas=schemas
    )
    record: dict[str, Any] = entry.to_dict()
    asked, answered = record["request"]["messages"][0], record["response"]["messages"][0]
    assert asked["fields"] == {"name": "tea", "count": 2, "parts": [{"name": "leaf"}]}
    assert answered["fields"] == {"an_int64": "-5", "colour": "RED", "counts": {"a": 1}}
