"""Capture files in place of a capture, seen from a worker's event loop: a child process that records what they hold.

The child (reading_process.py) reads and writes the store, and never dissects. Unlike a capture it ends by itself; what
it wrote is served on, and the files are not needed any more.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysniff.capture.exclusion import Endpoint
from pysniff.cluster.worker.capturing import CaptureStatus, State
from pysniff.cluster.worker.capturing_words import CaptureSettings, Report, report_of
from pysniff.cluster.worker.child import Child, Noting, ended, failure_in, words_for
from pysniff.cluster.worker.keys import NO_KEYS, Keys
from pysniff.errors import PysniffError, ReadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`names`: "-" is standard input. `follow`: the one file grows. `duration`: seconds of packet time."""

    names: tuple[str, ...]
    follow: bool = False
    duration: float | None = None

    def __str__(self) -> str:
        return ", ".join("standard input" if name == "-" else name for name in self.names)

    @property
    def may_wait(self) -> bool:
        """Whether their first bytes may be yet to come, as those of a pipe, or of a file that grows."""
        there = [name for name in self.names if name == "-" or Path(name).exists()]
        return any(self.follow or name == "-" or not Path(name).is_file() for name in there)


class Reading(Noting):
    """As Capturing: `await start()`, then status(), and `await close()`. `over` is set when there is no more to read.

    `failure`: what kept it from reading them to their end. Of the settings, the capture filter and the limit count.
    """

    def __init__(
        self,
        directory: Path,
        settings: CaptureSettings,
        files: Files,
        *,
        keep_all: bool = False,
        keys: Keys = NO_KEYS,
        keep_secrets: bool = False,
    ) -> None:
        super().__init__()
        self._keys = keys
        self._keep_secrets = keep_secrets
        self.settings = settings
        self.over = asyncio.Event()
        self.failure: PysniffError | None = None
        self._directory = directory
        self._files = files
        self._keep_all = keep_all
        self._state: State = "starting"
        self._report = Report()
        self._since_ns = 0
        self._child: Child | None = None
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Begin to read; raise FileError, FilterError, OptionError or WriteError where that can be known by now."""
        self._state = "reading"
        self._child = await self._begin()
        self._running = asyncio.create_task(self._run(self._child), name="reading")
        if not self._files.may_wait:
            await self._ready.wait()
        # After a ReadError there is what came before it.
        if self.failure is not None and not isinstance(self.failure, ReadError):
            raise self.failure

    async def configure(self, settings: CaptureSettings) -> str:
        """Why these settings are not in force."""
        return f"nothing is captured here: the calls are those of {self._files}"

    async def exclude(self, endpoints: Iterable[Endpoint]) -> str:
        """Files have no traffic of ours."""
        return ""

    def status(self) -> CaptureStatus:
        report = self._report
        return CaptureStatus(
            state=self._state,
            reason=self.failure.message if self.failure is not None else str(self._files),
            hint=self.failure.hint if self.failure is not None else "",
            pid=self._child.pid if self._child is not None else 0,
            since_ns=self._since_ns,
            restarts=0,
            interfaces=(),
            absent=(),
            counters=report.counters,
            unaccounted=0,
            excluded=(),
            segment=report.segment,
            store_bytes=report.store_bytes,
            files=self._files.names,
            bytes_read=report.bytes_read,
            bytes_in_all=report.bytes_in_all,
            tls=report.tls,
        )

    async def close(self) -> None:
        """Read no more; what was read is in the store. Again does nothing."""
        running, child = self._running, self._child
        if running is not None:
            if child is not None:
                child.leave()
            await ended(running, child)
            self._running = None
        self._state = "closed"

    async def _begin(self) -> Child:
        files, given = self._files, None
        if "-" in files.names:
            given = os.dup(0)  # the child's own is where it is told things
        descriptors = (*self._keys.descriptors, *(() if given is None else (given,)))
        try:
            words = "pysniff.cluster.worker.reading_process", str(self._directory)
            child = await Child.begin(*words, descriptors=descriptors)
        finally:
            if given is not None:
                os.close(given)
        told = {"names": files.names, "follow": files.follow, "duration": files.duration, "input": given}
        child.tell(
            {
                "settings": self.settings.to_dict(),
                "files": told,
                "keep_all": self._keep_all,
                "keys": self._keys.word(),
                "keep_secrets": self._keep_secrets,
            }
        )
        self._since_ns = time.time_ns()
        return child

    async def _run(self, child: Child) -> None:
        try:
            async for said in child.heard():
                self._take(said)
            code = await child.end()
            if self.failure is None and code:
                self.failure = ReadError(f"{self._files}: the process that reads ended: {words_for(code)}")
        finally:
            child.kill()  # where this task was cancelled
            self._child = None
            self._state = "finished"
            self._ready.set()
            self.over.set()

    def _take(self, said: dict[str, Any]) -> None:
        if "failed" in said:
            self.failure = failure_in(said)
            return
        before, self._report = self._report, report_of(said)
        for text in self._report.notices:
            self.note(text)
        dropped = self._report.counters.get("store_evicted", 0)
        if dropped and not before.counters.get("store_evicted"):
            self.note(
                f"the oldest packets of {self._files} are dropped: there are more than the storage limit of "
                f"{self.settings.storage_limit:,} bytes holds"
            )
        if said.get("ready"):
            self._ready.set()
