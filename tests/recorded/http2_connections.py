"""100 whole connections of HTTP/2 and gRPC between many programs, packet by packet, to be cut anywhere.

What is asked is the same in every run; a connection has 10 to 60 calls, some paths and some fields that come again.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from pysniff.packet import Packet
from recorded.answers import PAGE
from recorded.clients import PATIENCE
from recorded.connections import Connection, ends, split
from recorded.grpc_plan import GRPC_JS, GRPCIO, NAMES, Call, Dialogue, Plan, play, server
from recorded.libcurl import libcurl
from recorded.nghttpd import nghttpd
from recorded.nginx import nginx
from recorded.nodejs import NODE
from recorded.recording import recording

FILES = {
    "index.html": PAGE,
    "api/v1/carts/7": b'{"items": [1, 2, 3]}',
    "api/v1/users/me": b'{"name": "somebody"}',
    "static/style.css": PAGE[:2000],
    "static/app.js": PAGE[:9000],
    "healthz": b"ok",
}
PATHS = (*FILES, "api/v1/carts/none", "api/v1/orders?status=open&page=2")  # the last two are not there
TOKEN = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
SERVICES = ("shop.Cart", "shop.Catalogue", "shop.v1.Payments")


def record(folder: Path) -> list[Connection]:
    """Grouped by the two programs; nothing in one connection depends on another."""
    owners: dict[int, tuple[str, int]] = {}
    file = folder / "connections.pcap"
    with recording(file):
        for caller, callee, count in (
            (GRPCIO, GRPCIO, 16),
            (GRPCIO, GRPC_JS, 10),
            (GRPC_JS, GRPCIO, 10),
            (GRPC_JS, GRPC_JS, 16),
        ):
            name = f"{NAMES[caller]} to {NAMES[callee]}"
            log = folder / name.replace(" ", "-")
            with server(callee, log.with_suffix(".server")) as port:
                play(caller, port, _dialogues(count, name), log.with_suffix(".client"))
            owners[port] = (name, count)
        for client, names in ((_curl, "curl"), (_httpx, "httpx"), (_node, "node"), (_h2load, "h2load")):
            for home, where in ((partial(nginx, http2=True), "nginx"), (nghttpd, "nghttpd")):
                name = f"{names} to {where}"
                with home(folder / name.replace(" ", "-"), FILES) as port:
                    client(folder / f"{names}{port}", port, random.Random(name), 6)
                owners[port] = (name, 6)
    return list(_named(split(file), owners))


def _named(found: list[list[Packet]], owners: dict[int, tuple[str, int]]) -> Iterator[Connection]:
    for port, (name, count) in owners.items():
        whole = [packets for packets in found if ends(packets[0])[1] == port and len(packets) > 20]
        for n, packets in enumerate(whole[:count]):
            yield Connection(f"{name} {n}", packets)


def _dialogues(count: int, seed: str) -> list[Dialogue]:
    chance = random.Random(seed)
    return [_dialogue(chance, n) for n in range(count)]


def _dialogue(chance: random.Random, number: int) -> Dialogue:
    """A client that uses a few methods of one or two services, with a token; every other one numbers its calls."""
    methods = [
        (f"/{service}/{kind}{again}", kind)
        for service in chance.sample(SERVICES, chance.choice((1, 2)))
        for kind in chance.sample(("Unary", "Client", "Server", "Bidi"), chance.choice((2, 3, 4)))
        for again in chance.choice((("",), ("", "Again")))
    ]
    calls = []
    for n in range(chance.randint(10, 60)):
        path, kind = chance.choice(methods[:3] * 3 + methods)
        fields = [("authorization", TOKEN), ("x-tenant", f"tenant-{number % 3}")]
        fields += [("x-request-id", chance.randbytes(8).hex())] * (number % 2)
        sends = [chance.randint(1, 300) for _ in range(chance.randint(2, 5) if kind in ("Client", "Bidi") else 1)]
        calls.append(Call(str(n), path, kind, sends, _asked(chance, kind), metadata=fields))
    return Dialogue(calls, abreast=chance.choice((1, 1, 1, 4)))


def _asked(chance: random.Random, kind: str) -> Plan:
    status = chance.choices((0, 5, 3, 14), (85, 8, 4, 3))[0]
    if status and kind in ("Unary", "Client"):
        return {"replies": [], "status": status, "message": f"no item {chance.randint(1, 4)}"}
    replies = [chance.randint(1, 300) for _ in range(1 if kind in ("Unary", "Client") else chance.randint(1, 5))]
    return {"replies": replies, "status": status, "message": "gave up" * bool(status)}


def _asks(chance: random.Random) -> list[str]:
    """Paths: a page first, then what a program asks again and again."""
    return ["index.html", *chance.choices(PATHS, range(len(PATHS), 0, -1), k=chance.randint(9, 49))]


def _curl(folder: Path, port: int, chance: random.Random, count: int) -> None:
    for _ in range(count):
        fields = (f"Authorization: {TOKEN}", "X-Tenant: 3")
        libcurl(port, *(f"/{path}" for path in _asks(chance)), fields=fields)


def _httpx(folder: Path, port: int, chance: random.Random, count: int) -> None:
    for _ in range(count):
        with httpx.Client(http1=False, http2=True, trust_env=False, headers={"Authorization": TOKEN}) as client:
            for path in _asks(chance):
                client.get(f"http://127.0.0.1:{port}/{path}", headers={"X-Request-ID": chance.randbytes(8).hex()})


def _node(folder: Path, port: int, chance: random.Random, count: int) -> None:
    fields = {"authorization": TOKEN, "user-agent": "shop/1.7", "accept": "application/json"}
    plan = [
        {"port": port, "requests": [{"headers": {":path": f"/{path}", **fields}} for path in _asks(chance)]}
        for _ in range(count)
    ]
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(plan))
    _run("node", str(NODE / "http2_client.js"), str(folder / "plan.json"))


def _h2load(folder: Path, port: int, chance: random.Random, count: int) -> None:
    folder.mkdir()
    (folder / "urls").write_text("".join(f"http://127.0.0.1:{port}/{path}\n" for path in PATHS))
    size = (f"-n{count * 40}", f"-c{count}", "-m2", "-t1")
    _run("h2load", *size, "-H", f"authorization: {TOKEN}", "-H", "x-tenant: 3", "-i", str(folder / "urls"))


def _run(*command: str) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
