"""What runs in the pods of a cluster bed: real servers that log what they answered, and clients of them.

HTTP/1 is Python's own, Redis, dnsmasq and grpcio are programs. A log is the truth that a capture is compared with.
"""

from __future__ import annotations

import http.client
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread

from cluster_bed import Bed
from cluster_programs import Program, Programs

GRPC = Path(__file__).parent / "cluster_grpc.py"
HTTP, REDIS, DNS, GRPC_PORT = 80, 6379, 53, 50051


class Shop(ThreadingHTTPServer):
    """An HTTP/1.1 server: /size/N answers with N bytes, /status/N with that status, all else with a line.

    `log`: "METHOD path status" of each answer, in the order in which they were sent.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bed: Bed, place: str, port: int = HTTP) -> None:
        super().__init__((bed.address(place), port), _Answer, bind_and_activate=False)
        self.socket.close()
        self.socket = bed.listen(place, port)
        self.log: list[str] = []
        self.lock = Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Shop

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer()

    def _answer(self) -> None:
        size = re.fullmatch(r"/size/(\d+).*", self.path)
        said = re.fullmatch(r"/status/(\d+).*", self.path)
        body = b"x" * int(size[1]) if size else b"you asked for " + self.path.encode()
        status = int(said[1]) if said else 200
        with self.server.lock:
            self.server.log.append(f"{self.command} {self.path} {status}")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def shop(bed: Bed, place: str, port: int = HTTP) -> Iterator[Shop]:
    server = Shop(bed, place, port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Buyer:
    """One kept-alive HTTP/1.1 connection from a pod."""

    def __init__(self, bed: Bed, place: str, to: str, port: int = HTTP) -> None:
        self._connection = http.client.HTTPConnection(bed.address(to), port)
        self._connection.sock = bed.connect(place, (bed.address(to), port))
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> int:
        """The status of the answer, once it has come whole."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: bytes) -> int:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None) -> int:
        self._connection.request(method, path, body, {"Host": "shop.test"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self._connection.close()


class Load:
    """Calls one after the other from a pod, until stop(); each path is asked for once."""

    def __init__(self, bed: Bed, place: str, to: str, path: Callable[[int], str], pause: float = 0.005) -> None:
        self.sent: list[str] = []
        self._over = Event()
        self._pause = pause
        self._buyer = Buyer(bed, place, to)
        self._path = path
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            path = self._path(len(self.sent))
            self._buyer.get(path)
            self.sent.append(f"GET {path} 200")

    def stop(self) -> list[str]:
        """The calls that were answered."""
        self._over.set()
        self._thread.join(60)
        self._buyer.close()
        return self.sent


# Redis


def redis_server(bed: Bed, programs: Programs, place: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    words = ["redis-server", "--port", str(REDIS), "--bind", bed.address(place), "--save", "", "--dir", str(folder)]
    program = programs.start(f"redis on {place}", bed.command(place, [*words, "--protected-mode", "no"]))
    program.wait_for("Ready to accept connections")


def redis_talk(bed: Bed, place: str, to: str, *commands: str) -> list[bytes]:
    """The answers to commands, words with spaces between, each sent when the one before was answered."""
    with bed.connect(place, (bed.address(to), REDIS)) as connection, connection.makefile("rb") as answers:
        found = []
        for command in commands:
            words = [word.encode() for word in command.split()]
            parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)]
            connection.sendall(b"".join(parts))
            line = answers.readline()
            if line.startswith(b"$") and line != b"$-1\r\n":
                line += answers.read(int(line[1:]) + 2)
            found.append(line)
        return found


# DNS


def dns_server(bed: Bed, programs: Programs, place: str, names: Mapping[str, str], *options: str) -> Program:
    """dnsmasq that knows these names: of each an address, or several with commas between."""
    words = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="]
    words += ["--log-facility=-", "--log-queries", "--bind-interfaces", f"--listen-address={bed.address(place)}"]
    words += [
        "--user=root",
        *options,
        *(f"--host-record={name},{one}" for name, several in names.items() for one in several.split(",")),
    ]
    program = programs.start(f"dnsmasq on {place}", bed.command(place, words))
    program.wait_for("started")
    return program


def dns_ask(bed: Bed, place: str, to: str, name: str, number: int = 1) -> bytes:
    """The answer to an A query, as it comes."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = number.to_bytes(2, "big") + b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"
    with bed.new_socket(place, socket.SOCK_DGRAM) as asking:
        asking.settimeout(60)
        asking.sendto(query, (bed.address(to), DNS))
        return asking.recv(4096)


# gRPC


def grpc_server(bed: Bed, programs: Programs, place: str) -> None:
    words = [sys.executable, str(GRPC), "server", f"{bed.address(place)}:{GRPC_PORT}"]
    programs.start(f"gRPC server on {place}", bed.command(place, words)).wait_for("ready")


def grpc_calls(bed: Bed, programs: Programs, place: str, to: str, count: int) -> None:
    """So many calls of /shop.Cart/Add on one channel; every fifth ends with NOT_FOUND."""
    words = [sys.executable, str(GRPC), "client", f"{bed.address(to)}:{GRPC_PORT}", str(count)]
    programs.start(f"gRPC client on {place}", bed.command(place, words)).wait_end()
