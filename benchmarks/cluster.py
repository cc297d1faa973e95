"""What a cluster costs: bytes between a worker and its hub for each that was captured, and CPU beside `dumpcap -w`.

A worker's machine and a hub's are namespaces, joined by a veth pair whose bytes are counted, all headers included.
tcpreplay sends over a second pair, inside the worker's namespace, which the worker and dumpcap capture at once. The
peer of the bytes is dumpcap, too: it copies what it captures over TCP, as who dissects elsewhere must.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import NamedTuple

from benchmarks import captures
from benchmarks.cluster_actors import BUFFER_MIB, READY
from benchmarks.live import number
from benchmarks.measure import Samples, child, into_cache, subject, tree
from benchmarks.network import PATIENCE, End, Network, listening, stop
from benchmarks.report import Ratio, Row, Section, skipped
from benchmarks.store_capture import BPF, LOST

TITLE = "A worker and its hub"
PACKETS = 80_000
RATE = 10_000  # packets a second
WINDOW = 10.0  # seconds that are measured: those of the replay, and two heartbeats each way
FASTER = 3  # a copy is made at so many times the rate: its bytes are the same
FILTER = 'http && status_code == 404 && path.matches("[0-5]$")'  # about 1 % of the calls
SENDS, TAKES = "ta", "tb"  # where tcpreplay sends, and where everybody captures
WORKER_PORT, HUB_PORT = 8897, 8898
STEADY = 0.02  # CPU seconds in half a second: whoever takes less has started


class Taken(NamedTuple):
    """One window. `cpu`, `peer_cpu`: seconds of the worker's processes, and of dumpcap; `late`: milliseconds."""

    captured: int
    packets: int
    network: int
    messages: int
    cpu: float
    peer_cpu: float
    late: list[float]
    lost: int
    peer_lost: int


class Traffic(NamedTuple):
    """What an interface has received and sent so far."""

    received: int
    received_packets: int
    sent: int
    sent_packets: int


def run(rounds: int) -> Section:
    if find_spec("aiohttp") is None:
        return skipped(TITLE, "needs the package of aiohttp")
    if reason := captures.unavailable("http1", "tcpreplay", "dumpcap"):
        return skipped(TITLE, reason)
    capture = captures.first("http1", PACKETS)
    into_cache(capture)
    calls = subject("iterate", capture, captures.first("http1", 1000)).entries
    command = [sys.executable, "-m", "pysniff", "-r", str(capture), "--json", "-Y", FILTER]
    matching = child(command, keep=True).output.count(b"\n")
    silent, asked, copied = [], [], []
    for _ in range(rounds):
        silent.append(cluster(capture, ""))
        asked.append(cluster(capture, FILTER))
        copied.append(copying(capture))
    share = f"{100 * matching / calls:.2f} %"
    return Section(TITLE, _rows(silent, asked, copied, share), _notes(silent, asked, copied, calls, matching))


def _rows(silent: list[Taken], asked: list[Taken], copied: list[Taken], share: str) -> list[Row]:
    everything = Samples(tuple(1e6 * one.network / one.captured for one in copied))
    rows = []
    for what, taken in (("no query", silent), (f"a query that {share} of the calls match", asked)):
        ours = Samples(tuple(1e6 * one.network / one.captured for one in taken))
        unit = "bytes a captured MB"
        rows.append(Row(f"{what}: network", ours, "dumpcap -w - over TCP", everything, unit, Ratio.TIMES_LESS))
    for what, taken in (("no query", silent), (f"a query that {share} of the calls match", asked)):
        ours = Samples(tuple(1e6 * one.cpu / one.packets for one in taken))
        peer = Samples(tuple(1e6 * one.peer_cpu / one.packets for one in taken))
        rows.append(Row(f"{what}: worker's CPU", ours, "dumpcap -w", peer, "us a packet", Ratio.AT_MOST))
    return rows


