"""Recording into a store, against `dumpcap -w` capturing the same packets at the same time; and what it holds.

tcpreplay sends a capture over a veth pair, as in live.py; CPU is that of the processes and of the children that they
waited for. `python -m benchmarks.store_capture CAPTURE` measures what prebuilt blocks cost, without a capture.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Thread, Timer
from typing import NamedTuple

from benchmarks import captures, store_traffic
from benchmarks.live import GOAL, Taken, highest, number, send_to_listener, sender, told
from benchmarks.measure import Samples, child, into_cache, tree
from benchmarks.network import PATIENCE, End, Network, listening
from benchmarks.report import Ratio, Row, Section, skipped
from pysniff.packet import Block
from pysniff.store.recording import Recording

TITLE = "Recording into a store"
COST = 3.0
QUERIES = 3
BPF = "ip"  # what the namespaces say by themselves is IPv6
BLOCK = 1024  # packets that libpcap hands over at once, at most
PACKETS = 500_000  # of HTTP/1: more than the kernel's buffers hold, by far
PREBUILT = 100_000
SETTLED = 4.0  # seconds, for the keeper to read what it has to
BUFFER_MIB = 64  # of dumpcap: as much as ours; with its own 2 MiB it holds less
# How the account of `-v` says what did not get into the store.
LOST = ("dropped by the kernel", "that the disk was too slow for", "that the disk had no room for")


class Used(NamedTuple):
    """CPU seconds of a capture with its children, and without them; packets that it took, and that it lost; segments
    that were dropped before their tables were kept."""

    cpu: float
    alone: float
    packets: int
    dropped: int
    missed: int = 0


def run(rounds: int) -> Section:
    if reason := captures.unavailable("http1", "tcpreplay", "dumpcap") or store_traffic.unavailable():
        return skipped(TITLE, reason)
    mixed, web = store_traffic.hour(), captures.first("http1", PACKETS)
    into_cache(mixed, web)
    with Network() as network, tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home:
        contest = _Contest(network, Path(home))
        peer = highest(contest.dumpcap, network, web, sender(network, web))
        rate = peer.rate * GOAL
        rows: list[Row] = []
        notes: list[str] = [told("dumpcap", peer)]
        for what, capture in (("mixed traffic", mixed), ("HTTP/1", web)):
            more, note = contest.cost(what, capture, rate, rounds)
            rows += [*more, _prebuilt(what, capture, more[0], rounds)]
            notes.append(note)
        held = [contest.held(web, rate) for _ in range(rounds)]
        with contest.queries() as answered:
            busy = [contest.held(web, rate) for _ in range(rounds)]
            ended = len(answered)
        half, lost = "lost at half of dumpcap's rate", _lost(held)
        rows.append(Row(half, lost, "dumpcap -w at its highest", _lost([peer]), "packets", Ratio.AT_MOST, 0.0))
        meanwhile = f"{half}, {QUERIES} queries meanwhile"
        rows.append(Row(meanwhile, _lost(busy), "the same without queries", lost, "packets", Ratio.AT_MOST, 1.0))
        notes += [told("At half of dumpcap's rate", taken) for taken in held]
        notes += [told(f"The same with {QUERIES} queries of everything", taken) for taken in busy]
        notes.append(f"{ended} queries ended in that time, the store always holding as much as it may.")
    return Section(TITLE, rows, notes)


def _lost(taken: list[Taken]) -> Samples:
    return Samples(tuple(float(max(one.sent - one.received, one.dropped)) for one in taken))


def _prebuilt(what: str, capture: Path, live: Row, rounds: int) -> Row:
    """Blocks as a capture hands them over, recorded in a process that does nothing else."""
    taken = Samples(tuple(prebuilt(capture) for _ in range(rounds)))
    return live._replace(what=f"{what}: `Recording` of prebuilt blocks", ours=taken, goal=None)


class _Contest:
    """Who captures at the server's end."""

    def __init__(self, network: Network, home: Path) -> None:
        self._network = network
        self._home = home
        self._store = home / "store"

    def dumpcap(self, network: Network, capture: Path, rate: float) -> Taken:
        process = self._start_dumpcap()
        sent_rate, sent = send_to_listener(network, capture, rate)
        used = _dumpcap(process)
        return Taken(sent_rate, sent, used.packets, used.dropped, cpu=used.cpu)

    def held(self, capture: Path, rate: float) -> Taken:
        """`pysniff --store -q` alone: as Taken, where what the store did not write counts as dropped."""
        process = self._start_ours()
        sent_rate, sent = send_to_listener(self._network, capture, rate)
        used = _ours(process)
        return Taken(sent_rate, sent, used.packets, used.dropped, cpu=used.cpu)

    def cost(self, what: str, capture: Path, rate: float, rounds: int) -> tuple[list[Row], str]:
        """Both at once, CPU a packet that each of them took; what they take without packets is left out.

        The store is full of such traffic before, so that every packet drives out another one.
        """
        self._store = self._home / what.replace("/", "")
        self._both(capture, rate)
        self._both(None, 0)  # reads what is left to be read
        idle = self._both(None, 0)
        each = [self._both(capture, rate) for _ in range(rounds)]

        def used(who: int, cpu: Callable[[Used], float]) -> Samples:
            return Samples(tuple(1e6 * (cpu(both[who]) - cpu(idle[who])) / both[who].packets for both in each))

        compared = partial(Row, peer_name="dumpcap -w", peer=used(1, _whole), unit="us a packet", ratio=Ratio.AT_MOST)
        rows = [
            compared(f"{what}: `--store -q`", used(0, _whole), goal=COST),
            compared(f"{what}: without the keeper of HTTP/2 tables", used(0, _alone), goal=COST),
        ]
        lost = [sum(both[who].dropped for both in each) for who in (0, 1)]
        note = f"{what}: {each[0][0].packets:,} packets at {rate:,.0f} packets/s, both capturing at once; lost in "
        note += f"{len(each)} rounds: {lost[0]:,} by PySniff, {lost[1]:,} by dumpcap. Start and end, which the figures "
        note += f"leave out, take {idle[0].cpu:.2f} and {idle[1].cpu:.2f} s of CPU."
        return rows, note

    @contextmanager
    def queries(self) -> Iterator[list[int]]:
        """`pysniff query` of everything again and again in some processes at once; entries of those that ended."""
        over, answered = Event(), list[int]()
        threads = [Thread(target=_ask, args=(self._store, over, answered)) for _ in range(QUERIES)]
        for thread in threads:
            thread.start()
        try:
            yield answered
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _both(self, capture: Path | None, rate: float) -> tuple[Used, Used]:
        ours, theirs = self._start_ours(), self._start_dumpcap()
        listening(self._network, End.SERVER, 2)
        if capture is not None:
            send_to_listener(self._network, capture, rate)
        time.sleep(SETTLED)
        return _ours(ours), _dumpcap(theirs)

    def _start_dumpcap(self) -> subprocess.Popen[bytes]:
        file = str(self._home / "dumpcap.pcapng")
        command = ("dumpcap", "-q", f"-B{BUFFER_MIB}", "-i", End.SERVER.interface, "-f", BPF, "-w", file)
        return self._network.start(End.SERVER, *command)

    def _start_ours(self) -> subprocess.Popen[bytes]:
        options = ("-i", End.SERVER.interface, "-f", BPF, "--store", str(self._store), "-q", "-v")
        return self._network.start(End.SERVER, sys.executable, "-m", "pysniff", *options, cwd=tree())


