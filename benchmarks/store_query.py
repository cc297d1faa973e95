"""Queries of a store of an hour against the full scan of it: what is pruned must not be paid for.

Each query runs in a process of its own that has asked a small store the same before, so that imports are apart.
`python -m benchmarks.store_query DIRECTORY WARM QUESTION` is one measurement; the question is JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import captures, store_traffic
from benchmarks.grpc_traffic import PORT as GRPC_PORT
from benchmarks.measure import Samples, child, interleave, into_cache
from benchmarks.report import Ratio, Row, Section, skipped
from benchmarks.store_traffic import BEGIN, MINUTE
from benchmarks.traffic import H2C_PORT, PORT, REDIS_PORT
from pysniff.capture.files import open_capture
from pysniff.packet import Block
from pysniff.store import Store
from pysniff.store.directory import segments

TITLE = "Queries of a store"
SECONDS = 100.0
LIMIT = 200_000_000
SCAN = "status_code >= 0"  # the index knows nothing of it
TSHARK_SCAN = "http.response.code >= 0 || http2.headers.status >= 0"
# Of the scan: what a query costs besides its share, and one port in one minute.
OVERHEAD, SHARE_TIMES, PORT_AND_MINUTE = 0.01, 1.5, 0.1
AT_MINUTE = 30
_BLOCK = 32  # bytes around a packet in a segment

Pair = tuple[bytes, bytes]  # both ends of a connection, address and port


class Question(NamedTuple):
    """A filter and times (nanoseconds), and after how many entries to leave."""

    filter: str
    start: int | None = None
    end: int | None = None
    limit: int | None = None
    newest_first: bool = False


class Answer(NamedTuple):
    """CPU seconds, entries, packets dissected and bytes read (of files, all of them) until the end."""

    cpu: float
    entries: int
    packets: int
    read: int


class Contest(NamedTuple):
    """A question, and the part of the scan's CPU that it may take; None: it only informs. `share`: of the bytes."""

    what: str
    question: Question
    allowed: float | None = None
    share: float | None = None