def _notes(silent: list[Taken], asked: list[Taken], copied: list[Taken], calls: int, matching: int) -> list[str]:
    first = silent[0]
    late = Samples(tuple(one for taken in asked for one in taken.late))
    most = statistics.quantiles(late.values, n=10)[-1]
    lost, peer_lost = (sum(pair) for pair in zip(*((one.lost, one.peer_lost) for one in silent + asked), strict=True))

    def told(taken: list[Taken]) -> str:
        middle = sorted(taken, key=lambda one: one.network)[len(taken) // 2]
        return f"{middle.network / WINDOW:,.0f} bytes/s in {middle.messages / WINDOW:,.1f} packets/s"

    return [
        f"{first.packets:,} packets of HTTP/1, {first.captured / 1e6:.0f} MB, at {RATE:,} packets/s in windows of "
        f"{WINDOW:.0f} s; on the network, in the middle one, {told(silent)} without a query, {told(asked)} with one. "
        "Ratio: for bytes the peer's over ours.",
        f"The query, `{FILTER}`: {matching:,} of {calls:,} calls; "
        f"{' / '.join(f'{len(one.late):,}' for one in asked)} came. From a call's last packet until its entry is at a "
        f"client of the hub: median {late.median:,.0f} ms, of nine in ten less than {most:,.0f}, at most "
        f"{max(late.values):,.0f}: a hub waits up to a second where nothing comes behind a call.",
        f"CPU is that of all processes of the worker, idle time of the window included; dumpcap captures the same "
        f"packets at the same time. It takes {min(1e6 * one.peer_cpu / one.packets for one in copied):.3g} us a packet "
        f"where it copies over TCP. Lost in {2 * len(silent)} windows: {lost:,} by the worker, {peer_lost:,} by "
        "dumpcap.",
    ]


def cluster(capture: Path, filter: str) -> Taken:
    """Worker, hub and dumpcap; a client that asks where there is a filter."""
    with _bed() as (network, home):
        token = ("--token-file", str(home / "token"))
        options = ("-i", TAKES, "-f", BPF, "--store", str(home / "store"), "--listen", _at(End.SERVER, WORKER_PORT))
        worker = _pysniff(network, End.SERVER, "worker", *options, *token, "--node", "one", "-v")
        _until_there(home / "token")
        _pysniff(network, End.CLIENT, "hub", "--worker", _at(End.SERVER, WORKER_PORT), *token)
        dumpcap = ("dumpcap", "-q", f"-B{BUFFER_MIB}", "-i", TAKES, "-f", BPF, "-w", str(home / "dumpcap.pcapng"))
        peer = network.start(End.SERVER, *dumpcap)
        listening(network, End.SERVER, 2)
        with _actor(network, End.CLIENT, "client", str(HUB_PORT), *([filter] if filter else [])) as client:
            _settled(worker.pid)
            taken = _window(network, capture, worker.pid, peer.pid)
            late = _ended(client)
        said = stop(worker).decode()
        lost = sum(int(number(rf"([\d,]+) packets {what}", said, absent=0)) for what in LOST)
        return taken._replace(late=late, lost=lost, peer_lost=_dropped(stop(peer, signal.SIGINT).decode()))


def copying(capture: Path) -> Taken:
    """dumpcap at the worker's machine, and somebody at the hub's who takes what it writes."""
    with _bed() as (network, _), _actor(network, End.CLIENT, "sink") as sink:
        command = (sys.executable, "-m", "benchmarks.cluster_actors", "copy", End.CLIENT.ipv4, TAKES, BPF)
        peer = network.start(End.SERVER, *command, cwd=tree())
        listening(network, End.SERVER)
        _settled(peer.pid)
        taken = _window(network, capture, peer.pid, peer.pid, FASTER)
        lost = _dropped(stop(peer, signal.SIGINT).decode())
        (arrived,) = _ended(sink)
        if arrived < taken.captured and not lost:
            raise RuntimeError(f"{arrived:,.0f} bytes arrived of {taken.captured:,}")
        return taken._replace(peer_lost=lost)


@contextmanager
def _bed() -> Iterator[tuple[Network, Path]]:
    """CLIENT is the hub's machine and SERVER the worker's, with the pair that traffic is sent over.

    IPv6 is off: what it says by itself would be counted.
    """
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home, Network() as network:
        network.run(End.SERVER, "ip", "link", "add", SENDS, "type", "veth", "peer", "name", TAKES)
        for end in End:
            network.run(end, "sh", "-c", "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6")
        for name in (SENDS, TAKES):
            network.run(End.SERVER, "ip", "link", "set", name, "mtu", "1500", "up")
        yield network, Path(home)


def _at(end: End, port: int) -> str:
    return f"{end.ipv4}:{port}"


def _pysniff(network: Network, end: End, *words: str) -> subprocess.Popen[bytes]:
    return network.start(end, sys.executable, "-m", "pysniff", *words, cwd=tree())


def _until_there(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody made {path.name}")
        time.sleep(0.05)


@contextmanager
def _actor(network: Network, end: End, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of benchmarks/cluster_actors.py, once it is ready; ended with the `with`."""
    command = network.command(end, sys.executable, "-m", "benchmarks.cluster_actors", *words)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tree())
    assert process.stdout is not None and process.stdin is not None
    watchdog = Timer(6 * PATIENCE, process.kill)
    watchdog.start()
    try:
        if process.stdout.readline().decode().strip() != READY:
            raise RuntimeError(f"{words[0]} did not become ready")
        yield process
    finally:
        watchdog.cancel()
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _ended(actor: subprocess.Popen[bytes]) -> list[float]:
    """What it says at its end."""
    assert actor.stdout is not None and actor.stdin is not None
    actor.stdin.close()
    said: list[float] = json.loads(actor.stdout.readline())
    return said


def _settled(pid: int) -> None:
    """Until it and its children have started, which takes more than to go on."""
    deadline = time.monotonic() + PATIENCE
    before = -1.0
    while (now := cpu_of(pid)) - before > STEADY and time.monotonic() < deadline:
        before = now
        time.sleep(0.5)


def _window(network: Network, capture: Path, ours: int, peers: int, faster: int = 1) -> Taken:
    """Replay so many times faster than at RATE, and count from its beginning until the window is over."""
    began = time.monotonic()
    cpu, peer_cpu = cpu_of(ours), cpu_of(peers)
    link, taken = _traffic(network, End.SERVER.interface), _traffic(network, TAKES)
    options = ("-i", SENDS, "--preload-pcap", f"--pps={faster * RATE}", str(capture))
    command = network.command(End.SERVER, "tcpreplay", *options)
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE + PACKETS / RATE)
    time.sleep(max(0.0, began + WINDOW / faster - time.monotonic()))
    now, captured = _traffic(network, End.SERVER.interface), _traffic(network, TAKES)
    return Taken(
        captured=captured.received - taken.received,
        packets=captured.received_packets - taken.received_packets,
        network=now.received + now.sent - link.received - link.sent,
        messages=now.received_packets + now.sent_packets - link.received_packets - link.sent_packets,
        cpu=cpu_of(ours) - cpu,
        peer_cpu=cpu_of(peers) - peer_cpu,
        late=[],
        lost=0,
        peer_lost=0,
    )


def _traffic(network: Network, interface: str) -> Traffic:
    """Of an interface at the worker's machine; bytes with their Ethernet header."""
    found = re.search(rf"^ *{interface}: *(.*)$", network.run(End.SERVER, "cat", "/proc/net/dev"), re.MULTILINE)
    if not found:
        raise RuntimeError(f"there is no {interface}")
    fields = [int(field) for field in found[1].split()]
    return Traffic(fields[0], fields[1], fields[8], fields[9])


def cpu_of(pid: int) -> float:
    """CPU seconds so far of a process, its children, and theirs, those that ended too; in ticks of 10 ms."""
    used, found = 0, [pid]
    for one in found:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            tasks = [path.read_text() for path in Path(f"/proc/{one}/task").glob("*/children")]
        except OSError:  # it has ended; whoever waited for it has its time
            continue
        used += sum(map(int, fields[11:15]))
        found += [int(word) for text in tasks for word in text.split()]
    return used / os.sysconf("SC_CLK_TCK")


def _dropped(said: str) -> int:
    """By dumpcap's account."""
    found = re.search(r"received/dropped on interface .*: (\d+)/(\d+) ", said)
    if not found:
        raise RuntimeError(f"dumpcap gave no account: {said[-300:]}")
    return int(found[2])


if __name__ == "__main__":
    print(run(rounds=1).markdown())
