"""What a hub forwards: to one client as fast as it can, and to a hundred what they have time for.

Workers are processes that speak frames and have their entries ready, clients count messages and read none. The peer is
a relay on the same library that passes the same bytes on: merging, telling duplicates and packing anew is the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks.measure import LIMIT, Samples, interleave, tree
from benchmarks.report import Ratio, Row, Section

ENTRIES = 400_000  # of all workers, to one client
WORKERS = 2
CLIENTS = 100
RATE = 2_000  # entries a second to each client
SECONDS = 6
CORE = 50_000  # entries a second on one core, as promised
HISTORY = json.dumps({"filter": "", "follow": False})
LIVE = json.dumps({"filter": "", "from": "now"})


class Load(NamedTuple):
    """`entries` of each of `workers`, `rate` a second each or 0."""

    workers: int
    entries: int
    rate: int
    clients: int
    question: str
    seconds: float


ONE = Load(WORKERS, ENTRIES // WORKERS, 0, 1, HISTORY, LIMIT)
MANY = Load(1, RATE * SECONDS, RATE, CLIENTS, LIVE, SECONDS + 6)


class Taken(NamedTuple):
    """`cpu`: seconds of the hub, or of the relay."""

    cpu: float
    forwarded: int
    missed: int
    before: int
    peak: int
    messages: int
    bytes: int


@contextmanager
def _actor(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process and its port."""
    command = [sys.executable, "-m", "benchmarks.hub_actors", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tree())
    assert process.stdout is not None and process.stdin is not None
    try:
        yield process, str(_line(process)["port"])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _line(process: subprocess.Popen[bytes]) -> dict[str, int]:
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise RuntimeError(f"{process.args!r} said nothing")
    found: dict[str, int] = json.loads(text)
    return found


def measure(load: Load, middle: str = "hub") -> Taken:
    """Play it once, with a hub or a relay in the middle."""
    role = "worker" if middle == "hub" else "source"
    with ExitStack() as stack:
        ports = [
            stack.enter_context(_actor(role, str(one), str(load.entries), str(load.rate)))[1]
            for one in range(1, load.workers + 1)
        ]
        process, port = stack.enter_context(_actor(middle, *ports))
        ends = str(0 if load.rate else (1 if middle == "hub" else load.workers))
        command = [
            sys.executable,
            "-m",
            "benchmarks.hub_actors",
            "clients",
            port,
            str(load.clients),
            load.question,
            ends,
        ]
        counted = subprocess.run(
            [*command, str(load.seconds)], stdout=subprocess.PIPE, cwd=tree(), check=True, timeout=load.seconds + LIMIT
        )
        clients = json.loads(counted.stdout)
        assert process.stdin is not None
        process.stdin.close()
        said = _line(process)
    return Taken(
        said["cpu"], said.get("forwarded", 0), said.get("missed", 0), said["before"], said["peak"],
        clients["messages"], clients["bytes"],
    )  # fmt: skip


def run(rounds: int) -> Section:
    kept: dict[str, list[Taken]] = {"hub": [], "relay": [], "hub, 100": [], "relay, 100": []}

    def take(name: str, load: Load) -> float:
        kept[name].append(measure(load, name.partition(",")[0]))
        return kept[name][-1].cpu

    cpu = interleave(
        {
            "hub": lambda: take("hub", ONE),
            "relay": lambda: take("relay", ONE),
            "hub, 100": lambda: take("hub, 100", MANY),
            "relay, 100": lambda: take("relay, 100", MANY),
        },
        rounds,
        LIMIT,
    )
    one, many = kept["hub"][0], kept["hub, 100"][0]
    sent = CLIENTS * RATE * SECONDS
    for taken, due in ((one, ENTRIES), (many, sent)):
        if taken.forwarded != due or taken.missed:
            raise RuntimeError(f"{taken.forwarded} entries were forwarded and {taken.missed} missed, of {due}")
    least = cpu["hub"].least
    promised, each = Samples((1e6 / CORE,)), Samples((float(SECONDS),))
    unit, ratio, peer = "us an entry", Ratio.AT_MOST, "aiohttp relay"
    alone = [cpu[name].micro_per(ENTRIES) for name in ("hub", "relay")]
    together = [cpu[name].micro_per(sent) for name in ("hub, 100", "relay, 100")]
    rows = [
        Row("one client", alone[0], peer, alone[1], unit, ratio),
        Row("one client", alone[0], "50,000 entries/s on a core", promised, unit, ratio, 1),
        Row("100 clients", together[0], peer, together[1], unit, ratio),
        Row("100 clients, 2,000 entries/s each", cpu["hub, 100"], "one core", each, "s", ratio, 1),
    ]
    notes = [
        f"One client: {ENTRIES:,} entries of two workers, {one.bytes / 1e6:.0f} MB, {ENTRIES / least:,.0f} entries/s "
        f"on a core; peak memory {one.peak / 1e6:.0f} MB, {one.before / 1e6:.0f} MB before.",
        f"100 clients: {RATE:,} entries/s to each for {SECONDS} s, {sent:,} in all, none missed; peak memory "
        f"{many.peak / 1e6:.0f} MB.",
    ]
    return Section("Hub", rows, notes)
