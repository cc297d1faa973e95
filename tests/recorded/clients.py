"""Clients: bytes as written, and curl, whose own account is a log as well."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from recorded.said import Said, digest

PATIENCE = 20  # seconds


def talk(port: int, *writes: bytes, host: str = "127.0.0.1", half_close: bool = True) -> bytes:
    """Send each of `writes` in its turn, then no more; return what came until the end."""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in writes:
            connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return _rest(connection)


def switch(port: int, request: bytes, *messages: bytes) -> bytes:
    """An upgrade: wait for the 101, then exchange messages of the same length."""
    answers = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        # RFC 9110 §7.8: nothing of the new protocol before the 101 is here.
        while b"\r\n\r\n" not in answers.partition(b"HTTP/1.1 101")[2]:
            answers += connection.recv(1)
        for message in messages:
            connection.sendall(message)
            got = b""
            while len(got) < len(message):
                got += connection.recv(len(message) - len(got))
            answers += got
        connection.shutdown(socket.SHUT_WR)
        return answers + _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    pieces = []
    while data := connection.recv(1 << 20):
        pieces.append(data)
    return b"".join(pieces)


def curl(folder: Path, *urls: str, options: Sequence[str] = (), heads: bool = True, bodies: bool = True) -> list[Said]:
    """One curl for all URLs, over one connection where the server lets it; what it says of each.

    `heads`: compare the size of the head, which curl sums up over 1xx, CONNECT and final answers.
    `bodies`: compare content (its output is something else for HEAD).
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["curl", "-sS", "--noproxy", "127.0.0.1,::1", "--max-time", str(PATIENCE), "-w", "%{json}\n", *options]
    for at, url in enumerate(urls):
        command += ["-o", str(folder / str(at)), url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 5, check=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return [_account(line, folder / str(at), heads, bodies) for at, line in enumerate(lines)]


def _account(line: dict[str, int], output: Path, heads: bool, bodies: bool) -> Said:
    content = output.read_bytes() if output.exists() else b""
    return Said(
        line["local_port"],
        status=line["http_code"],
        size=len(content) if bodies else None,
        sha256=digest(content) if bodies else None,
        headers_size=line["size_header"] if heads else None,
    )
