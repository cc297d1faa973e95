"""A server that gives the answers of `answers.py` as they are written, and logs what it read and said.

It reads requests by itself, and leniently: bare LF, folded lines, several lengths, chunked with trailers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from recorded.answers import ANSWERS, Answer, plain
from recorded.ports import listen
from recorded.said import Headers, Log, Said, digest


class Refused(Exception):
    """A request that no server may act on (RFC 9112 §6.3); answered with 400."""


@dataclass
class Asked:
    """A request as the server read it."""

    method: str
    target: str
    version: str
    headers: Headers
    content: bytes = b""
    trailers: Headers = field(default_factory=list)
    odd: bool = False
    refused: bool = False  # its content was not read

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@contextmanager
def origin(log: Log, host: str = "127.0.0.1") -> Iterator[int]:
    """A running origin server; gives its port. Leaving waits until every connection is done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    threads: list[threading.Thread] = []
    with listen(host) as listener:
        port: int = listener.getsockname()[1]

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                first = connection.recv(1, socket.MSG_PEEK)
                if not first and connection.getpeername()[1] in goodbye:
                    connection.close()
                    return
                thread = threading.Thread(target=_serve, args=(connection, log), daemon=True)
                thread.start()
                threads.append(thread)

        goodbye: set[int] = set()
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield port
        finally:
            # A connection that says nothing ends the accepting thread.
            with socket.socket(family) as last:
                last.bind((host, 0))
                goodbye.add(last.getsockname()[1])
                last.connect((host, port))
            for thread in (acceptor, *threads):
                thread.join(20)


def _serve(connection: socket.socket, log: Log) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = connection.getpeername()[1]
    with connection, connection.makefile("rb") as reader:
        connection.settimeout(20)
        while True:
            try:
                asked = read_request(reader, connection)
                if asked is None:
                    return None
                answer = ANSWERS.get(asked.target.partition("?")[0]) or echo(asked)
            except Refused as refused:
                asked = refused.args[0]
                answer = plain(b"bad request\n", ("Connection", "close"), status=400, reason="Bad Request")
            log.add(said(client, asked, answer))
            bodiless = asked.method == "HEAD" or answer.status in (204, 304)
            for piece in (*answer.interims(), answer.head(), *(() if bodiless else answer.pieces)):
                connection.sendall(piece)
            if answer.status == 101:
                return _parrot(connection)
            if answer.close or answer.status == 400 or _last(asked):
                connection.shutdown(socket.SHUT_WR)
                reader.read()
                return None


def _last(asked: Asked) -> bool:
    wishes = ",".join(asked.values("connection")).lower()
    return "close" in wishes or (asked.version == "HTTP/1.0" and "keep-alive" not in wishes)


def _parrot(connection: socket.socket) -> None:
    """The unknown protocol that an upgrade leads to: says everything backwards."""
    while data := connection.recv(65536):
        connection.sendall(data[::-1])


def echo(asked: Asked) -> Answer:
    """What no other answer is for: the content comes back."""
    return plain(asked.content, ("Content-Type", "application/octet-stream"), ("X-Method", asked.method))


def said(client: int, asked: Asked, answer: Answer) -> Said:
    bodiless = asked.method == "HEAD" or answer.status in (204, 304)
    content = b"" if bodiless else answer.content
    line = Said(
        client, asked.method, asked.target, answer.status, answer.reason, asked.headers, odd=answer.odd or asked.odd
    )
    if not asked.refused:
        line.request_size, line.request_sha256 = len(asked.content), digest(asked.content)
        line.request_trailers = asked.trailers
    if not answer.unsure:
        line.size, line.sha256 = len(content), digest(content)
        line.trailers = [] if bodiless else answer.trailers
    line.headers, line.headers_size = answer.headers, len(answer.head())
    # The 100 of Expect is not an answer's own.
    line.interim = [100] * bool(asked.values("expect")) + [status for status, _, _ in answer.interim]
    return line


def read_request(reader: BinaryIO, connection: socket.socket) -> Asked | None:
    """The next request, or None at the end; raise Refused(Asked) for one with lengths that contradict."""
    line = reader.readline()
    while line in (b"\r\n", b"\n"):  # RFC 9112 §2.2: empty lines before a request are skipped
        line = reader.readline()
    if not line:
        return None
    method, target, version = line.decode("latin-1").split()
    asked = Asked(method, target, version, [], odd=not line.endswith(b"\r\n"))
    asked.headers, odd = _fields(reader)
    asked.odd |= odd
    if asked.values("expect"):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    lengths = {part.strip() for value in asked.values("content-length") for part in value.split(",")}
    if asked.values("transfer-encoding"):
        asked.odd |= bool(lengths)
        asked.content, asked.trailers = _chunked(reader)
    elif len(lengths) > 1:
        asked.odd = asked.refused = True
        raise Refused(asked)
    elif lengths:
        asked.content = reader.read(int(lengths.pop()))
    return asked


def _fields(reader: BinaryIO) -> tuple[Headers, bool]:
    """Field lines up to the empty one, and whether any was odd."""
    fields: Headers = []
    odd = False
    while (line := reader.readline()) not in (b"\r\n", b"\n", b""):
        odd |= not line.endswith(b"\r\n")
        if line[:1] in b" \t" and fields:
            name, value = fields.pop()
            fields.append((name, f"{value} {line.decode('latin-1').strip()}"))
            odd = True
        else:
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
    return fields, odd


def _chunked(reader: BinaryIO) -> tuple[bytes, Headers]:
    content = b""
    while size := int(reader.readline().partition(b";")[0], 16):
        content += reader.read(size)
        reader.readline()
    return content, _fields(reader)[0]
