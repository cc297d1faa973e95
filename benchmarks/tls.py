"""TLS decrypted with a key log, against tshark: h2load and nginx, HTTP/1 and h2, TLS 1.2 and 1.3.

In process, the start of both programs is left out: PySniff's imports, and what tshark takes for a capture without
packets. Both read the whole capture.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import captures
from benchmarks.measure import child, interleave, into_cache, subject
from benchmarks.report import Ratio, Row, Section, skipped
from benchmarks.tls_traffic import SECRETS

TITLE = "TLS with a key log"
CAPTURE = "tls"
SECONDS = 150.0
FIELDS = ("http.request.uri", "http.response.code", "http2.headers.path", "http2.headers.status")
GOAL = 5.0


def run(rounds: int) -> Section:
    if not shutil.which("tshark"):
        return skipped(TITLE, "needs tshark")
    if reason := captures.absent(CAPTURE):
        return skipped(TITLE, reason)
    capture, warm = captures.capture(CAPTURE), captures.first(CAPTURE, 1000)
    keys = captures.beside(capture, SECRETS)
    into_cache(capture)
    with tempfile.TemporaryDirectory() as home:
        empty = Path(home) / "empty.pcap"
        empty.write_bytes(capture.read_bytes()[:24])
        contestants = {
            "tshark": lambda: tshark(capture, keys),
            "iterate": lambda: subject("iterate", capture, warm, keys).cpu,
            "touch": lambda: subject("touch", capture, warm, keys).cpu,
            "tshark start": lambda: tshark(empty, keys),
            "encrypted": lambda: subject("iterate", capture, warm).cpu,
        }
        taken = interleave(contestants, rounds, SECONDS)
    packets, megabytes = captures.size(capture), capture.stat().st_size / 1e6
    running = taken["tshark"].less(taken["tshark start"].median)
    compared = partial(Row, peer_name="tshark -T fields", peer=running.micro_per(packets), unit="us a packet")
    rows = [
        compared("iterate `read()`", taken["iterate"].micro_per(packets), ratio=Ratio.TIMES_LESS, goal=GOAL),
        compared("touch heads", taken["touch"].micro_per(packets), ratio=Ratio.TIMES_LESS),
        compared("without keys: iterate", taken["encrypted"].micro_per(packets), ratio=Ratio.TIMES_LESS),
    ]
    reading = subject("iterate", capture, warm, keys)
    rates = f"PySniff decrypts and dissects {megabytes / taken['iterate'].least:.0f} MB/s, tshark"
    notes = [
        f"{packets:,} packets, {megabytes:.0f} MB, {reading.entries:,} entries; tshark starts in "
        f"{taken['tshark start'].median:.2f} s. Without keys it is tshark with them that is compared.",
        f"At best {rates} {megabytes / running.least:.1f} MB/s.",
        *(f"The ledger does not balance: {odd}" for odd in reading.imbalances),
    ]
    return Section(TITLE, rows, notes)


def tshark(capture: Path, keys: Path) -> float:
    """CPU seconds of tshark decrypting a capture and printing the heads of every call."""
    fields = [word for field in FIELDS for word in ("-e", field)]
    return child(["tshark", "-o", f"tls.keylog_file:{keys}", "-r", str(capture), "-T", "fields", *fields]).cpu


if __name__ == "__main__":
    print(run(rounds=3).markdown())
