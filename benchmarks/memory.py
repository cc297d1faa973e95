"""Memory does not grow with the capture: the highest resident set over ten times as many packets.

The mix is one capture and its first tenth, from the same clients and servers. `--long` reads a
capture of minutes instead (several GB, made when first asked for).
"""

from __future__ import annotations

import sys

from benchmarks import captures
from benchmarks.measure import interleave, subject
from benchmarks.recipes import RECIPES
from benchmarks.report import Ratio, Row, Section

TITLE = "Peak memory"
SECONDS = 120.0
GOAL = 1.1
MEGABYTE = 1e6
# Packets: by then the stream is longer than what is kept of a body, and nothing more should be.
STREAM_TENTH = 14_000


def run(rounds: int, name: str = "http1", tenth: int = captures.SLICE) -> Section:
    rows = [_compare(name, tenth, rounds, GOAL)]
    if name == "http1":
        # Keys of ended connections are remembered for some seconds (limits.linger), so this one may grow: no goal.
        rows.append(_compare("short", tenth, rounds, None))
        if not captures.absent("grpc-stream"):
            rows.append(_compare("grpc-stream", STREAM_TENTH, rounds, GOAL, "messages"))
    notes = ["VmHWM of the process, interpreter included; entries are dropped as they come."]
    return Section(TITLE, rows, notes)


def _compare(name: str, tenth: int, rounds: int, goal: float | None, task: str = "touch") -> Row:
    small, large, warm = captures.first(name, tenth), captures.first(name, tenth * 10), captures.first(name, 1000)
    taken = interleave(
        {
            "small": lambda: subject(task, small, warm).peak / MEGABYTE,
            "large": lambda: subject(task, large, warm).peak / MEGABYTE,
        },
        rounds,
        SECONDS,
    )
    what = f"{RECIPES[name].what}: {tenth * 10:,} packets"
    return Row(what, taken["large"], f"the first {tenth:,}", taken["small"], "MB", Ratio.AT_MOST, goal)


if __name__ == "__main__":
    chosen = run(3, "http1-long", 500_000) if "--long" in sys.argv[1:] else run(3)
    print(chosen.markdown())
