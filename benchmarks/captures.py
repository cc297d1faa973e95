"""Makes the captures that the benchmarks read, once: real servers, real clients, tcpdump between them.

They are kept in PYSNIFF_BENCH_DIR, or in the user's cache directory; never in the project.
`python -m benchmarks.captures [NAME...]` makes them ahead of time.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.network import End, Network, missing, stop
from benchmarks.recipes import RECIPES, Recipe

SLICE = 50_000  # packets that the slow peers read
ATTEMPTS = 4
LAST_BLOCK = 1.5  # seconds until the kernel hands over a block that is not full; libpcap asks for 1
BUFFER_KIB = 262_144  # of tcpdump: the three programs share two cores, so it is late at times


class Recorded(NamedTuple):
    """What tcpdump said about its own run, in packets."""

    captured: int
    dropped: int


def directory() -> Path:
    """Where the captures are kept; created where it is missing."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pysniff-bench"
    path = Path(os.environ.get("PYSNIFF_BENCH_DIR") or fallback)
    path.mkdir(parents=True, exist_ok=True)
    return path


def unavailable(name: str, *more: str) -> str:
    """Why that capture cannot be made here, or ""."""
    recipe = RECIPES[name]
    absent = [module for module in recipe.modules if find_spec(module) is None]
    return f"needs the package of {', '.join(absent)}" if absent else missing("tcpdump", *recipe.programs, *more)


def absent(name: str) -> str:
    """Why that capture is not to be had, or ""; it is not made."""
    return "" if (directory() / f"{name}.pcap").exists() else unavailable(name)


def capture(name: str) -> Path:
    """The capture of that name, made now unless it is there; raise RuntimeError where it cannot be made."""
    path = directory() / f"{name}.pcap"
    if not path.exists():
        if reason := unavailable(name):
            raise RuntimeError(f"capture {name}: {reason}")
        _make(RECIPES[name], path)
    return path


def first(name: str, packets: int = SLICE) -> Path:
    """The first packets of a capture, as a capture of its own."""
    path = directory() / f"{name}-{packets // 1000}k.pcap"
    if not path.exists():
        _cut(capture(name), path, packets)
    return path


def beside(capture: Path, kept: str) -> Path:
    """A file that a capture's traffic left, as Recipe.keeps names it."""
    return capture.with_name(f"{capture.stem}.{kept}")


def size(path: Path) -> int:
    """How many packets a capture of ours holds."""
    return sum(1 for _ in records(path.read_bytes()))


def _make(recipe: Recipe, path: Path) -> None:
    """Record until nothing was dropped and enough was seen: fewer clients after a drop, longer when it was short."""
    connections, amount = recipe.connections, recipe.amount
    part = path.with_suffix(".part")
    for _ in range(ATTEMPTS):
        recorded = record(recipe, connections, amount, part)
        if recorded.dropped:
            connections = max(1, connections // 3)
        elif recorded.captured < recipe.packets:
            amount = 1 + int(amount * 1.2 * recipe.packets / max(1, recorded.captured))
        else:
            part.rename(path)
            return
    part.unlink()
    raise RuntimeError(f"{path.name}: after {ATTEMPTS} attempts still {recorded}")


def record(recipe: Recipe, connections: int, amount: int, path: Path) -> Recorded:
    """One recording of that much traffic, whatever became of it."""
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home, Network() as network:
        recipe.serve(network, Path(home))
        options = ("-n", "-s0", f"-B{BUFFER_KIB}", "-Z", "root", "-w", str(path), *recipe.ports.split())
        dump = network.start(End.SERVER, "tcpdump", "-i", End.SERVER.interface, *options)
        _wait_until_it_listens(dump)
        recipe.drive(network, Path(home), connections, amount)
        time.sleep(LAST_BLOCK)
        for kept in recipe.keeps:
            beside(path, kept).write_bytes((Path(home) / kept).read_bytes())
        return account(stop(dump, signal.SIGINT).decode())


def _wait_until_it_listens(tcpdump: subprocess.Popen[bytes]) -> None:
    """Until it says so: libpcap throws away what comes before its filter is set, the socket being open already."""
    assert tcpdump.stderr
    while b"listening on" not in (line := tcpdump.stderr.readline()):
        if not line:
            raise RuntimeError("tcpdump ended")


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
    for index, (_, following) in enumerate(records(data)):
        if index == packets:
            break
        end = following
    else:
        if index + 1 < packets:
            raise RuntimeError(f"{source.name} holds fewer than {packets} packets")
    target.write_bytes(data[:end])


def records(data: bytes) -> Iterator[tuple[int, int]]:
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
        if RECIPES[name].packets >= SLICE:
            print(first(name))


if __name__ == "__main__":
    main(sys.argv[1:])
