"""Keys of running programs, seen from a worker's event loop: a child process that reads them, and the memory that they
come through (tracing_process.py).

Where it dies another one begins; meanwhile keys are missing, and a notice says so.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from pysniff.cluster.worker.child import Child, Commands, Noting, Pauses, ended, failure_in, words_for
from pysniff.cluster.worker.hearing import Way
from pysniff.cluster.worker.tracing_words import TracingReport, TracingSettings, report_of
from pysniff.errors import CaptureError, PysniffError
from pysniff.secret_ring import SecretRing

# Seconds for a command: probes for many files take some.
_ANSWERS = 60.0

State = Literal["off", "starting", "tracing", "restarting", "closed"]


class Tracing(Noting):
    """`await start()`, then configure() and status() as needed, and `await close()`.

    `ring`: the descriptor of the memory with the keys, for those who decrypt. `heard`: that of the end where plain text
    comes out, for who records. `settings`: those in force. For one event
    loop. Raises CaptureError where the system has no such memory.
    """

    def __init__(self, settings: TracingSettings) -> None:
        super().__init__()
        self.settings = settings
        try:
            self._memory, self._way = SecretRing(), Way()
        except (OSError, AttributeError) as error:
            raise CaptureError(f"no memory that processes share: {error}", hint="keys need memfd_create(2)") from None
        self._state: State = "off"
        self._reason = ""
        self._report = TracingReport()
        self._child: Child | None = None
        self._failure: PysniffError | None = None
        self._ready: asyncio.Future[None] | None = None
        self._commands = Commands("the process that reads keys", _ANSWERS)
        self._restarts = 0
        self._running: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._configuring = asyncio.Lock()

    @property
    def ring(self) -> int:
        return self._memory.fd

    @property
    def heard(self) -> int:
        return self._way.heard

    async def start(self) -> None:
        """Have the probes in place; raise what the first child cannot do: PrivilegeError, CaptureError, OptionError."""
        if self.settings.mode == "off":
            return
        self._ready = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(), name="tracing")
        await self._ready

    async def configure(self, settings: TracingSettings) -> str:
        """Have these settings in force; "" where they are, else the reason why the old ones stay."""
        async with self._configuring:
            if settings == self.settings:
                return ""
            before, self.settings = self.settings, settings
            if self._running is None or self._running.done():
                try:
                    await self.start()
                except PysniffError as error:
                    self.settings = before
                    return str(error)
                return ""
            if self._state == "tracing":
                reason = await self._commands.tell(self._child, {"settings": settings.to_dict()})
                if reason:
                    self.settings = before
                return reason
            return ""  # the next child takes them

    def status(self, untold: int = 0) -> dict[str, object]:
        """JSON types; `processes`: those that the report names. No secret is in it. `untold`: connections that it was
        not told of, so that nobody knows whose they are."""
        report = self._report
        counters = {**report.counters, "unowned": report.counters.get("unowned", 0) + untold}
        return {
            "mode": self.settings.mode,
            "state": "off" if self.settings.mode == "off" else self._state,
            "reason": self._reason,
            "hint": self._failure.hint if self._failure is not None else "",
            "pid": self._child.pid if self._child is not None else 0,
            "restarts": self._restarts,
            "processes": [dict(one) for one in report.processes],
            "unnamed": report.unnamed,
            "counters": counters,
            "problems": list(report.problems),
        }

    def pids(self) -> list[int]:
        return [self._child.pid] if self._child is not None else []

    async def close(self) -> None:
        """Have no probe left. Again does nothing."""
        if self._state == "closed":
            return
        self._ending.set()
        if self._running is not None:
            if self._child is not None:
                self._child.leave()
            await ended(self._running, self._child)
        self._state = "closed"
        self._memory.close()
        self._way.close()

    # One child after another

    async def _run(self) -> None:
        pauses = Pauses()
        while True:
            began = time.monotonic()
            await self._one()
            if self._ready is not None and not self._ready.done():
                self._state = "off"
                self._ready.set_exception(self._failure or CaptureError(f"no keys are read: {self._reason}"))
                return
            if self._ending.is_set():
                return
            self._state = "restarting"
            self.note(f"the process that reads keys ended: {self._reason}; another begins, keys are missing meanwhile")
            if not await pauses.wait(time.monotonic() - began, self._ending):
                return
            self._restarts += 1

    async def _one(self) -> None:
        """The life of one child."""
        self._state, self._failure, self._reason = "starting", None, ""
        try:
            module = "pysniff.cluster.worker.tracing_process"
            given = (self.ring, self._way.told)
            child = await Child.begin(module, *map(str, given), descriptors=given)
        except OSError as error:
            self._reason = f"it cannot be started: {error.strerror}"
            return
        self._child = child
        if self._ending.is_set():
            child.kill()
        told = self.settings
        try:
            child.tell({"settings": told.to_dict()})
            async for said in child.heard():
                self._take(said)
                if said.get("ready") and told != self.settings:
                    child.tell({"number": 0, "settings": self.settings.to_dict()})
            code = await child.end()
            self._reason = str(self._failure.message if self._failure is not None else "") or words_for(code)
        finally:
            child.kill()  # where this task was cancelled
            self._gone()

    def _take(self, said: dict[str, Any]) -> None:
        if "failed" in said:
            self._failure = failure_in(said)
        elif "answer" in said:
            self._commands.answered(said)
        else:
            known = set(self._report.problems)
            self._report = report_of(said)
            for text in self._report.problems:
                if text not in known:
                    self.note(f"keys of running programs: {text}")
            if said.get("ready"):
                self._state = "tracing"
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)

    def _gone(self) -> None:
        self._child = None
        self._report = TracingReport(counters=self._report.counters, problems=self._report.problems)
        self._commands.gone()
