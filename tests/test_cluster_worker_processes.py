"""The processes that dissect for a worker: they may die, be cancelled, wait, be too many, and answer again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from store_traffic import redis, some
from stores import recorded
from test_store_eviction import blocks
from worker_talk import PATIENCE, Talk, alive, entries_of, told, until

from pysniff.cluster.frames import Answer, Ask, Batch, CaughtUp, End, Error, Frame, Notice, Value, decode, encode
from pysniff.cluster.summary import summary
from pysniff.cluster.worker import dissector
from pysniff.cluster.worker.names_file import NamesFile
from pysniff.cluster.worker.telling import LENGTH
from pysniff.errors import FileError

PACKETS = 900


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "store"
    recorded(path, some(1, PACKETS))
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose calls do not fit into any pipe."""
    path = tmp_path_factory.mktemp("worker") / "large"
    recorded(path, blocks(some(2, 20_000, kinds=((redis, 6379),)), 500), segment_size=None)
    return path


def test_a_killed_process_is_an_error_and_others_go_on(large: Path) -> None:
    async def talk() -> tuple[list[Answer], list[Answer]]:
        async with Talk(large) as worker, asyncio.timeout(PATIENCE), worker.asked("query") as frames:
            found = [await anext(frames)]
            (killed,) = worker.processes.answering()
            os.kill(killed, signal.SIGKILL)
            found += [frame async for frame in frames]
            assert worker.processes.figures["died"] == 1
            return found, await worker.ask("query", limit=3)

    found, after = asyncio.run(talk())
    last = found[-1]
    assert isinstance(found[0], Batch) and isinstance(last, Error)
    assert last.code == "internal" and "SIGKILL" in last.message and last.seq == len(found)
    assert len(told(after)) == 3


def test_a_cancelled_answer_leaves_no_process(large: Path) -> None:
    async def talk() -> None:
        async with Talk(large) as worker:
            async with worker.asked("query") as frames:
                assert isinstance(await anext(frames), Batch)
                (pid,) = worker.processes.answering()
                assert alive(pid)
            await until(lambda: not alive(pid))
            assert not worker.processes.running
            assert worker.processes.figures["cancelled"] == 1

    asyncio.run(talk())


def test_closing_leaves_no_process(store: Path) -> None:
    async def talk() -> list[int]:
        async with Talk(store) as worker:
            feed = worker.begin("query", follow=True)
            assert await anext(feed)
            await until(lambda: len(worker.processes.pids()) == 2)  # that one, and the spare
            pids = worker.processes.pids()
        last = [frame async for frame in feed]
        assert last  # whoever still reads is told
        await feed.aclose()
        return pids

    assert not any(map(alive, asyncio.run(talk())))


def test_who_does_not_read_holds_the_process_up_and_gets_everything_later(large: Path) -> None:
    """What is made ahead fits the pipe and the reader's two buffers."""

    def written(pid: int) -> int:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("wchar")))

    async def talk() -> list[Answer]:
        async with Talk(large) as worker, asyncio.timeout(PATIENCE), worker.asked("query") as frames:
            found = [await anext(frames)]
            (pid,) = worker.processes.answering()
            before = -1
            while before != (now := written(pid)):
                before = now
                await asyncio.sleep(0.5)
            assert before < 1_000_000
            return found + [frame async for frame in frames]

    found = asyncio.run(talk())
    assert isinstance(found[-1], End)
    assert sum(len(frame.entries) for frame in found if isinstance(frame, Batch)) > 1_500_000
    assert told(found) == [summary(entry) for entry in entries_of(large)]


def test_a_hundred_questions_at_once_are_answered_or_told_that_it_is_busy(store: Path) -> None:
    async def talk() -> list[list[Answer]]:
        async with Talk(store, most=4) as worker:
            found = await asyncio.gather(*(worker.ask("query", limit=1) for _ in range(100)))
            assert worker.processes.figures["refused"] == 96
            return found

    found = asyncio.run(talk())
    errors = [frames[0] for frames in found if isinstance(frames[0], Error)]
    assert len(errors) == 96 and {error.code for error in errors} == {"busy"}
    assert all(error.hint for error in errors)
    assert all(len(told(frames)) == 1 for frames in found if not isinstance(frames[0], Error))


