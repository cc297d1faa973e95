"""One HTTP/1 message, whoever found it: tshark (a truth record) or we (half of an entry)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from pysniff.dissectors.http import HttpMessage, HttpRequest, HttpResponse
from pysniff.entry import Entry
from truth.corpus import Record

EMPTY = hashlib.sha256(b"").hexdigest()
# What an entry says when it knows that a message is not whole.
MARKS = frozenset({"gap", "truncated", "midstream", "malformed", "inferred", "overlap"})


@dataclass(eq=False)
class Half:
    """`body` is (length, SHA-256) of the content, transfer and content coding undone; None where it is not judged."""

    kind: str  # "req" or "rsp"
    src: str
    dst: str
    start: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    body: tuple[int, str] | None
    order: tuple[int, int]
    marked: bool = False
    interim: bool = False
    partner: Half | None = None  # ours: the request that we paired
    truth: Record = field(default_factory=dict)

    @property
    def ends(self) -> tuple[str, str, str]:
        return self.kind, self.src, self.dst

    @property
    def head(self) -> tuple[object, ...]:
        return self.start, self.headers

    @property
    def whole(self) -> tuple[object, ...]:
        return self.start, self.headers, self.body

    def __str__(self) -> str:
        return f"{self.kind} {self.src}>{self.dst} {' '.join(self.start)[:120]}"


def endpoint(ip: str, port: int | str) -> str:
    """ "[ip]:port" with the address in its one canonical form."""
    return f"[{ipaddress.ip_address(ip)}]:{port}"


def text(latin: str) -> str:
    """The truth writes bytes as Latin-1; we read UTF-8 where they are that."""
    raw = latin.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return latin


def of_truth(record: Record) -> Half:
    """From an http1.req, http1.rsp or http1.partial record."""
    partial = record["t"] == "http1.partial"
    kind = record["kind"] if partial else record["t"][6:]
    version = (record["version"] or "").removeprefix("HTTP/")
    if kind == "req":
        start = (text(record["method"]), text(record["uri"] or ""), version)
    else:
        start = (str(record["status"]), text(record["reason"].strip()), version)
    src, dst = (endpoint(*record[end].rpartition(":")[::2]) for end in ("src", "dst"))
    headers = tuple((text(name), text(value)) for name, value in record["headers"])
    body = None if partial else (record["body_len"], record.get("body_sha256", EMPTY))
    status = record.get("status")
    interim = status is not None and status < 200 and status != 101
    order = (record["frame"], record["n"])
    return Half(kind, src, dst, start, headers, body, order, partial, interim, None, record)


def of_entry(entry: Entry) -> Iterator[Half]:
    """The halves of an entry of HTTP/1, gRPC-Web included; none of any other entry."""
    if entry.protocol not in ("http", "grpc") or not entry.version.startswith(("0", "1")):
        return
    client, server = endpoint(*entry.src[:2]), endpoint(*entry.dst[:2])
    # Bodies add their faults when they are decoded, so the halves are read first.
    request = _asked(entry.request, client, server) if entry.request is not None else None
    answers = list(_answers(entry.response, server, client, request)) if entry.response is not None else []
    halves = [request, *answers] if request is not None else answers
    marked = entry.completeness != "complete" or any(fault.kind in MARKS for fault in entry.faults)
    for half in halves:
        half.marked = marked and not half.interim
        yield half


def _asked(request: HttpRequest, src: str, dst: str) -> Half:
    start = (request.method, request.url, request.version)
    return Half("req", src, dst, start, request.headers, _content(request), (request.first, request.position))


def _answers(response: HttpResponse, src: str, dst: str, request: Half | None) -> Iterator[Half]:
    """The interim ones, then the final one."""
    for one in (*response.interim, response):
        start = (str(one.status), one.reason, one.version)
        half = Half("rsp", src, dst, start, one.headers, _content(one), (one.first, one.position))
        half.partner = request
        half.interim = one is not response
        yield half


def _content(message: HttpMessage) -> tuple[int, str]:
    body = message.body
    return body.size, hashlib.sha256(body.content).hexdigest() if not body.truncated else body.content_sha256
