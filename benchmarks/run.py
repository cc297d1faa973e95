"""Runs every benchmark and prints docs/benchmarks.md; `--write` puts it there.

`python -m benchmarks.run [--write] [--rounds N] [NAME...]`
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import bulk, half_open, http1, live, memory
from benchmarks.measure import ROOT
from benchmarks.report import Section, first_line, skipped

BENCHMARKS: dict[str, Callable[[int], Section]] = {
    "http1": http1.run,
    "bulk": bulk.run,
    "live": live.run,
    "memory": memory.run,
    "half_open": half_open.run,
}
PEERS = (("tshark", "--version"), ("tcpdump", "--version"), ("tcpreplay", "--version"))
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.run --write`; do not edit. Captures are made on the spot by `benchmarks/captures.py`:
nginx and wrk, iperf3, a veth pair with an MTU of 1500 and offloads off. Figures are CPU time (user and system) unless
they say otherwise. Contestants take turns, {rounds} rounds, each in a fresh process; the goal is judged by the minima,
because what disturbs a run only ever adds to it. Ratios: for CPU against tshark the peer's over ours, else ours over
the peer's.
"""


def document(names: list[str], rounds: int) -> tuple[str, list[str]]:
    """The page, and the goals that were missed."""
    sections = [_contained(name, rounds) for name in names]
    parts = [INTRODUCTION.format(rounds=rounds), machine(), *(section.markdown() for section in sections)]
    missed = [f"{section.title}: {row.what}" for section in sections for row in section.rows if not row.met]
    return "\n".join(parts), missed


def machine() -> str:
    """What the figures were measured on."""
    versions = [f"Python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    for program, option in PEERS:
        if shutil.which(program):
            said = subprocess.run([program, option], capture_output=True, check=False)
            versions.append(first_line(said.stdout or said.stderr))
    return f"Measured on {_processor()}, {len(os.sched_getaffinity(0))} processors: {', '.join(versions)}.\n"


def _contained(name: str, rounds: int) -> Section:
    try:
        return BENCHMARKS[name](rounds)
    except RuntimeError as error:
        return skipped(name, str(error))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure PySniff against its peers.")
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant runs (3)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    page, missed = document(chosen.names or list(BENCHMARKS), chosen.rounds)
    print(page)
    if chosen.write:
        (ROOT / "docs" / "benchmarks.md").write_text(page)
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