def run(rounds: int) -> Section:
    if reason := store_traffic.unavailable():
        return skipped(TITLE, reason)
    with tempfile.TemporaryDirectory(prefix="pysniff-bench-") as home:
        whole, warm = Path(home) / "whole", Path(home) / "warm"
        _record(store_traffic.hour(), whole)
        _record(captures.first("http1", 1000), warm)
        files = segments(whole)
        into_cache(*[path for one in files for path in (one.packets, one.index)])
        contests = _contests(_stored(whole))
        contestants: dict[str, Callable[[], float]] = {"scan": lambda: ask(whole, warm, Question(SCAN)).cpu}
        contestants |= {one.what: partial(_cpu, whole, warm, one.question) for one in contests}
        middle = files[len(files) // 2]
        if shutil.which("tshark"):
            contestants |= {"tshark": lambda: tshark(middle.packets, TSHARK_SCAN)}
        taken = interleave(contestants, rounds, SECONDS)
        scan = ask(whole, warm, Question(SCAN))
        rows = [_row(one, taken, scan) for one in contests]
        rows.append(_first_result(whole, warm, rounds))
        if "tshark" in taken:
            rows += _against_tshark(contests[0], taken, scan, _packets(middle.packets))
        return Section(TITLE, rows, _notes(whole, scan, taken["scan"], contests, warm))


def _cpu(whole: Path, warm: Path, question: Question) -> float:
    return ask(whole, warm, question).cpu


def _contests(stored: Counter[Pair]) -> list[Contest]:
    """One connection of each kind, the one in the middle by size; ports and minutes; a pair of addresses."""
    total = sum(stored.values())
    found = []
    for what, port in (("HTTP/1", PORT), ("HTTP/2", H2C_PORT), ("Redis", REDIS_PORT)):
        pair = _middling(stored, port)
        found.append(_by_share(f"one {what} connection", _four(pair), stored[pair] / total))
    lasting = max((pair for pair in stored if _port(pair) == REDIS_PORT), key=lambda pair: stored[pair])
    found.append(_by_share("the largest Redis connection", _four(lasting), stored[lasting] / total))
    client, server = _middling(stored, PORT)
    between = sum(size for (one, other), size in stored.items() if one[:4] == client[:4] and other[:4] == server[:4])
    addresses = f'src.ip == "{_dotted(client)}" && dst.ip == "{_dotted(server)}"'
    found.append(_by_share("one pair of addresses", Question(addresses), between / total))
    start = (BEGIN + AT_MINUTE * MINUTE) * 1000
    end = start + MINUTE * 1000 - 1
    for what, port in (("HTTP/1", PORT), ("HTTP/2", H2C_PORT), ("Redis", REDIS_PORT)):
        question = Question(f"dst.port == {port}", start, end)
        found.append(Contest(f"the {what} port in one minute", question, PORT_AND_MINUTE))
    found.append(Contest("everything in one minute", Question("", start, end)))
    found.append(Contest("the last 20 calls", Question("", limit=20, newest_first=True)))
    return found


def _by_share(what: str, question: Question, share: float) -> Contest:
    return Contest(what, question, SHARE_TIMES * share + OVERHEAD, share)


def _row(contest: Contest, taken: dict[str, Samples], scan: Answer) -> Row:
    if contest.allowed is None:
        name, factor = "the full scan", 1.0
    elif contest.share is None:
        name, factor = f"{contest.allowed:.0%} of the full scan", contest.allowed
    else:
        name = (
            f"{contest.allowed:.2%} of the full scan: {SHARE_TIMES:g} times its {contest.share:.2%} and {OVERHEAD:.0%}"
        )
        factor = contest.allowed
    ours, peer = taken[contest.what].times(1e3), taken["scan"].times(1e3 * factor)
    return Row(contest.what, ours, name, peer, "ms", Ratio.AT_MOST, 1.0 if contest.allowed else None)


def _first_result(whole: Path, warm: Path, rounds: int) -> Row:
    """What is read of files until the first entry of a query that nothing prunes."""
    read = [ask(whole, warm, Question(SCAN, limit=1)).read / 1e6 for _ in range(rounds)]
    largest = max(one.packets.stat().st_size for one in segments(whole)) / 1e6
    what, peer = "bytes read until the first entry of the scan", Samples((largest,))
    return Row(what, Samples(tuple(read)), "the largest segment", peer, "MB", Ratio.AT_MOST, 1.0)


def _against_tshark(one: Contest, taken: dict[str, Samples], scan: Answer, sliced: int) -> list[Row]:
    """tshark reads everything whatever it is asked: its figure for a segment, for as many packets as there are."""
    peer = taken["tshark"].micro_per(sliced)
    name = f"tshark -Y on {sliced:,} packets, scaled"
    every = Row("the full scan", taken["scan"].micro_per(scan.packets), name, peer, "us a packet", Ratio.TIMES_LESS)
    ours, scaled = taken[one.what].times(1e3), peer.times(scan.packets / 1e3)
    return [every, Row(one.what, ours, name, scaled, "ms", Ratio.TIMES_LESS)]


def _notes(whole: Path, scan: Answer, scanning: Samples, contests: list[Contest], warm: Path) -> list[str]:
    size = sum(path.stat().st_size for path in whole.iterdir()) / 1e6
    mixed = ", ".join(f"{scene.capture} {scene.packets:,}" for scene in store_traffic.SCENES)
    notes = [
        f"The store: {scan.packets:,} packets, {size:.0f} MB in {len(segments(whole))} segments, "
        f"{scan.entries:,} entries, from an hour of mixed traffic ({mixed} packets) whose connections "
        "benchmarks/store_traffic.py spread over the hour; of bulk only the first 64 KiB a half are stored.",
        f"The full scan is `{SCAN}`: {scanning.least:.2f} / {scanning.median:.2f} s CPU.",
    ]
    for one in contests:
        found = ask(whole, warm, one.question)
        of = f"{found.entries:,} entries out of {found.packets:,} packets, {found.read / 1e6:.1f} MB read."
        notes.append(f"{one.what}: {of}")
    return notes


# The store


def _record(capture: Path, directory: Path) -> None:
    with Store(directory, LIMIT).record(wait=True) as recorder, open_capture(capture) as source:
        for block in source:
            if isinstance(block, Block):
                recorder.write(block)
    if recorder.counts.evicted:
        raise RuntimeError(f"{capture.name} does not fit into {LIMIT:,} bytes")


def _stored(directory: Path) -> Counter[Pair]:
    """Bytes of each connection in the segments, whatever their indexes say; the client is first."""
    found: Counter[Pair] = Counter()
    for one in segments(directory):
        for data, start, end in _stored_packets(one.packets):
            source, target = data[start + 26 : start + 30], data[start + 30 : start + 34]
            ends = source + data[start + 34 : start + 36], target + data[start + 36 : start + 38]
            back = source not in store_traffic.CLIENTS
            found[ends[::-1] if back else ends] += _BLOCK + end - start
    return found


def _stored_packets(segment: Path) -> list[tuple[bytes, int, int]]:
    with open_capture(segment) as source:
        return [
            (block.data, start, end)
            for block in source
            if isinstance(block, Block)
            for _, start, end, _ in block.records
        ]


def _packets(segment: Path) -> int:
    return len(_stored_packets(segment))


def _port(pair: Pair) -> int:
    return int.from_bytes(pair[1][4:], "big")


def _middling(stored: Counter[Pair], port: int) -> Pair:
    """The connection of a port in the middle by size."""
    sizes = sorted((size, pair) for pair, size in stored.items() if _port(pair) == port)
    return sizes[len(sizes) // 2][1]


def _four(pair: Pair) -> Question:
    ends = [
        f'{name}.ip == "{_dotted(end)}" && {name}.port == {int.from_bytes(end[4:], "big")}'
        for name, end in zip(("src", "dst"), pair, strict=True)
    ]
    return Question(" && ".join(ends))


def _dotted(end: bytes) -> str:
    return ".".join(map(str, end[:4]))


# The contestants


def ask(directory: Path, warm: Path, question: Question) -> Answer:
    command = [sys.executable, "-m", "benchmarks.store_query", str(directory), str(warm), json.dumps(question)]
    return Answer(*json.loads(child(command, keep=True).output))


def tshark(segment: Path, filter: str) -> float:
    ports = [word for port in (H2C_PORT, GRPC_PORT) for word in ("-d", f"tcp.port=={port},http2")]
    return child(["tshark", "-r", str(segment), *ports, "-Y", filter]).cpu


def answer(directory: str, question: Question) -> Answer:
    """Take the entries and leave them."""
    read, start = _read(), time.process_time()
    entries = 0
    store = Store(directory)
    text, start_ns, end_ns, limit, newest_first = question
    with store.query(text, start=start_ns, end=end_ns, limit=limit, newest_first=newest_first) as query:
        for _ in query:
            entries += 1
        packets = query.packets_read
    return Answer(time.process_time() - start, entries, packets, _read() - read)


def _read() -> int:
    """Bytes that this process has read so far, from the page cache or not."""
    with open("/proc/self/io") as counters:
        return int(counters.readline().split()[1])


def main(directory: str, warm: str, question: str) -> None:
    asked = Question(*json.loads(question))
    answer(warm, asked)
    json.dump(answer(directory, asked), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        print(run(rounds=3).markdown())
