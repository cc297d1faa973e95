"""Programs that talk TLS on loopback, each with a key log of its own, and what a tracer reads out of them."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from pysniff.secrets import Secret
from pysniff.tls import keylog
from pysniff.tracer import processes
from pysniff.tracer.kernel_secrets import KernelSecrets

# A choking machine takes its time.
PATIENCE = 180.0

TLS_1_3 = {
    *("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
    *("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"),
}
CLIENTS = frozenset({Path(sys.executable).name, "curl", "node", "go", "go-stripped"})
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])

_NGINX = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;
        location / {{ return 200 "fine\\n"; }}
    }}
}}
"""

PYTHON_CLIENT = """
import socket, ssl, sys

port, version, connections, keys = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = context.minimum_version = ssl.TLSVersion[version]
if keys:
    context.keylog_filename = keys
print("ready", flush=True)
sys.stdin.readline()
for _ in range(connections):
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        while connection.recv(4096):
            pass
"""

NODE_CLIENT = """
const tls = require("tls");
const socket = tls.connect({ port: Number(process.argv[1]), host: "127.0.0.1", rejectUnauthorized: false }, () =>
  socket.end("GET / HTTP/1.0\\r\\n\\r\\n"));
socket.resume();
"""

CFFI_CLIENT = """
import sys
from curl_cffi import requests
print(requests.get(sys.argv[1], verify=False, impersonate="chrome").text)
"""

GO_CLIENT = """
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
)

func main() {
	config := &tls.Config{InsecureSkipVerify: true}
	if path := os.Getenv("SSLKEYLOGFILE"); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0600)
		if err != nil {
			panic(err)
		}
		config.KeyLogWriter = file
	}
	if os.Args[2] == "TLSv1_2" {
		config.MaxVersion = tls.VersionTLS12
	}
	connection, err := tls.Dial("tcp", os.Args[1], config)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(connection, "GET / HTTP/1.0\\r\\n\\r\\n")
	io.Copy(os.Stdout, connection)
}
"""


class Bed:
    """A folder with a certificate, and nginx on `port`; `environment` is added to nginx's."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._environment = environment or {}
        self._keys = 0

    def __enter__(self) -> Self:
        files = ("-keyout", self.folder / "key.pem", "-out", self.folder / "certificate.pem")
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a")
        subprocess.run(["openssl", *new, *files], check=True, capture_output=True)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=self.folder, port=self.port))
        self.nginx = subprocess.Popen(["nginx", "-c", configuration], env={**os.environ, **self._environment})
        until(self.serves, "nginx serves")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.nginx.terminate()
        self.nginx.wait()

    def serves(self) -> bool:
        """Whether nginx answers a connection."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True

    def answers(self) -> bool:
        """Whether it answers a call over TLS."""
        return self.run("curl", "-sSk", self.url).strip() == "fine"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    @property
    def worker(self) -> int:
        """The process of nginx that serves, which begins when others can connect already."""
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children")
        until(children.read_text, "nginx has begun another process")
        return int(children.read_text().split()[0])

    def key_log(self) -> Path:
        """A new one, which does not exist yet."""
        self._keys += 1
        return self.folder / f"{self._keys}.keys"

    def run(self, *command: str | Path, keys: Path | None = None) -> str:
        """What it prints; it writes its secrets to `keys`."""
        environment = {**os.environ, "SSLKEYLOGFILE": str(keys)} if keys else dict(os.environ)
        if not keys:
            environment.pop("SSLKEYLOGFILE", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(
        self, version: str, connections: int, keys: Path | str, *, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A client that waits for a line before it connects."""
        command = [sys.executable, "-c", PYTHON_CLIENT, str(self.port), version, str(connections), str(keys)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started = subprocess.Popen(command, text=True, env={**os.environ, **(environment or {})}, **pipes)  # type: ignore[call-overload]
        assert started.stdout.readline() == "ready\n"
        return started  # type: ignore[no-any-return]

    def connect(self, version: str, connections: int, keys: Path | str) -> None:
        finish(self.python(version, connections, keys))

    def go_clients(self, go: str) -> tuple[Path, Path]:
        """One program of Go, with its symbols and without."""
        made, stripped = self.folder / "go", self.folder / "go-stripped"
        (self.folder / "client").mkdir(exist_ok=True)
        (self.folder / "client" / "go.mod").write_text("module client\ngo 1.21\n")
        (self.folder / "client" / "main.go").write_text(GO_CLIENT)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": ""}
        for target, options in ((made, ()), (stripped, ("-ldflags", "-s -w"))):
            command = [go, "build", "-o", str(target), *options, "."]
            done = subprocess.run(
                command, cwd=self.folder / "client", env=environment, capture_output=True, timeout=600
            )
            assert done.returncode == 0, done.stderr.decode()
        return made, stripped


def finish(client: subprocess.Popen[str]) -> None:
    """Let a client of Bed.python() connect, and wait until it is done."""
    client.communicate("go\n", timeout=PATIENCE)
    assert client.returncode == 0


def logged(path: Path) -> set[Secret]:
    """The secrets of a key log."""
    return {one for line in path.read_bytes().splitlines() if isinstance(one := keylog.parse(line), Secret)}


def seen(kernel: KernelSecrets, expected: Iterable[Secret]) -> set[Secret]:
    """What the tracer has of these connections; other programs of this machine talk TLS too."""
    randoms = {secret.random for secret in expected}
    return {secret for secret in kernel.take() if secret.random in randoms}


def labels(secrets: set[Secret]) -> set[str]:
    return {secret.label for secret in secrets}


def are_all(secrets: set[Secret], version: str) -> bool:
    """Everything that decrypting one connection needs."""
    return labels(secrets) == {"CLIENT_RANDOM"} if version == "TLSv1_2" else labels(secrets) >= TLS_1_3


def own_library(folder: Path) -> dict[str, str]:
    """What makes a program load a copy of libssl, in this folder, that no other program has."""
    assert ssl.OPENSSL_VERSION  # this process has it mapped; wheels bring others, with a sum in the name
    (library,) = {one.path for one in processes.mapped_by(os.getpid()) if Path(one.path).name.startswith("libssl.so")}
    shutil.copy(library, folder)
    return {"LD_LIBRARY_PATH": str(folder)}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it; fail when it takes too long."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
