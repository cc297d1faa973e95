"""One HTTP/2 stream and the gRPC call in it, whoever found it: tshark (an h2.stream record) or we (an entry)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pysniff.dissectors.http import Fields, HttpRequest, HttpResponse
from pysniff.entry import Entry
from truth.corpus import Record
from truth.half import endpoint, text
from truth.verdict import canonical

SIDES = {"req": "request", "rsp": "response"}
REQUEST_LINE = (":method", ":path", ":authority")  # the scheme is not shown


@dataclass(eq=False)
class Part:
    """One direction of a stream.

    `start`: method, path and authority, or the status; () without a head. `body`: length and SHA-256 as sent,
    `decoded`: with content coding undone; None where the truth does not say. `ended`: END_STREAM was seen.
    """

    start: tuple[str, ...]
    headers: Fields
    trailers: Fields
    body: tuple[int, str | None]
    decoded: tuple[int, str] | None
    ended: bool = True
    raw: bytes = b""


@dataclass(eq=False)
class Call:
    """What gRPC makes of a stream: (size, compressed) of every message of each direction, and how it ended."""

    path: str
    messages: dict[str, list[tuple[int, bool]]]
    status: int | None
    message: str


@dataclass(eq=False)
class Stream:
    """`ends`: client, server. `marks`: kinds of the faults of our entry, and whether it is still open."""

    ends: tuple[str, str]
    id: int
    parts: dict[str, Part]
    interim: tuple[int, ...] = ()
    call: Call | None = None
    marks: frozenset[str] = frozenset()
    truth: Record = field(default_factory=dict)

    def __str__(self) -> str:
        starts = " -> ".join(" ".join(part.start) or "?" for part in self.parts.values())
        return f"{self.ends[0]}>{self.ends[1]} id={self.id} {starts}"


def of_truth(record: Record, ends: tuple[str, str]) -> Stream:
    """From an h2.stream record; `ends`: those of its connection, in any order."""
    client = canonical(record["client"])
    server = next(end for end in ends if end != client)
    parts = {side: _recorded_part(record, side) for side in SIDES if f"{side}_frames" in record}
    interim = tuple(record.get("informational", ()))
    return Stream((client, server), record["id"], parts, interim, _recorded_call(record), truth=record)


def _recorded_part(record: Record, side: str) -> Part:
    fields = [(text(name), text(value)) for name, value in record.get(f"{side}_headers", ())]
    pseudo = {name: value for name, value in fields if name[:1] == ":"}
    start = tuple(pseudo.get(name, "") for name in (REQUEST_LINE if side == "req" else (":status",)))
    decoded = None
    if f"{side}_decoded_len" in record:
        decoded = (record[f"{side}_decoded_len"], record[f"{side}_decoded_sha256"])
    return Part(
        start if fields else (),
        tuple(one for one in fields if one[0][:1] != ":"),
        tuple((text(name), text(value)) for name, value in record.get(f"{side}_trailers", ())),
        (record[f"{side}_body_len"], record.get(f"{side}_body_sha256")),
        decoded,
        record[f"{side}_end"],
    )


def _recorded_call(record: Record) -> Call | None:
    call = record.get("grpc")
    if call is None:
        return None
    messages = {}
    for side in SIDES:
        sizes = call.get(side, [])
        flags = call.get(f"{side}_flags", [0] * len(sizes))
        messages[side] = [(size, bool(flag & 1)) for size, flag in zip(sizes, flags, strict=True)]
    status = int(call["status"]) if "status" in call else None
    return Call(record.get("path", ""), messages, status, call.get("message", ""))


def is_http2(entry: Entry) -> bool:
    return entry.protocol in ("http", "grpc") and entry.version == "2"


def of_entry(entry: Entry) -> Stream:
    """From an entry of HTTP/2."""
    request, response = entry.request, entry.response
    parts = {side: _part(one) for side, one in (("req", request), ("rsp", response)) if one is not None}
    interim = tuple(one.status for one in response.interim) if response is not None else ()
    call = _call(entry.to_dict()) if entry.protocol == "grpc" else None
    # Bodies add their faults when they are decoded, so the parts are read first.
    marks = {fault.kind for fault in entry.faults} | ({"open"} if entry.state == "open" else set())
    number = (response if request is None else request).stream_id
    ends = (endpoint(*entry.src[:2]), endpoint(*entry.dst[:2]))
    return Stream(ends, number, parts, interim, call, frozenset(marks))


def _part(message: HttpRequest | HttpResponse) -> Part:
    start: tuple[str, ...]
    if isinstance(message, HttpRequest):
        start = (message.method, message.url, message.host)
    else:
        start = (str(message.status),)
    body = message.body
    content = body.content_sha256 if body.truncated else hashlib.sha256(body.content).hexdigest()
    sent = (body.encoded_size, body.sha256)
    return Part(start, message.headers, message.trailers, sent, (body.size, content), raw=body.raw)


def _call(record: dict[str, Any]) -> Call:
    request, response = record["request"] or {}, record["response"] or {}
    messages = {
        side: [(one["size"], one["compressed"]) for one in half.get("messages", ())]
        for side, half in (("req", request), ("rsp", response))
    }
    path = f"/{request['grpc_service']}/{request['grpc_method']}" if request else ""
    return Call(path, messages, response.get("grpc_status"), response.get("grpc_message", ""))
