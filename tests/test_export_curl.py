"""Each command, run by a shell with the real curl, makes the call again: what arrives is what was captured."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Encoder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transcripts import H2
from transcripts import h2 as frame
from wire import Watched

import pysniff
from pysniff.entry import Entry
from pysniff.export.curl import NO_HTTP, NO_REQUEST, Curl
from pysniff.limits import MIB

EXAMPLES = Path(__file__).parent.parent / "examples"
SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
curl = pytest.mark.needs("curl", "sh", "base64")


class Heard(NamedTuple):
    """A request as it arrived; `fields` as name in lower case and value."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def without_host(self) -> list[tuple[bytes, bytes]]:
        """curl sends it first wherever it stands."""
        return [field for field in self.fields if field[0] != b"host"]


def parsed(head: bytes, body: bytes) -> Heard:
    start, *lines = head.split(b"\r\n")
    fields = [line.partition(b":") for line in lines]
    return Heard(start, [(name.lower(), value.strip()) for name, _, value in fields], body)


class Server:
    """One request a connection, on a port of its own; `heard` has them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: Queue[Heard] = Queue()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:  # closed: the test is over
                return
            with peer, peer.makefile("rb") as stream:
                self.heard.put(self.read(stream))
                peer.sendall(OK)

    def read(self, stream: Any) -> Heard:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                break
            head += line
        heard = parsed(head[:-4], b"")
        fields = dict(heard.fields)
        body = b""
        if b"transfer-encoding" in fields:
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
        elif b"content-length" in fields:
            body = stream.read(int(fields[b"content-length"]))
        return heard._replace(body=body)


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(server.serve)
        try:
            yield server
        finally:
            server.listener.shutdown(socket.SHUT_RDWR)
            server.listener.close()
        running.result()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


def script(folder: Path, entries: list[Entry], body_limit: int = MIB) -> str:
    path = folder / "calls.sh"
    exporter = Curl(str(path), body_limit)
    for entry in entries:
        exporter.add(entry)
    exporter.close()
    return path.read_text()


def asked(request: bytes, port: int) -> list[Entry]:
    """The entry of a request to a server here."""
    wire = Watched(server="127.0.0.1", dport=port)
    for at in range(0, len(request), 60_000):
        wire.client(request[at : at + 60_000])
    return wire.server(OK).bye().close().entries


def run(shell: str, text: str, folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(folder), "HOME": str(folder)}
    done = subprocess.run([shell], input=text, text=True, capture_output=True, env=environment, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def repeated(shell: str, request: bytes, server: Server, folder: Path) -> Heard:
    """What arrives when the call is made again."""
    text = script(folder, asked(request, server.port))
    run(shell, text, folder)
    heard = server.heard.get(timeout=60)
    assert server.heard.empty()
    return heard


NASTY = [
    b'it\'s "quoted" `id` $(id) $HOME \\ !! ; & | > x',
    b"@/etc/passwd",
    b"two\nlines\n\n",
    b"\r\n\r\n",
    b"tab\tand escape \x1b[31m",
    b"NUL \0 and more",
    bytes(range(256)),
    "Grüße, €, 茶".encode(),
    b"-d @x --output y",
    b"%00 %s \\x41 \\101 \\0101",
    b"'",
    b"a" * 200_000,
    b"\xff" * 200_000,
]


@curl
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("body", NASTY, ids=lambda body: repr(body[:20]))
def test_any_body_arrives_as_it_was(shell: str, body: bytes, server: Server, tmp_path: Path) -> None:
    request = b"POST /a?b=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    heard = repeated(shell, request, server, tmp_path)
    assert heard == parsed(request[: -len(body) - 4], body)


@curl
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "lines",
    [
        b"GET / HTTP/1.1\r\nHost: shop",
        b"GET /a HTTP/1.1\r\nAccept: */*\r\nHost: shop:81\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3",
        b"GET /a HTTP/1.1\r\nHost: shop\r\nX-Empty:\r\nCookie: a=1; b=it's",
        b"GET /a HTTP/1.1\r\nHost: no host at all\r\nX-A: @/etc/passwd",
        b"DELETE /a/../b/./%2e%2e/c HTTP/1.1\r\nHost: shop\r\nUser-Agent: y",
        b"GET /a[1-3]{x,y}?q='$(id)'&r=\xff\xc3 HTTP/1.1\r\nHost: shop\r\nX-A: \xff\xfe",
        "GET /tee/grün?q=€ HTTP/1.1\r\nHost: shop\r\nX-A: Grüße".encode(),
        b"GET http://other.example/x HTTP/1.1\r\nHost: other.example",
        b"OPTIONS * HTTP/1.1\r\nHost: shop",
        b"PUT /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 0",
        b"GET / HTTP/1.0\r\nAccept: text/html",
        b"GET / HTTP/1.0",
        b"WEIRD! /a HTTP/1.1\r\nHost: shop",
        b"GET /a HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\nX-Tab: a\tb\x1b[1m\\c%d'",
        b"HEAD /a HTTP/1.1\r\nHost: shop\r\nUser-Agent: z",
    ],
    ids=lambda lines: repr(lines[:40]),
)
def test_method_target_and_fields_arrive_as_they_were(shell: str, lines: bytes, server: Server, tmp_path: Path) -> None:
    heard = repeated(shell, lines + b"\r\n\r\n", server, tmp_path)
    said = parsed(lines, b"")
    assert heard.start == said.start
    assert heard.without_host == said.without_host
    assert dict(heard.fields).get(b"host") == dict(said.fields).get(b"host")


@curl
def test_a_body_in_chunks_is_sent_in_chunks(server: Server, tmp_path: Path) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
    heard = repeated("sh", head + b"3\r\ntea\r\n1\r\ns\r\n0\r\n\r\n", server, tmp_path)
    assert heard.body == b"teas"
    assert heard.without_host == parsed(head[:-4], b"").without_host


def _is_whole(raw: bytes) -> bool:
    """Whether a reader of heads takes no white space off its ends."""
    return all((text := raw.decode(charset, "replace")) == text.strip() for charset in ("utf-8", "latin-1"))


_value = st.binary(min_size=1, max_size=30).map(lambda raw: raw.translate(None, b"\r\n\0")).filter(_is_whole)
_path = st.binary(max_size=30).map(lambda raw: b"/" + raw.translate(None, b"\r\n\0 \t")).filter(_is_whole)


@curl
@settings(max_examples=30, deadline=None)
@given(_path, _value.filter(bool), st.binary(min_size=1, max_size=60))
@example(b"/\\\\'\"#?#", b";", b"\\")
@example(b"//..//%", b"\xe9", b"\n")
@example(b"/\xc2\x80", b"\x80", b"\0")
def test_any_call_arrives_as_it_was(
    server: Server, tmp_path_factory: pytest.TempPathFactory, path: bytes, value: bytes, body: bytes
) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: shop\r\nX-A: %s\r\nContent-Length: %d" % (path, value, len(body))
    [entry] = asked(head + b"\r\n\r\n" + body, server.port)
    if entry.protocol == "http":
        folder = tmp_path_factory.getbasetemp()
        run("sh", script(folder, [entry]), folder)
        heard = server.heard.get(timeout=60)
        assert (heard.start, dict(heard.fields)[b"x-a"], heard.body) == (b"POST %s HTTP/1.1" % path, value, body)


@curl
def test_an_upgrade_to_http2_is_offered_again(server: Server, tmp_path: Path) -> None:
    head = b"GET /a HTTP/1.1\r\nHost: shop\r\nX-A: 1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    heard = repeated("sh", head + b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", server, tmp_path)
    names = [name for name, _ in heard.fields]
    assert sorted(names) == sorted([b"host", b"x-a", b"connection", b"upgrade", b"http2-settings"])


@curl
def test_http2_is_spoken_again(tmp_path: Path) -> None:
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/tea?n=1"), (":authority", "shop"), ("x-a", "it's")]
    wire_bytes = H2 + frame(1, 4, 1, Encoder().encode(head)) + frame(0, 1, 1, b"te\0as")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        heard = threads.submit(_hear_http2, listener)
        wire = Watched(server="127.0.0.1", dport=listener.getsockname()[1])
        text = script(tmp_path, wire.client(wire_bytes).server(frame(4, 0, 0)).close().entries)
        run("sh", text, tmp_path)
        fields, body = heard.result(timeout=60)
    assert "--http2-prior-knowledge" in text
    assert sorted(field for field in fields if field[0] != "content-length") == sorted(head)
    assert body == b"te\0as"


def _hear_http2(listener: socket.socket) -> tuple[list[tuple[str, str]], bytes]:
    """Answer one call of HTTP/2."""
    peer, _ = listener.accept()
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    fields: list[tuple[str, str]] = []
    body = b""
    with peer:
        while True:
            peer.sendall(connection.data_to_send())
            data = peer.recv(65536)
            assert data, "curl went away before its request was complete"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields = [(str(name), str(value)) for name, value in event.headers]
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    connection.send_headers(1, [(":status", "204")], end_stream=True)
                    connection.close_connection()
                    peer.sendall(connection.data_to_send())
                    # What curl still says is read: to close over it would reset the connection under its answer.
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                    return fields, body


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# ")]


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_cut_body_is_said(tmp_path: Path) -> None:
    entries = asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nteas", 80)
    text = script(tmp_path, entries, body_limit=2)
    assert comments(text)[1] == "# the body is cut: 2 of 4 bytes are here"
    assert "Content-Length" not in text  # curl counts what is there


@pytest.mark.parametrize(
    ("request_bytes", "comment"),
    [
        (b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n", "# not repeated: it opens a tunnel"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n@etc: passwd\r\n\r\n", "# header field left out: @etc"),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "# curl sends no body with HEAD: left out"),
    ],
)
def test_what_curl_cannot_do_is_said(tmp_path: Path, request_bytes: bytes, comment: str) -> None:
    assert comment in comments(script(tmp_path, asked(request_bytes, 80)))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
@example(b"GET", b"/\rid\r#", b"a\rb: c")
def test_no_peer_gets_out_of_a_comment_or_a_word(
    tmp_path_factory: pytest.TempPathFactory, method: bytes, target: bytes, field: bytes
) -> None:
    """Whatever the head is, the shell sees comments, curl, printf and base64, and no other command."""
    head = b" ".join([method, target, b"HTTP/1.1"]) + b"\r\nHost: a\r\n" + field + b"\r\n\r\n"
    folder = tmp_path_factory.getbasetemp()
    text = script(folder, [entry for entry in asked(head, 80) if entry.protocol == "http"])
    for line in text.splitlines():
        assert re.match(r"# |curl |$", line), line
        assert line.isprintable()
        if not line.startswith("# "):
            bare = re.sub(r"'[^']*'|\"'\"|\"\$\(printf %b '[^']*'\)\"", "", line)
            assert re.fullmatch(r"[\w@%+=:,./ -]*", bare, re.ASCII), line


def test_grpc_is_a_comment_with_what_is_known(tmp_path: Path) -> None:
    calls = [entry for entry in pysniff.read(EXAMPLES / "shop.pcap") if entry.protocol == "grpc"]
    text = script(tmp_path, calls)
    assert not commands(text)
    assert "# gRPC: shop.Stock/Find at 10.0.0.12:50051, 1 message" in comments(text)
    assert "# grpcurl needs the names of the fields: --proto FILE" in comments(text)
    named = pysniff.read(EXAMPLES / "shop.pcap", proto=EXAMPLES / "shop.protoset")
    text = script(tmp_path, [entry for entry in named if entry.protocol == "grpc"])
    assert """# grpcurl -plaintext -d '{"number": 3}' 10.0.0.12:50051 shop.Stock/Find""" in comments(text)


def test_what_is_no_http_is_left_out_and_counted(tmp_path: Path) -> None:
    exporter = Curl(str(tmp_path / "x"))
    entries = [*pysniff.read(EXAMPLES / "shop.pcap"), *Watched().server(OK).close().entries]
    for entry in entries:
        exporter.add(entry)
    exporter.close()
    others = sum(entry.protocol in ("dns", "redis", "ws") for entry in entries)
    assert exporter.left_out == {NO_HTTP: others, NO_REQUEST: 1}


def test_every_call_is_there_at_once(tmp_path: Path) -> None:
    exporter = Curl(str(tmp_path / "x"))
    for number, entry in enumerate([*asked(b"GET /1 HTTP/1.1\r\n\r\n", 80), *asked(b"GET /2 HTTP/1.1\r\n\r\n", 80)]):
        exporter.add(entry)
        assert len(commands((tmp_path / "x").read_text())) == number + 1
    exporter.close()
