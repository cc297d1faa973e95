"""The traffic that the captures hold: an nginx with something to serve, wrk and h2load with a mix of calls, iperf3."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from benchmarks.network import End, Network

PORT = 8000
BULK_PORT = 5201
H2C_PORT = 8080
SIZES = (200, 300, 500, 800, 1200, 2000, 3000, 4000)  # bytes of JSON, about
DOCUMENTS = 200
LARGE = 3
CONCURRENT = 10  # streams of an HTTP/2 connection
HERE = Path(__file__).resolve().parent


def serve(network: Network, home: Path) -> None:
    """Start nginx at the server's end and iperf3 beside it; return when both listen."""
    _write_documents(home / "www")
    network.start(End.SERVER, "nginx", "-p", str(home), "-c", str(HERE / "nginx.conf"), "-e", "error.log")
    network.start(End.SERVER, "iperf3", "-s", "-p", str(BULK_PORT))
    for port in (PORT, BULK_PORT):
        wait_for(network, port)


def serve_h2c(network: Network, home: Path) -> None:
    """Start nghttpd with the same documents at the server's end; return when it listens."""
    _write_documents(home / "www")
    network.start(End.SERVER, "nghttpd", "--no-tls", "-d", str(home / "www"), str(H2C_PORT))
    wait_for(network, H2C_PORT)


def load(network: Network, home: Path, connections: int, requests: int) -> None:
    """Ask for every document in turn over HTTP/2 with prior knowledge, each time with another query."""
    base = f"http://{End.SERVER.ipv4}:{H2C_PORT}/catalog"
    urls = home / "urls"
    urls.write_text("".join(f"{base}/{index}.json?x={index * 7919}\n" for index in range(DOCUMENTS)))
    shape = (f"-n{requests}", f"-c{connections}", f"-m{CONCURRENT}", "-i", str(urls))
    network.run(End.CLIENT, "h2load", *shape)


def call(network: Network, script: str, address: str, connections: int, seconds: int) -> None:
    """Run wrk with one of our scripts at the client's end."""
    host = f"[{address}]" if ":" in address else address
    shape = ("-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / script))
    network.run(End.CLIENT, "wrk", *shape, f"http://{host}:{PORT}")


def transfer(network: Network, megabytes: int) -> None:
    """Send `megabytes` over four connections, with iperf3."""
    network.run(End.CLIENT, "iperf3", "-c", End.SERVER.ipv4, "-p", str(BULK_PORT), "-P4", "-n", f"{megabytes}M")


def _write_documents(www: Path) -> None:
    chance = random.Random(1)
    for folder in ("catalog", "report", "export"):
        (www / folder).mkdir(parents=True)
    for index in range(DOCUMENTS):
        (www / "catalog" / f"{index}.json").write_text(_document(chance, chance.choice(SIZES)))
        (www / "report" / f"{index}.json").write_text(_document(chance, chance.choice(SIZES[-3:])))
    for index in range(LARGE):
        (www / "export" / f"{index}.json").write_text(_document(chance, 1_000_000))


def _document(chance: random.Random, size: int) -> str:
    """A JSON list of about `size` bytes."""
    items: list[dict[str, object]] = []
    length = 2
    while length < size:
        name = chance.choice(("amber", "birch", "cobalt", "delta", "ember")) + str(chance.randrange(10**6))
        item = {"id": len(items), "name": name, "price": round(chance.random() * 1000, 2), "tags": ["new", "eu"]}
        items.append(item)
        length += len(json.dumps(item)) + 2
    return json.dumps(items)


def wait_for(network: Network, port: int) -> None:
    """Until a port of the server's namespace is listening, seen in its /proc/net/tcp6 and tcp."""
    wanted = f":{port:04X} ".encode()
    for _ in range(200):
        tables = network.run(End.SERVER, "cat", "/proc/net/tcp", "/proc/net/tcp6").encode()
        if any(wanted in line and b" 0A " in line for line in tables.splitlines()):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
