"""Sample dialogues of every protocol, as each half sends them: one row here, and the contract suite and the
fuzzers' first corpus have it.

A row: protocol, transport, what is special about it, and the steps. Over UDP a step is a datagram.
"""

from __future__ import annotations

import gzip
import struct
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from hpack import Encoder
from talk import Step
from tls_talk import Knowing, recorded

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


def ws(head: int, payload: bytes, mask: bytes = b"") -> bytes:
    """A WebSocket frame (RFC 6455 §5.2); `head` is its first byte, a client's has a mask."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    if not mask:
        return bytes([head]) + length + payload
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([head, length[0] | 128]) + length[1:] + mask + masked


def deflated(*payloads: bytes) -> list[bytes]:
    """Each as permessage-deflate sends it (RFC 7692 §7.2.1), with context takeover."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return [(deflate.compress(one) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4] for one in payloads]


def h2(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def h2_heads() -> Iterator[bytes]:
    """Header blocks of a client, then of a server: indexed, literal, Huffman coded or not, with table resizes."""
    shop = ((":method", "GET"), (":scheme", "http"), (":path", "/cart?id=7"), (":authority", "shop"))
    post = ((":method", "POST"), (":scheme", "http"), (":path", "/buy"), (":authority", "shop"), ("x-id", "1" * 40))
    client, server = Encoder(), Encoder()
    yield client.encode((*shop, ("cookie", "a=1"), ("cookie", "b=2")), huffman=False)
    yield client.encode(post)
    yield client.encode((("sum", "17"), ("x-id", "1" * 40)))
    client.header_table_size = 90
    yield client.encode(shop)
    yield client.encode((*post, ("content-type", "text/plain")))
    yield server.encode(((":status", "200"), ("content-type", "application/json"), ("server", "h")))
    yield server.encode(((":status", "103"), ("link", "</a>")))
    yield server.encode(((":status", "201"), ("content-type", "application/json"), ("server", "h")))
    server.header_table_size = 0
    server.header_table_size = 4096
    yield server.encode((("sum", "18"), ("server", "h")), huffman=False)
    yield server.encode((*shop[:2], (":path", "/style.css"), shop[3]))
    yield server.encode(((":status", "404"), ("server", "h")))


GET7, BUY, SUM17, GET7_AGAIN, BUY_AGAIN, OK200, HINTS, CREATED, SUM18, PUSHED, MISSING = h2_heads()
H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2(4, 0, 0, b"\0\4\0\1\0\0")
MASK, SALT = b"\x37\xfa\x21\x3d", b"\x91\x05\xc8\x6e"
SMALL = deflated(b"the first of three, ", b"the second of three, ", b"the first and the second, ")
SMALLER = deflated(b'{"price": 17}' * 3, b'{"price": 18}' * 3)
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
    Transcript(
        "http", "tcp", "an upgrade to WebSocket",
        (
            c(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),  # noqa: E501
            s(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15\r\n\r\n" + ws(0x89, b"hm?")),  # noqa: E501
            c(ws(0x8A, b"hm?", MASK) + ws(0x41, SMALL[0][:9], MASK) + ws(0x89, b"", SALT) + ws(0x80, SMALL[0][9:], SALT)),  # noqa: E501
            s(ws(0xC1, SMALLER[0]) + ws(0x8A, b"") + ws(0x82, bytes(300)) + ws(0xC2, SMALLER[1])),
            c(ws(0xC1, SMALL[1], SALT) + ws(0x81, b"plain", MASK) + ws(0xC1, SMALL[2], MASK) + ws(0x88, b"\x03\xe8bye", SALT)),  # noqa: E501
            s(ws(0x88, b"\x03\xe8")),
        ),
    ),
    Transcript(
        "http2", "tcp", "streams in each other",
        (
            c(H2 + h2(8, 0, 0, b"\0\1\0\0") + h2(1, 5, 1, GET7) + h2(1, 0x24, 3, b"\0\0\0\1\x0f" + BUY)),
            s(h2(4, 0, 0) + h2(4, 1, 0) + h2(1, 4, 3, OK200) + h2(0, 0, 3, b'{"items":')),
            c(h2(4, 1, 0) + h2(0, 8, 3, b"\4helloxxxx") + h2(6, 0, 0, b"12345678") + h2(0, 0, 3, b" world") + h2(1, 5, 3, SUM17)),  # noqa: E501
            s(h2(6, 1, 0, b"12345678") + h2(1, 0, 1, HINTS[:2]) + h2(9, 0, 1) + h2(9, 4, 1, HINTS[2:]) + h2(0xFA, 7, 5, b"grease")),  # noqa: E501
            s(h2(1, 0x0C, 1, b"\3" + CREATED + bytes(3)) + h2(0, 1, 3, b"[1,2,3]}") + h2(0, 0, 1, b"17") + h2(8, 0, 1, b"\0\0\0\1")),  # noqa: E501
            c(h2(1, 0, 5, GET7_AGAIN[:3]) + h2(9, 4, 5, GET7_AGAIN[3:]) + h2(0, 1, 5)),
            s(h2(1, 5, 1, SUM18) + h2(0, 1, 5)),
            c(h2(1, 4, 7, BUY_AGAIN) + h2(0, 9, 7, b"\0" + b"x" * 30) + h2(7, 0, 0, bytes(8))),
        ),
    ),
    Transcript(
        "http2", "tcp", "pushed, reset and left",
        (
            c(H2 + h2(1, 5, 1, GET7) + h2(1, 4, 3, BUY) + h2(0, 0, 3, b"hel")),
            s(h2(4, 0, 0, b"\0\5\0\0\x40\1") + h2(1, 4, 1, OK200) + h2(5, 4, 1, b"\0\0\0\2" + PUSHED) + h2(0, 1, 1, b"{}")),  # noqa: E501
            c(h2(3, 0, 3, b"\0\0\0\x08") + h2(1, 5, 5, SUM17) + h2(2, 0, 9, b"\0\0\0\0\1")),
            s(h2(1, 4, 2, MISSING) + h2(0, 1, 2, b"no") + h2(0, 0, 3, b"late") + h2(3, 0, 5, b"\0\0\0\7")),
            c(h2(1, 5, 7, GET7_AGAIN) + h2(1, 5, 9, BUY_AGAIN)),
            s(h2(1, 4, 7, MISSING[:1] + OK200[1:]) + h2(7, 0, 0, b"\0\0\0\7\0\0\0\0bye") + h2(3, 0, 7, b"\0\0\0\2")),
        ),
    ),
    Transcript(
        "ws", "tcp", "joined behind the handshake",
        (
            c(ws(0x81, b"what a lovely day it is", MASK)),
            s(ws(0x81, b"it is") + ws(0x01, b"and it ") + ws(0x89, b"still there?") + ws(0x00, b"will ") + ws(0x80, b"stay")),  # noqa: E501
            c(ws(0x8A, b"still there?", SALT) + ws(0x02, bytes(range(200)), MASK) + ws(0x80, b"\xff" * 20, SALT)),
            s(ws(0xC1, SMALL[0]) + ws(0xC1, SMALL[1]) + ws(0x81, b'{"price": 17}') + ws(0x82, bytes(130))),
            c(ws(0x81, "schön".encode(), SALT) + ws(0x81, b"bye", MASK)),
            s(ws(0x81, b"bye") + ws(0x88, b"\x03\xe9going away")),
            c(ws(0x88, b"\x03\xe9", SALT)),
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
    *(Transcript("tls", "tcp", name, recorded(name).steps) for name in ("1.3", "1.2 gcm", "refused")),
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
    (dissector.protocol, dissector.transport): dissector for dissector in (*BUILT_IN, parrot().Parrot, Knowing)
}
TCP = tuple(one for one in TRANSCRIPTS if one.transport == "tcp")
