"""Going on after an interruption: what completed since then, how far a query has come, and when history is told."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from packets import ethernet_udp
from store_traffic import LONG, NOON, http, redis, some
from stores import asked, dicts, different, fed, question, recorded
from test_store_follow import Acting, Background, Writer, following, key
from transcripts import dns
from wire import Wire

from pysniff.entry import Entry
from pysniff.kfl.variables import compile
from pysniff.limits import SECOND
from pysniff.packet import Block, Packet
from pysniff.store import Store
from pysniff.store.query import Query
from pysniff.store.question import Step
from pysniff.store.recording import Recording


@pytest.mark.parametrize("text", ["", "http", "ws", "dst.port == 6379"])
@pytest.mark.parametrize("seed", range(3))
def test_since_gives_what_completed_then_or_later_and_nothing_else(seed: int, text: str, tmp_path: Path) -> None:
    packets = some(seed, 900)
    recorded(tmp_path / "store", packets)
    every = [entry for entry in fed(packets) if compile(text).matches(entry)]
    since = Random(seed).choice(every).completed_ns
    want = [entry for entry in every if entry.completed_ns >= since]
    assert 0 < len(want) < len(every)
    assert different(dicts(want), dicts(asked(tmp_path / "store", text, since=since))) == ""
    assert different(dicts(want), dicts(Store(tmp_path / "store").query(text, since=since))) == ""


def test_since_with_times_asks_for_both(tmp_path: Path) -> None:
    """A call may begin within a window and complete behind it."""
    packets = some(4, 900, kinds=LONG)
    recorded(tmp_path / "store", packets)
    every = fed(packets)
    ends = sorted(entry.time_ns for entry in every)
    start, end = ends[len(ends) // 4], ends[len(ends) // 2]
    for since in (start, end, end + SECOND // 100):
        want = [entry for entry in every if start <= entry.time_ns <= end and entry.completed_ns >= since]
        assert different(dicts(want), dicts(asked(tmp_path / "store", start=start, end=end, since=since))) == ""


def test_since_and_newest_first(tmp_path: Path) -> None:
    packets = some(5, 900)
    recorded(tmp_path / "store", packets)
    every = fed(packets)
    since = every[len(every) // 2].completed_ns
    found = asked(tmp_path / "store", since=since, newest_first=True)
    assert {entry.id for entry in found} == {entry.id for entry in every if entry.completed_ns >= since}


def test_conversations_that_were_silent_since_are_not_read(tmp_path: Path) -> None:
    early, late = Wire(sport=1), Wire(sport=2)
    early.now, late.now = NOON, NOON + 100 * SECOND
    packets = [packet for wire in (early, late) for turn in http(wire, Random(1), 20) for packet in turn]
    recorded(tmp_path / "store", packets)
    with Query(tmp_path / "store", question(since=late.now - SECOND // 2)) as query:
        assert {entry.src.port for entry in query} == {2}
        assert query.packets_pruned >= len(packets) // 3


@pytest.mark.parametrize("seed", range(3))
def test_a_follower_goes_on_where_another_was_interrupted(seed: int, tmp_path: Path) -> None:
    """What the first one was told and what the second one finds since then is everything, for any moment between."""
    packets = some(seed, 900)
    writer = Writer(tmp_path / "store", packets, Random(seed))
    for _ in range(6):
        writer.write()
    with Query(tmp_path / "store", question("http || redis", follow=True)) as query:
        told: list[Entry] = []
        for step in query.steps():
            told += step.entries
            if step.caught_up:
                break
    found = following(Query(tmp_path / "store", question("http || redis", follow=True, since=step.until)), writer)
    want = {key(one) for one in dicts(entry for entry in fed(packets) if entry.protocol in ("http", "redis"))}
    got = {key(one) for one in dicts([*told, *found])}
    assert want == got


def steps(query: Query, writer: Writer) -> list[Step]:
    query._stopped = Acting(query, writer.steps())
    return list(query.steps())


def test_history_is_told_before_anything_new_comes(tmp_path: Path) -> None:
    packets = some(7, 900)
    writer = Writer(tmp_path / "store", packets, Random(7))
    for _ in range(5):
        writer.write()
    known = {key(one) for one in dicts(fed(packets[: writer.at]))}
    found = steps(Query(tmp_path / "store", question(follow=True)), writer)
    assert [step.caught_up for step in found] == sorted(step.caught_up for step in found)
    before = dicts(entry for step in found if not step.caught_up for entry in step.entries)
    assert before and {key(one) for one in before} <= known
    after = next(step for step in found if step.caught_up)
    assert not after.entries  # that is told at once, not with the next call
    assert not any(step.caught_up for step in Query(tmp_path / "store", question()).steps())


@pytest.mark.parametrize("text", ["", "http", "redis || ws"])
def test_nothing_that_completes_before_until_comes_later(text: str, tmp_path: Path) -> None:
    """Calls that are answered; what is given up, without an answer, is told when it is."""
    packets = some(8, 900, kinds=LONG)
    writer = Writer(tmp_path / "store", packets, Random(8))
    for _ in range(5):
        writer.write()
    until = 0
    for step in steps(Query(tmp_path / "store", question(text, follow=True)), writer):
        answered = [one for one in step.entries if one.response is not None and one.request is not None]
        assert all(one.completed_ns >= until for one in answered)
        assert step.until >= until
        until = step.until
    assert packets[-1].time_ns - SECOND < until <= packets[-1].time_ns


def test_until_moves_on_where_nothing_matches(tmp_path: Path) -> None:
    packets = some(9, 900, kinds=((redis, 6379),))
    recorded(tmp_path / "store", packets)
    *_, last = Query(tmp_path / "store", question("http")).steps()
    assert not last.entries and packets[-1].time_ns - SECOND < last.until


def test_nothing_later_than_until_comes_where_the_newest_comes_first(tmp_path: Path) -> None:
    recorded(tmp_path / "store", some(9, 900))
    told = 1 << 62
    found = list(Query(tmp_path / "store", question(newest_first=True)).steps())
    assert len(found) > 2
    for step in found:
        assert all(entry.time_ns < told for entry in step.entries)
        assert step.until < told
        told = step.until
    assert told == 0 and sum(len(step.entries) for step in found) == len(fed(some(9, 900)))


def test_time_passes_in_a_store_that_is_recorded_live_where_nothing_comes(tmp_path: Path) -> None:
    """Nobody answers a question: 10 s later, on the clock, it is told, though no packet comes."""
    lookup = ethernet_udp("10.0.0.1", "10.0.0.2", 2000, 53, dns(1, b"\x04host\x04test\0"))
    recording = Recording(tmp_path / "store", 10_000_000, capture_source="libpcap")
    recording.add(Block.of(Packet(lookup, NOON, len(lookup))))
    recording.flush()
    reader = Background(Query(tmp_path / "store", question(follow=True)))
    states: list[str] = []
    while states[-1:] != ["closed"]:
        entry = reader.next()
        assert entry is not None and (entry.protocol, entry.response) == ("dns", None)
        states.append(entry.state)
    reader.query.finish()
    assert reader.next() is None
    recording.close()
