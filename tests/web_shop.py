"""An HTTP/1.1 shop that has one of everything a page shows: each path is a kind of content, status or fault."""

from __future__ import annotations

import gzip
import json
import struct
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from cluster_bed import Bed

HTTP = 80


class Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes
    fields: tuple[tuple[str, str], ...] = ()


def picture(width: int = 16, height: int = 16) -> bytes:
    """A PNG, red from left to right and green from top to bottom."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in (x * 255 // width, y * 255 // height, 128))
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


CATALOGUE = {
    "teas": [
        {"number": 3, "name": "Assam", "leaf": "black", "kilograms": 4.25, "notes": ["malty", "brisk"], "sold": False},
        {"number": 7, "name": "Sencha", "leaf": "green", "kilograms": 0.5, "notes": [], "sold": None},
    ],
    "page": {"number": 1, "of": 12},
}
REPLIES = {
    "/": Reply(200, "text/html; charset=utf-8", b"<!doctype html><title>Shop</title><h1>Tea</h1>"),
    "/catalogue": Reply(200, "application/json", json.dumps(CATALOGUE).encode()),
    "/login": Reply(
        303,
        "text/plain",
        b"",
        (
            ("Location", "/"),
            ("Set-Cookie", "session=5e55; Path=/; HttpOnly; SameSite=Lax"),
            ("Set-Cookie", "basket=3; Max-Age=60"),
        ),
    ),
    "/upload": Reply(201, "application/json", b'{"stored":2}', (("Location", "/uploads/2"),)),
    "/orders": Reply(201, "application/json", b'{"order":17}'),
    "/tea.png": Reply(200, "image/png", picture()),
    "/tea.svg": Reply(200, "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "/feed.xml": Reply(
        200,
        "application/atom+xml",
        b'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Teas &amp; cups</title>'
        b'<entry id="3"><title>Assam</title></entry></feed>',
    ),
    "/catalogue.gz": Reply(
        200, "application/json", gzip.compress(json.dumps(CATALOGUE).encode(), mtime=0), (("Content-Encoding", "gzip"),)
    ),
    "/bytes": Reply(200, "application/octet-stream", bytes(range(256)) * 4),
    "/empty": Reply(204, "", b""),
    "/broken": Reply(500, "application/json", b'{"error":"out of tea"}'),
    "/busy": Reply(503, "text/plain", b"come back later", (("Retry-After", "3"),)),
}


class Shop(ThreadingHTTPServer):
    """Also /status/N, /size/N (N bytes of JSON), /slow/MS, /chunked, /events (SSE), /cut (ends too early)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bed: Bed, place: str, port: int = HTTP) -> None:
        super().__init__((bed.address(place), port), _Answer, bind_and_activate=False)
        self.socket.close()
        self.socket = bed.listen(place, port)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        match path.split("/")[1:]:
            case ["chunked"]:
                self._streamed("application/json", [b'{"parts":', b"[1,2,3]", b"}"])
            case ["events"]:
                self._streamed("text/event-stream", [b"data: %d\n\n" % number for number in range(3)])
            case ["cut"]:
                self._cut()
            case ["status", number]:
                self._send(Reply(int(number), "text/plain", b"as you asked"))
            case ["size", number]:
                self._send(Reply(200, "application/json", json.dumps({"data": "x" * int(number)}).encode()))
            case ["slow", milliseconds]:
                time.sleep(int(milliseconds) / 1000)
                self._send(Reply(200, "text/plain", b"at last"))
            case _:
                self._send(REPLIES.get(path, Reply(404, "text/plain", b"no " + self.path.encode())))

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.fields:
            self.send_header(name, value)
        if reply.content_type:
            self.send_header("Content-Type", reply.content_type)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _streamed(self, content_type: str, parts: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in [*parts, b""]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.flush()

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"only so much")
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass
