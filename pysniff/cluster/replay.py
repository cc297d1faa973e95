"""Sends recorded calls again, to a target that the hub's owner has named, and tells how the answers compare.

Where a call goes is decided by that name alone: what a call says of hosts and addresses is sent as it is, never used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple

from pysniff.cluster.replay_call import Call, NoAnswer
from pysniff.cluster.replay_lines import Lines, Route
from pysniff.cluster.replay_outcome import Outcome
from pysniff.cluster.replay_recording import Recording
from pysniff.cluster.replay_target import Target, Targets, addresses
from pysniff.cluster.replay_thread import elsewhere
from pysniff.errors import OptionError, PysniffError
from pysniff.limits import SECOND

SENT = 10_000  # calls of one run
RATE = 1_000.0  # calls a second
SECONDS = 600.0  # of one run
TOGETHER = 100  # calls that wait for answers at once
RUNS = 2  # at once in one hub
UNANSWERED = 100  # calls in a row, after which a run ends: nobody is there
_LATE = 0.05  # seconds behind its time from which on a call counts as late


class Busy(PysniffError):
    """As many runs as may be go on already."""


class Turn(NamedTuple):
    """A call, and when it is due: seconds since its part of the run began, None: when there is room."""

    due: float | None
    call: Call


class Replays:
    """One a hub. `targets`: where calls may go."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self._runs = 0
        # A thousand calls a second take up to half a processor, and answers may be bombs of their content coding.
        self._threads = ThreadPoolExecutor(RUNS, "replay")

    async def run(self, recording: Recording, target: str, count: int = 1, rate: float | None = None) -> dict[str, Any]:
        """Send all of a recording `count` times, `rate` calls a second; what came of it, as docs/replay.md has it.

        Without `rate` a call is sent when the one before it was answered; those of a connection at the times that they
        had, unless that is later. Raises OptionError for a target that is not one of `targets` in these very words, for
        bounds passed, and where there is nothing to send; Busy. Cancel the task to end it early: nothing stays open.
        """
        aim = self.targets.named(target)
        _check(recording, count, rate)
        if self._runs >= RUNS:
            raise Busy(f"{RUNS} replays go on already", hint="wait for one to end, or cancel it")
        self._runs += 1
        try:
            return await elsewhere(self._threads, _Run(recording, aim, count, rate).result)
        finally:
            self._runs -= 1


def _check(recording: Recording, count: int, rate: float | None) -> None:
    """Raise OptionError where it cannot be."""
    if not recording.calls:
        reasons = [reason for _, reason in recording.left_out[:1]]
        raise OptionError("there is no call in it that can be sent again", hint=reasons[0] if reasons else "")
    most = SENT // len(recording.calls)
    if not 1 <= count <= most:
        raise OptionError(f"count {count}: from 1 to {most} is possible, as at most {SENT} calls are sent")
    if rate is not None and not 0 < rate <= RATE:  # not a number is neither
        raise OptionError(f"rate {rate}: more than 0, and at most {RATE:g} calls a second")


class _Run:
    def __init__(self, recording: Recording, target: Target, count: int, rate: float | None) -> None:
        self._recording = recording
        self._target = target
        self._count = count
        self._rate = rate
        self._outcome = Outcome()
        self._in_a_row = 0  # calls that nobody answered
        self._ended = ""

    async def result(self) -> dict[str, Any]:
        begun = monotonic()
        route = Route([], self._target.port)
        try:
            async with asyncio.timeout(SECONDS):
                route = Route(await addresses(self._target), self._target.port)
                for part in self._parts():
                    if not self._ended:
                        await self._play(part, route)
        except TimeoutError:
            self._ended = f"after {SECONDS:g} s"
        except OSError as error:
            self._ended = f"the target's name has no address: {error.strerror}"
        counted = self._outcome
        for _ in range(counted.sent - counted.answered - counted.failed):
            counted.fail("the time of the run was over")
        return {
            "target": self._target.name,
            "address": route.address,
            "calls": len(self._recording.calls),
            "count": self._count,
            **counted.to_dict(),
            "left_out": [one._asdict() for one in self._recording.left_out],
            "ended_early": self._ended,
            "seconds": round(monotonic() - begun, 3),
        }

    def _parts(self) -> Iterator[list[Turn]]:
        """What is sent over connections of its own: one call all its times, or all of a connection once."""
        calls, rate = self._recording.calls, self._rate
        if len(calls) == 1:
            yield [Turn(None if rate is None else number / rate, calls[0]) for number in range(self._count)]
            return
        first = calls[0].at
        for _ in range(self._count):
            yield [
                Turn((call.at - first) / SECOND if rate is None else number / rate, call)
                for number, call in enumerate(calls)
            ]

    async def _play(self, turns: list[Turn], route: Route) -> None:
        lines = Lines(route)
        room = asyncio.Semaphore(self._together(turns))
        begun = monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                for due, call in turns:
                    if due is not None:
                        await asyncio.sleep(begun + due - monotonic())
                    await room.acquire()
                    if self._ended:
                        break
                    if due is not None and self._rate is not None:
                        self._outcome.late += monotonic() - begun - due > _LATE
                    tasks.create_task(self._send(call, lines, room))
        finally:
            lines.close()

    def _together(self, turns: list[Turn]) -> int:
        """How many calls may wait for their answers: HTTP/1 has one at a time on the connection it was recorded on."""
        one_by_one = turns[0].due is None
        of_connection = len(self._recording.calls) > 1 and any(turn.call.version != "2" for turn in turns)
        return 1 if one_by_one or of_connection else TOGETHER

    async def _send(self, call: Call, lines: Lines, room: asyncio.Semaphore) -> None:
        self._outcome.sent += 1
        try:
            self._outcome.add(call, await lines.exchange(call))
            self._in_a_row = 0
        except NoAnswer as reason:
            self._outcome.fail(str(reason))
            self._in_a_row += 1
            if self._in_a_row >= UNANSWERED:
                self._ended = f"{UNANSWERED} calls in a row had no answer"
        finally:
            room.release()
