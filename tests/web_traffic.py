"""Real calls of every protocol between the pods of a bed: what a page under test is to show.

Each method has happened when it returns; servers begin with the first call to them. n1a asks; n1b is the shop
(HTTP/1, WebSocket, HTTP/2), n2a has gRPC, n2b Redis, n2c the names. What crosses nodes is seen on both.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

from certificates import Authority
from cluster_bed import Bed
from cluster_programs import Programs, until
from cluster_traffic import dns_ask, dns_server, grpc_calls, grpc_server, redis_server, redis_talk
from web_shop import HTTP, Shop
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

CLIENT, SHOP, STOCK, CACHE, NAMES = "n1a", "n1b", "n2a", "n2b", "n2c"
CHAT, HTTP2, TLS, RAW = 8081, 8082, 443, 9000


class Traffic:
    def __init__(self, bed: Bed, programs: Programs, folder: Path) -> None:
        self.bed = bed
        self._programs = programs
        self._folder = folder
        self._undo = ExitStack()
        self._raw = RAW

    def close(self) -> None:
        self._undo.close()

    # HTTP/1

    def get(self, path: str, client: str = CLIENT, **fields: str) -> int:
        """GET on a connection of its own; the status."""
        return self.http("GET", path, fields=fields, client=client)

    def http(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: Mapping[str, str] | None = None,
        client: str = CLIENT,
    ) -> int:
        with self.kept_alive(client) as ask:
            return ask(method, path, body, fields or {})

    @contextmanager
    def kept_alive(self, client: str = CLIENT) -> Iterator[Callable[[str, str, bytes | None, Mapping[str, str]], int]]:
        """Calls one after the other on one connection: `ask(method, path, body, fields)`."""
        where = self._shop
        connection = http.client.HTTPConnection(*where)
        connection.sock = self.bed.connect(client, where)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(method: str, path: str, body: bytes | None, fields: Mapping[str, str]) -> int:
            connection.request(method, path, body, {"Host": "shop.test", "User-Agent": "pysniff-tests/1", **fields})
            answer = connection.getresponse()
            try:
                answer.read()
            except http.client.IncompleteRead:
                pass  # /cut
            return answer.status

        try:
            yield ask
        finally:
            connection.close()

    def json(self, path: str, value: object) -> int:
        return self.http("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def form(self, path: str = "/login", **values: str) -> int:
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "seen=yes; theme=dark"}
        return self.http("POST", path, urlencode(values or {"user": "ada", "password": "s e&cret"}).encode(), fields)

    def multipart(self, path: str = "/upload") -> int:
        """A field and a file."""
        lines = [
            "--cut", 'Content-Disposition: form-data; name="title"', "", "Assam",
            "--cut", 'Content-Disposition: form-data; name="leaf"; filename="leaf.txt"', "Content-Type: text/plain", "",
            "a leaf of tea", "--cut--", "",
        ]  # fmt: skip
        fields = {"Content-Type": "multipart/form-data; boundary=cut"}
        return self.http("POST", path, "\r\n".join(lines).encode(), fields)

    def many(self, count: int, path: Callable[[int], str] = "/status/200?number={}".format) -> None:
        """So many calls on one connection."""
        with self.kept_alive() as ask:
            for number in range(count):
                ask("GET", path(number), None, {})

    def everything(self) -> None:
        """One of each kind of HTTP/1, JSON to faults, in some 0.2 s."""
        with self.kept_alive() as ask:
            paths = ("/", "/catalogue", "/catalogue.gz", "/tea.png", "/tea.svg", "/feed.xml", "/bytes", "/chunked")
            for path in (*paths, "/events", "/empty", "/missing", "/broken", "/busy", "/catalogue?leaf=black&page=2"):
                ask("GET", path, None, {"Accept": "*/*"})
            ask("HEAD", "/catalogue", None, {})
        self.json("/orders", {"tea": 3, "kilograms": 0.5})
        self.form()
        self.multipart()
        self.get("/cut")

    # Other protocols

    def websocket(self, *said: str) -> None:
        """Texts, each of which is answered with `{"seen": N}`, and a close."""
        where = self._chat
        with connect("ws://chat.test/chat", sock=self.bed.connect(CLIENT, where), compression=None) as talk:
            for text in said or ('{"say": "Assam?"}',):
                talk.send(text)
                talk.recv(timeout=10)

    def http2(self, *paths: str) -> None:
        """GET of each, all on one connection of prior knowledge; nghttpd knows /index.html alone."""
        host, port = self._http2
        urls = [f"http://{host}:{port}{path}" for path in paths or ("/index.html", "/missing")]
        self._programs.start("nghttp", self.bed.command(CLIENT, ["nghttp", "-n", *urls])).wait_end()

    def grpc(self, count: int = 5) -> None:
        """Calls of /shop.Cart/Add; every fifth ends with NOT_FOUND."""
        self._grpc  # noqa: B018
        grpc_calls(self.bed, self._programs, SHOP, STOCK, count)

    def dns(self, name: str = "shop.test") -> None:
        """shop.test, stock.test and cache.test exist, and so get their names; others are NXDOMAIN."""
        self._dns  # noqa: B018
        dns_ask(self.bed, CLIENT, NAMES, name)

    def redis(self, *commands: str) -> list[bytes]:
        self._redis  # noqa: B018
        return redis_talk(self.bed, SHOP, CACHE, *(commands or ("SET cart:7 tea", "GET cart:7", "NONSENSE")))

    def tls(self) -> None:
        """A call that nobody can read, to shop.test:443."""
        where = self._tls
        context = ssl.create_default_context(cafile=self._authority.certificate)
        with context.wrap_socket(self.bed.connect(CLIENT, where), server_hostname="shop.test") as talk:
            talk.sendall(b"GET /secret HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            assert talk.recv(1000)

    def raw(self, request: bytes, answer: bytes, *, port: int | None = None, asks: str = CLIENT) -> int:
        """These bytes and those, on one connection to n1b, whatever they are; the port."""
        if port is None:
            port = self._raw
            self._raw += 1
        with self.bed.listen(SHOP, port) as listener:
            client = self.bed.connect(asks, (self.bed.address(SHOP), port))
            server, _ = listener.accept()
        with client, server:
            for one, other, data in ((client, server, request), (server, client, answer)):
                sender = Thread(target=one.sendall, args=(data,))
                sender.start()
                left = len(data)
                while left:
                    left -= len(other.recv(min(left, 65_536)))
                sender.join()
        return port

    def raw_dns(self, name: Sequence[bytes]) -> None:
        """A query for labels of any bytes, which nobody answers."""
        labels = b"".join(bytes([len(label)]) + label for label in name)
        with self.bed.new_socket(CLIENT, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1", (self.bed.address(SHOP), 53))

    # Servers

    @cached_property
    def _shop(self) -> tuple[str, int]:
        server = Shop(self.bed, SHOP)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self._undo.callback(server.server_close)
        self._undo.callback(server.shutdown)
        return self.bed.address(SHOP), HTTP

    @cached_property
    def _chat(self) -> tuple[str, int]:
        def answer(talk: ServerConnection) -> None:
            for number, _ in enumerate(talk, 1):
                talk.send(json.dumps({"seen": number}))

        server: Server = serve(answer, sock=self.bed.listen(SHOP, CHAT), compression=None)
        Thread(target=server.serve_forever, daemon=True).start()
        self._undo.callback(server.shutdown)
        return self.bed.address(SHOP), CHAT

    @cached_property
    def _http2(self) -> tuple[str, int]:
        folder = self._folder / "http2"
        folder.mkdir()
        (folder / "index.html").write_text("<!doctype html><title>HTTP/2</title>")
        address = self.bed.address(SHOP)
        words = ["nghttpd", "--no-tls", "--address", address, "--htdocs", str(folder), str(HTTP2)]
        self._programs.start("nghttpd", self.bed.command(SHOP, words))
        self._wait_port(SHOP, HTTP2)
        return address, HTTP2

    @cached_property
    def _grpc(self) -> None:
        grpc_server(self.bed, self._programs, STOCK)

    @cached_property
    def _redis(self) -> None:
        redis_server(self.bed, self._programs, CACHE, self._folder / "redis")

    @cached_property
    def _dns(self) -> None:
        names = {"shop.test": SHOP, "stock.test": STOCK, "cache.test": CACHE}
        known = {name: self.bed.address(place) for name, place in names.items()}
        dns_server(self.bed, self._programs, NAMES, known, "--local=/test/")  # others of .test do not exist

    @cached_property
    def _authority(self) -> Authority:
        return Authority(self._folder, "tests")

    @cached_property
    def _tls(self) -> tuple[str, int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._authority.issue("shop.test", alternative="DNS:shop.test"))
        listener = self.bed.listen(SHOP, TLS)
        listener.settimeout(0.1)
        self._undo.callback(listener.close)

        def serve() -> None:
            while listener.fileno() >= 0:
                try:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as talk:
                        talk.recv(1000)
                        talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                except OSError:
                    pass

        Thread(target=serve, daemon=True).start()
        return self.bed.address(SHOP), TLS

    def _wait_port(self, place: str, port: int) -> None:
        def is_there() -> bool:
            try:
                self.bed.connect(place, (self.bed.address(place), port)).close()
            except OSError:
                return False
            return True

        until(is_there, f"port {port} on {place}")
