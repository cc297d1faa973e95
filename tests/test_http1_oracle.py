"""Our HTTP/1 against httptools (llhttp, of Node.js): on well-formed pipelines both say the same, for every cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Talk

from pysniff.dissectors.http1 import Http1


@dataclass
class Said:
    """One message as the oracle hears it."""

    start: tuple[object, ...] = ()
    target: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)


class Oracle:
    """Callbacks of httptools; `parser` must be set before feeding."""

    parser: Any

    def __init__(self) -> None:
        self.messages: list[Said] = []
        self._in_body = False

    def on_message_begin(self) -> None:
        self.messages.append(Said())
        self._in_body = False

    def on_url(self, url: bytes) -> None:
        self.messages[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        said = self.messages[-1]
        # RFC 9110 §5.5: space around a value is no part of it; httptools takes it off in front only.
        (said.trailers if self._in_body else said.headers).append((name.decode(), value.decode().rstrip(" \t")))

    def on_headers_complete(self) -> None:
        parser = self.parser
        if isinstance(parser, httptools.HttpRequestParser):
            self.messages[-1].start = (parser.get_method().decode(), parser.get_http_version())
        else:
            self.messages[-1].start = (parser.get_status_code(), parser.get_http_version())
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self.messages[-1].body += body


def requests_of(data: bytes) -> list[Said]:
    oracle = Oracle()
    oracle.parser = httptools.HttpRequestParser(oracle)
    oracle.parser.feed_data(data)
    return oracle.messages


def responses_of(data: bytes) -> list[Said]:
    oracle = Oracle()
    oracle.parser = httptools.HttpResponseParser(oracle)
    oracle.parser.feed_data(data)
    return oracle.messages


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.!~*'", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
TARGET = st.text("abc/?&=%20;:@+,~", max_size=20).map(lambda text: "/" + text)
# Names that decide framing or change the protocol are written by body() alone.
FIELD = st.tuples(TOKEN.map(lambda name: "x-" + name), VALUE).map(": ".join)
FIELDS = st.lists(FIELD | st.just("Accept:  spaces around \t"), max_size=5)
# HEAD and CONNECT change what follows, which an oracle for one half cannot know.
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT", "M-SEARCH"])


@st.composite
def bodies(draw: st.DrawFn, none: str) -> bytes:
    """Field lines that frame a body, the empty line, and the body; `none`: the lines where there is no body."""
    data = draw(
        st.binary(max_size=200) | st.sampled_from([b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
    )
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "none":
        return none.encode() + b"\r\n"
    if kind == "length":
        return b"Content-Length: %d\r\n\r\n" % len(data) + data
    sizes = draw(st.lists(st.integers(1, 50), max_size=6))
    chunks = b""
    for size in [*sizes, 200]:
        piece, data = data[:size], data[size:]
        if piece:
            extension = draw(st.sampled_from([b"", b"", b";a=b", b';a="b c"']))
            chunks += b"%x" % len(piece) + extension + b"\r\n" + piece + b"\r\n"
    trailers = "".join(f"{line}\r\n" for line in draw(FIELDS))
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers.encode() + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = [f"{draw(METHODS)} {draw(TARGET)} HTTP/1.1", "Host: a", *draw(FIELDS)]
    return "".join(f"{line}\r\n" for line in lines).encode() + draw(bodies(none=""))


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from(["200 OK", "201 Created", "302 Found", "404 Not Found", "500 It broke", "299 "]))
    lines = [f"HTTP/1.1 {status}", *draw(FIELDS)]
    return "".join(f"{line}\r\n" for line in lines).encode() + draw(bodies(none="Content-Length: 0\r\n"))


def ours(message: Any) -> Said:
    start = message.method if hasattr(message, "method") else message.status
    target = message.url.encode() if hasattr(message, "url") else b""
    return Said((start, message.version), target, list(message.headers), message.body.raw, list(message.trailers))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)


def check(client: bytes, server: bytes, client_cuts: list[int], server_cuts: list[int]) -> None:
    talk = Talk(Http1()).client(*pieces(client, client_cuts)).server(*pieces(server, server_cuts)).close()
    assert talk.malformed is None
    assert talk.undecoded == []
    assert [ours(message) for message in talk.requests] == requests_of(client)
    assert [ours(message) for message in talk.responses] == responses_of(server)
    assert all(message.faults == () for message in talk.messages)


@settings(max_examples=80, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=5), st.lists(responses(), max_size=5), CUTS, CUTS)
def test_pipelines_are_read_as_httptools_reads_them(
    asked: list[bytes], answered: list[bytes], client_cuts: list[int], server_cuts: list[int]
) -> None:
    check(b"".join(asked), b"".join(answered[: len(asked)]), client_cuts, server_cuts)


FIXED = (
    b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n"
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
)


def test_at_every_single_cut() -> None:
    for cut in range(max(len(FIXED), len(ANSWERS))):
        check(FIXED, ANSWERS, [cut], [cut])


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_in_equal_pieces(size: int) -> None:
    check(FIXED, ANSWERS, list(range(0, len(FIXED), size)), list(range(0, len(ANSWERS), size)))


def test_the_oracle_sees_a_difference() -> None:
    assert requests_of(FIXED) != requests_of(FIXED.replace(b"hello", b"hallo", 1))
    assert len(requests_of(FIXED)) == len(responses_of(ANSWERS)) == 3
