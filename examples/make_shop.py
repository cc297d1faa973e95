"""Record shop.pcap: a small shop of real programs on addresses of its own, seen by tcpdump.

    sudo python examples/make_shop.py [FILE]

curl is the customer, Python's HTTP server the shop, redis-server its memory, dnsmasq the name
server. nghttpd has its pictures (HTTP/2, asked for with httpx), grpcio its stock room (gRPC: stock.py, shop.proto), and
the websockets package its chat. All live in a network namespace that ends with this script, so
nothing else is recorded. The schema goes beside the capture, as FILE with .protoset.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import stock
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

CUSTOMER, SHOP, REDIS, STOCK, NAMES = "10.0.0.7", "10.0.0.9", "10.0.0.11", "10.0.0.12", "10.0.0.2"
PICTURES, CHAT, ROOM = 8080, 8081, f"{STOCK}:50051"  # ports of the shop; the stock room's address
CATALOGUE = [{"id": number, "name": f"Tea no. {number}", "price": 350 + 25 * number} for number in range(1, 41)]


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # heads and bodies leave together; events are flushed
    room: stock.Caller

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        match path:
            case "/cart":
                cart = redis("GET", "cart:7")
                self.answer(200, {"items": json.loads(cart)})
            case "/catalogue":
                self.answer(200, CATALOGUE, compressed=True)
            case "/report":
                time.sleep(0.4)
                self.answer_in_chunks([b"day,sales\n", b"2026-11-20,41\n", b"2026-11-21,44\n"])
            case "/events":
                self.answer_with_events(["order 1 packed", "order 1 sent", "order 2 packed"])
            case "/stock":
                shelf = self.room.find(int(query.removeprefix("tea=")))
                self.answer(200 if shelf else 404, shelf or {"error": "no such tea"})
            case "/deliveries":
                self.answer(200, self.room.watch(int(query.removeprefix("tea="))))
            case _:
                self.answer(404, {"error": "no such page"})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/pay":
            self.answer(500, {"error": "the till is stuck"})
            return
        number = int(redis("INCR", "orders"))
        redis("LPUSH", "queue", str(order["tea"]))
        self.answer(201, {"order": number, "tea": order["tea"]})

    def answer(self, status: int, value: object, *, compressed: bool = False) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if compressed:
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_in_chunks(self, chunks: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in [*chunks, b""]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def answer_with_events(self, events: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, event in enumerate(events, 1):
            self.wfile.write(f"id: {number}\ndata: {event}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        pass


def redis(*command: str) -> str:
    return run("redis-cli", "-h", REDIS, *command)


def run(*command: str) -> str:
    """What a program printed."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def until(works: str, *command: str) -> None:
    """Repeat a command until it succeeds: the server that it asks has come up."""
    for _ in range(100):
        if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise SystemExit(f"{works} did not start")


def make_network() -> None:
    # Packets of the size that a real network carries.
    run("ip", "link", "set", "lo", "mtu", "1500", "up")
    for address in (CUSTOMER, SHOP, REDIS, STOCK, NAMES):
        run("ip", "address", "add", f"{address}/24", "dev", "lo")
    # redis-cli and grpcio cannot choose where they call from: the route does.
    for address in (REDIS, STOCK):
        run("ip", "route", "replace", "local", address, "dev", "lo", "src", SHOP, "table", "local")


