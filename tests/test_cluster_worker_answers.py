"""What a worker answers out of its store, in processes of their own that may die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_traffic import LONG, some
from stores import recorded
from test_store_follow import Writer
from worker_talk import PATIENCE, Talk, entries_of, told

from pysniff.cluster.chunked import unpack
from pysniff.cluster.frames import Answer, Batch, CaughtUp, Chunk, End, Error, Notice, Value, pieces
from pysniff.cluster.summary import fingerprint, summary
from pysniff.cluster.worker import packets
from pysniff.cluster.worker.params import Params
from pysniff.cluster.worker.questions import question
from pysniff.errors import FilterError, OptionError
from pysniff.export.one import exported
from pysniff.limits import MIB, SECOND
from pysniff.packet import Packet
from pysniff.store import Store

PACKETS = 900
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "store"
    recorded(path, some(1, PACKETS))
    return path


def packets_of(frames: list[Answer]) -> Iterator[Packet]:
    names = {0: ""}
    for frame in frames:
        if isinstance(frame, Value) and "interfaces" in frame.value:
            names.update(frame.value["interfaces"])  # type: ignore[call-overload]
        if isinstance(frame, Chunk):
            for time, piece in zip(frame.times, pieces(frame), strict=True):
                found = unpack(piece)
                assert found is not None
                yield Packet(found.data, time, found.wire_length, found.linktype, names[found.interface])


def comments_of(frames: list[Answer]) -> list[str]:
    every = [unpack(piece) for frame in frames if isinstance(frame, Chunk) for piece in pieces(frame)]
    return [one.comment.decode() for one in every if one is not None and one.comment]


@pytest.mark.parametrize("text", ["", "http", "redis || ws", "status_code == 404", "dst.port == 53", "tcp"])
def test_batches_hold_what_a_query_of_the_store_finds(text: str, store: Path) -> None:
    async def talk() -> list[Answer]:
        async with Talk(store) as worker:
            return await worker.ask("query", filter=text)

    frames = asyncio.run(talk())
    want = entries_of(store, text)
    assert want and told(frames) == [summary(entry) for entry in want]
    batches = [frame for frame in frames if isinstance(frame, Batch)]
    assert [time for batch in batches for time in batch.times] == [entry.completed_ns for entry in want]
    assert [mark for batch in batches for mark in batch.fingerprints] == [fingerprint(entry) for entry in want]
    assert isinstance(frames[-1], End)
    assert frames[-1].figures["packets_read"]


def test_a_query_takes_every_parameter(store: Path) -> None:
    every = entries_of(store)
    times = sorted(entry.time_ns for entry in every)
    start, end, since = times[10], times[-10], every[len(every) // 2].completed_ns

    async def talk() -> list[list[Answer]]:
        async with Talk(store) as worker:
            return [
                await worker.ask("query", start=start, end=end, since=since, limit=20),
                await worker.ask("query", newest_first=True, limit=20),
                await worker.ask("query", filter="redis", decode_as={"tcp.port==80": "redis"}, follow=None),
            ]

    bounded, newest, forced = asyncio.run(talk())
    assert told(bounded) == [summary(one) for one in entries_of(store, start=start, end=end, since=since, limit=20)]
    assert told(newest) == [summary(one) for one in entries_of(store, newest_first=True, limit=20)]
    assert [time for frame in newest if isinstance(frame, Batch) for time in frame.times] == times[:-21:-1]
    want = [summary(one) for one in entries_of(store, "redis", decode_as={("tcp", 80): "redis"})]
    assert told(forced) == want


def test_an_entry_in_full_its_packets_and_what_to_send_again(store: Path) -> None:
    entry = max(entries_of(store, "http && status_code == 404"), key=lambda entry: entry.response.body.size)

    async def talk() -> list[list[Answer]]:
        async with Talk(store) as worker:
            return [
                await worker.ask("entry", id=entry.id),
                await worker.ask("entry", id=entry.id, body_limit=10),
                await worker.ask("packets", id=entry.id),
                await worker.ask("packets", stream=entry.stream),
                await worker.ask("replay", id=entry.id),
                await worker.ask("replay", stream=entry.id),
                await worker.ask("entry", id=entry.id, **{"as": "curl"}),
            ]

    whole, short, carrying, stream, replay, conversation, curl = asyncio.run(talk())
    assert isinstance(whole[0], Value) and whole[0].value == entry.to_dict()
    assert isinstance(short[0], Value) and short[0].value == entry.to_dict(10)
    assert isinstance(curl[0], Value) and curl[0].value == {"bytes": exported(entry, "curl", MIB)}
    assert list(packets_of(carrying)) == Store(store).packets(entry.id)
    assert list(packets_of(stream)) == list(Store(store).stream(entry.id))
    assert len(replay) >= 2 and len(conversation) >= len(replay)
    assert all(isinstance(frames[-1], End) for frames in (whole, short, carrying, stream, replay, conversation))


def test_packets_of_a_time_window_and_of_a_filter(store: Path) -> None:
    every = some(1, PACKETS)
    start, end = every[100].time_ns, every[-100].time_ns
    calls = entries_of(store, "dns")

    async def talk() -> list[list[Answer]]:
        async with Talk(store) as worker:
            return [
                await worker.ask("packets"),
                await worker.ask("packets", start=start, end=end),
                await worker.ask("packets", filter="dns"),
            ]

    whole, window, filtered = asyncio.run(talk())
    assert list(packets_of(whole)) == every
    assert list(packets_of(window)) == [one for one in every if start <= one.time_ns <= end]
    want = {packet for entry in calls for packet in Store(store).packets(entry.id)}
    assert [line.split()[0] for text in comments_of(filtered) for line in text.splitlines()] == [
        one.id for one in sorted(calls, key=lambda entry: entry.time_ns)
    ]
    assert not comments_of(whole)
    found = list(packets_of(filtered))
    assert len(found) == len(set(found)) and set(found) == want
    assert [one.time_ns for one in found] == sorted(one.time_ns for one in found)


def test_the_service_map_of_a_worker_is_that_of_its_entries(store: Path) -> None:
    from pysniff.services import ServiceMap
    from pysniff.services.merging import Merger

    async def talk() -> list[Answer]:
        async with Talk(store) as worker:
            return await worker.ask("services", filter="http || dns")

    merger = Merger()
    for frame in asyncio.run(talk()):
        if isinstance(frame, Value):
            merger.add("local", frame.value)
    want = ServiceMap.of(entries_of(store, "http || dns")).to_dict()
    assert merger.result().to_dict()["calls"] == want["calls"]
    assert merger.result().to_dict()["edges"] == want["edges"]


def test_what_cannot_be_answered_is_an_error_that_says_why(store: Path) -> None:
    questions: list[tuple[str, dict[str, object], str, str]] = [
        ("query", {"filter": "htttp"}, "filter", "unknown variable"),
        ("query", {"nodes": []}, "option", "no such parameter"),
        ("entry", {"id": "local.0123456789abcdef.00000000"}, "notfound", "no such entry"),
        ("entry", {"id": "../../etc/passwd"}, "notfound", "no id"),
        ("entry", {"id": "a", "as": "x" * 33}, "option", "as: not text"),
        ("packets", {"stream": "0123456789abcdef"}, "notfound", "no such connection"),
        ("packets", {"id": "a", "filter": "http"}, "option", "exclude each other"),
        ("replay", {}, "option", "an id or a stream"),
        ("status", {"x": 1}, "option", "no such parameter"),
        ("configure", {}, "option", "config"),
        ("bpf", {}, "unsupported", "no such question"),
        ("nothing", {}, "unsupported", "no such question"),
    ]

    async def talk() -> list[list[Answer]]:
        async with Talk(store) as worker:
            return [await worker.ask(what, **params) for what, params, _, _ in questions]

    for (what, params, code, words), frames in zip(questions, asyncio.run(talk()), strict=True):
        assert len(frames) == 1 and isinstance(frames[0], Error), (what, params)
        assert (frames[0].code, words in frames[0].message) == (code, True), frames[0]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"filter": 5}, "filter"),
        ({"filter": "x" * 100_000}, "filter"),
        ({"start": "now"}, "start"),
        ({"end": 1.5}, "end"),
        ({"since": 1 << 70}, "since"),
        ({"start": True}, "start"),
        ({"limit": 0}, "limit"),
        ({"follow": 1}, "follow"),
        ({"follow": True, "newest_first": True}, "exclude"),
        ({"decode_as": []}, "decode_as"),
        ({"decode_as": {"tcp.port==80": "nonsense"}}, "no protocol"),
        ({"decode_as": {"tcp.port==80": ["redis"]}}, "no protocol"),
        ({"decode_as": {"port 80": "redis"}}, "no rule"),
        ({"decode_as": {"tcp.port==70000": "redis"}}, "no rule"),
        ({"nodes": []}, "no such parameter"),
    ],
)
def test_parameters_have_types_and_ranges(params: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        question(Params(params), "local", "file")
    empty = dict.fromkeys(("filter", "start", "end", "since", "limit", "newest_first", "follow", "decode_as"))
    asked = question(Params(empty), "n1", "libpcap")
    assert (asked.filter.text, asked.start, asked.follow, asked.decode_as, asked.node) == ("", None, False, {}, "n1")


@given(st.dictionaries(st.sampled_from(["filter", "start", "limit", "follow", "decode_as", "x"]), any_value))
def test_whatever_a_hub_asks_is_a_question_or_a_mistake(params: dict[str, object]) -> None:
    with contextlib.suppress(OptionError, FilterError):
        assert question(Params(params), "n1", "libpcap").node == "n1"


def test_packets_of_many_calls_come_once_however_calls_are_portioned(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(packets.carrying(store, Store(store).query("http || redis")))
    monkeypatch.setattr(packets, "CALLS", 10)
    portions = list(packets.carrying(store, Store(store).query("http || redis")))
    assert len(portions) == len(set(portions)) and set(portions) == set(whole)


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def talk() -> list[Answer]:
        async with Talk(tmp_path / "missing") as worker:
            return await worker.ask("query")

    assert isinstance(asyncio.run(talk())[-1], Error)


@pytest.mark.parametrize("text", ["", "http"])
def test_a_feed_tells_history_then_that_it_has_then_what_is_new(text: str, tmp_path: Path) -> None:
    every = some(3, PACKETS, kinds=LONG)
    store, writer = tmp_path / "store", Writer(tmp_path / "store", every, Random(3))
    for _ in range(4):
        writer.write()
    history = {entry.id for entry in entries_of(store, text)}

    async def talk() -> list[Answer]:
        found: list[Answer] = []
        async with Talk(store) as worker, worker.asked("query", filter=text, follow=True) as frames:
            async for frame in frames:
                found.append(frame)
                if isinstance(frame, CaughtUp):
                    while writer.at < len(every):
                        writer.write()
                    writer.recording.close()
                # What is said to have been told was told.
                if isinstance(frame, Batch) and frame.until > every[-1].time_ns - SECOND:
                    return found
        raise AssertionError

    found = asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    at = next(number for number, frame in enumerate(found) if isinstance(frame, CaughtUp))
    before = {str(one["id"]) for one in told(found[:at])}
    assert before and before <= history
    closed = [str(one["id"]) for one in told(found) if one["state"] == "closed"]
    assert len(closed) == len(set(closed))
    promises = [frame.until for frame in found if isinstance(frame, Batch)]
    assert promises == sorted(promises)
    calls = entries_of(store, text)
    assert {entry.id for entry in calls if entry.response and entry.completed_ns < promises[-1]} <= set(closed)
    assert set(closed) - before


def test_a_feed_passes_on_what_people_should_know(store: Path) -> None:
    async def talk() -> Notice:
        async with Talk(store) as worker, worker.asked("query", follow=True) as frames:
            async for frame in frames:
                if isinstance(frame, CaughtUp):
                    worker.processes.tell("query", "eth0: the interface is gone")
                if isinstance(frame, Notice):
                    return frame
        raise AssertionError

    notice = asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert (notice.severity, notice.text) == ("warning", "eth0: the interface is gone")
