"""Traffic that means harm to whoever shows it: markup, scripts, controls, marks of direction, lines without an end.

Whatever of it becomes an element has the id "pwned", and whatever runs sets `pwned`.
"""

from __future__ import annotations

import json
from socket import SOCK_DGRAM
from urllib.parse import quote

from hpack import Encoder
from transcripts import H2, h2
from web_traffic import CLIENT, SHOP, Traffic

MARKUP = (
    "<img/src=x/id=pwned/onerror=pwned=1><script>pwned=1</script><b/id=pwned>\"'><svg/onload=pwned=1>{{7*7}}${pwned=1}"
)
SPACED = "<a id=pwned href=javascript:pwned=1>x</a><iframe id=pwned srcdoc='<script>parent.pwned=1</script>'></iframe>"
CONTROLS = "".join(map(chr, [*range(1, 9), 11, 12, *range(14, 32), *range(127, 160)])) + "\u2028\u2029\ufeff\ufffe"
DIRECTION = "\u202etxt.exe\u2066\u2067\u200f\u061cאבג\u2069"
COMBINING = "Z" + "".join(map(chr, range(0x300, 0x370))) * 20
LINE = "W" * 1_000_000
SURROGATES = '{"half \\ud800 \\udfff": "\\udc00<b id=pwned>"}'  # in JSON, half of a pair is a character of its own
BROKEN = b"\xed\xa0\x80\xff\xfe\xc0\xaf\xf5<b id=pwned>"  # and in UTF-8 none
HEADERS, DATA, SETTINGS = 1, 0, 4
END_STREAM, END_HEADERS = 1, 4

BODIES: dict[str, tuple[str, bytes]] = {
    "json": (
        "application/json",
        json.dumps({MARKUP: [SPACED, CONTROLS, DIRECTION, COMBINING], "__proto__": {"pwned": 1}}).encode(),
    ),
    "surrogates": ("application/json", SURROGATES.encode()),
    "deep": ("application/json", b"[" * 50_000 + b"]" * 50_000),
    "html": ("text/html", f"<!doctype html><body onload=pwned=1>{SPACED}{MARKUP}".encode()),
    "xml": ("text/xml", f"<a pwned='1'><![CDATA[{MARKUP}]]><script>pwned=1</script>{DIRECTION}</a>".encode()),
    "svg": (
        "image/svg+xml",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='pwned=1'><script>pwned=1</script></svg>",
    ),
    "form": (
        "application/x-www-form-urlencoded",
        f"{quote(MARKUP)}={quote(SPACED)}&%ff%fe={quote(COMBINING)}".encode(),
    ),
    "multipart": (
        "multipart/form-data; boundary=cut",
        f'--cut\r\nContent-Disposition: form-data; name="{quote(MARKUP)}"; filename="../{MARKUP}"\r\n'
        f"Content-Type: {MARKUP}\r\n\r\n{SPACED}\r\n--cut--\r\n".encode(),
    ),
    "events": ("text/event-stream", f"event: {MARKUP}\ndata: {SPACED}\nid: {DIRECTION}\n\n".encode()),
    "picture": ("image/png", f"\x89PNG {MARKUP}".encode()),
    "kind": (f'text/{MARKUP}; charset="{MARKUP}"', MARKUP.encode()),
    "line": ("text/plain", LINE.encode()),
    "long-string": ("application/json", json.dumps({"line": LINE, LINE[:9_000]: 1}).encode()),
    "broken": ("text/plain; charset=utf-8", BROKEN * 100),
}


