"""HTTP and WebSocket as an attacker speaks them: byte by byte over a socket, with whatever fields, or none."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

Fields = Mapping[str, str]
NONE: Fields = {}
TEXT, BINARY, CLOSE = 1, 2, 8
LAST = 0x80


class Answer(NamedTuple):
    """`status` 0: the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The word of a problem document."""
        return str(json.loads(self.body)["code"])


def answer(connection: socket.socket) -> Answer:
    """What comes back."""
    with closing(http.client.HTTPResponse(connection)) as response:
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, b"" if response.status == 101 else response.read())
        except (http.client.HTTPException, ConnectionError):
            return Answer(0, {}, b"")


def request(method: str, path: str, host: str, fields: Fields = NONE, body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def upgrade(path: str, host: str, fields: Fields = NONE) -> bytes:
    """A request for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    ours = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    return request("GET", path, host, {**ours, **fields})


def frame(kind: int, payload: bytes, *, says: int | None = None) -> bytes:
    """A masked frame, of a message of its own (RFC 6455 §5.2); `says`: the length in its head instead of the right one.

    The mask is zero, which is as good as any other to a server.
    """
    size = len(payload) if says is None else says
    head = bytes([LAST | kind])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


def messages(connection: socket.socket, most: int | None = None) -> list[tuple[int, bytes]]:
    """Kind and payload of each frame: `most` of them, or until a close, which is the last one, or the end."""
    found: list[tuple[int, bytes]] = []
    try:
        with connection.makefile("rb") as stream:
            while len(found) != most and len(head := stream.read(2)) == 2:
                size = head[1] & 0x7F
                if size > 125:
                    size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
                found.append((head[0] & 0x0F, stream.read(size)))
                if found[-1][0] == CLOSE:
                    break
    except ConnectionError:
        pass
    return found


def close_code(connection: socket.socket) -> int:
    """The code of the close that comes; 0 where the connection ends without one."""
    kinds = dict(messages(connection))
    return int.from_bytes(kinds.get(CLOSE, b"")[:2], "big")


def send_much(connection: socket.socket, head: bytes, size: int, fill: bytes = b"x") -> int:
    """Send `size` bytes behind a head, until the other side does not want more; how many were sent."""
    piece = fill * 65536
    sent = 0
    try:
        connection.sendall(head)
        while sent < size:
            sent += connection.send(piece[: size - sent])
    except OSError:  # closed, or not read any more
        pass
    return sent


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()