def _ask(store: Path, over: Event, answered: list[int]) -> None:
    command = [sys.executable, "-m", "pysniff", "query", str(store), "--json"]
    while not over.is_set():
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tree()) as process:
            assert process.stdout
            lines = 0
            for _ in process.stdout:
                lines += 1
                if over.is_set():
                    process.terminate()
                    break
        if not over.is_set():
            answered.append(lines)


def _whole(used: Used) -> float:
    return used.cpu


def _alone(used: Used) -> float:
    return used.alone


def _ours(process: subprocess.Popen[bytes]) -> Used:
    cpu, alone, said = _ended(process)
    written = int(number(r"store +([\d,]+) of", said, absent=0))
    lost = sum(int(number(rf"([\d,]+) packets {what}", said, absent=0)) for what in LOST)
    cut = int(number(r"([\d,]+) left out", said, absent=0))
    missed = int(number(r"([\d,]+) segments? dropped before its HTTP/2", said, absent=0))
    return Used(cpu, alone, written + cut, lost, missed)


def _dumpcap(process: subprocess.Popen[bytes]) -> Used:
    cpu, alone, said = _ended(process)
    found = re.search(r"received/dropped on interface .*: (\d+)/(\d+) ", said)
    if not found:
        raise RuntimeError(f"dumpcap gave no account: {said[-300:]}")
    return Used(cpu, alone, int(found[1]), int(found[2]))


def _ended(process: subprocess.Popen[bytes]) -> tuple[float, float, str]:
    """CPU seconds of a capture that is asked to end, with its children; its own until then; what it wrote to stderr."""
    assert process.stderr
    alone = _own(process.pid)
    watchdog = Timer(PATIENCE, process.kill)
    process.send_signal(signal.SIGINT)
    watchdog.start()
    try:
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
    finally:
        watchdog.cancel()
        process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, alone, said


def _own(pid: int) -> float:
    """CPU seconds of a process so far, without its children: of all its threads, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prebuilt(capture: Path) -> float:
    """Microseconds of CPU a packet, in a process of its own."""
    return float(child([sys.executable, "-m", "benchmarks.store_capture", str(capture)], keep=True).output)


def blocks(capture: Path, packets: int) -> list[Block]:
    """The first packets as libpcap would hand them over."""
    data = capture.read_bytes()
    found = []
    records = islice(captures.records(data), packets)
    while chosen := list(islice(records, BLOCK)):
        meta, at = [], 0
        for begin, end in chosen:
            seconds, micros = struct.unpack_from("<II", data, begin)
            meta.append(struct.pack("=IIII", seconds, micros, at, end - begin - 16))
            at += end - begin - 16
        text = b"".join(data[begin + 16 : end] for begin, end in chosen)
        found.append(Block.captured_live(text, b"".join(meta), 1, "va"))
    return found


def main(capture: str) -> None:
    given = blocks(Path(capture), PREBUILT)
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home:
        warm = Recording(Path(home) / "warm")
        warm.add(given[0])
        warm.close()
        recording = Recording(Path(home) / "store")
        start = time.process_time()
        for block in given:
            recording.add(block)
        recording.close()
        used = time.process_time() - start
    print(1e6 * used / sum(len(block) for block in given))


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        print(run(rounds=3).markdown())
