"""HTTP/1 against tshark: entries iterated, entries touched, and the command line as a whole.

In process, the start of both programs is left out: PySniff's imports, and what tshark takes for a
capture without packets. `--json` is compared as a whole process, start included, on the same slice
as tshark and on the whole capture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import captures
from benchmarks.measure import child, interleave, into_cache, subject
from benchmarks.report import Ratio, Row, Section, skipped

TITLE = "HTTP/1"
SECONDS = 240.0
FIELDS = ("http.request.method", "http.request.uri", "http.response.code", "http.host")
GOALS = {"iterate": 40, "touch": 25, "json": 12}
FAMILIES = {"IPv4": "http1", "IPv6": "http1v6"}


def run(rounds: int) -> Section:
    if not shutil.which("tshark"):
        return skipped(TITLE, "needs tshark")
    rows: list[Row] = []
    notes: list[str] = []
    for family, name in FAMILIES.items():
        more, note = _compare(family, name, rounds, SECONDS / len(FAMILIES))
        rows += more
        notes += note
    return Section(TITLE, rows, notes)


def _compare(family: str, name: str, rounds: int, seconds: float) -> tuple[list[Row], list[str]]:
    whole, part, warm = captures.capture(name), captures.first(name), captures.first(name, 1000)
    into_cache(whole, part)
    packets = captures.size(whole)
    with tempfile.TemporaryDirectory() as home:
        empty = Path(home) / "empty.pcap"
        empty.write_bytes(whole.read_bytes()[:24])
        taken = interleave(
            {
                "tshark": lambda: tshark(part),
                "iterate": lambda: subject("iterate", whole, warm).cpu,
                "touch": lambda: subject("touch", whole, warm).cpu,
                "json": lambda: as_json(whole),
                "json slice": lambda: as_json(part),
                "tshark start": lambda: tshark(empty),
            },
            rounds,
            seconds,
        )
    ours = {
        key: samples.micro_per(captures.SLICE if key in ("tshark", "json slice") else packets)
        for key, samples in taken.items()
    }
    running = taken["tshark"].less(taken["tshark start"].median).micro_per(captures.SLICE)
    compared = partial(Row, peer_name="tshark -T fields", unit="us a packet", ratio=Ratio.TIMES_LESS)
    rows = [
        compared(f"{family}: iterate `read()`", ours["iterate"], peer=running, goal=GOALS["iterate"]),
        compared(f"{family}: touch heads", ours["touch"], peer=running, goal=GOALS["touch"]),
        compared(f"{family}: `--json`, capture", ours["json"], peer=ours["tshark"], goal=GOALS["json"]),
        compared(f"{family}: `--json`, slice", ours["json slice"], peer=ours["tshark"], goal=GOALS["json"]),
    ]
    reading = subject("iterate", whole, warm)
    note = f"{family}: {packets:,} packets, {whole.stat().st_size / 1e6:.0f} MB, {reading.entries:,} entries; tshark on"
    note += f" the first {captures.SLICE:,}, where it starts in {taken['tshark start'].median:.2f} s."
    return rows, [note, *(f"{family}: the ledger does not balance: {odd}" for odd in reading.imbalances)]


def tshark(capture: Path) -> float:
    """CPU seconds of tshark printing four fields a packet."""
    fields = [word for field in FIELDS for word in ("-e", field)]
    return child(["tshark", "-r", str(capture), "-T", "fields", *fields]).cpu


def as_json(capture: Path) -> float:
    """CPU seconds of the command line printing every entry."""
    return child([sys.executable, "-m", "pysniff", "-r", str(capture), "--json"]).cpu


if __name__ == "__main__":
    print(run(rounds=3).markdown())
