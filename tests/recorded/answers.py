"""What the origin server answers: the bytes, and what they mean. Paths are keys of `ANSWERS`."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field, replace

import brotli
from backports import zstd

from recorded.said import Headers

PAGE = b"".join(b"<p>line %d of a page that compresses well</p>\n" % n for n in range(400))
DATE = ("Date", "Sat, 21 Nov 2026 20:00:00 GMT")


@dataclass(frozen=True)
class Answer:
    """`pieces` go out one write each, after the head; `close`: the server closes after them."""

    status: int = 200
    reason: str = "OK"
    headers: Headers = field(default_factory=list)
    content: bytes = b""
    pieces: tuple[bytes, ...] = ()
    trailers: Headers = field(default_factory=list)
    interim: tuple[tuple[int, str, tuple[tuple[str, str], ...]], ...] = ()
    version: str = "HTTP/1.1"
    newline: str = "\r\n"
    close: bool = False
    odd: bool = False
    unsure: bool = False  # what its content is, no rule says
    raw_head: bytes = b""  # sent instead of what the fields above make

    def head(self) -> bytes:
        return self.raw_head or head(f"{self.version} {self.status} {self.reason}", self.headers, self.newline)

    def interims(self) -> list[bytes]:
        return [head(f"HTTP/1.1 {status} {reason}", list(fields)) for status, reason, fields in self.interim]


def head(start: str, fields: Headers, newline: str = "\r\n") -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in fields), "", ""]
    return newline.join(lines).encode("latin-1")


def chunks(content: bytes, size: int = 1000, trailers: Headers | None = None, extension: str = "") -> tuple[bytes, ...]:
    """Chunked coding, one piece a chunk."""
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return (
        *(b"%x%b\r\n%b\r\n" % (len(part), extension.encode(), part) for part in parts),
        head("0", trailers or []),
    )


def plain(content: bytes, *fields: tuple[str, str], status: int = 200, reason: str = "OK") -> Answer:
    headers = [DATE, *fields, ("Content-Length", str(len(content)))]
    return Answer(status, reason, headers, content, (content,))


def chunked(content: bytes, *fields: tuple[str, str], trailers: Headers | None = None, size: int = 1000) -> Answer:
    headers = [DATE, *fields, ("Transfer-Encoding", "chunked")]
    pieces = chunks(content, size, trailers, ";name=value" if trailers else "")
    return Answer(200, "OK", headers, content, pieces, trailers or [])


def coded(coding: str, sent: bytes) -> Answer:
    return replace(plain(sent, ("Content-Encoding", coding)), content=PAGE)


def raw_deflate(content: bytes) -> bytes:
    """Not what RFC 9110 §8.4.1.2 means by deflate, and common."""
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(content) + squeeze.flush()


def events(count: int) -> tuple[bytes, ...]:
    return tuple(b'id: %d\nevent: tick\ndata: {"n": %d}\n\n' % (n, n) for n in range(count))


def _sse() -> Answer:
    pieces = events(20)
    whole = chunked(b"".join(pieces), ("Content-Type", "text/event-stream"))
    one_each = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return replace(whole, pieces=(*one_each, b"0\r\n\r\n"))


def _until_close(version: str = "HTTP/1.1") -> Answer:
    return Answer(
        200, "OK", [DATE, ("Connection", "close")], PAGE, (PAGE[:5000], PAGE[5000:]), version=version, close=True
    )


def _lengths(*values: str, odd: bool) -> Answer:
    return Answer(200, "OK", [DATE, *(("Content-Length", value) for value in values)], b"hello", (b"hello",), odd=odd)


def _hints() -> Answer:
    link = (("Link", "</style.css>; rel=preload"),)
    return replace(
        plain(PAGE), interim=((103, "Early Hints", link), (102, "Processing", ()), (103, "Early Hints", link))
    )


ANSWERS: dict[str, Answer] = {
    "/plain": plain(b"hello\n", ("Content-Type", "text/plain")),
    "/page": plain(PAGE, ("Content-Type", "text/html; charset=utf-8")),
    "/empty": plain(b""),
    "/chunked": chunked(PAGE),
    "/trailers": chunked(PAGE, ("Trailer", "X-Sum, X-End"), trailers=[("X-Sum", "1234"), ("X-End", "yes")]),
    "/gzip": coded("gzip", gzip.compress(PAGE, mtime=0)),
    "/gzip-members": coded("gzip", gzip.compress(PAGE[:900], mtime=0) + gzip.compress(PAGE[900:], mtime=0)),
    "/deflate": coded("deflate", zlib.compress(PAGE)),
    "/raw-deflate": coded("deflate", raw_deflate(PAGE)),
    "/br": coded("br", brotli.compress(PAGE)),
    "/zstd": coded("zstd", zstd.compress(PAGE)),
    "/gzip-chunked": replace(
        chunked(gzip.compress(PAGE, mtime=0), ("Content-Encoding", "gzip"), size=37), content=PAGE
    ),
    "/twice": coded("gzip, br", brotli.compress(gzip.compress(PAGE, mtime=0))),
    "/events": _sse(),
    "/events-until-close": replace(
        _until_close(),
        headers=[DATE, ("Content-Type", "text/event-stream"), ("Connection", "close")],
        content=b"".join(events(20)),
        pieces=events(20),
    ),
    "/until-close": _until_close(),
    "/until-close-1.0": _until_close("HTTP/1.0"),
    "/same-lengths": _lengths("5", "5", odd=False),
    "/length-list": _lengths("5, 5", odd=False),
    "/two-lengths": replace(_lengths("5", "9", odd=True), unsure=True, close=True),
    "/length-and-chunked": replace(chunked(b"hello", ("Content-Length", "3")), odd=True, close=True),
    "/bare-lf": replace(plain(b"hello"), newline="\n", odd=True),
    "/fold": replace(
        plain(b"hello"),
        headers=[DATE, ("X-Folded", "one two three"), ("Content-Length", "5")],
        raw_head=b"HTTP/1.1 200 OK\r\n%b: %b\r\nX-Folded: one\r\n two\r\n\tthree\r\nContent-Length: 5\r\n\r\n"
        % (DATE[0].encode(), DATE[1].encode()),
        odd=True,
    ),
    "/hints": _hints(),
    "/none": Answer(204, "No Content", [DATE, ("ETag", '"1"')]),
    "/not-modified": Answer(304, "Not Modified", [DATE, ("ETag", '"1"'), ("Content-Length", str(len(PAGE)))]),
    "/no-reason": replace(plain(b"hello"), reason=""),
    "/missing": plain(b"not here", status=404, reason="Not Found"),
    "/upgrade": Answer(101, "Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "foo/1")]),
}
