"""What the tracer costs the traced: CPU of nginx for each new TLS connection, and for each request on one that stays.

Rounds without a tracer, with one that reads keys, and with one that reads plain text take turns in random order; each
is compared with the one without of its own round. nginx has one process, whose time the kernel counts in nanoseconds.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import tls_traffic
from benchmarks.measure import Samples, tree
from benchmarks.network import End, Network, missing
from benchmarks.report import Paired, Section, skipped

TITLE = "TLS tracer: what nginx pays"
PAIRS = 20  # at least; the interval of a median needs them
SECONDS = 540.0
PATIENCE = 30.0
NONE, KEYS, PLAINTEXT = "none", "keys", "plaintext"
TRACERS = (KEYS, PLAINTEXT)
CONNECTIONS, REQUESTS = 400, 6000
MOST = 1.10  # what key mode may cost a new connection, times as much


class Load(NamedTuple):
    """What h2load does: so many connections at once, and requests in all; `each`: what the time is divided by."""

    what: str
    connections: int
    requests: int
    each: int


LOADS = (
    Load("new connection", CONNECTIONS, CONNECTIONS, CONNECTIONS),
    Load("keep-alive request", 4, REQUESTS, REQUESTS),
)


class Told(NamedTuple):
    """What a tracer saw in one round."""

    seen: float
    lost: float
    cpu: float


def run(rounds: int) -> Section:
    """At least PAIRS rounds, whatever `rounds` says."""
    if reason := missing("nginx", "h2load", "openssl"):
        return skipped(TITLE, reason)
    pairs = max(rounds, PAIRS)
    costs: dict[tuple[str, str], list[float]] = {(mode, load.what): [] for mode in (NONE, *TRACERS) for load in LOADS}
    told: dict[str, list[Told]] = {mode: [] for mode in (NONE, *TRACERS)}
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home, Network() as network:
        tls_traffic.serve(network, Path(home))
        nginx = _nginx(network)
        for load in LOADS:  # caches, allocators, and the pages of libssl
            _cost(network, nginx, load)
        for number in range(pairs):
            for mode in random.Random(number).sample((NONE, *TRACERS), 1 + len(TRACERS)):
                with _tracer(mode) as account:
                    for load in LOADS:
                        costs[mode, load.what].append(_cost(network, nginx, load))
                told[mode].append(Told(*account))
            if time.monotonic() - start > SECONDS:
                break
    samples = {key: Samples(tuple(values)).times(1e6) for key, values in costs.items()}
    rows = [
        Paired(
            f"{mode}: {load.what}",
            samples[mode, load.what],
            "no tracer",
            samples[NONE, load.what],
            "us of nginx",
            MOST if (mode, load) == (KEYS, LOADS[0]) else None,
            equal=(mode, load) == (KEYS, LOADS[1]),
        )
        for mode in TRACERS
        for load in LOADS
    ]
    done = len(told[NONE])
    notes = [
        f"TLS 1.3, a certificate of P-256, HTTP/1.1: {CONNECTIONS} connections with a request each, and {REQUESTS:,} "
        f"requests on 4 connections, {done} rounds of each kind.",
        *(f"{mode}: {_account(told[mode])}" for mode in TRACERS),
    ]
    return Section(TITLE, rows, notes)


def _account(told: list[Told]) -> str:
    seen, lost, cpu = (sum(each) / len(told) for each in zip(*told, strict=True))
    return f"{seen:,.0f} events in a round, {lost:,.0f} lost; the tracer itself took {cpu:.2f} s of CPU."


def _cost(network: Network, nginx: int, load: Load) -> float:
    """CPU seconds of nginx for each of what `load` does."""
    port = tls_traffic.PORTS["1.3", "http/1.1"]
    before = _spent(nginx)
    shape = (f"-n{load.requests}", f"-c{load.connections}", "-m1", "--h1")
    said = network.run(End.CLIENT, "h2load", *shape, f"https://{End.SERVER.ipv4}:{port}/catalog/1.json")
    if f"{load.requests} succeeded" not in said:
        raise RuntimeError(f"h2load: {said}")
    return (_spent(nginx) - before) / load.each


def _spent(process: int) -> float:
    """CPU seconds, user and system: /proc/PID/stat has the same in ticks."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def _nginx(network: Network) -> int:
    """The process that listens at the server's end."""
    port = tls_traffic.PORTS["1.3", "http/1.1"]
    said = network.run(End.SERVER, "ss", "-Hltnp", f"sport = :{port}")
    return int(said.partition("pid=")[2].partition(",")[0])


@contextmanager
def _tracer(mode: str) -> Iterator[list[float]]:
    """A tracer of that kind as a process of its own, attached; when it is gone, the list has what it told."""
    account: list[float] = []
    if mode == NONE:
        yield account
        account += [0, 0, 0]
        return
    command = [sys.executable, "-m", "benchmarks.tls_cost_actors", mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree()) as process:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            process.kill()
            raise RuntimeError("the tracer did not start")
        try:
            yield account
        finally:
            output, _ = process.communicate("", timeout=PATIENCE)
    account += json.loads(output)


if __name__ == "__main__":
    print(run(rounds=PAIRS).markdown())
