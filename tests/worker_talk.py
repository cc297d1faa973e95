"""A worker's answers without a hub: questions go straight to the processes that dissect a store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import count
from pathlib import Path

from pysniff.cluster.frames import Answer, Ask, Batch, decode, summaries
from pysniff.cluster.worker.answers import WorkerAnswers, compiles
from pysniff.cluster.worker.capturing_words import CaptureSettings
from pysniff.cluster.worker.configuration import Configuration, Document
from pysniff.cluster.worker.configuring import Configuring
from pysniff.cluster.worker.processes import Processes
from pysniff.entry import Entry
from pysniff.store import Store

PATIENCE = 180.0  # seconds until a test that waits for something gives up
_ids = count(1)


class FakeCapture:
    """Takes settings, unless it has a reason not to."""

    def __init__(self) -> None:
        self.settings: list[CaptureSettings] = []
        self.reason = ""

    async def configure(self, settings: CaptureSettings) -> str:
        if not self.reason:
            self.settings.append(settings)
        return self.reason


class Talk:
    """`async with Talk(store) as worker: frames = await worker.ask("query", follow=False)`."""

    def __init__(self, directory: Path, command_line: Configuration | None = None, most: int = 8) -> None:
        self.processes = Processes(directory, "local", most)
        self.capture = FakeCapture()
        self.told: list[str] = []

        async def check(bpf: str) -> str:
            return await compiles(self.processes, bpf)

        self.configuring = Configuring(
            directory, command_line or Configuration(), Document(), self.capture, check, self.told.append
        )
        self.excluded: dict[str, list[tuple[str, int]]] = {}
        self.answers = WorkerAnswers(
            self.processes, self.configuring, lambda: {"capturing": True}, self.excluded.__setitem__
        )

    async def __aenter__(self) -> Talk:
        await self.processes.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.processes.close()

    def begin(self, what: str, **params: object) -> AsyncGenerator[bytes, None]:
        """`by`, which is no parameter of the question: the session of the hub that asks."""
        hub = str(params.pop("by", "a-hub"))
        return self.answers.answer(Ask(next(_ids), what, params, 1 << 20), hub)

    @contextlib.asynccontextmanager
    async def asked(self, what: str, **params: object) -> AsyncIterator[AsyncIterator[Answer]]:
        """Frames one after the other; left early, the answer is cancelled."""
        async with contextlib.aclosing(self.begin(what, **params)) as frames:
            yield (decode(frame) async for frame in frames)  # type: ignore[misc] # workers send answers only

    async def ask(self, what: str, **params: object) -> list[Answer]:
        """The whole answer; its frames are numbered 1, 2, 3."""
        async with asyncio.timeout(PATIENCE), self.asked(what, **params) as frames:
            found = [frame async for frame in frames]
        assert [frame.seq for frame in found] == list(range(1, len(found) + 1))
        return found


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # reading fails with ESRCH where it goes meanwhile
        return False


def told(frames: list[Answer]) -> list[dict[str, object]]:
    return [one for frame in frames if isinstance(frame, Batch) for one in summaries(frame)]


def entries_of(store: Path, text: str = "", **values: object) -> list[Entry]:
    return list(Store(store).query(text, **values))  # type: ignore[arg-type]
