"""Programs that keep TLS connections open and say what they are told to, and what a PlainSource reads of them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tracer_bed import PATIENCE, free_port, until

from pysniff.plain import PlainChunk
from pysniff.tracer.plaintext import PlainSource

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{ return 200 "you said $request_uri\\n"; }}
    }}
}}
"""

# Each reads lines from its input, calls that path, and prints the answer.
PYTHON_CLIENT = """
import http.client, ssl, sys

connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=ssl._create_unverified_context())
for line in sys.stdin:
    connection.request("GET", line.strip())
    print(connection.getresponse().read().decode().strip(), flush=True)
"""

NODE_CLIENT = """
const https = require("https");
const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (path) => {
  https.get({ host: "127.0.0.1", port: Number(process.argv[1]), path, agent, rejectUnauthorized: false }, (answer) => {
    let text = "";
    answer.on("data", (data) => (text += data));
    answer.on("end", () => process.stdout.write(text));
  });
}).on("close", () => agent.destroy());
"""

NODE_HTTP2_CLIENT = """
const http2 = require("http2");
const session = http2.connect("https://127.0.0.1:" + process.argv[1], { rejectUnauthorized: false });
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (path) => {
  const call = session.request({ ":path": path });
  let text = "";
  call.on("data", (data) => (text += data));
  call.on("end", () => process.stdout.write(text));
  call.end();
}).on("close", () => session.close());
"""

GO_CLIENT = """
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	transport.ForceAttemptHTTP2 = len(os.Args) > 2
	client := &http.Client{Transport: transport}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := client.Get("https://127.0.0.1:" + os.Args[1] + lines.Text())
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Printf("%s", body)
	}
}
"""

# Opens connections, says "ready", waits for a line, and calls twice on each; prints which port asked for what.
ASYNCIO_CLIENT = """
import asyncio, json, ssl, sys

port, connections = int(sys.argv[1]), int(sys.argv[2])
context = ssl._create_unverified_context()
asked = {}

async def call(number, some, start):
    async with some:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    asked[writer.get_extra_info("sockname")[1]] = number
    await start.wait()
    for turn in range(2):
        writer.write(f"GET /{number}/{turn} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n".encode())
        await reader.readuntil(b"\\r\\n\\r\\n")
        assert await reader.readline() == f"you said /{number}/{turn}\\n".encode()
    return writer

async def main():
    some, start = asyncio.Semaphore(20), asyncio.Event()
    calls = [asyncio.create_task(call(number, some, start)) for number in range(connections)]
    while len(asked) < connections:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start.set()
    for writer in await asyncio.gather(*calls):
        writer.close()

asyncio.run(main())
print(json.dumps(asked))
"""

ASYNCIO_SERVER = """
import asyncio, ssl, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])

async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            body = b"you said " + head.split()[1] + b"\\n"
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), ssl=context, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Talker:
    """A client that calls what it is told to, over one connection."""

    def __init__(self, *command: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
        self.pid: int = self._process.pid

    def call(self, path: str) -> None:
        """Wait for the answer, too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"you said {path}\n"

    def end(self) -> None:
        self._process.communicate(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class PlainBed:
    """A folder with a certificate, and nginx on `port`, which has HTTP/2 too."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a")
        files = ("-keyout", self.key, "-out", self.certificate)
        subprocess.run(["openssl", *new, *files], check=True, capture_output=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=folder, port=self.port))
        self.nginx = subprocess.Popen(["nginx", "-c", configuration], stderr=subprocess.DEVNULL)
        until(lambda: self.answers("/"), "nginx serves")

    def answers(self, path: str) -> bool:
        done = subprocess.run(["curl", "-sk", f"https://127.0.0.1:{self.port}{path}"], capture_output=True, text=True)
        return done.stdout == f"you said {path}\n"

    def close(self) -> None:
        self.nginx.terminate()
        self.nginx.wait(PATIENCE)

    def python(self) -> Talker:
        return Talker(sys.executable, "-c", PYTHON_CLIENT, str(self.port))

    def node(self, code: str = NODE_CLIENT) -> Talker:
        return Talker("node", "-e", code, str(self.port))

    def go(self, go: str, *arguments: str) -> Talker:
        made = self.folder / "go-client"
        if not made.exists():
            (self.folder / "client").mkdir()
            (self.folder / "client" / "go.mod").write_text("module client\ngo 1.21\n")
            (self.folder / "client" / "main.go").write_text(GO_CLIENT)
            environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": ""}
            command = [go, "build", "-o", str(made), "-ldflags", "-s -w", "."]
            folder = self.folder / "client"
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600)
            assert done.returncode == 0, done.stderr.decode()
        return Talker(str(made), str(self.port), *arguments)

    @contextmanager
    def asyncio_server(self) -> Iterator[tuple[int, int]]:
        """Its port and process."""
        port = free_port()
        command = [sys.executable, "-c", ASYNCIO_SERVER, str(port), str(self.certificate), str(self.key)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            try:
                yield port, server.pid
            finally:
                server.kill()


class AsyncioClient:
    """Many connections of one process, which wait to be used."""

    def __init__(self, port: int, connections: int) -> None:
        command = [sys.executable, "-c", ASYNCIO_CLIENT, str(port), str(connections)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self.pid = self._process.pid

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def is_running(self) -> bool:
        return self._process.poll() is None

    def asked(self) -> dict[int, int]:
        """Which of its ports asked for which number."""
        output, _ = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0
        return {int(port): number for port, number in json.loads(output).items()}


class Heard:
    """What a source tells of the connections of one server."""

    def __init__(self, source: PlainSource, port: int) -> None:
        self.source, self.chunks = source, list[PlainChunk]()
        self._port = port.to_bytes(2, "big")

    def listen(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds, of what was heard."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited in vain until {what}; {self.source.report()}"
            select.select([self.source], [], [], 0.05)
            self.take()

    def take(self) -> None:
        for chunk in self.source.poll():
            if self._port in (chunk.key[-4:-2], chunk.key[-2:]):
                self.chunks.append(chunk)

    def said(self, *, to_server: bool) -> dict[int, bytes]:
        """By the client's port, all bytes of one direction; fails where they are not one after the other."""
        streams: dict[int, bytes] = {}
        for chunk in self.chunks:
            if (chunk.key[-2:] == self._port) == to_server:
                client = int.from_bytes(chunk.key[-4:-2] if to_server else chunk.key[-2:], "big")
                before = streams.get(client, b"")
                assert chunk.offset == len(before), "bytes are missing, or came twice"
                streams[client] = before + chunk.data
        return streams

    def requests(self) -> bytes:
        return b"".join(self.said(to_server=True).values())

    def answers(self) -> bytes:
        return b"".join(self.said(to_server=False).values())
