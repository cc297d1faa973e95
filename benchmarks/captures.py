"""Makes the captures that the benchmarks read, once: real servers, real clients, tcpdump between them.

They are kept in PYSNIFF_BENCH_DIR, or in the user's cache directory; never in the project.
`python -m benchmarks.captures [NAME...]` makes them ahead of time.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.network import End, Network, listening, missing, stop
from benchmarks.traffic import BULK_PORT, PORT, call, serve, transfer

PROGRAMS = ("tcpdump", "nginx", "wrk", "iperf3")
SLICE = 50_000  # packets that the slow peers read
ATTEMPTS = 4
LAST_BLOCK = 1.5  # seconds until the kernel hands over a block that is not full; libpcap asks for 1
BUFFER_KIB = 262_144  # of tcpdump: the three programs share two cores, so it is late at times

# drive(network, connections, amount)
Drive = Callable[[Network, int, int], None]


class Recipe(NamedTuple):
    """How a capture is made, and the packets that it must hold at least."""

    what: str
    drive: Drive
    ports: str
    packets: int
    amount: int  # seconds of wrk, megabytes of iperf3
    connections: int = 48


class Recorded(NamedTuple):
    """What tcpdump said about its own run, in packets."""

    captured: int
    dropped: int


def _mix(address: str) -> Drive:
    return lambda network, connections, amount: call(network, "mix.lua", address, connections, amount)


def _short(network: Network, connections: int, amount: int) -> None:
    call(network, "short.lua", End.SERVER.ipv4, connections, amount)


def _bulk(network: Network, connections: int, amount: int) -> None:
    transfer(network, amount)


WEB, BULK = f"tcp port {PORT}", f"tcp port {BULK_PORT}"
RECIPES = {
    "http1": Recipe("HTTP/1 mix over IPv4", _mix(End.SERVER.ipv4), WEB, 500_000, 15),
    "http1v6": Recipe("HTTP/1 mix over IPv6", _mix(End.SERVER.ipv6), WEB, 300_000, 8),
    "bulk": Recipe("iperf3 -P4", _bulk, BULK, 250_000, 400),
    "short": Recipe("a connection for every HTTP/1 call", _short, WEB, 200_000, 6),
    "http1-long": Recipe("HTTP/1 mix over IPv4, for long", _mix(End.SERVER.ipv4), WEB, 5_000_000, 150),
}


def directory() -> Path:
    """Where the captures are kept; created where it is missing."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pysniff-bench"
    path = Path(os.environ.get("PYSNIFF_BENCH_DIR") or fallback)
    path.mkdir(parents=True, exist_ok=True)
    return path


def unavailable(*more: str) -> str:
    """Why captures cannot be made here, or ""."""
    return missing(*PROGRAMS, *more)


def capture(name: str) -> Path:
    """The capture of that name, made now unless it is there; raise RuntimeError where it cannot be made."""
    path = directory() / f"{name}.pcap"
    if not path.exists():
        if reason := unavailable():
            raise RuntimeError(f"capture {name}: {reason}")
        _make(RECIPES[name], path)
    return path


def first(name: str, packets: int = SLICE) -> Path:
    """The first packets of a capture, as a capture of its own."""
    path = directory() / f"{name}-{packets // 1000}k.pcap"
    if not path.exists():
        _cut(capture(name), path, packets)
    return path


def size(path: Path) -> int:
    """How many packets a capture of ours holds."""
    return sum(1 for _ in _records(path.read_bytes()))


def _make(recipe: Recipe, path: Path) -> None:
    """Record until nothing was dropped and enough was seen: fewer clients after a drop, longer when it was short."""
    connections, amount = recipe.connections, recipe.amount
    part = path.with_suffix(".part")
    for _ in range(ATTEMPTS):
        recorded = _record(recipe, connections, amount, part)
        if recorded.dropped:
            connections = max(1, connections // 3)
        elif recorded.captured < recipe.packets:
            amount = 1 + int(amount * 1.2 * recipe.packets / max(1, recorded.captured))
        else:
            part.rename(path)
            return
    part.unlink()
    raise RuntimeError(f"{path.name}: after {ATTEMPTS} attempts still {recorded}")


def _record(recipe: Recipe, connections: int, amount: int, path: Path) -> Recorded:
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home, Network() as network:
        serve(network, Path(home))
        options = ("-n", "-s0", f"-B{BUFFER_KIB}", "-Z", "root", "-w", str(path), *recipe.ports.split())
        dump = network.start(End.SERVER, "tcpdump", "-i", End.SERVER.interface, *options)
        listening(network, End.SERVER)
        recipe.drive(network, connections, amount)
        time.sleep(LAST_BLOCK)
        return account(stop(dump, signal.SIGINT).decode())


def account(text: str) -> Recorded:
    """What tcpdump wrote to stderr at its end."""
    captured = re.search(r"(\d+) packets? captured", text)
    dropped = re.search(r"(\d+) packets? dropped by kernel", text)
    if not captured or not dropped:
        raise RuntimeError(f"tcpdump gave no account: {text}")
    return Recorded(int(captured[1]), int(dropped[1]))


def _cut(source: Path, target: Path, packets: int) -> None:
    data = source.read_bytes()
    end = 24
    for index, (_, following) in enumerate(_records(data)):
        if index == packets:
            break
        end = following
    else:
        if index + 1 < packets:
            raise RuntimeError(f"{source.name} holds fewer than {packets} packets")
    target.write_bytes(data[:end])


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """First byte, and byte after the last, of every record in a little-endian pcap."""
    at = 24
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        yield at, at + 16 + length
        at += 16 + length


def main(names: list[str]) -> None:
    for name in names or [name for name in RECIPES if not name.endswith("-long")]:
        path = capture(name)
        print(f"{path} {size(path):,} packets, {path.stat().st_size / 1e6:.0f} MB: {RECIPES[name].what}")
        print(first(name))


if __name__ == "__main__":
    main(sys.argv[1:])
