"""Measures CPU time, not wall time: the machine may be busy, and contestants take turns so that all suffer alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TREE = "PYSNIFF_BENCH_TREE"  # environment: the folder with the package to measure, see benchmarks/built.py
LIMIT = 300.0  # seconds that one child may take


class Usage(NamedTuple):
    """What a child process used: CPU seconds (user and system), and what it wrote to stdout where that was kept."""

    cpu: float
    output: bytes


class Reading(NamedTuple):
    """What the subject says of one run: CPU seconds without imports, peak resident bytes before and after.

    `account` is the ledger in lines, `imbalances` what does not add up in it.
    """

    cpu: float
    entries: int
    before: int
    peak: int
    account: list[str]
    imbalances: list[str]


class Samples(NamedTuple):
    """The same thing measured several times."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def micro_per(self, count: int) -> Samples:
        """Seconds as microseconds for each of `count`."""
        return self.times(1e6 / count)

    def times(self, factor: float) -> Samples:
        return Samples(tuple(value * factor for value in self.values))

    def less(self, other: float) -> Samples:
        return Samples(tuple(max(0.0, value - other) for value in self.values))


def tree() -> Path:
    """Where programs that are measured find the package."""
    return Path(os.environ.get(TREE) or ROOT)


def child(command: Sequence[str], *, keep: bool = False, limit: float = LIMIT, cwd: Path | None = None) -> Usage:
    """Run to the end, in tree(); raise RuntimeError where it fails or takes longer than `limit` seconds."""
    stdout = subprocess.PIPE if keep else subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd=cwd or tree()
    )
    assert process.stderr
    watchdog = Timer(limit, process.kill)
    watchdog.start()
    try:
        # The subject's stdout is one line and what is read here goes to stderr in lines too: no pipe fills up.
        output = process.stdout.read() if process.stdout else b""
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        watchdog.cancel()
        process.stderr.close()
        if process.stdout:
            process.stdout.close()
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {' '.join(said)}")
    return Usage(used.ru_utime + used.ru_stime, output)


def subject(task: str, capture: Path, warm: Path, *keys: Path, cwd: Path | None = None) -> Reading:
    """Let PySniff read a capture in a process of its own; see benchmarks/subject.py for the tasks. `keys`: key logs."""
    command = [sys.executable, "-m", "benchmarks.subject", task, *map(str, (capture, warm, *keys))]
    return Reading(**json.loads(child(command, keep=True, cwd=cwd).output))


def interleave(contestants: Mapping[str, Callable[[], float]], rounds: int, seconds: float) -> dict[str, Samples]:
    """Let contestants take turns for some rounds, or until the time is up; at least one round each."""
    values: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.monotonic() + seconds
    for _ in range(rounds):
        for name, measure in contestants.items():
            values[name].append(measure())
        if time.monotonic() > end:
            break
    return {name: Samples(tuple(taken)) for name, taken in values.items()}


def into_cache(*captures: Path) -> None:
    """Read files once, so that nobody pays for the disk."""
    for path in captures:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
