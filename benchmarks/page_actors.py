"""Who plays in the page's benchmark, each in a process of its own; benchmarks/page.py and a test direct.

`python -m benchmarks.page_actors worker ENTRIES RATE` is a worker that sees so many calls, no two with one id, once
somebody asks for what is new, and tells of no history. `... hub PORT...` is the whole hub of such workers, the page
with it. Each prints a line of JSON with its port, and ends when stdin closes; a worker another when it told everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Iterator

from benchmarks.hub_actors import told
from pysniff.cluster.access import Access
from pysniff.cluster.frames import Ask, Batch, CaughtUp, End, Error, Hello, Value, encode
from pysniff.cluster.hub.hub import new_hub
from pysniff.cluster.hub.server import bound
from pysniff.cluster.hub.serving import serving
from pysniff.cluster.packed import pack
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.cluster.workers import Workers
from pysniff.entry import rfc3339

NODE = "bench"
KINDS = 400  # calls that differ in more than their id and time
BEAT = 20  # batches a second
_ID = f"{NODE}.5f3a9c0012ab34cd."


def calls() -> list[tuple[bytes, bytes, bytes]]:
    """Packed summaries, cut where the number of the id and the timestamp belong."""
    found = []
    for kind in range(KINDS):
        status = (200, 200, 200, 201, 304, 404, 500)[kind % 7]
        path = f"/{('cart', 'catalogue', 'orders', 'users')[kind % 4]}/{kind}"
        summary = {
            "schema": 1, "id": _ID + "#" * 10, "stream": f"{kind:016x}",
            "protocol": ("http", "http", "grpc", "redis")[kind % 4], "version": "1.1",
            "timestamp": "@" * 30, "completed": "2026-11-21T20:00:00.125290789Z",
            "elapsed_time": 100 + kind * 37,
            "src": {"ip": f"10.20.1.{kind % 250}", "port": 40000 + kind, "name": f"web-{kind % 20}.default"},
            "dst": {"ip": f"10.20.2.{kind % 30}", "port": 8080, "name": f"shop-{kind % 30}.default"},
            "capture_source": "af_packet", "tls": None, "status": str(status), "ok": status < 400,
            "summary": f"{('GET', 'POST')[kind % 2]} {path}", "state": "closed", "completeness": "complete",
            "faults": [], "request_size": kind % 5 * 100, "response_size": kind * 11,
        }  # fmt: skip
        before, rest = pack(summary).split(b"#" * 10)
        between, after = rest.split(b"@" * 30)
        found.append((before, between, after))
    return found


class Seen:
    """Batches of `entries` calls, `rate` a second of them."""

    def __init__(self, entries: int, rate: int) -> None:
        self._entries, self._rate = entries, rate
        self._calls = calls()

    def parts(self) -> Iterator[tuple[float, int, int]]:
        """When, from the beginning, which calls: from and up to."""
        at = 0
        while at < self._entries:
            to = min(self._entries, at + max(1, self._rate // BEAT))
            yield at / self._rate, at, to
            at = to

    def packed(self, at: int, to: int, now: int) -> tuple[list[int], list[int], list[int], bytes]:
        """Times, fingerprints, lengths, entries."""
        timestamp = rfc3339(now).encode()
        entries = []
        for number in range(at, to):
            before, between, after = self._calls[number % KINDS]
            entries.append(b"%b%010d%b%b%b" % (before, number, between, timestamp, after))
        times = list(range(now, now + to - at))
        return times, list(range(at + 1, to + 1)), list(map(len, entries)), b"".join(entries)


def status() -> dict[str, object]:
    """What a worker says of itself that captures and lost nothing."""
    return {
        "node": NODE, "session": "5f3a9c0012ab34cd", "software": "benchmark", "started_ns": 1, "now_ns": time.time_ns(),
        "capturing": True,
        "capture": {
            "state": "capturing", "reason": "", "hint": "", "pid": 1, "since_ns": 1, "restarts": 0,
            "interfaces": ["lo"], "absent": [], "unaccounted": 0, "excluded": [], "files": [], "bytes_read": 0,
            "bytes_in_all": 0, "carried": {},
        },
        "ledger": {"live_packets": 1, "kernel_received": 1, "store_packets": 1, "store_written": 1},
        "store": {"path": "", "limit": 1, "bytes": 0, "segment": 1, "segments": 1},
        "queries": {"running": {}, "most": 8, "answered": 0, "cancelled": 0, "refused": 0, "failed": 0, "died": 0},
        "memory": {"worker": 1, "capture": 1, "queries": 1}, "config_version": 0, "hubs": [], "links": {},
        "notices": [],
    }  # fmt: skip


class Answers:
    """A worker to whom nothing happened yet."""

    def __init__(self, entries: int, rate: int) -> None:
        self._seen = Seen(entries, rate)

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        if ask.what == "status":
            yield encode(Value(ask.id, 1, status()))
            yield encode(End(ask.id, 2, {}))
        elif ask.what != "query":
            yield encode(Error(ask.id, 1, "unsupported", f"no {ask.what} here", ""))
        elif not ask.params.get("follow"):
            yield encode(End(ask.id, 1, {}))
        else:
            async for frame in self._live(ask):
                yield frame

    async def _live(self, ask: Ask) -> AsyncGenerator[bytes, None]:
        yield encode(CaughtUp(ask.id, 1))
        began, seq = time.monotonic(), 2
        for due, at, to in self._seen.parts():
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            times, marks, lengths, entries = self._seen.packed(at, to, time.time_ns())
            yield encode(Batch(ask.id, seq, times[-1] + 1, times, marks, lengths, entries))
            seq += 1
        print(json.dumps({"sent": seq}), flush=True)
        await asyncio.Event().wait()


async def worker(entries: int, rate: int) -> None:
    links = WorkerLinks(Answers(entries, rate), Hello(1, "worker", NODE, "5f3a9c0012ab34cd", "", {}), Access())
    _, port = await links.listen("127.0.0.1", 0)
    await told(port)
    await links.close()


async def hub(*ports: str) -> None:
    workers = Workers(Hello(1, "hub", "hub", "ff" * 8, "", {}), Access())
    for port in ports:
        workers.dial("127.0.0.1", int(port))
    made = new_hub(workers, tell=lambda text: None)
    await made.filters.compiled("")  # which imports every dissector
    while not workers.known or not all(one.state == "connected" for one in workers.known.values()):
        await asyncio.sleep(0.01)
    async with serving(made, bound("127.0.0.1", 0), Access("not asked for on this machine")) as server:
        await told(server.addresses[0][1])
    await workers.close()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "worker":
        asyncio.run(worker(int(rest[0]), int(rest[1])))
    else:
        asyncio.run(hub(*rest))
    os._exit(0)