def test_feeds_leave_room_to_open_a_call(store: Path) -> None:
    entry = entries_of(store)[0]

    async def talk() -> None:
        async with Talk(store, most=4) as worker:
            feeds = [worker.begin("query", by=hub, follow=True) for hub in "abcd"]
            first = [await anext(feed) for feed in feeds]
            assert [b"busy" in frame for frame in first] == [False, False, True, True]
            opened = await worker.ask("entry", id=entry.id)
            assert isinstance(opened[0], Value)
            for feed in feeds:
                await feed.aclose()
            assert isinstance((await worker.ask("query", limit=1))[-1], End)

    asyncio.run(talk())


def test_processes_that_dissect_come_last_and_end_with_the_worker(store: Path) -> None:
    async def talk() -> None:
        async with Talk(store) as worker:
            feed = worker.begin("query", follow=True)
            await anext(feed)
            (pid,) = worker.processes.answering()
            assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
            assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
            assert os.getsid(pid) == pid  # Ctrl-C is not for it
            await feed.aclose()

    asyncio.run(talk())


# One process, many answers


def test_questions_one_after_the_other_are_answered_by_processes_that_were_there(store: Path) -> None:
    async def talk() -> None:
        async with Talk(store) as worker:
            assert len(told(await worker.ask("query", limit=3))) == 3
            await until(lambda: len(worker.processes.waiting()) == 2)  # that one, and who began to wait meanwhile
            known = set(worker.processes.pids())
            for _ in range(5):
                async with worker.asked("query", limit=3) as frames:
                    assert isinstance(await anext(frames), Batch)
                    (pid,) = worker.processes.answering()
                    assert pid in known
                    assert isinstance([frame async for frame in frames][-1], End)
                    assert set(worker.processes.pids()) == known
                await until(lambda: len(worker.processes.waiting()) == 2)
            # A mistake is an answer like any other.
            assert isinstance((await worker.ask("query", filter="htttp"))[-1], Error)
            await until(lambda: len(worker.processes.waiting()) == 2)
            assert set(worker.processes.pids()) == known

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


