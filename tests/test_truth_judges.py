"""Those who compare our entries with the truth see every kind of disagreement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from truth import http2, match, websocket
from truth.corpus import Capture, Record
from truth.half import Half, of_truth
from truth.stream import Call, Part, Stream
from truth.verdict import Disagreement
from truth.websocket import Shown


def capture_of(records: list[Record]) -> Capture:
    capture = Capture(Path(), "a.pcap", "", "")
    vars(capture).update(records=records, content=b"")
    return capture


# HTTP/1

HEAD = {"stream": 0, "n": 0, "version": "HTTP/1.1", "headers": [["Host", "a"]]}
ASKED = {"t": "http1.req", "frame": 4, "src": "10.0.0.1:5", "dst": "10.0.0.2:80", "method": "GET", "uri": "/"}
ANSWER = {"t": "http1.rsp", "frame": 6, "src": "10.0.0.2:80", "dst": "10.0.0.1:5", "status": 200, "reason": "OK"}
RECORDS: list[Record] = [
    {**HEAD, **ASKED, "body_len": 0, "rsp_in": 6},
    {**HEAD, **ANSWER, "body_len": 3, "body_sha256": "ab", "req_in": 4, "pair": 4},
]


def ours() -> list[Half]:
    request, response = (dataclasses.replace(of_truth(record), truth={}) for record in RECORDS)
    response.partner = request
    return [request, response]


def judged(halves: list[Half], records: list[Record] = RECORDS) -> list[Disagreement]:
    return match.judge(capture_of(records), halves).disagreements


def test_the_judge_agrees_with_what_is_the_same() -> None:
    assert judged(ours()) == []


WRONGS: dict[str, Callable[[list[Half]], object]] = {
    "missing": lambda halves: halves.pop(),
    "twice": lambda halves: halves.append(dataclasses.replace(halves[1])),
    "status": lambda halves: setattr(halves[1], "start", ("201", "OK", "1.1")),
    "path": lambda halves: setattr(halves[0], "start", ("GET", "/other", "1.1")),
    "header": lambda halves: setattr(halves[1], "headers", ()),
    "body": lambda halves: setattr(halves[1], "body", (3, "cd")),
    "unpaired": lambda halves: setattr(halves[1], "partner", None),
    "ends": lambda halves: setattr(halves[0], "src", "[10.0.0.3]:5"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_judge_sees(wrong: str) -> None:
    halves = ours()
    WRONGS[wrong](halves)
    assert judged(halves)


def test_a_partial_message_must_be_marked() -> None:
    halves = ours()
    records = [RECORDS[0], {**RECORDS[1], "t": "http1.partial", "kind": "rsp"}]
    assert judged(halves, records)
    halves[1].marked = True
    assert judged(halves, records) == []


# HTTP/2 and gRPC

CALLER, SERVICE = "10.0.0.1:5", "10.0.0.2:80"
WIRE = {"frames": {"HEADERS": 1, "DATA": 1}, "body_sha256": "ab", "end": True}
STREAM: Record = {
    "t": "h2.stream",
    "stream": 0,
    "id": 1,
    "client": CALLER,
    "path": "/pets.Pets/Get",
    "req_headers": [[":method", "POST"], [":path", "/pets.Pets/Get"], [":authority", "pets"], ["te", "trailers"]],
    "rsp_headers": [[":status", "200"], ["content-type", "application/grpc"]],
    "rsp_trailers": [["grpc-status", "5"]],
    "req_body_len": 14,
    "rsp_body_len": 12,
    **{f"{side}_{name}": value for side in ("req", "rsp") for name, value in WIRE.items()},
    "grpc": {"req": [9], "rsp": [7], "status": "5", "message": "no such pet"},
}
CONNECTION: Record = {"t": "h2.conn", "stream": 0, "a": CALLER, "b": SERVICE, "preface": True}
SEGMENTS: Record = {"t": "tcp", "stream": 0, "a": CALLER, "b": SERVICE, "syn": 2}


def our_stream() -> Stream:
    parts = {
        "req": Part(("POST", "/pets.Pets/Get", "pets"), (("te", "trailers"),), (), (14, "ab"), (14, "ab")),
        "rsp": Part(("200",), (("content-type", "application/grpc"),), (("grpc-status", "5"),), (12, "ab"), (12, "ab")),
    }
    call = Call("/pets.Pets/Get", {"req": [(9, False)], "rsp": [(7, False)]}, 5, "no such pet")
    return Stream(("[10.0.0.1]:5", "[10.0.0.2]:80"), 1, parts, (), call)


def judged_stream(ours: list[Stream], *, preface: bool = True, **changes: object) -> list[Disagreement]:
    capture = capture_of([SEGMENTS, {**CONNECTION, "preface": preface}, {**STREAM, **changes}])
    return http2.compare(capture, ours).disagreements


def changed(stream: Stream, side: str, **changes: object) -> None:
    stream.parts[side] = dataclasses.replace(stream.parts[side], **changes)  # type: ignore[arg-type]


def test_the_judge_agrees_with_the_same_stream() -> None:
    assert judged_stream([our_stream()]) == []


STREAM_WRONGS: dict[str, Callable[[Stream], object]] = {
    "id": lambda one: setattr(one, "id", 3),
    "ends": lambda one: setattr(one, "ends", one.ends[::-1]),
    "path": lambda one: changed(one, "req", start=("POST", "/pets.Pets/Put", "pets")),
    "status": lambda one: changed(one, "rsp", start=("204",)),
    "header": lambda one: changed(one, "req", headers=()),
    "trailer": lambda one: changed(one, "rsp", trailers=()),
    "length": lambda one: changed(one, "req", body=(13, "ab")),
    "hash": lambda one: changed(one, "rsp", body=(12, "cd")),
    "no answer": lambda one: one.parts.pop("rsp"),
    "no request": lambda one: one.parts.pop("req"),
    "interim": lambda one: setattr(one, "interim", (103,)),
    "marked": lambda one: setattr(one, "marks", frozenset({"malformed"})),
    "no call": lambda one: setattr(one, "call", None),
    "message": lambda one: one.call and one.call.messages.update(req=[(9, False), (0, False)]),
    "compressed": lambda one: one.call and one.call.messages.update(rsp=[(7, True)]),
    "grpc-status": lambda one: setattr(one.call, "status", 0),
    "grpc-message": lambda one: setattr(one.call, "message", ""),
    "service": lambda one: setattr(one.call, "path", "/pets.Cats/Get"),
}


@pytest.mark.parametrize("wrong", STREAM_WRONGS)
def test_the_judge_of_streams_sees(wrong: str) -> None:
    stream = our_stream()
    STREAM_WRONGS[wrong](stream)
    assert judged_stream([stream])


def test_a_stream_that_is_missing_or_twice_is_seen() -> None:
    (missing,) = judged_stream([])
    assert missing.weight == 4  # the stream, the call, two messages
    assert judged_stream([our_stream(), our_stream()])


@pytest.mark.parametrize("changes", [{"rsp_end": False}, {"rst": ["10.0.0.1:5", 8]}])
def test_a_stream_that_does_not_end_well_must_be_marked(changes: Record) -> None:
    stream = our_stream()
    assert judged_stream([stream], **changes)
    stream.marks = frozenset({"truncated"})
    assert judged_stream([stream], **changes) == []


def test_joined_in_the_middle_the_headers_are_a_lower_bound_and_marked() -> None:
    stream = our_stream()
    changed(stream, "req", headers=(("?-3", "?-3"), ("te", "trailers")))
    assert judged_stream([stream], preface=False)
    stream.marks = frozenset({"midstream"})
    assert judged_stream([stream], preface=False) == []
    changed(stream, "req", headers=(("?-3", "?-3"),))
    assert judged_stream([stream], preface=False)


def test_the_request_of_an_upgrade_is_the_one_that_upgraded() -> None:
    stream = our_stream()
    bare = {key: value for key, value in STREAM.items() if not key.startswith("req_")}
    upgrade = {**HEAD, **ASKED, "method": "POST", "uri": "/pets.Pets/Get", "host": "pets"}
    bare["grpc"] = {"rsp": [7], "status": "5", "message": "no such pet"}
    assert stream.call is not None
    stream.call.messages["req"] = []
    assert http2.compare(capture_of([CONNECTION, bare]), [stream]).disagreements
    assert http2.compare(capture_of([CONNECTION, bare, upgrade]), [stream]).disagreements == []


# WebSocket

WAY = ("[10.0.0.1]:5", "[10.0.0.2]:80")
FRAME: Record = {"t": "ws.msg", "stream": 0, "n": 0, "src": CALLER, "fin": True, "opcode": 1, "len": 3}
FRAMES: list[Record] = [
    {**FRAME, "frame": 4},
    {**FRAME, "frame": 5, "fin": False},
    {**FRAME, "frame": 6, "opcode": 9, "len": 0},
    {**FRAME, "frame": 7, "opcode": 0, "len": 2},
]


def our_messages() -> list[Shown]:
    return [Shown("text", 3, 3), Shown("ping", 0, 0), Shown("text", 5, 5)]


def judged_messages(messages: list[Shown], way: tuple[str, str] = WAY) -> list[Disagreement]:
    return websocket.compare(capture_of([SEGMENTS, *FRAMES]), {way: messages}).disagreements


def test_the_judge_puts_fragments_together() -> None:
    assert judged_messages(our_messages()) == []


MESSAGE_WRONGS: dict[str, Callable[[list[Shown]], object]] = {
    "missing": lambda ours: ours.pop(),
    "twice": lambda ours: ours.append(ours[-1]),
    "order": lambda ours: ours.reverse(),
    "opcode": lambda ours: setattr(ours[0], "opcode", "binary"),
    "size": lambda ours: setattr(ours[0], "size", 4),
    "content": lambda ours: setattr(ours[2], "content", 6),
    "marked": lambda ours: setattr(ours[1], "marked", True),
}


@pytest.mark.parametrize("wrong", MESSAGE_WRONGS)
def test_the_judge_of_websockets_sees(wrong: str) -> None:
    messages = our_messages()
    MESSAGE_WRONGS[wrong](messages)
    assert judged_messages(messages)


def test_the_judge_of_websockets_knows_who_sent() -> None:
    assert judged_messages(our_messages(), WAY[::-1])
