"""The traffic that the captures hold: an nginx with something to serve, wrk and h2load with a mix of calls, iperf3,
redis-benchmark and dig."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from benchmarks.network import End, Network

PORT = 8000
BULK_PORT = 5201
H2C_PORT = 8080
REDIS_PORT = 6379
DNS_PORT = 53
SIZES = (200, 300, 500, 800, 1200, 2000, 3000, 4000)  # bytes of JSON, about
DOCUMENTS = 200
LARGE = 3
CONCURRENT = 10  # streams of an HTTP/2 connection
HERE = Path(__file__).resolve().parent


def serve(network: Network, home: Path) -> None:
    """Start nginx at the server's end and iperf3 beside it; return when both listen."""
    write_documents(home / "www")
    network.start(End.SERVER, "nginx", "-p", str(home), "-c", str(HERE / "nginx.conf"), "-e", "error.log")
    network.start(End.SERVER, "iperf3", "-s", "-p", str(BULK_PORT))
    for port in (PORT, BULK_PORT):
        wait_for(network, port)


def serve_h2c(network: Network, home: Path) -> None:
    """Start nghttpd with the same documents at the server's end; return when it listens."""
    write_documents(home / "www")
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


def serve_redis(network: Network, home: Path) -> None:
    """Start a Redis that writes nothing to disk at the server's end; return when it listens."""
    options = ("--port", str(REDIS_PORT), "--bind", End.SERVER.ipv4, "--save", "", "--dir", str(home))
    network.start(End.SERVER, "redis-server", *options, "--protected-mode", "no")
    wait_for(network, REDIS_PORT)


def command(network: Network, connections: int, commands: int) -> None:
    """Send so many commands of each kind to Redis; every kind has connections of its own."""
    server = ("-h", End.SERVER.ipv4, "-p", str(REDIS_PORT))
    shape = ("-c", str(connections), "-n", str(commands), "-d", "120", "-r", "5000", "-q")
    network.run(End.CLIENT, "redis-benchmark", *server, *shape, "-t", "set,get,incr,lpush,hset,mset")


def serve_dns(network: Network, home: Path) -> None:
    """Start dnsmasq with an address for every name at the server's end; return when it listens."""
    options = ("--no-resolv", "--no-hosts", "--conf-file=/dev/null", f"--pid-file={home / 'dnsmasq.pid'}")
    names = ("--address=/shop.test/10.1.2.3", "--address=/shop.test/fd00::3", "--txt-record=shop.test,v=1")
    bind = ("--bind-interfaces", f"--listen-address={End.SERVER.ipv4}", f"--port={DNS_PORT}", "--user=root")
    network.start(End.SERVER, "dnsmasq", "--keep-in-foreground", *options, *names, *bind)
    wait_for(network, DNS_PORT)


def resolve(network: Network, home: Path, questions: int) -> None:
    """Ask so many questions one after the other, each from a port of its own, as dig does."""
    kinds = ("A", "AAAA", "A", "TXT")
    batch = home / "questions"
    batch.write_text("".join(f"host{index % 997}.shop.test {kinds[index % 4]}\n" for index in range(questions)))
    shape = (f"@{End.SERVER.ipv4}", "-p", str(DNS_PORT), "+tries=1", "+time=1", "+noall")
    network.run(End.CLIENT, "dig", *shape, "-f", str(batch))


def write_documents(www: Path) -> None:
    """Folders of JSON, the same in every run."""
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