@pytest.mark.parametrize(("bound", "value", "answers"), [("ANSWERS", 2, 2), ("GROWTH", -(1 << 40), 1)])
def test_a_process_that_is_old_or_has_grown_ends(
    bound: str, value: int, answers: int, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk() -> None:
        async with Talk(store) as worker:
            asked: Counter[int] = Counter()
            for _ in range(6):
                async with worker.asked("query", limit=3) as frames:
                    assert isinstance(await anext(frames), Batch)
                    asked.update(worker.processes.answering())
                    assert isinstance([frame async for frame in frames][-1], End)
                await until(lambda: len(worker.processes.waiting()) == len(worker.processes.pids()) > 0)
            assert max(asked.values()) == answers
            old = [pid for pid, count in asked.items() if count == answers]
            await until(lambda: not any(map(alive, old)))

    monkeypatch.setattr(dissector, bound, value)
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


class Dissecting:
    """The process alone: what is written to it, what it writes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert self.read() == b""  # it is ready

    def say(self, frame: Frame) -> None:
        data = encode(frame)
        assert self._process.stdin is not None
        self._process.stdin.write(LENGTH.pack(len(data)) + data)
        self._process.stdin.flush()

    def read(self) -> bytes:
        """A message; it is empty when a question may come, and b"end" is its end."""
        assert self._process.stdout is not None
        head = self._process.stdout.read(LENGTH.size)
        return self._process.stdout.read(LENGTH.unpack(head)[0]) if head else b"end"

    def answer(self, **params: object) -> tuple[list[dict[str, object]], list[Frame]]:
        """To a query, until it is ready again: entries, and what is no batch of them."""
        self.say(Ask(1, "query", params, 1))
        frames = [decode(data) for data in iter(self.read, b"")]
        rest = [frame._replace(seq=0) for frame in frames if isinstance(frame, End | Error | Notice | CaughtUp)]
        return told([frame for frame in frames if isinstance(frame, Batch)]), [*rest]


@contextmanager
def dissecting(*arguments: object) -> Iterator[Dissecting]:
    words = [sys.executable, "-m", "pysniff.cluster.worker.dissecting", *map(str, arguments)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Dissecting(process)
        finally:
            process.kill()


def test_an_answer_is_the_same_whatever_was_answered_before(store: Path, tmp_path: Path) -> None:
    """Entries and figures: of a filter that fails often, of conversations forced to a protocol, of names."""
    entry = entries_of(store, "http")[0]
    (tmp_path / "names").write_text(f"{entry.dst.ip} forced")
    questions: list[dict[str, object]] = [
        {"filter": "response.headers['none'] == 'x' || path.matches(summary + '.*')"},
        {"filter": "redis", "decode_as": {"tcp.port==80": "redis"}},
        {"filter": "dst.name == 'forced'", "limit": 5},
        {},
    ]
    alone = []
    for question in questions:
        with dissecting(store, "n1", tmp_path / "names") as process:
            alone.append(process.answer(**question))
    with dissecting(store, "n1", tmp_path / "names") as process:
        for question, want in [*zip(questions, alone, strict=True), *zip(questions, alone, strict=True)]:
            assert process.answer(**question) == want


def test_what_people_should_know_of_one_answer_is_not_told_in_the_next(store: Path) -> None:
    with dissecting(store, "n1") as process:
        want = process.answer()
        process.say(Notice(1, 1, "warning", "told to the answer before"))
        assert process.answer() == want


def test_who_failed_in_a_way_that_nobody_foresaw_answers_no_more(store: Path, tmp_path: Path) -> None:
    text = f"""
import sys
from pysniff.cluster.worker import answering, dissecting
def broken(*_): raise RuntimeError("a bug")
answering.Answering._query = broken
sys.exit(dissecting.main({str(store)!r}, "n1"))
"""
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        process = Dissecting(popen)
        process.say(Ask(1, "query", {}, 1))
        error = decode(process.read())
        assert isinstance(error, Error) and "a bug" in error.message
        assert process.read() == b"end"
        assert popen.wait(PATIENCE) == 0


def test_the_file_of_names_is_read_before_a_question_and_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text("10.0.0.2 shop")
    file = NamesFile(str(path))
    file.look()
    names = file.names()
    assert names.sources[0].name_at(bytes([10, 0, 0, 2]), 0) == "shop"
    assert file.names() is names
    path.write_text("10.0.0.2 cart and more")
    assert file.names().sources[0].name_at(bytes([10, 0, 0, 2]), 0) == "cart"
    path.write_text("no address")
    file.look()  # what is wrong is for who asks
    with pytest.raises(FileError):
        file.names()
    path.unlink()
    with pytest.raises(FileError):
        file.names()
    assert not NamesFile("").names().sources


def test_who_asks_while_a_process_begins_waits_for_that_one(store: Path) -> None:
    """And for the first that is ready, however many ask; who gives up takes nothing along."""

    async def talk() -> None:
        async with Talk(store) as worker:
            one, two, three = (asyncio.create_task(worker.ask("query", limit=3)) for _ in range(3))
            await asyncio.sleep(0)
            two.cancel()
            assert len(told(await one)) == len(told(await three)) == 3
            # Which two are kept depends on which were ready first.
            await until(lambda: len(worker.processes.waiting()) == 2)
            assert worker.processes.figures["answered"] == 2

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_a_process_that_cannot_begin_is_an_error_for_who_asks(store: Path) -> None:
    async def talk() -> None:
        async with Talk(store) as worker:
            worker.processes._pool.words = (sys.executable, "-c", "raise SystemExit(7)")
            assert isinstance((await worker.ask("query", limit=3))[-1], End)  # who was there before
            async with worker.asked("query", follow=True) as frames:
                await anext(frames)
                (error,) = await worker.ask("query", limit=3)
                assert isinstance(error, Error) and "ended with 7" in error.message

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


# Places


def test_a_hub_that_watches_much_leaves_places_to_others(store: Path) -> None:
    async def talk() -> None:
        async with Talk(store, most=6) as worker:

            async def follow(hub: str) -> bool:
                feed = worker.begin("query", by=hub, follow=True)
                feeds.append(feed)
                return b"busy" not in await anext(feed)

            feeds: list[AsyncGenerator[bytes, None]] = []
            assert [await follow("one") for _ in range(3)] == [True, True, False]
            assert [await follow("two") for _ in range(2)] == [True, False]
            assert [await follow("three") for _ in range(2)] == [True, False]
            assert not await follow("four")
            assert isinstance((await worker.ask("query", by="one", limit=1))[-1], End)
            for feed in feeds:
                await feed.aclose()
            assert await follow("one")
            await feeds[-1].aclose()

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
