"""The planner never prunes a match: what a filter gives over a store is what it gives over every entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import frames
import pytest
from packets import ethernet, ethernet_udp, tcp
from store_traffic import NOON, some
from stores import Record, asked, blocks_of, dicts, different, fed, question, recorded
from test_store_eviction import blocks
from transcripts import dns
from truth.corpus import captures

from pysniff.entry import Entry
from pysniff.errors import FilterError
from pysniff.kfl.variables import compile
from pysniff.limits import SECOND
from pysniff.packet import Packet
from pysniff.store.query import Query

FLAGS = ("http", "http2", "grpc", "ws", "dns", "redis", "tcp", "udp")


class Filters:
    """Writes filters about what entries have, from conditions that an index answers and some that it cannot."""

    def __init__(self, entries: Sequence[Entry], random: Random) -> None:
        self.entries = entries
        self.random = random

    def text(self, depth: int) -> str:
        pick = self.random.random()
        if depth <= 0 or pick < 0.25:
            return self.condition()
        one, other = self.text(depth - 1), self.text(depth - 1)
        if pick < 0.45:
            return f"({one} && {other})"
        if pick < 0.65:
            return f"({one} || {other})"
        if pick < 0.8:
            return f"!({one})"
        if pick < 0.9:
            return f"({self.text(depth - 1)} ? {one} : {other})"
        return f"(({one}) {self.random.choice(('==', '!='))} ({other}))"

    def condition(self) -> str:
        entry, other = self.random.choice(self.entries), self.random.choice(self.entries)
        compare = self.random.choice(("==", "!=", "<", "<=", ">", ">="))
        same = self.random.choice(("==", "!="))
        return self.random.choice(
            (
                self.random.choice(FLAGS),
                self.random.choice(FLAGS),
                f'protocol {same} "{entry.protocol}"',
                f'protocol in ["{entry.protocol}", "redis"]',
                f'src.ip {same} "{entry.src.ip}"',
                f'dst.ip {same} "{entry.dst.ip}"',
                f'dst.ip.startsWith("{entry.dst.ip[:4]}")',
                f'"{entry.src.ip}" in [src.ip, dst.ip]',
                f"src.port {compare} {entry.src.port}",
                f"dst.port {compare} {entry.dst.port}",
                f"dst.port in [{entry.dst.port}, {other.dst.port}]",
                f"src.port + 1 {compare} dst.port * {self.random.randrange(1, 800)}",
                f"dst.port / (src.port - {entry.src.port}) {compare} 1",  # fails on some
                f"timestamp {compare} {moment(entry.time_ns)}",
                f"timestamp {compare} {moment(entry.time_ns + self.random.choice((-1, 1, SECOND)))}",
                f"timestamp + duration('1s') {compare} {moment(entry.time_ns)}",
                f'summary {same} "x"',
                "elapsed_time > 1000",
                "status_code >= 400",
                f'stream == "{entry.stream}"',
                f'request.headers["host"] {same} "shop"',  # fails where there is none
                "complete",
                "true",
                "false",
            )
        )


def moment(time_ns: int) -> str:
    return f'timestamp("{datetime.fromtimestamp(time_ns // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns % SECOND:09d}Z")'


def odd() -> list[Packet]:
    """What the index cannot put in a row, or only by looking inside: fragments, tunnels, the server speaking first."""
    get = tcp(
        "10.0.0.7", "10.0.0.9", 51_000, 80, b"GET /cut HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n", seq=1, flags=24
    )
    pieces = [
        frames.ethernet(frames.ipv4(get[20:][at : at + 160], 6, offset=at, more=at + 160 < len(get) - 20, ident=7))
        for at in range(0, len(get) - 20, 160)
    ]
    inside = tcp("10.1.0.1", "10.1.0.2", 51_001, 80, b"GET /gre HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)
    reply = tcp("10.1.0.4", "10.1.0.3", 80, 51_005, b"HTTP/1.1 204 No Content\r\n\r\n", seq=1, flags=24)
    late = tcp("10.1.0.3", "10.1.0.4", 51_005, 80, b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)
    six = tcp("fd00::1", "fd00::2", 51_002, 80, b"GET /six HTTP/1.1\r\nHost: a\r\n\r\n", seq=1, flags=24)
    every = [
        *pieces,
        ethernet(frames.ipv4(frames.gre(inside), 47)),
        ethernet(reply),
        ethernet(late),
        ethernet(six),
        ethernet_udp("10.0.0.9", "10.0.0.7", 53, 40_000, dns(7, b"a.test", flags=0x8180)),
        ethernet_udp("10.0.0.7", "10.0.0.9", 40_000, 53, dns(7, b"a.test")),
    ]
    return [Packet(data, NOON + number * SECOND // 3, len(data)) for number, data in enumerate(every)]


def judged(text: str, entries: Sequence[Entry], directory: Path) -> bool:
    """Whether a filter compiles; if so, its query is held against every entry."""
    try:
        filter = compile(text)
    except FilterError:
        return False
    want = latest(entry for entry in entries if filter.matches(entry))
    assert different(want, latest(asked(directory, text))) == "", text
    return True


def latest(entries: Iterable[Entry]) -> list[Record]:
    """The last revision of each: whether an open call was seen open before depends on what came after it."""
    found = {entry.id: entry for entry in entries}
    return sorted(dicts(found.values()), key=str)


@pytest.mark.parametrize("seed", range(6))
def test_no_filter_loses_a_match(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    packets = sorted(
        [*some(seed, 500), *some(seed + 50, 300, start=NOON + SECOND), *odd()], key=lambda one: one.time_ns
    )
    recorded(tmp_path / "store", blocks(packets))
    entries = fed(packets)
    assert {"http", "redis", "ws", "dns", "tcp"} <= {entry.protocol for entry in entries}
    filters = Filters(entries, random)
    judged_ = [judged(filters.text(random.randrange(4)), entries, tmp_path / "store") for _ in range(60)]
    assert sum(judged_) > 40


CAPTURES = [one for one in captures() if 20_000 < one.file.stat().st_size < 200_000]


@pytest.mark.skipif(not CAPTURES, reason="needs the corpus: set PYSNIFF_CORPUS")
@pytest.mark.parametrize("seed", range(6))
def test_no_filter_loses_a_match_in_captures_of_others(seed: int, tmp_path: Path) -> None:
    """Several in one store, one behind the other."""
    random = Random(seed)
    packets = [block for one in random.sample(CAPTURES, 4) for block in blocks_of(one.file)]
    recorded(tmp_path / "store", packets)
    entries = fed(packets)
    filters = Filters(entries, random)
    judged_ = [judged(filters.text(random.randrange(4)), entries, tmp_path / "store") for _ in range(40)]
    assert sum(judged_) > 30


def test_pruning_prunes(tmp_path: Path) -> None:
    """Or none of the above would say anything."""
    packets = some(1, 900)
    recorded(tmp_path / "store", blocks(packets))
    stream = next(entry.stream for entry in fed(packets) if entry.protocol == "redis")
    for text, share in (("redis", 0.9), (f'stream == "{stream}"', 1.0), ("dst.port == 53", 0.3), ("false", 0.0)):
        with Query(tmp_path / "store", question(text)) as query:
            assert bool(list(query)) == (text != "false")
            assert query.packets_read + query.packets_pruned == len(packets) or text == "false"
            assert query.packets_read <= share * len(packets), text
