"""What is known of a recorded request: whole enough to be sent again, or the reason why not; and its way to a hub."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_servers import recorded, recording
from test_grpc import framed
from test_grpc_http2 import ITEM, Dialogue, shop, sniffed
from wire import Watched

from pysniff.cluster import replay_recording
from pysniff.cluster.frames import Value, decode, encode
from pysniff.cluster.replay_call import Answer, call_of
from pysniff.cluster.replay_recording import PIECE, Assembly, BadRecording, values
from pysniff.cluster.replay_target import Target, Targets
from pysniff.errors import OptionError
from pysniff.limits import MIB, Limits
from pysniff.sniffer import Sniffer

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


# Of entries


def test_a_request_is_known_octet_by_octet() -> None:
    head = b"POST /a?b=%20c HTTP/1.1\r\nhost: shop\r\nX-Name: Gr\xc3\xbc\xc3\x9fe\r\nX-Name: 2\r\n"
    request = head + b"Content-Length: 3\r\n\r\n\0\xff!"
    call = call_of(recorded((request, OK))[0])
    assert (call.method, call.target, call.version, call.body) == (b"POST", b"/a?b=%20c", "1.1", b"\0\xff!")
    assert call.fields == (
        (b"host", b"shop"),
        (b"X-Name", b"Gr\xc3\xbc\xc3\x9fe"),
        (b"X-Name", b"2"),
        (b"Content-Length", b"3"),
    )
    assert call.answer is not None
    assert call.answer[:3] == (200, {"content-type": "text/plain"}, 2)


def test_octets_that_are_no_utf8_stay_what_they_were() -> None:
    call = call_of(recorded((b"GET /\xe9 HTTP/1.1\r\nX: \xff\r\n\r\n", OK))[0])
    assert (call.target, call.fields) == (b"/\xe9", ((b"X", b"\xff"),))


def test_a_body_in_chunks_is_known_without_them_and_with_its_trailers() -> None:
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n"
    call = call_of(recorded((request, OK))[0])
    assert (call.body, call.trailers) == (b"abcde", ((b"X", b"1"),))


def test_an_answer_is_compared_by_its_content() -> None:
    packed = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    answer = call_of(recorded((b"GET / HTTP/1.1\r\n\r\n", head + packed))[0]).answer
    assert answer is not None
    assert answer.size == 500


def test_a_body_that_does_not_decode_is_sent_all_the_same() -> None:
    request = b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    assert call_of(recorded((request, OK))[0]).body == b"abc"


def test_a_call_without_answer_has_nothing_to_be_compared_with() -> None:
    entry = Watched().client(b"GET / HTTP/1.1\r\n\r\n").bye().close().seen[0]
    assert call_of(entry).answer is None


def test_half_an_answer_is_compared_as_far_as_it_goes() -> None:
    entry = Watched().client(b"GET / HTTP/1.1\r\n\r\n").server(OK[:-1]).bye().close().seen[0]
    assert call_of(entry).answer == Answer(200, {"content-type": "text/plain"}, None, "")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "tunnel"),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", "another protocol"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "transfer coding"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "malformed"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "target"),
        (b"GET / HTTP/1.1\nA: b\n\n", "malformed"),
        (b"GET / HTTP/1.1\r\nA\x01b: c\r\n\r\n", "field"),
        (b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", "field"),
        (b"GET / HTTP/1.7\r\n\r\n", "a version of HTTP"),
    ],
    ids=["connect", "websocket", "coding", "no colon", "spaces", "line feeds", "name", "nul", "version"],
)
def test_what_cannot_be_sent_says_why(request_: bytes, reason: str) -> None:
    entries = recorded((request_, OK))
    found = recording(entries)
    assert not found.calls
    assert reason in found.left_out[0].reason


def test_what_was_lost_or_not_kept_says_how_much() -> None:
    talk = Watched()
    talk.client(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").skip(0, 3)  # type: ignore[arg-type]
    entries = talk.client(b"ghi").server(OK).wait(20).bye().close().seen
    assert "gap" in recording(entries).left_out[0].reason
    short = Watched(Sniffer(limits=Limits(body_bytes=5)))
    entries = short.client(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabcdefghi").server(OK).bye().close().seen
    assert recording(entries).left_out[0].reason == "5 of 9 bytes of its body are kept"


def test_a_request_that_is_on_its_way_has_not_ended() -> None:
    for head, reasons in (
        (b"Content-Length: 9\r\n\r\nabc", ["it had not ended"]),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", ["it had not ended"]),
        (b"Content-Length: 3\r\n\r\nabc", []),
        (b"\r\n", []),
    ):
        seen = Watched().client(b"POST / HTTP/1.1\r\n" + head).wait(11).seen
        assert [entry.state for entry in seen] == ["open"]
        assert [one.reason for one in recording(seen).left_out] == reasons


def test_other_protocols_and_answers_alone_are_told() -> None:
    alone = Watched().server(OK).bye().close().seen
    redis = Watched(dport=6379).client(b"*1\r\n$4\r\nPING\r\n").server(b"+PONG\r\n").bye().close().seen
    assert [one.reason for one in recording(alone + redis).left_out] == [
        "its request was not seen",
        "redis is not replayed",
    ]


def test_calls_of_grpc_are_known_with_their_messages() -> None:
    found = recording(sniffed(shop()))
    assert [(call.protocol, call.target, call.version) for call in found.calls] == [
        ("grpc", b"/shop.Cart/Get", "2"),
        ("grpc", b"/shop.Cart/Watch", "2"),
        ("grpc", b"/shop.Cart/Other", "2"),
    ]
    first = found.calls[0]
    assert (first.method, first.scheme, first.authority, first.body) == (b"POST", b"http", b"shop", framed(ITEM))
    assert first.fields[0] == (b"te", b"trailers")
    assert first.answer is not None
    assert first.answer.fields == {"content-type": "application/grpc", "grpc-status": "0"}
    assert [one.reason for one in found.left_out] == ["truncated: the client reset the stream: CANCEL"]


def test_what_hpack_had_said_before_the_capture_is_missing() -> None:
    talk = Dialogue()
    for _ in range(2):
        stream = talk.ask("/shop.Cart/Get", framed(ITEM), ("x-token", "abc"))
        talk.answer(stream, framed(b""), trailers=[("grpc-status", "0")])
    del talk.steps[: len(talk.steps) // 2 + 1]
    found = recording(sniffed(talk))
    assert not found.calls
    assert any("header fields that were named before the capture began" in one.reason for one in found.left_out)


# On the way


def test_a_connection_is_told_in_the_order_of_its_requests_each_call_once() -> None:
    talk = Watched().client(b"GET /1 HTTP/1.1\r\n\r\n").wait(11).server(OK)
    entries = talk.client(b"GET /2 HTTP/1.1\r\n\r\n").server(OK).bye().close().seen
    assert [entry.state for entry in entries] == ["open", "closed", "closed"]
    found = recording(entries[::-1][:2] + entries)
    assert [call.target for call in found.calls] == [b"/1", b"/2"]
    assert all(call.answer is not None for call in found.calls)


def test_every_value_fits_a_frame_whatever_the_body() -> None:
    body = bytes(range(256)) * 4096 * 3
    request = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    entries = recorded((request + body, OK), (b"GET / HTTP/1.1\r\n\r\n", OK))
    told = list(values(entries))
    assert len(told) == 2 + len(body) // PIECE
    assembly = Assembly()
    for number, value in enumerate(told, 1):
        frame = encode(Value(1, number, value))
        assert len(frame) < 2 * PIECE
        back = decode(frame)
        assert isinstance(back, Value)
        assembly.add(back.value)
    assert [call.body for call in assembly.recording().calls] == [body, b""]


def test_more_than_is_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_recording, "CALLS", 2)
    found = recording(recorded(*[(b"GET /%d HTTP/1.1\r\n\r\n" % number, OK) for number in range(5)]))
    assert [call.target for call in found.calls] == [b"/0", b"/1"]
    assert found.left_out[0].reason.startswith("3 calls are too many")


def test_reasons_are_told_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_recording, "LEFT_OUT", 2)
    found = recording(recorded(*[(b"GET /a b HTTP/1.1\r\n\r\n", OK)] * 5))
    assert [one.reason for one in found.left_out][2:] == ["and 3 more"]


GOOD: dict[str, Any] = {
    "id": "a.b.c", "protocol": "http", "version": "1.1", "at": 5, "method": b"GET", "target": b"/", "scheme": b"",
    "authority": b"", "fields": [[b"Host", b"a"]], "trailers": [], "size": 0, "elapsed": None, "answer": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"id": "x" * 2000},
        {"version": "3"},
        {"version": "1.1\r\nX: y"},
        {"at": 1 << 70},
        {"at": True},
        {"method": b"GET / HTTP/1.1\r\nX:"},
        {"method": b"CONNECT"},
        {"method": "GET"},
        {"target": b"/ HTTP/1.1\r\nHost: b\r\n\r\nGET /"},
        {"target": b""},
        {"target": b"/a b"},
        {"authority": b"a\r\nb"},
        {"scheme": b"a b"},
        {"size": -1},
        {"size": 65 * MIB},
        {"size": True},
        {"fields": None},
        {"fields": [[b"a"]]},
        {"fields": [[b"a", "b"]]},
        {"fields": [[b"a:", b"b"]]},
        {"fields": [[b"", b"b"]]},
        {"fields": [[b":path", b"b"]]},
        {"fields": [[b"a", b"b\r\nc: d"]]},
        {"fields": [[b"a", b"b\nc"]]},
        {"fields": [[b"a", b"b" * MIB]]},
        {"fields": [[b"a", b""]] * 10_001},
        {"fields": [[b"Transfer-Encoding", b"chunked, identity"]]},
        {"fields": [[b"Transfer-Encoding", b"chunked"]] * 2},
        {"trailers": [[b"a", b"b\r\n\r\nGET / HTTP/1.1"]]},
        {"trailers": {}},
        {"answer": 5},
        {"answer": {"status": "200"}},
    ],
    ids=lambda change: f"{next(iter(change))}-{str(next(iter(change.values())))[:24]}",
)
def test_a_hub_believes_no_worker(change: dict[str, Any]) -> None:
    assembly = Assembly()
    with pytest.raises(BadRecording):
        assembly.add({"call": {**GOOD, **change}})
    assert assembly.recording().calls == ()
    assembly.add({"call": GOOD})
    assert len(assembly.recording().calls) == 1


def test_bodies_come_whole_and_behind_their_call() -> None:
    wrongs: list[list[dict[str, Any]]] = [
        [{"body": b"a"}],
        [{"call": {**GOOD, "size": 2}}, {"body": b"abc"}],
        [{"call": {**GOOD, "size": 2}}, {"body": b""}],
        [{"call": {**GOOD, "size": 2}}, {"call": GOOD}],
        [{"call": {**GOOD, "size": 40 * MIB}}, *[{"body": bytes(MIB)}] * 40, {"call": {**GOOD, "size": 40 * MIB}}],
        [{}],
        [{"left_out": {"id": 1, "reason": "x"}}],
        [{"left_out": {"id": "", "reason": "x" * 2000}}],
        [{"left_out": {"id": "", "reason": "x"}}] * 1_002,
    ]
    for wrong in wrongs:
        assembly = Assembly()
        with pytest.raises(BadRecording):
            for value in wrong:
                assembly.add(value)
    unfinished = Assembly()
    unfinished.add({"call": {**GOOD, "size": 2}})
    with pytest.raises(BadRecording, match="early"):
        unfinished.recording()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["call", "body", "left_out", "x"]), _JSON, max_size=2), _JSON)
def test_any_value_is_part_of_a_recording_or_refused(value: dict[str, Any], part: Any) -> None:
    for name in (None, *GOOD):
        assembly = Assembly()
        try:
            assembly.add(value if name is None else {"call": {**GOOD, name: part}})
            assembly.recording()
        except BadRecording:
            pass


# Targets


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("shop.test:80", "shop.test", 80),
        ("localhost:1", "localhost", 1),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_a_target_is_host_and_port(name: str, host: str, port: int) -> None:
    assert Targets([name]).named(name) == Target(name, host, port)
    assert Targets.of([(host, port)]).names == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "", "shop", "shop:", ":80", "shop:0", "shop:65536", "shop:080", "shop:8_0", "shop:٨٠", "shop:+80", "::1:80",
        "[::1]", "[127.0.0.1]:80", "[shop]:80", "http://shop:80", "user@shop:80", "shop:80/path", "shop:80:80",
        "a b:80", "shop\n:80", "sh%6fp:80", "127.1:80", "2130706433:80", "0x7f.1:80", "0177.0.0.1:80", "127.0.0.1.:80",
        "x" * 64 + ":80", "-shop:80", "shop..test:80",
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused_when_the_hub_starts(name: str) -> None:
    with pytest.raises(OptionError):
        Targets([name])
