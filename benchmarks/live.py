"""Live capture on a veth pair: the rate that PySniff dissects without loss, against the rate tcpdump takes.

tcpreplay sends the HTTP/1 capture at the client's end; the server's end ignores it (the frames bear
other hardware addresses) but everything captures it. A taker holds a rate when it received every packet.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import captures
from benchmarks.captures import LAST_BLOCK
from benchmarks.measure import Samples, into_cache, subject, tree
from benchmarks.network import End, Network, listening, stop
from benchmarks.recipes import WEB
from benchmarks.report import Ratio, Row, Section, skipped

TITLE = "Live on a veth pair"
GOAL = 0.5
TOP = 0  # packets a second: as many as the sender can
# Always the whole capture: a shorter one would fit into the kernel's buffer and prove nothing.
STEPS = (1.0, 0.75, 0.6, 0.5, 0.35, 0.25, 0.15, 0.1)
PATIENCE = 60.0  # seconds for one replay


class Taken(NamedTuple):
    """One replay: packets a second as sent, packets sent, received and dropped, entries and their CPU seconds."""

    rate: float
    sent: int
    received: int
    dropped: int
    entries: int = 0
    cpu: float = 0.0

    @property
    def whole(self) -> bool:
        return self.received == self.sent and not self.dropped


Taker = Callable[[Network, Path, float], Taken]


def run(rounds: int) -> Section:
    if reason := captures.unavailable("http1", "tcpreplay"):
        return skipped(TITLE, reason)
    capture = captures.capture("http1")
    into_cache(capture)
    expected = subject("iterate", capture, captures.first("http1", 1000)).entries
    with Network() as network:
        peer = highest(tcpdump, network, capture, sender(network, capture))
        ours = highest(library, network, capture, peer.rate)
        at_half = [library(network, capture, peer.rate * GOAL) for _ in range(rounds)]
        as_json = highest(command_line, network, capture, peer.rate)
    rates = Samples((ours.rate,)), Samples((peer.rate,))
    json_rates = Samples((as_json.rate,)), Samples((peer.rate,))
    rows = [
        Row("`sniff()`", rates[0], "tcpdump -w /dev/null", rates[1], "packets/s", Ratio.AT_LEAST, GOAL),
        Row("`--json`", json_rates[0], "tcpdump -w /dev/null", json_rates[1], "packets/s", Ratio.AT_LEAST),
    ]
    notes = [f"From the file: {expected:,} entries. The sender's own limit caps tcpdump's rate."]
    notes += [told("tcpdump", peer), told("Highest", ours)]
    notes += [told("At half of tcpdump's rate", taken) for taken in at_half]
    return Section(TITLE, rows, [*notes, told("`--json`, highest", as_json)])


def highest(taker: Taker, network: Network, capture: Path, top: float) -> Taken:
    """The highest step below `top` at which nothing is lost, twice; else the lowest step as it went."""
    for step in STEPS:
        taken = taker(network, capture, top * step)
        if taken.whole and taker(network, capture, top * step).whole:
            return taken
    return taken._replace(rate=0.0)


def sender(network: Network, capture: Path) -> float:
    """Packets a second that tcpreplay can send with nobody capturing."""
    return _replay(network, capture, TOP)[0]


def tcpdump(network: Network, capture: Path, rate: float) -> Taken:
    command = ("tcpdump", "-i", End.SERVER.interface, "-n", "-s0", "-Z", "root", "-w", "/dev/null", *WEB.split())
    process = network.start(End.SERVER, *command)
    sent_rate, sent = send_to_listener(network, capture, rate)
    recorded = captures.account(stop(process, signal.SIGINT).decode())
    return Taken(sent_rate, sent, recorded.captured, recorded.dropped)


def library(network: Network, capture: Path, rate: float) -> Taken:
    """Entries of `pysniff.sniff()` as they come, in a process of its own."""
    arguments = ("-m", "benchmarks.subject", "live", End.SERVER.interface, WEB)
    sent_rate, sent, output, _ = _run_ours(network, capture, rate, arguments)
    return Taken(sent_rate, sent, **json.loads(output or b'{"received": 0, "dropped": 0}'))


def command_line(network: Network, capture: Path, rate: float) -> Taken:
    """`pysniff -i --json` into a file; what it received stands in the account that -v gives."""
    arguments = ("-m", "pysniff", "-i", End.SERVER.interface, "--json", "-v", *WEB.split())
    sent_rate, sent, output, said = _run_ours(network, capture, rate, arguments)
    # No account: it was so far behind that it did not end in time.
    received = int(number(r"packets +([\d,]+) received", said, absent=0))
    dropped = int(number(r"([\d,]+) packets dropped by the kernel", said, absent=0))
    return Taken(sent_rate, sent, received, dropped, output.count(b"\n"))


def _run_ours(network: Network, capture: Path, rate: float, arguments: Sequence[str]) -> tuple[float, int, bytes, str]:
    """The rate sent, packets sent, and what was written to stdout and stderr until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home:
        output = Path(home) / "output"
        process = network.start(End.SERVER, sys.executable, *arguments, cwd=tree(), output=output)
        sent_rate, sent = send_to_listener(network, capture, rate)
        said = stop(process, signal.SIGINT).decode()
        return sent_rate, sent, output.read_bytes(), said


def send_to_listener(network: Network, capture: Path, rate: float) -> tuple[float, int]:
    listening(network, End.SERVER)
    sent = _replay(network, capture, rate)
    time.sleep(LAST_BLOCK)
    return sent


def _replay(network: Network, capture: Path, rate: float) -> tuple[float, int]:
    """Send the capture at `rate` packets a second; the rate that it was in fact, and the packets sent."""
    pace = f"--pps={rate:.0f}" if rate else "--topspeed"
    command = network.command(End.CLIENT, "tcpreplay", "-i", End.CLIENT.interface, "--preload-pcap", pace, str(capture))
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return number(r"Rated:.* ([\d.]+) pps", done.stdout), int(number(r"Actual: (\d+) packets", done.stdout))


def number(pattern: str, text: str, absent: float | None = None) -> float:
    found = re.search(pattern, text)
    if not found and absent is not None:
        return absent
    if not found:
        raise RuntimeError(f"expected {pattern!r} in: {text[-300:]}")
    return float(found[1].replace(",", ""))


def told(what: str, taken: Taken) -> str:
    return (
        f"{what}: {taken.rate:,.0f} packets/s, {taken.sent:,} sent, {taken.received:,} received, "
        f"{taken.dropped:,} dropped, {taken.entries:,} entries" + (f", {taken.cpu:.1f} s CPU." if taken.cpu else ".")
    )


if __name__ == "__main__":
    print(run(rounds=3).markdown())
