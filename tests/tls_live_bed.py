"""HTTPS and gRPC servers that know nothing of being watched, calls to them, and the command line that watches."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from certificates import Authority

ROOT = Path(__file__).parent.parent
GRPC = str(Path(__file__).with_name("tls_live_grpc.py"))
PATIENCE = 180.0
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("FORCE_COLOR", "SSLKEYLOGFILE", "NODE_OPTIONS", "http_proxy", "https_proxy")
}

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
  server {{ listen 127.0.0.1:{port} ssl http2; return 200 "nginx has $uri\\n"; }}
}}
"""
NODE_SERVER = """
const fs = require('fs'), [, , port, cert, key] = process.argv;
const options = {cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true};
require('http2').createSecureServer(options, (request, response) => response.end(`node has ${request.url}\\n`))
  .listen(port, '127.0.0.1', () => console.log('ready'));
"""
NODE_H1 = """
const [, , url] = process.argv;
require('https').get(url, {rejectUnauthorized: false, agent: false}, (response) => response.resume());
"""
NODE_H2 = """
const url = new URL(process.argv[2]), session = require('http2').connect(url.origin, {rejectUnauthorized: false});
const call = session.request({':path': url.pathname});
call.resume(); call.on('end', () => session.close()); call.end();
"""
PYTHON = """
import ssl, sys, urllib.request
context = ssl._create_unverified_context()
for url in sys.argv[1:]: print(urllib.request.urlopen(url, context=context).read())
"""
ASYNCIO = """
import asyncio, ssl, sys
async def main(port, path):
    context = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection('127.0.0.1', int(port), ssl=context)
    writer.write(b'GET ' + path.encode() + b' HTTP/1.1\\r\\nHost: shop\\r\\nConnection: close\\r\\n\\r\\n')
    print(await reader.read())
    writer.close()
    await writer.wait_closed()
asyncio.run(main(*sys.argv[1:]))
"""


class Call(NamedTuple):
    """What an entry says of one call."""

    protocol: str
    path: str
    status: str
    port: int
    version: str


# What makes calls, and what shall be seen of them.
Made = tuple[Callable[[], str], list[Call]]


