"""Traffic that nobody wants dissected: reading past an iperf3 transfer, against tcpdump copying it to nowhere."""

from __future__ import annotations

import shutil

from benchmarks import captures
from benchmarks.measure import child, interleave, into_cache, subject
from benchmarks.report import Ratio, Row, Section, skipped

TITLE = "Bulk traffic, skipped"
SECONDS = 120.0
GOAL = 1.5


def run(rounds: int) -> Section:
    if not shutil.which("tcpdump"):
        return skipped(TITLE, "needs tcpdump")
    whole, warm = captures.capture("bulk"), captures.first("bulk", 1000)
    into_cache(whole)
    packets = captures.size(whole)
    taken = interleave(
        {
            "tcpdump": lambda: child(["tcpdump", "-Z", "root", "-r", str(whole), "-w", "/dev/null"]).cpu,
            "read": lambda: subject("iterate", whole, warm).cpu,
        },
        rounds * 3,  # they are short
        SECONDS,
    )
    ours, peer = taken["read"].micro_per(packets), taken["tcpdump"].micro_per(packets)
    row = Row("`read()` of bulk TCP", ours, "tcpdump -r -w /dev/null", peer, "us a packet", Ratio.AT_MOST, GOAL)
    note = f"{packets:,} packets, {whole.stat().st_size / 1e6:.0f} MB in the page cache."
    return Section(TITLE, [row], [note])


if __name__ == "__main__":
    print(run(rounds=3).markdown())
