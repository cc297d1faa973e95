"""A child process of a worker, told and heard in lines of JSON (capturing_words.py)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from pysniff import errors
from pysniff.cluster.worker.capturing_words import NOTICES, line_of
from pysniff.errors import CaptureError, PysniffError
from pysniff.limits import MIB

# A line of the child; what it reports is bounded by itself far below.
_LINE = MIB
# Seconds in which a child that was left alone writes what it has.
_PATIENCE = 10.0
# Seconds before a child that died is started again, doubling; after one that lasted they begin anew.
_FIRST_PAUSE, _LONGEST_PAUSE, _LASTED = 0.5, 30.0, 60.0


class Child:
    """`await Child.begin(...)`, then tell() it, and take heard(); it ends when it is left alone."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def begin(cls, module: str, *words: str, descriptors: Sequence[int] = ()) -> Self:
        """`python -m module words`, which inherits the descriptors; raise OSError where none can be started."""
        # In a session of its own: Ctrl-C is for the worker, which ends the child in good order.
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *words,
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=descriptors,
                start_new_session=True,
                limit=_LINE,
            )
        )

    def tell(self, command: Mapping[str, Any]) -> bool:
        """Send a line; whether somebody may still read it."""
        commands = self._process.stdin
        if commands is None or commands.is_closing():
            return False
        commands.write(line_of(command))
        return True

    def leave(self) -> None:
        """Tell it nothing more: it writes what it has, and ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        # Process.kill() would reap one that has just ended, behind the back of asyncio, which then knows no exit code.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def heard(self) -> AsyncIterator[dict[str, Any]]:
        """What it says, to its end."""
        lines = self._process.stdout
        assert lines is not None
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # longer than _LINE: not ours
                self.kill()
                return
            if not line:
                return
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                yield said

    async def end(self) -> int:
        """Its exit code, once it has ended; below 0 that of a signal."""
        return await self._process.wait()


async def ended(running: asyncio.Task[None], child: Child | None) -> None:
    """What follows a child to its end has ended; the child is given some time for it."""
    done, _ = await asyncio.wait([running], timeout=_PATIENCE)
    if not done and child is not None:
        child.kill()
    await asyncio.wait([running])


class Pauses:
    """Between a child that died and the next: doubling, and anew after one that lasted."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    async def wait(self, lasted: float, ending: asyncio.Event) -> bool:
        """`lasted`: seconds that the child lived. Whether another one is to begin: not once `ending` is set."""
        if lasted > _LASTED:
            self._pause = _FIRST_PAUSE
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        with suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), pause * random.uniform(0.75, 1.25))
        return not ending.is_set()


class Commands:
    """Commands to a child that answers each by its number. `child`: what it is called in a reason; `patience`: seconds
    for an answer."""

    def __init__(self, child: str, patience: float) -> None:
        self._child = child
        self._patience = patience
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._asked = 0

    async def tell(self, child: Child | None, command: Mapping[str, Any]) -> str:
        """Send one; "" where it was done, else the reason why not."""
        self._asked += 1
        number = self._asked
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            if child is None or not child.tell({"number": number, **command}):
                return f"{self._child} ended"
            return await asyncio.wait_for(answer, self._patience)
        except TimeoutError:
            return f"{self._child} does not answer"
        finally:
            del self._answers[number]

    def answered(self, said: Mapping[str, Any]) -> None:
        """The child said what became of one."""
        self._settle(self._answers.get(int(said["answer"])), str(said.get("refused", "")))

    def gone(self) -> None:
        """There is no child any more."""
        for answer in self._answers.values():
            self._settle(answer, f"{self._child} ended")

    def _settle(self, answer: asyncio.Future[str] | None, reason: str) -> None:
        if answer is not None and not answer.done():
            answer.set_result(reason)


class Noting:
    """`notices`: the last ones, (number, text) with numbers from 1 on, bounded. `on_notice`: called with each new text,
    in the event loop."""

    def __init__(self) -> None:
        self.notices: deque[tuple[int, str]] = deque(maxlen=NOTICES)
        self.on_notice: list[Callable[[str], None]] = []
        self._noted = 0

    def note(self, text: str) -> None:
        self._noted += 1
        self.notices.append((self._noted, text))
        for call in self.on_notice:
            call(text)


def words_for(code: int) -> str:
    """Why a child ended."""
    if code >= 0:
        return f"it exited with {code}"
    try:
        return f"{signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def failure_in(said: Mapping[str, Any]) -> PysniffError:
    """What the child could not do, as the exception that it had there."""
    kind = getattr(errors, str(said["failed"]), CaptureError)
    known = isinstance(kind, type) and issubclass(kind, PysniffError)
    made: type[PysniffError] = kind if known else CaptureError
    return made(str(said.get("message")), hint=str(said.get("hint", "")))
