"""A recorded call as it is sent again: what the request was, octet by octet, and what the answer was.

A worker makes it of an entry, or says why it cannot be sent; a hub checks it again, for a worker may be anybody.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pysniff.body import Body
from pysniff.dissectors.grpc_call import last_of
from pysniff.dissectors.grpc_messages import GrpcRequest, GrpcResponse
from pysniff.dissectors.http import Fields, HttpRequest, HttpResponse
from pysniff.dissectors.http1_messages import Http1Request
from pysniff.dissectors.http2_messages import Http2Request
from pysniff.entry import Entry
from pysniff.message import SERVER

Octets = tuple[tuple[bytes, bytes], ...]  # names and values of fields, in order

# Fields of an answer that are compared; others (Date, ETag, Set-Cookie) differ from time to time.
COMPARED = ("content-type", "content-encoding", "location", "grpc-status", "grpc-message")
VERSIONS = ("1.0", "1.1", "2")
HEAD = 512 * 1024  # bytes of a head; of HTTP/2 more cannot come (limits.py: fields_bytes)
_VALUE = 1024  # characters of a field that is compared
# Kinds of faults with which a request is not what was sent.
_BROKEN = ("gap", "truncated", "midstream", "malformed")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}").fullmatch  # RFC 9110 §5.6.2
_TARGET = re.compile(rb"[!-~\x80-\xff]*").fullmatch
_FORBIDDEN = re.compile(rb"[\0\r\n]").search


class Answer(NamedTuple):
    """What is compared of an answer. `fields`: those of COMPARED that it has, None where its head is not known.

    `size`, `sha256`: of the body's content, content coding undone; None and "" where not all of it is known.
    """

    status: int
    fields: dict[str, str] | None
    size: int | None
    sha256: str


class Call(NamedTuple):
    """`at`: when it was sent, nanoseconds. `scheme`, `authority`: of HTTP/2. `elapsed`: microseconds until the answer
    was there, None where none came; then `answer` is None too."""

    id: str
    protocol: str
    version: str
    at: int
    method: bytes
    target: bytes
    scheme: bytes
    authority: bytes
    fields: Octets
    trailers: Octets
    body: bytes
    elapsed: int | None
    answer: Answer | None


class NotReplayed(Exception):
    """Why an entry cannot be sent again, in words."""


class NoAnswer(Exception):
    """Why no answer came to a call that was to be sent again, in words."""


class Reply(NamedTuple):
    """An answer that came now, `elapsed` microseconds after the first byte of the request was sent."""

    answer: Answer
    elapsed: int


def call_of(entry: Entry) -> Call:
    """What an entry's request was; raise NotReplayed where not all of it is known, or it is no call of HTTP."""
    request = _request(entry)
    head = request.http if isinstance(request, GrpcRequest) else request
    _check_whole(entry, head)
    _check_kind(entry, head)
    method, target = head.target
    pseudo = head.head.pseudo if isinstance(head, Http2Request) else {}
    call = Call(
        entry.id,
        entry.protocol,
        head.version,
        entry.time_ns,
        method.encode("utf-8", "replace"),
        _octets(head, target),
        pseudo.get(":scheme", "").encode("utf-8", "replace"),
        pseudo.get(":authority", "").encode("utf-8", "replace"),
        tuple([(name.encode("utf-8", "replace"), _octets(head, value)) for name, value in head.headers]),
        tuple([(name.encode("utf-8", "replace"), _octets(head, value)) for name, value in head.trailers]),
        head.body.raw,
        entry.elapsed_time,
        _answer(entry),
    )
    if odd := oddity(call):
        raise NotReplayed(odd)
    return call


