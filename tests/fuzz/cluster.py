"""Hostile peers: any message, and any order of frames that are each as they should be."""

from __future__ import annotations

import asyncio
import atexit
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from functools import cache
from itertools import count
from typing import cast

from cluster_links import Unconnected, hub_hello, worker_hello
from frame_strategies import SAMPLES

from pysniff.cluster.asked import Asked, Away, Back
from pysniff.cluster.frames import (
    Ask,
    Cancel,
    Credit,
    End,
    Error,
    Frame,
    Notice,
    Resume,
    Resumed,
    Value,
    decode,
    encode,
)
from pysniff.cluster.handshake import Ending
from pysniff.cluster.hub_session import HubSession
from pysniff.cluster.known_worker import Worker
from pysniff.cluster.link import Link
from pysniff.cluster.outgoing import Outgoing
from pysniff.cluster.packed import FrameError


def message(data: bytes) -> None:
    """What is read can be sent, and is the same then."""
    try:
        frame = decode(data)
    except FrameError:
        return
    assert decode(encode(frame)) == frame


def messages() -> Iterator[bytes]:
    return map(encode, SAMPLES)


@cache
def loop() -> asyncio.Runner:
    """One for all inputs: to make one takes longer than most of them."""
    made = asyncio.Runner()
    atexit.register(made.close)
    return made


