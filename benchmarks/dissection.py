"""Calls against tshark: entries iterated, entries touched, and the command line as a whole.

In process, the start of both programs is left out: PySniff's imports, and what tshark takes for a
capture without packets. `--json` is compared as a whole process, start included, on the same slice
as tshark and on the whole capture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import captures
from benchmarks.measure import ROOT, Reading, Samples, child, interleave, into_cache, subject
from benchmarks.report import Ratio, Row, Section, skipped


class Contest(NamedTuple):
    """One capture, what tshark is asked for, and how many times less CPU each of our tasks promises to take.

    `task` is the one of benchmarks.subject that touches what `touched` names; a task without a goal is not run.
    """

    label: str
    capture: str
    fields: Sequence[str]
    options: Sequence[str] = ()  # of tshark
    task: str = "touch"
    touched: str = "touch heads"
    iterate: float | None = None
    touch: float | None = None
    json: float | None = None


def run(title: str, contests: Sequence[Contest], rounds: int, seconds: float) -> Section:
    """Run them one after the other, each for its share of the time."""
    if not shutil.which("tshark"):
        return skipped(title, "needs tshark")
    rows: list[Row] = []
    notes: list[str] = []
    for contest in contests:
        more, note = _compare(contest, rounds, seconds / len(contests))
        rows += more
        notes += note
    return Section(title, rows, notes)


def _compare(contest: Contest, rounds: int, seconds: float) -> tuple[list[Row], list[str]]:
    name = contest.capture
    whole, part, warm = captures.capture(name), captures.first(name), captures.first(name, 1000)
    into_cache(whole, part)
    packets = captures.size(whole)
    with tempfile.TemporaryDirectory() as home:
        empty = Path(home) / "empty.pcap"
        empty.write_bytes(whole.read_bytes()[:24])
        contestants: dict[str, Callable[[], float]] = {
            "tshark": lambda: tshark(part, contest),
            "iterate": lambda: subject("iterate", whole, warm).cpu,
            "touch": lambda: subject(contest.task, whole, warm).cpu,
            "pure iterate": lambda: subject("iterate", whole, warm, cwd=ROOT).cpu,
            "pure touch": lambda: subject(contest.task, whole, warm, cwd=ROOT).cpu,
            "tshark start": lambda: tshark(empty, contest),
        }
        if contest.json:
            contestants |= {"json": lambda: as_json(whole), "json slice": lambda: as_json(part)}
        taken = interleave(contestants, rounds, seconds)
    reading = subject("iterate", whole, warm)
    return _rows(contest, taken, packets), _notes(contest, whole, packets, reading, taken["tshark start"])


def _rows(contest: Contest, taken: dict[str, Samples], packets: int) -> list[Row]:
    sliced = ("tshark", "json slice")
    cost = {key: samples.micro_per(captures.SLICE if key in sliced else packets) for key, samples in taken.items()}
    running = taken["tshark"].less(taken["tshark start"].median).micro_per(captures.SLICE)
    compared = partial(Row, peer_name="tshark -T fields", unit="us a packet", ratio=Ratio.TIMES_LESS)
    label = contest.label
    rows = [
        compared(f"{label}: iterate `read()`", cost["iterate"], peer=running, goal=contest.iterate),
        compared(f"{label}: {contest.touched}", cost["touch"], peer=running, goal=contest.touch),
        compared(f"{label}: iterate, pure Python", cost["pure iterate"], peer=running),
        compared(f"{label}: {contest.touched}, pure Python", cost["pure touch"], peer=running),
    ]
    if contest.json:
        rows += [
            compared(f"{label}: `--json`, capture", cost["json"], peer=cost["tshark"], goal=contest.json),
            compared(f"{label}: `--json`, slice", cost["json slice"], peer=cost["tshark"], goal=contest.json),
        ]
    return rows


def _notes(contest: Contest, whole: Path, packets: int, reading: Reading, start: Samples) -> list[str]:
    note = f"{contest.label}: {packets:,} packets, {whole.stat().st_size / 1e6:.0f} MB, {reading.entries:,} entries;"
    note += f" tshark on the first {captures.SLICE:,}, where it starts in {start.median:.2f} s."
    return [note, *(f"{contest.label}: the ledger does not balance: {odd}" for odd in reading.imbalances)]


def tshark(capture: Path, contest: Contest) -> float:
    """CPU seconds of tshark printing the contest's fields of every packet."""
    fields = [word for field in contest.fields for word in ("-e", field)]
    return child(["tshark", "-r", str(capture), *contest.options, "-T", "fields", *fields]).cpu


def as_json(capture: Path) -> float:
    """CPU seconds of the command line printing every entry."""
    return child([sys.executable, "-m", "pysniff", "-r", str(capture), "--json"]).cpu