def http(traffic: Traffic) -> int:
    """Calls of HTTP/1, of which the paths begin with /hostile/; how many."""
    for name, (kind, body) in BODIES.items():
        head = f"POST /hostile/{name} HTTP/1.1\r\nHost: shop.test\r\n".encode()
        fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        traffic.raw(head + fields + body, b"HTTP/1.1 200 OK\r\n" + fields + body)
    target = f"/hostile/{MARKUP}/{DIRECTION}/{COMBINING}?{MARKUP}={MARKUP}&a=%00%1b%5b31m&b=%ED%A0%80".encode()
    cookie = f"Cookie: {MARKUP}={MARKUP}; a={DIRECTION}\r\n".encode()
    values = f"Host: {MARKUP}\r\nX-Value: {SPACED}{DIRECTION}{COMBINING}\r\nX-Long: {LINE[:30_000]}\r\n".encode()
    answer = f"HTTP/1.1 599 {MARKUP}\r\nServer: {MARKUP}\r\nSet-Cookie: {MARKUP}\r\nContent-Length: 0\r\n\r\n".encode()
    traffic.raw(b"GET " + target + b" HTTP/1.1\r\n" + values + cookie + b"\r\n", answer)
    controls = CONTROLS.replace("\r", "").replace("\n", "").encode()
    odd = f"X-{MARKUP}: odd\r\nX-{DIRECTION}: odd\r\n{LINE[:5_000]}: long\r\n".encode() + b"X-Controls: " + controls
    traffic.raw(b"GET /hostile/names HTTP/1.1\r\nHost: a\r\n" + odd + b"\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n")
    return len(BODIES) + 1


def grpc(traffic: Traffic) -> None:
    """A call whose method, fields, messages and status say evil things."""
    client, server = Encoder(), Encoder()
    fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/hostile.{MARKUP}/{DIRECTION}")]
    fields += [
        (":authority", MARKUP),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        (f"x-{MARKUP}", SPACED),
    ]
    text = f"{MARKUP}{SPACED}{DIRECTION}{COMBINING}".encode()
    message = b"\x0a" + _varint(len(text)) + text + b"\x12" + _varint(len(BROKEN)) + BROKEN
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    request = H2 + h2(HEADERS, END_HEADERS, 1, client.encode(fields)) + h2(DATA, END_STREAM, 1, framed)
    head = server.encode([(":status", "200"), ("content-type", "application/grpc")])
    tail = server.encode([("grpc-status", "13"), ("grpc-message", quote(MARKUP + SPACED))])
    answer = h2(SETTINGS, 0, 0) + h2(HEADERS, END_HEADERS, 1, head) + h2(DATA, 0, 1, framed)
    traffic.raw(request, answer + h2(HEADERS, END_HEADERS | END_STREAM, 1, tail))


def names(traffic: Traffic) -> None:
    """Questions for names that are no names, and answers that are no better."""
    where = (traffic.bed.address(SHOP), 53)
    labels = (b"<b id=pwned>", MARKUP[:60].encode(), DIRECTION.encode(), bytes(range(1, 32)), b"\xff\xfe.\\\0")
    text = SPACED.encode()[:200]
    with traffic.bed.new_socket(CLIENT, SOCK_DGRAM) as asking, traffic.bed.new_socket(SHOP, SOCK_DGRAM) as answering:
        answering.bind(where)
        for number, label in enumerate(labels):
            name = bytes([len(label)]) + label + b"\7hostile\0"
            question = name + b"\0\x10\0\1"  # TXT
            record = b"\xc0\x0c\0\x10\0\1\0\0\0\7" + (len(text) + 1).to_bytes(2, "big") + bytes([len(text)]) + text
            asking.sendto(bytes([7, number]) + b"\1\0\0\1\0\0\0\0\0\0" + question, where)
            _, client = answering.recvfrom(512)
            answering.sendto(bytes([7, number]) + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record, client)
            asking.recv(1_000)


def talk(traffic: Traffic) -> None:
    """WebSocket messages and Redis commands."""
    traffic.websocket(MARKUP, SPACED, DIRECTION + COMBINING, CONTROLS, LINE)
    traffic.redis(f"SET hostile:{MARKUP} {DIRECTION}", f"GET hostile:{MARKUP}", f"{MARKUP} hostile")


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])