def steps(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """What, whose, which, how much."""
    for at in range(0, len(data) - 3, 4):
        what, whose, which, size = data[at : at + 4]
        yield what, whose, which, size


def at_hub(data: bytes) -> None:
    """A worker says anything: callers hear of each request's frames in order, and no more than credit allows."""
    loop().run(_at_hub(data))


async def _at_hub(data: bytes) -> None:
    worker = Worker("w", count(1), Counter(), lambda _: None)
    link = Unconnected()
    asked: list[Asked] = []
    heard: dict[int, int] = {}
    for what, whose, which, size in steps(data):
        one = asked[whose % len(asked)] if asked else None
        id = one.ask.id if one is not None and whose < 250 else whose
        match what % 12:
            case 0:
                asked.append(worker.ask("query", {}, 1 + 40 * size))
                heard[asked[-1].ask.id] = 0
            case 1:
                link.end("lost", "")
                worker.detach(cast(Link, link), Ending("lost", ""))
            case 2 | 3:
                link = Unconnected()
                worker.attach(cast(Link, link), worker_hello() if what % 12 == 2 or not worker.hello else worker.hello)
            case 4 if one is not None:
                await _hear(one, heard)
            case 5 if one is not None:
                one.grant(size if size & 1 else None)
            case 6 if one is not None:
                one.cancel()
            case _ if link.ending is None and worker.link is not None:
                frame = _said_by_worker(what, max(id, 1), _seq(one, which), size)
                worker.receive(frame, len(encode(frame)))
    assert worker.requests <= len(asked)
    worker.close()
    for one in asked:
        await _hear(one, heard)


def _seq(asked: Asked | None, which: int) -> int:
    """Mostly the one that is due."""
    return asked.incoming.seq + 1 if asked is not None and which < 200 else max(which, 1)


def _said_by_worker(what: int, id: int, seq: int, size: int) -> Frame:
    frames: tuple[Frame, ...] = (
        Value(id, seq, {"": bytes(size)}),
        Value(id, seq, {"": bytes(100 * size)}),
        End(id, seq, {}),
        Error(id, seq, "gone", "", ""),
        Resumed(id),
        Cancel(id),
        Ask(id, "query", {}, 1),
        Credit(id, 1, 1),
        Notice(id, seq, "info", ""),
    )
    return frames[what // 12 % len(frames)]


async def _hear(asked: Asked, heard: dict[int, int]) -> None:
    """All that is there: the numbers go on one by one."""
    waiting = sum(size for _, size in asked._frames)
    assert waiting <= asked.ask.credit + 26_000
    while asked._frames:
        told = await anext(asked)
        if not isinstance(told, Away | Back):
            assert told.seq == heard[asked.ask.id] + 1
            heard[asked.ask.id] = told.seq
            asked.grant()


class Endless:
    """Answers of 30 bytes a frame: request 3 has no end, 4 has one."""

    def __init__(self) -> None:
        self.running = 0

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        self.running += 1
        try:
            for seq in range(1, 100):
                yield encode(Value(ask.id, seq, {"": bytes(30)}))
                if ask.id & 7 == 3:
                    return
                if ask.id & 7 == 4:
                    yield encode(End(ask.id, seq + 1, {}))
        finally:
            self.running -= 1


def at_worker(data: bytes) -> None:
    """A hub says anything: what is kept for it is bounded, and nothing is left when it has gone."""
    loop().run(_at_worker(data))


async def _at_worker(data: bytes) -> None:
    answers = Endless()
    total = [0]
    session = HubSession(answers, hub_hello(), Counter(), total)
    link = Unconnected()
    session.attach(cast(Link, link))
    for what, whose, which, size in steps(data):
        match what % 8:
            case 0:
                link.end("lost", "")
                session.detach(cast(Link, link))
            case 1:
                link = Unconnected()
                session.attach(cast(Link, link))
            case 2:
                for _ in range(size % 16):
                    await asyncio.sleep(0)
            case _ if link.ending is None and session.link is not None:
                frame = _said_by_hub(what, max(whose, 1), which, size)
                session.receive(frame, len(encode(frame)))
        assert all(_is_bounded(one.outgoing) for one in session._open.values())
        assert total == [session.requests]
    await session.close()
    await asyncio.sleep(0)
    assert (session.requests, total, answers.running) == (0, [0], 0)


def _is_bounded(outgoing: Outgoing) -> bool:
    return outgoing.kept <= outgoing._window + 100


def _said_by_hub(what: int, id: int, seq: int, size: int) -> Frame:
    frames: tuple[Frame, ...] = (
        Ask(id, "query", {}, 1 + 4 * size),
        Credit(id, size, seq),
        Cancel(id),
        Resume(id, seq, size),
        Value(id, 1, {}),
    )
    return frames[what // 8 % len(frames)]


def talks_of_workers() -> Iterator[bytes]:
    """Asked, answered, cut, resumed, ended."""
    value, end, resumed, cancel = (7 + 12 * kind for kind in (0, 2, 4, 5))
    yield bytes([2, 0, 0, 0, 0, 0, 0, 9, *(value, 0, 0, 9) * 5, 4, 0, 0, 0, end, 0, 0, 0, 4, 0, 0, 0])
    yield bytes([2, 0, 0, 0, 0, 0, 0, 9, value, 0, 0, 9, 1, 0, 0, 0, 3, 0, 0, 0, resumed, 0, 0, 0, end, 0, 0, 0])
    yield bytes([2, 0, 0, 0, 0, 0, 0, 9, value, 0, 0, 9, 6, 0, 0, 0, value, 0, 0, 1, cancel, 0, 0, 0])


def talks_of_hubs() -> Iterator[bytes]:
    """Ask, credit, cut, resume, cancel."""
    ask, credit, cancel, resume = (3 + 8 * kind for kind in range(4))
    yield bytes([ask, 1, 0, 99, 2, 0, 0, 15, credit, 1, 2, 99, 2, 0, 0, 15, cancel, 1, 0, 0, 2, 0, 0, 9])
    yield bytes([ask, 3, 0, 99, ask, 4, 0, 99, 2, 0, 0, 15, 2, 0, 0, 15, credit, 4, 2, 99, 2, 0, 0, 9])
    yield bytes([ask, 1, 0, 99, 2, 0, 0, 15, 0, 0, 0, 0, 1, 0, 0, 0, resume, 1, 1, 99, 2, 0, 0, 15, resume, 2, 0, 1])
