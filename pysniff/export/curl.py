"""-o curl: each call of HTTP as a command that makes it again, for any POSIX shell, with a comment above it.

What curl cannot do, or would do in another way, stands in the comment. Nothing that a peer sent can end a word or a
comment, or be taken for an option or a file name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import ClassVar

from pysniff.dissectors.grpc_messages import GrpcRequest
from pysniff.dissectors.http import HttpMessage, HttpRequest
from pysniff.dissectors.http1_messages import Http1Request
from pysniff.entry import Entry, rfc3339
from pysniff.export.exporter import NOT_ENDED, Exporter
from pysniff.export.grpcurl import grpc_lines
from pysniff.export.shell import inline, word
from pysniff.export.url import place_of
from pysniff.message import printable

NO_HTTP = "no HTTP"
NO_REQUEST = "the request was not seen"
# One argument may have 128 KiB on Linux (MAX_ARG_STRLEN); what is longer comes through a pipe.
_INLINE = 64 * 1024  # bytes of a body
_FIELD = 64 * 1024  # bytes of a header field
_EXPECT = 1024  # bytes of a body from which on curl asks before it sends
_VISIBLE = re.compile(r"[!-~]{1,255}")
# RFC 9110 §5.6.2. A name that begins with @ would make curl read a file.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What curl sends as it stands; dot segments it removes unless told, [ and { it takes for patterns.
_PLAIN = re.compile(r"/[\w.~!$&'()*+,;=:@%/-]*(?:\?[\w.~!$&'()*+,;=:@%/?-]*)?", re.ASCII)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
# curl says these by itself with --http2 (RFC 7540 §3.2).
_UPGRADE = {"connection", "upgrade", "http2-settings"}


class Curl(Exporter):
    """A call is there for whoever reads the file as soon as it has ended."""

    format: ClassVar[str] = "curl"
    whole: ClassVar[bool] = False

    def encode(self, entry: Entry) -> bytes:
        request = entry.request
        if not isinstance(request, HttpRequest):
            other = not isinstance(entry.response, HttpMessage)
            self.left_out[NO_HTTP if other else NO_REQUEST] += 1
            return b""
        lines = [f"# {_title(entry)}"]
        if entry.state == "open":
            lines.append(f"# {NOT_ENDED}")
        if isinstance(request, GrpcRequest):
            lines += [f"# {printable(line)}" for line in grpc_lines(entry, request, self.body_limit)]
        else:
            notes, command = _call(entry, request, self.body_limit)
            lines += [f"# {printable(note)}" for note in notes]
            if command:
                lines.append(command)
        return "\n".join([*lines, "", ""]).encode("utf-8", "replace")


def _title(entry: Entry) -> str:
    return printable(f"{rfc3339(entry.time_ns)} {entry.id} {entry.headline[:200]} -> {entry.status or 'no response'}")


def _call(entry: Entry, request: HttpRequest, body_limit: int) -> tuple[list[str], str]:
    """What has to be said about it, and the command, "" where there is none."""
    if obstacle := _obstacle(entry, request):
        return [f"not repeated: {obstacle}"], ""
    notes = [f"{fault.kind}: {fault.message}" for fault in request.every_fault]
    raw = request.body.raw
    body = raw[: max(body_limit, 0)]
    if len(body) < request.body.encoded_size:
        notes.append(f"the body is cut: {len(body)} of {request.body.encoded_size} bytes are here")
    chunked = request.header("transfer-encoding").strip().lower() == "chunked"
    has_body = bool(body) or chunked
    if request.method == "HEAD" and has_body:
        notes.append("curl sends no body with HEAD: left out")
        body, has_body = b"", False
    if request.trailers:
        notes.append("curl sends no trailers: left out")
    words = ["curl", *_method(request.method, has_body), *_where(entry, request), *_version(request)]
    if "accept-encoding" in request.index:
        words.append("--compressed")  # curl undoes what it is sent; the field itself stands below
    words += _fields(entry, request, len(body), has_body, notes)
    before = ""
    if has_body:
        before, argument = _data(body)
        words += argument
    return notes, before + " ".join(words)


def _obstacle(entry: Entry, request: HttpRequest) -> str:
    if not _TOKEN.fullmatch(request.method):
        return "its method was not seen" if not request.method or request.method[:1] == "?" else "its method is odd"
    if request.method == "CONNECT":
        return "it opens a tunnel"
    if request.url != "*" and request.url[:1] != "/" and not request.url.lower().startswith(("http://", "https://")):
        return "its path was not seen, or is none"
    if b"\0" in _target_octets(request):
        return "its path has a NUL in it"
    response = entry.response
    # A 101 to an offer of h2c: the call itself is that of stream 1.
    if isinstance(response, HttpMessage) and entry.status == "101" and response.header("upgrade").lower() == "h2c":
        return "it goes on in HTTP/2, as the call of stream 1"
    return ""


def _method(method: str, has_body: bool) -> list[str]:
    if method == "HEAD":
        return ["--head"]
    if method == ("POST" if has_body else "GET"):
        return []
    return ["-X", word(method.encode())]


def _where(entry: Entry, request: HttpRequest) -> Iterator[str]:
    """The URL, and what it takes to send the very target there."""
    place, target = place_of(entry), request.url
    plain = _PLAIN.fullmatch(target) is not None
    yield word((place.origin + (target if plain else "/")).encode())
    if place.authority != place.server:
        # Names mean something else here, or nothing: go where the packets went.
        server = f"[{entry.dst.ip}]" if ":" in entry.dst.ip else entry.dst.ip
        yield f"--connect-to {word(f'::{server}:{entry.dst.port}'.encode())}"
    if not plain:
        yield f"--request-target {word(_target_octets(request))}"
    elif _DOTS.search(target.partition("?")[0]):
        yield "--path-as-is"


def _version(request: HttpRequest) -> list[str]:
    if "http2-settings" in request.index:
        return ["--http2"]
    if request.version == "2":
        return ["--http2" if getattr(request, "scheme", "") == "https" else "--http2-prior-knowledge"]
    return ["--http1.0"] if request.version == "1.0" else []


def _fields(entry: Entry, request: HttpRequest, size: int, has_body: bool, notes: list[str]) -> Iterator[str]:
    """Each header field in order, then those that curl would add of its own."""
    own = _UPGRADE if "http2-settings" in request.index else set()
    lengths = [value for name, value in request.headers if name.lower() == "content-length"]
    for name, value in request.headers:
        lower = name.lower()
        if lower in own:
            continue
        if lower == "content-length" and (lengths != [str(size)] or "transfer-encoding" in request.index):
            continue  # curl counts the body itself
        if lower == "transfer-encoding" and (value.strip().lower() != "chunked" or not has_body):
            continue  # a body is here without its transfer coding
        octets = _octets(request, value)
        if not _TOKEN.fullmatch(name) or len(octets) > _FIELD or re.search(rb"[\0\r\n]", octets):
            notes.append(f"header field left out: {name[:80]}")
            continue
        # A name with a semicolon is how curl is told of a value that is empty.
        field = name.encode() + (b": " + octets if octets.strip() else b";")
        yield f"-H {word(field)}"
    added = ["Accept", "User-Agent", *(["Content-Type"] if has_body else [])]
    if size > _EXPECT:
        added.append("Expect")
    if request.version in ("1.0", "1.1"):
        added.append("Host")
    elif (host := request.host) != place_of(entry).authority and _VISIBLE.fullmatch(host):
        yield f"-H {word(b'Host: ' + host.encode())}"  # curl makes it :authority
    for name in added:
        if name.lower() not in request.index:
            yield f"-H {name}:"


def _data(body: bytes) -> tuple[str, list[str]]:
    """What stands before the command, and its arguments. --data-raw, unlike --data-binary, knows no @file."""
    plain = inline(body, lines=True)
    if plain is not None and len(body) <= _INLINE:
        return "", ["--data-raw", plain]
    if plain is not None:
        return f"printf %s {plain} | ", ["--data-binary", "@-"]
    return f"printf %s {base64.b64encode(body).decode()} | base64 -d | ", ["--data-binary", "@-"]


def _target_octets(request: HttpRequest) -> bytes:
    """Of the request line alone: http1_messages reads it apart from the fields."""
    line = request.head.lstrip(b"\r\n").partition(b"\n")[0] if isinstance(request, Http1Request) else b""
    return _encoded(request.url, line)


def _octets(request: HttpRequest, text: str) -> bytes:
    """Of a name or value of a field."""
    return _encoded(text, request.head if isinstance(request, Http1Request) else b"")


def _encoded(text: str, read: bytes) -> bytes:
    """The bytes that a text was read from among others, as http1_messages.text() does."""
    try:
        read.decode()
    except UnicodeDecodeError:
        return text.encode("latin-1", "replace")
    return text.encode("utf-8", "replace")
