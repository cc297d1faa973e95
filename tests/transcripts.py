"""Sample dialogues of every protocol, as each half sends them: one row here, and the contract suite and the
fuzzers' first corpus have it.

A row: protocol, transport, what is special about it, and the steps. Over UDP a step is a datagram.
"""

from __future__ import annotations

import gzip
import struct
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from talk import Step

from pysniff.dissector import Dissector
from pysniff.dissectors import BUILT_IN
from pysniff.message import CLIENT, SERVER

PAGE = Path(__file__).parent.parent / "docs" / "dissector.md"


class Transcript(NamedTuple):
    protocol: str
    transport: str
    name: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.protocol}/{self.transport} {self.name}".replace(" ", "-")

    @property
    def dissector(self) -> type[Dissector]:
        return DISSECTORS[self.protocol, self.transport]


def c(data: bytes) -> Step:
    return CLIENT, data


def s(data: bytes) -> Step:
    return SERVER, data


def dns(ident: int, name: bytes, kind: int = 1, flags: int = 0x0100, answers: tuple[bytes, ...] = ()) -> bytes:
    """A DNS message with one question (RFC 1035 §4); `answers` without their names, which are the question's."""
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"
    head = struct.pack("!6H", ident, flags, 1, len(answers), 0, 0)
    return head + labels + struct.pack("!HH", kind, 1) + b"".join(b"\xc0\x0c" + answer for answer in answers)


def a_record(address: bytes, ttl: int = 60) -> bytes:
    return struct.pack("!HHIH", 1, 1, ttl, len(address)) + address


def framed(message: bytes) -> bytes:
    """As over TCP (RFC 1035 §4.2.2)."""
    return len(message).to_bytes(2, "big") + message


ZIPPED = gzip.compress(b"all of it, " * 40, mtime=0)
ASK, ANSWER = dns(7, b"shop.example"), dns(7, b"shop.example", 1, 0x8180, (a_record(b"\x0a\0\0\x09"),))
ASK6, NONE = dns(8, b"nowhere.example", 28), dns(8, b"nowhere.example", 28, 0x8183)
MANY = dns(9, b"shop.example", 1, 0x8180, tuple(a_record(bytes([10, 0, 0, n])) for n in range(60)))

