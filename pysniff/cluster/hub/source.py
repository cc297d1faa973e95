"""One worker in one question: asked, asked again where it forgot, its frames handed over.

A worker that fails is said so to the client, and never ends the question.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from enum import Enum
from itertools import compress
from typing import Protocol

from pysniff.cluster.asked import Away, Back
from pysniff.cluster.frames import Batch, CaughtUp, End, Error, Notice
from pysniff.cluster.hub.links import Asked, Links
from pysniff.cluster.hub.merge import Merge
from pysniff.cluster.hub.owed import Owed
from pysniff.cluster.hub.question import Question
from pysniff.cluster.hub.told import Told

# Seconds until a worker is asked again that was busy or failed; doubled each time up to the second.
RETRY, RETRY_MOST = 1.0, 30.0
# How often a question that does not follow asks a worker that is busy or failed.
TRIES = 5
# What one worker may say for people to read in one question.
NOTICES = 100
_log = logging.getLogger(__name__)


class State(Enum):
    """What a client is told of a worker."""

    ASKED = "asked"
    LIVE = "live"
    AWAY = "away"
    FAILED = "failed"
    ENDED = "ended"


class Client(Protocol):
    """Whoever put the question."""

    def told(self, source: Source, state: str, text: str = "", *, severity: str = "info", hint: str = "") -> None:
        """A worker's state changed, or it said something."""

    def woken(self) -> None:
        """There may be entries to release."""


class Source:
    """`number`: its place among the question's workers. run() it; `figures`: what its answer ended with."""

    def __init__(self, name: str, number: int, question: Question, merge: Merge, client: Client) -> None:
        self.name = name
        self.number = number
        self.state = State.ASKED
        self.since = 0.0  # when it came to be away, by the loop's clock
        self.figures: dict[str, object] = {}
        self.failure = ""
        self.over = False  # nothing comes from it any more
        self.times = 0  # that it was asked
        self.newest: int | None = None  # of the times it has told
        self.until = 0
        self._question = question
        self._merge = merge
        self._client = client
        self._told = Told(newest_first=question.newest_first)
        self._owed = Owed()
        self._resume_at: int | None = None
        self._asked: Asked | None = None
        self._notices = 0
        self._first_since = question.since

    @property
    def again(self) -> int:
        """Entries that it sent once more, and that were dropped."""
        return self._told.again

    def told_since(self, time_ns: int | None) -> Counter[tuple[int, int]]:
        """What it has told, by time and fingerprint, as far back as that is remembered."""
        return self._told.since(time_ns)

    async def run(self, links: Links) -> None:
        """Until the answer is over for good; cancel it to stop."""
        try:
            wait = RETRY
            while await self._ask(links):
                if self.state is State.FAILED:
                    self._merge.away(self.number)
                    self._client.woken()
                    await asyncio.sleep(wait * random.uniform(0.5, 1.5))
                    wait = min(RETRY_MOST, wait * 2)
        except Exception as error:  # a bug of ours: said as a worker's failure is, and the others go on
            _log.exception("the question to %s failed", self.name)
            self.failure = "internal"
            self._became(State.FAILED, f"internal: {type(error).__name__}", severity="error")
        finally:
            self.cancel()
            self._merge.ended(self.number)
            self.over = True
            self._client.woken()

    def cancel(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None

    def released(self, count: int) -> None:
        """So many of its entries have gone to the client: it may send as much again."""
        self._owed.released(count)

    async def _ask(self, links: Links) -> bool:
        """Ask, and hear the answer; whether to ask again."""
        question = self._question
        asked = self._asked = links.ask(self.name, "query", self._params())
        self._merge.join(self.number)
        self.times += 1
        self.state = State.ASKED
        again = await self._hear(asked)
        asked.cancel()
        self._asked = None
        self._resume_at = self._told.interrupted() if again else None
        return again and (question.follow or self.times < TRIES)

    def _params(self) -> dict[str, object]:
        question, at = self._question, self._resume_at
        left = None if question.limit is None else question.limit + len(self._told)
        if question.newest_first:
            return question.params(None, question.end if at is None else at, left)
        return question.params(self._first_since if at is None else at, question.end, left)

    async def _hear(self, asked: Asked) -> bool:
        """Whether to ask again: the worker has forgotten the question, or cannot answer it now."""
        async for frame in asked:
            match frame:
                case Batch():
                    self._take(frame, asked)
                case CaughtUp():
                    self._merge.caught_up(self.number)
                    self._became(State.LIVE)
                case Notice(severity=severity, text=text):
                    self._noticed(severity, text)
                case Away(reason):
                    self.since = asyncio.get_running_loop().time()
                    self._merge.away(self.number)
                    self._became(State.AWAY, reason, severity="warning")
                case Back(resumed):
                    if resumed:
                        self._merge.back(self.number)
                        self._became(self._standing(), "it is back and goes on")
                    else:
                        self._client.told(self, "asked", "it is back, and asked again for what was missed")
                        return True
                case End(figures=figures):
                    self.figures = figures
                    self._became(State.ENDED)
                    return False
                case Error():
                    return self._erred(frame)
                case _:
                    return self._erred(Error(1, 1, "unsupported", f"it sent {type(frame).__name__}", ""))
        return self._erred(Error(1, 1, "notfound", "this worker is not known any more", ""))

    def _take(self, frame: Batch, asked: Asked) -> None:
        _, _, until, times, fingerprints, lengths, entries = frame
        size = asked.size
        if times:
            newest = max(times)
            self.newest = newest if self.newest is None else max(self.newest, newest)
        self.until = until or self.until
        fresh = self._told.fresh(times, fingerprints, until)
        if fresh is not None:
            entries = _chosen(entries, lengths, fresh)
            times, fingerprints, lengths = (list(compress(one, fresh)) for one in (times, fingerprints, lengths))
        self._merge.add(self.number, times, fingerprints, lengths, entries, until, self._now())
        self._owed.add(len(times), size, asked)
        self._client.woken()

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def _standing(self) -> State:
        return State.LIVE if self._merge.is_live(self.number) else State.ASKED

    def _became(self, state: State, text: str = "", *, severity: str = "info", hint: str = "") -> None:
        self.state = state
        self._client.told(self, state.value, text, severity=severity, hint=hint)
        self._client.woken()

    def _noticed(self, severity: str, text: str) -> None:
        self._notices += 1
        if self._notices <= NOTICES:
            self._client.told(self, "notice", text, severity=severity)

    def _erred(self, error: Error) -> bool:
        """Whether it may go better later."""
        self.failure = error.code
        self._became(State.FAILED, f"{error.code}: {error.message}", severity="error", hint=error.hint)
        return error.code in ("busy", "capture", "internal", "gone")


def _chosen(entries: bytes, lengths: list[int], fresh: list[bool]) -> bytes:
    parts = []
    at = 0
    for length, wanted in zip(lengths, fresh, strict=True):
        if wanted:
            parts.append(entries[at : at + length])
        at += length
    return b"".join(parts)
