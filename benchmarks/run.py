"""Runs every benchmark and prints docs/benchmarks.md; `--write` puts it there, of chosen ones just their sections.

`python -m benchmarks.run [--write] [--rounds N] [NAME...]`
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    built,
    bulk,
    cluster,
    half_open,
    http1,
    http2,
    hub,
    kfl,
    live,
    memory,
    page,
    store_capture,
    store_query,
    tls,
    tls_cost,
)
from benchmarks.measure import ROOT
from benchmarks.report import Section, first_line, skipped

BENCHMARKS: dict[str, Callable[[int], Section]] = {
    "http1": http1.run,
    "http2": http2.run,
    "bulk": bulk.run,
    "live": live.run,
    "memory": memory.run,
    "half_open": half_open.run,
    "tls": tls.run,
    "tls_cost": tls_cost.run,
    "kfl": kfl.run,
    "store_query": store_query.run,
    "store_capture": store_capture.run,
    "hub": hub.run,
    "page": page.run,
    "cluster": cluster.run,
}
PAGE = ROOT / "docs" / "benchmarks.md"
PEERS = (("tshark", "--version"), ("tcpdump", "--version"), ("tcpreplay", "--version"))
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.run --write`; do not edit. Captures are made on the spot by `benchmarks/captures.py`:
nginx with wrk or h2load, nghttpd, grpcio, iperf3, redis-benchmark, dig and dnsmasq, a veth pair with an MTU of 1500
and offloads off. Figures are CPU
time (user and system) unless they say otherwise. Contestants take turns, {rounds} rounds, each in a fresh process; the
goal is judged by the minima, because what disturbs a run only ever adds to it. Ratios: for CPU against tshark the
peer's over ours, else ours over the peer's.
"""


def document(sections: list[Section], rounds: int, measured: str) -> str:
    """The whole page."""
    return "\n".join(
        [INTRODUCTION.format(rounds=rounds), machine(measured), *(section.markdown() for section in sections)]
    )


def merged(page: str, sections: list[Section], rounds: int, measured: str) -> str:
    """A page with some of its sections measured anew; those that it lacks come last."""
    introduction, *parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    kept = {part.partition("\n")[0]: part.rstrip() + "\n" for part in parts}
    for section in sections:
        apart = section._replace(
            notes=[*section.notes, f"Measured apart from the others, {rounds} rounds: {measured}."]
        )
        kept[f"## {section.title}"] = apart.markdown()
    return "\n".join([introduction.rstrip() + "\n", *kept.values()])


def machine(measured: str) -> str:
    """What was measured, and on what."""
    versions = [f"Python {platform.python_version()} ({_build()})", f"{platform.system()} {platform.release()}"]
    for program, option in PEERS:
        if shutil.which(program):
            said = subprocess.run([program, option], capture_output=True, check=False)
            versions.append(first_line(said.stdout or said.stderr))
    return (
        f"{measured}. Measured on {_processor()}, {len(os.sched_getaffinity(0))} processors: {', '.join(versions)}.\n"
    )


def _contained(name: str, rounds: int) -> Section:
    try:
        return BENCHMARKS[name](rounds)
    except RuntimeError as error:
        return skipped(name, str(error))
    except ModuleNotFoundError as error:
        return skipped(name, f"it needs {error.name}, which is not installed")


def _build() -> str:
    """How Python was compiled: without profile-guided optimisation it takes up to half as long again."""
    if sys.base_prefix == "/usr":
        return "as the distribution builds it"
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "compiled with --enable-optimizations" if optimised else "compiled without --enable-optimizations"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure PySniff against its peers.")
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant runs (3)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md, or the sections of those NAMEd")
    chosen = parser.parse_args(arguments)
    measured = built.use()
    sections = [_contained(name, chosen.rounds) for name in chosen.names or BENCHMARKS]
    if chosen.names:
        page = merged(PAGE.read_text(encoding="utf-8"), sections, chosen.rounds, measured)
        print("\n".join(section.markdown() for section in sections))
    else:
        page = document(sections, chosen.rounds, measured)
        print(page)
    if chosen.write:
        PAGE.write_text(page, encoding="utf-8")
    missed = [f"missed: {section.title}: {row.what}" for section in sections for row in section.rows if not row.met]
    print(*missed, sep="\n", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