def oddity(call: Call) -> str:
    """Why a request could not be sent as one message and no other, whatever its octets; "" where it can."""
    if call.version not in VERSIONS:
        return "it is of a version of HTTP that is not replayed"
    if not _TOKEN(call.method) or call.method == b"CONNECT":
        return "it opens a tunnel" if call.method == b"CONNECT" else "its method is odd"
    if not call.target or not all(map(_TARGET, (call.target, call.scheme, call.authority))):
        return "its target was not seen, or is odd"
    fields = (*call.fields, *call.trailers)
    if not all(_TOKEN(name) for name, _ in fields) or any(_FORBIDDEN(value) for _, value in fields):
        return "a header field is odd"
    coding = [value.strip().lower() for name, value in call.fields if name.lower() == b"transfer-encoding"]
    if coding not in ([], [b"chunked"]):
        return "its transfer coding is not chunked"
    size = sum(len(name) + len(value) + 4 for name, value in fields) + len(call.target)
    return "its head is too long" if size > HEAD else ""


def answer_of(response: HttpResponse, *, whole: bool = True) -> Answer:
    """What is compared of it; `whole`: all of it is there."""
    kinds = {fault.kind for fault in response.every_fault} & {"gap", "truncated", "midstream"}
    fields = None if kinds & {"gap", "midstream"} else compared(response.headers, response.trailers)
    body = response.body
    if kinds or not whole or body.holes:
        return Answer(response.status, fields, None, "")
    return Answer(response.status, fields, *content_of(body))


def content_of(body: Body) -> tuple[int, str]:
    """Size and hash of the content."""
    return body.size, body.content_sha256


def compared(headers: Fields, trailers: Fields) -> dict[str, str]:
    """The fields that are compared, by name in lower case; of gRPC a status in trailers counts."""
    found = {name: last_of(trailers, name) or last_of(headers, name) for name in COMPARED}
    return {name: value[:_VALUE] for name, value in found.items() if value}


def _request(entry: Entry) -> HttpRequest:
    request = entry.request
    if request is None:
        raise NotReplayed("its request was not seen")
    if not isinstance(request, HttpRequest):
        raise NotReplayed(f"{entry.protocol} is not replayed")
    if request.side is SERVER:
        raise NotReplayed("the server pushed it")
    return request


def _check_whole(entry: Entry, head: HttpRequest) -> None:
    """Raise NotReplayed where a part of the request is missing."""
    of_content = head.body.faults  # what does not decode can be sent all the same
    for fault in head.every_fault:
        if fault.kind in _BROKEN and fault not in of_content:
            raise NotReplayed(f"{fault.kind}: {fault.message}")
    body = head.body
    if body.holes or len(body.raw) < body.encoded_size:
        raise NotReplayed(f"{len(body.raw)} of {body.encoded_size} bytes of its body are kept")
    if not getattr(head, "ended", True) or (entry.state == "open" and not _has_ended(entry, head)):
        raise NotReplayed("it had not ended")


def _has_ended(entry: Entry, head: HttpRequest) -> bool:
    """Whether an HTTP/1 request that waits for its answer is all there."""
    if not isinstance(head, Http1Request) or entry.response is not None:
        return True
    length = head.header("content-length")
    return not head.header("transfer-encoding") and (not length or length.strip() == str(head.body.encoded_size))


def _check_kind(entry: Entry, head: HttpRequest) -> None:
    """Raise NotReplayed for what turns into another protocol."""
    if entry.status == "101" or "websocket" in head.header("upgrade").lower():
        raise NotReplayed("the connection goes on in another protocol")
    if isinstance(head, Http2Request) and head.connect_protocol:
        raise NotReplayed("it opens a tunnel")


def _answer(entry: Entry) -> Answer | None:
    response = entry.response
    if not isinstance(response, HttpResponse) or not response.status:
        return None
    http = response.http if isinstance(response, GrpcResponse) else response
    return answer_of(http, whole=entry.state == "closed")


def _octets(head: HttpRequest, text: str) -> bytes:
    """The bytes that a text of the head was read from: see http1_messages.text()."""
    if isinstance(head, Http1Request) and not text.isascii():
        try:
            head.head.decode()
        except UnicodeDecodeError:
            return text.encode("latin-1", "replace")
    return text.encode("utf-8", "replace")