class Bed:
    """A context: nginx, node and grpcio with TLS on free ports of 127.0.0.1; `namespace`: "" for ours."""

    def __init__(self, folder: Path, namespace: str = "") -> None:
        self.inside = ["ip", "netns", "exec", namespace] if namespace else []
        self.certificate, self.key = Authority(folder, "ca").issue("localhost", alternative="IP:127.0.0.1")
        self.authority = folder / "ca.pem"
        self.nginx, self.node, self.grpc = free_ports(3)
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        pair = (str(self.certificate), str(self.key))
        configuration = self._folder / "nginx.conf"
        configuration.write_text(NGINX.format(certificate=pair[0], key=pair[1], port=self.nginx))
        with self._stack as stack:
            self.start("nginx", "-p", str(self._folder), "-c", str(configuration), "-e", "errors")
            node = self.start("node", self._script(NODE_SERVER), str(self.node), *pair)
            grpc = self.start(sys.executable, GRPC, "server", f"127.0.0.1:{self.grpc}", *pair)
            for process in (node, grpc):
                assert process.stdout
                assert process.stdout.readline() == "ready\n"
            until(lambda: self.is_listening(self.nginx), "nginx listens")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def filter(self) -> str:
        """A capture filter."""
        return " or ".join(f"tcp port {port}" for port in (self.nginx, self.node, self.grpc))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """In the namespace, until the end."""
        process = subprocess.Popen(
            [*self.inside, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def run(self, *command: str) -> str:
        """In the namespace, to the end: what it says."""
        done = subprocess.run(
            [*self.inside, *command], capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_listening(self, port: int) -> bool:
        return f":{port:04X} " in self.run("cat", "/proc/net/tcp")

    def url(self, port: int, path: str) -> str:
        return f"https://127.0.0.1:{port}{path}"

    def calls(self) -> Iterator[Made]:
        """Each program's call, and what shall be seen of it."""
        nginx, node = self.nginx, self.node
        for port, server in ((nginx, "nginx"), (node, "node")):
            for how, version in (("--http1.1", "1.1"), ("--http2", "2")):
                path = f"/curl/{server}/{version}"
                yield self._call("curl", "-sSk", how, self.url(port, path)), [_http(path, port, version)]
        yield (
            self._call(sys.executable, "-c", PYTHON, self.url(nginx, "/python/1"), self.url(node, "/python/2")),
            [_http("/python/1", nginx), _http("/python/2", node)],
        )
        yield self._call(sys.executable, "-c", ASYNCIO, str(nginx), "/asyncio"), [_http("/asyncio", nginx)]
        yield self._call("node", self._script(NODE_H1), self.url(nginx, "/node/1.1")), [_http("/node/1.1", nginx)]
        yield self._call("node", self._script(NODE_H2), self.url(node, "/node/2")), [_http("/node/2", node, "2")]

    def grpc_calls(self) -> Iterator[Made]:
        """Two unary calls, and one that streams."""
        yield (
            self._call(sys.executable, GRPC, "client", f"127.0.0.1:{self.grpc}", str(self.authority)),
            [Call("grpc", path, "OK", self.grpc, "2") for path in ("/shop.Cart/Add",) * 2 + ("/shop.Cart/Watch",)],
        )

    def _call(self, *command: str) -> Callable[[], str]:
        return lambda: self.run(*command)

    def _script(self, text: str) -> str:
        path = self._folder / f"{abs(hash(text))}.js"
        path.write_text(text)
        return str(path)


def _http(path: str, port: int, version: str = "1.1") -> Call:
    return Call("http", path, "200", port, version)


class Watching:
    """The command line, live: entries as they come. At the end it is interrupted, and has said nothing odd."""

    def __init__(self, *command: str) -> None:
        self.entries: list[dict[str, Any]] = []
        self.errors = b""
        self._terminal, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=ENVIRONMENT, cwd=ROOT
        )
        os.close(slave)
        self._rest = b""

    def __enter__(self) -> Self:
        try:
            self.until(lambda: b"listening on " in self.errors, "it listens")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self.until(lambda: self._process.poll() is not None, "it ends")
        finally:
            self._process.kill()
            self._process.wait()
        while self._read(0.1):
            pass
        os.close(self._terminal)
        if self._process.stdout:
            self._process.stdout.close()
        if error is None:
            assert self._process.returncode == 0, self.errors.decode()
            assert b"Traceback" not in self.errors

    @property
    def calls(self) -> Counter[Call]:
        """What was seen inside TLS, but for revisions of the same entry."""
        last = {entry["id"]: entry for entry in self.entries}
        revisions = last.values()
        return Counter(_seen(one) for one in revisions if one["tls"] and one["protocol"] in ("http", "grpc"))

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}\n{self.errors.decode()}\n{self.entries}"
            self._read(0.2)

    def _read(self, seconds: float) -> bool:
        """Whatever comes next; whether anything did."""
        assert self._process.stdout
        output = self._process.stdout.fileno()
        came = False
        for descriptor in select.select([output, self._terminal], [], [], seconds)[0]:
            try:
                data = os.read(descriptor, 1 << 16)
            except OSError:  # the other end of the terminal is closed
                data = b""
            came |= bool(data)
            if descriptor == output:
                *lines, self._rest = (self._rest + data).split(b"\n")
                self.entries += map(json.loads, lines)
            else:
                self.errors += data
        return came


def _seen(entry: dict[str, Any]) -> Call:
    request = entry["request"] or {}
    status = entry["status"]
    return Call(entry["protocol"], request.get("path", ""), status, entry["dst"]["port"], entry["version"])


def free_ports(count: int) -> list[int]:
    """Nobody listens there now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@contextmanager
def watching(*options: str, before: Sequence[str] = ()) -> Iterator[Watching]:
    """python -m pysniff with these options, as JSON."""
    with Watching(*before, sys.executable, "-m", "pysniff", "--json", *options) as watched:
        yield watched