def start_servers(stack: ExitStack, folder: str, protoset: Path) -> None:
    stack.enter_context(
        running("redis-server", "--bind", REDIS, "--protected-mode", "no", "--save", "", "--dir", folder)
    )
    until("redis-server", "redis-cli", "-e", "-h", REDIS, "SET", "cart:7", '[{"tea": 3}]')
    stack.enter_context(
        running(
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
            *("--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={NAMES}", "--local=/example/"),
            *(
                f"--host-record=shop.example,{SHOP}",
                "--mx-host=example,shop.example",
                "--txt-record=example,tea for all",
            ),
        )
    )
    until("dnsmasq", "dig", f"@{NAMES}", "+tries=1", "+time=1", "shop.example")
    (Path(folder) / "tea.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><circle r='9'/></svg>\n")
    stack.enter_context(running("nghttpd", "--no-tls", "-a", SHOP, "-d", folder, str(PICTURES)))
    until("nghttpd", "curl", "--silent", "--http2-prior-knowledge", f"http://{SHOP}:{PICTURES}/")
    types = stock.compile_schema(protoset)
    room = stock.Stock(types).serve(ROOM)
    stack.callback(room.stop, 0)
    Shop.room = stock.Caller(ROOM, types)
    in_background(stack, ThreadingHTTPServer((SHOP, 80), Shop))
    in_background(stack, serve(chat, SHOP, CHAT))


def in_background(stack: ExitStack, server: ThreadingHTTPServer | Server) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)


def chat(connection: ServerConnection) -> None:
    """Answer every message with two, until the customer leaves."""
    for asked in connection:
        connection.send(json.dumps({"seen": json.loads(asked)["id"]}))
        connection.send(json.dumps({"say": "17 packets"}))


def go_shopping() -> None:
    for question in (["A", "shop.example"], ["AAAA", "shop.example"], ["MX", "example"], ["A", "shoe.example"]):
        run("dig", "-b", CUSTOMER, f"@{NAMES}", *question)
    run("dig", "-b", CUSTOMER, f"@{NAMES}", "+tcp", "TXT", "example")
    curl = ("curl", "--silent", "--interface", CUSTOMER, "--resolve", f"shop.example:80:{SHOP}")
    shop, tea = "http://shop.example", ("--json", '{"tea": 3}')
    # One connection for the first four.
    run(*curl, "--compressed", f"{shop}/catalogue", f"{shop}/cart?id=7", f"{shop}/report", f"{shop}/missing.css")
    run(*curl, *tea, f"{shop}/orders")
    run(*curl, *tea, f"{shop}/pay")
    run(*curl, "--head", f"{shop}/cart?id=7")
    run(*curl, "--no-buffer", f"{shop}/events")
    look_at_pictures()
    run(*curl, f"{shop}/stock?tea=3", f"{shop}/stock?tea=99", f"{shop}/deliveries?tea=3")
    ask_in_the_chat()


def look_at_pictures() -> None:
    # Not curl, which at some versions has an error with its second call on a connection of HTTP/2 without TLS.
    way = httpx.HTTPTransport(http1=False, http2=True, verify=False, local_address=CUSTOMER)
    with httpx.Client(transport=way, base_url=f"http://{SHOP}:{PICTURES}", trust_env=False) as client:
        for picture in ("/tea.svg", "/tea.svg?size=2", "/cup.svg"):
            client.get(picture)


def ask_in_the_chat() -> None:
    with connect(f"ws://{SHOP}:{CHAT}/chat", source_address=(CUSTOMER, 0), proxy=None) as connection:
        connection.send(json.dumps({"id": 1, "say": "Assam?"}))
        for _ in range(2):
            connection.recv(timeout=20)


def record(target: Path) -> None:
    """Make the capture; runs inside the new network namespace."""
    make_network()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        start_servers(stack, folder, target.with_suffix(".protoset"))
        # Immediate mode: what waits in libpcap's buffer when tcpdump is told to end is not written.
        with running(
            "tcpdump", "-i", "lo", "-U", "--immediate-mode", "-B", "8192", "-Z", "root", "-w", str(target)
        ) as tcpdump:
            assert tcpdump.stderr is not None
            while "listening on" not in tcpdump.stderr.readline():
                if tcpdump.poll() is not None:
                    raise SystemExit("tcpdump did not start")
            go_shopping()
            time.sleep(0.5)  # for the last packets to be written


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("shop.pcap")).resolve()
    if os.environ.get("SHOP_NETWORK"):
        record(target)
    else:
        again = ["unshare", "--net", sys.executable, __file__, str(target)]
        subprocess.run(again, check=True, env={**os.environ, "SHOP_NETWORK": "1"})


if __name__ == "__main__":
    main()