TRANSCRIPTS = (
    Transcript(
        "http", "tcp", "one call after the other",
        (
            c(b"GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\nCookie: a=1; b=2\r\n\r\n"),
            s(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"items":[1,2,3]}'),
            c(b"POST /cart HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello"),
            s(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            c(b"DELETE /cart/7 HTTP/1.1\r\nHost: shop\r\n\r\n"),
            s(b"HTTP/1.1 204 No Content\r\n\r\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "pipelined with HEAD and 304 in between",
        (
            c(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"),  # noqa: E501
            s(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n"),
            s(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "chunks and trailers both ways",
        (
            c(b"PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5;x=1\r\npedia\r\n0\r\n\r\n"),  # noqa: E501
            s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n6\r\nanswer\r\n00\r\nSum: 1\r\nMore: 2\r\n\r\n"),  # noqa: E501
        ),
    ),
    Transcript(
        "http", "tcp", "compressed and interim answers",
        (
            c(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            s(b"HTTP/1.1 100 Continue\r\n\r\n"),
            c(b"abc"),
            s(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED),  # noqa: E501
        ),
    ),
    Transcript(
        "http", "tcp", "a body that ends with the connection",
        (
            c(b"GET /old HTTP/1.0\r\n\r\n"),
            s(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nuntil "),
            s(b"the end"),
        ),
    ),
    Transcript(
        "http", "tcp", "odd line ends and lengths",
        (
            c(b"\r\n\r\nGET /a HTTP/1.1\nHost: a\n\n"),
            s(b"HTTP/1.1 200\nContent-Length: 2\nContent-Length: 2\n\nok"),
            c(b"PURGE /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            s(b"HTTP/1.1 404 Not\xff Found\r\nContent-Length: 2, 3\r\n\r\nno"),
        ),
    ),
    Transcript(
        "http", "tcp", "events while it is open",
        (
            c(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n"),
            s(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"),
            s(b"data: 2\n\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "an answer before its request is over",
        (
            c(b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"),
            s(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"),
            c(b"4567890GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "a tunnel refused and one opened",
        (
            c(b"CONNECT db:6379 HTTP/1.1\r\nHost: db:6379\r\n\r\n"),
            s(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?"),
            c(b"CONNECT db:6379 HTTP/1.1\r\nHost: db:6379\r\n\r\n"),
            s(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            c(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
            s(b"$1\r\nv\r\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "a tunnel whose client does not wait for it",
        (
            c(b"CONNECT db:6379 HTTP/1.1\r\nHost: db:6379\r\n\r\n"),
            c(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
            s(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            s(b"$1\r\nv\r\n"),
        ),
    ),
    Transcript(
        "http", "tcp", "an upgrade to what nobody knows",
        (
            c(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mystery\r\n\r\n"),
            s(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: mystery\r\n\r\n\1\2\3"),
            c(b"\4\5\6"),
        ),
    ),
    Transcript("dns", "udp", "questions and answers", (c(ASK), c(ASK6), s(NONE), s(ANSWER))),
    Transcript("dns", "udp", "asked again", (c(ASK), c(ASK), s(ANSWER), s(ANSWER))),
    Transcript(
        "dns", "tcp", "several in flight",
        (c(framed(ASK) + framed(ASK6)), s(framed(NONE)), s(framed(ANSWER)), c(framed(dns(9, b"shop.example"))), s(framed(MANY))),  # noqa: E501
    ),
    Transcript(
        "redis", "tcp", "pipelined",
        (
            c(b"*2\r\n$3\r\nGET\r\n$5\r\nstock\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n*1\r\n$4\r\nPING\r\n"),
            s(b"$2\r\n17\r\n+OK\r\n+PONG\r\n"),
            c(b"*3\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n"),
            s(b"-ERR wrong number of arguments\r\n"),
            c(b"*2\r\n$4\r\nMGET\r\n$1\r\na\r\n"),
            s(b"*3\r\n$-1\r\n:7\r\n*2\r\n+x\r\n$0\r\n\r\n"),
        ),
    ),
    Transcript(
        "redis", "tcp", "published and RESP3",
        (
            c(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
            s(b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:3\r\n"),
            c(b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n"),
            s(b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"),
            c(b"*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n"),
            s(b"|1\r\n+ttl\r\n:5\r\n%1\r\n+a\r\n,1.5\r\n"),
            c(b"*2\r\n$8\r\nSMEMBERS\r\n$1\r\ns\r\n"),
            s(b"~3\r\n#t\r\n_\r\n(12345678901234567890\r\n"),
        ),
    ),
    Transcript("redis", "tcp", "inline", (c(b"PING\r\n"), s(b"+PONG\r\n"), c(b"GET k\r\n"), s(b"$1\r\nv\r\n"))),
    Transcript(
        "parrot", "tcp", "the plugin of the page",
        (c(b"SAY hello\nSAY count to ten\n"), s(b"SAID hello\n"), s(b"NO too tired\nhm?\n"), c(b"SAY bye")),
    ),
)  # fmt: skip


@cache
def parrot() -> ModuleType:
    """The plugin that docs/dissector.md builds."""
    import re

    found = re.search(r"^`pysniff_parrot\.py`:\n```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    module = ModuleType("pysniff_parrot")
    sys.modules[module.__name__] = module
    exec(compile(found[1], "pysniff_parrot.py", "exec"), module.__dict__)
    return module


DISSECTORS: dict[tuple[str, str], type[Dissector]] = {
    (dissector.protocol, dissector.transport): dissector for dissector in (*BUILT_IN, parrot().Parrot)
}
TCP = tuple(one for one in TRANSCRIPTS if one.transport == "tcp")
