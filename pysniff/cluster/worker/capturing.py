"""The capture of a worker, seen from its event loop: a child process that records, told what to do and heard of.

The child (capturing_process.py) captures and writes the store, and never dissects. Here is its handle: what was asked
for, what it reports, and another one where it dies. Nothing here touches a packet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pysniff.capture.exclusion import Endpoint
from pysniff.cluster.worker.capturing_words import CaptureSettings, Report, report_of
from pysniff.cluster.worker.child import Child, Commands, Noting, Pauses, ended, failure_in, words_for
from pysniff.cluster.worker.keys import NO_KEYS, Keys
from pysniff.errors import CaptureError, FilterError, PysniffError

# Seconds until a child that says nothing is taken for dead.
_SILENCE = 30.0

# Of a capture; of files that are read in its place (reading.py).
State = Literal["starting", "capturing", "restarting", "closed", "reading", "finished"]


class CaptureStatus(NamedTuple):
    """A snapshot, of the last report (twice a second) and of the handle.

    `reason`: why it is not capturing; `hint`: the way out, where one is known.
    `interfaces`: captured now, those of other namespaces as namespace/interface.
    `absent`: asked for and waited for. `counters`: Ledger counters by name, over all children of this handle.
    `unaccounted`: packets of which nobody knows what became, since the child that had them was killed.
    `excluded`: what of the cluster's own traffic the kernel filters away, uncounted, as host:port.
    `segment`, `store_bytes`: the number of the one that is written now, and what the store takes on disk.
    `since_ns`: when this child began to capture; 0 before. `files`, `bytes_read`, `bytes_in_all`: what is read in place
    of a capture, how far, and how much it is, 0 where nobody knows. `tls`: TLS connections that began, those of them
    whose keys came, where there are sources of keys, and those that whoever reads keys could not be told of; of all
    children.
    """

    state: State
    reason: str
    hint: str
    pid: int
    since_ns: int
    restarts: int
    interfaces: tuple[str, ...]
    absent: tuple[str, ...]
    counters: dict[str, int]
    unaccounted: int
    excluded: tuple[str, ...]
    segment: int
    store_bytes: int
    files: tuple[str, ...] = ()
    bytes_read: int = 0
    bytes_in_all: int = 0
    tls: tuple[int, int, int] = (0, 0, 0)


class Capturing(Noting):
    """`await start()`, then configure(), exclude() and status() as needed, and `await close()`.

    `settings`: those in force. `keys`, `keep_secrets`: where secrets come from, and whether they are stored. `heard`:
    the descriptor where plain text comes out (hearing.py). For one event loop.
    """

    def __init__(
        self,
        directory: Path,
        settings: CaptureSettings,
        *,
        keep_all: bool = False,
        keys: Keys = NO_KEYS,
        keep_secrets: bool = False,
        heard: int | None = None,
    ) -> None:
        super().__init__()
        self._plain = heard
        self._keys = keys
        self._keep_secrets = keep_secrets
        self._tls_before = (0, 0, 0)
        self.settings = settings
        self._directory = directory
        self._keep_all = keep_all
        self._excluded: tuple[Endpoint, ...] = ()
        self._state: State = "starting"
        self._reason = ""
        self._child: Child | None = None
        self._report = Report()
        self._before: dict[str, int] = {}  # counters of children that are gone
        self._unaccounted = 0
        self._since_ns = 0
        self._heard = 0.0
        self._restarts = 0
        self._failure: PysniffError | None = None
        self._ready: asyncio.Future[None] | None = None
        self._commands = Commands("the process that captures", _SILENCE)
        self._running: asyncio.Task[None] | None = None
        self._configuring = asyncio.Lock()
        self._ending = asyncio.Event()
        self._begun: tuple[CaptureSettings, tuple[Endpoint, ...]] = (settings, ())  # what the child was started with
        self._catching_up: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to capture; raise what the first child cannot do: CaptureError, PrivilegeError, FilterError,
        OptionError, FileError or WriteError. After that it is started again and again, and notices say why."""
        self._ready = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(), name="capture")
        try:
            await self._ready
        except PysniffError:
            await self.close()
            raise

    async def configure(self, settings: CaptureSettings) -> str:
        """Have these settings in force, all or none; "" where they are, else the reason why the old ones stay.

        They are in force for every later child too. While there is none, what can be checked is, and the next one takes
        them.
        """
        async with self._configuring:
            reason = settings.problem()
            if not reason and self._state != "capturing":
                reason = await asyncio.to_thread(_problem_of, settings.bpf)
            if not reason and self._state == "capturing":  # a child may have begun meanwhile, with the old ones
                reason = await self._commands.tell(self._child, {"settings": settings.to_dict()})
            if not reason:
                self.settings = settings
            return reason

    async def exclude(self, endpoints: Iterable[Endpoint]) -> str:
        """Leave out TCP from and to these (address, port) from now on, and nothing else; "" or why that cannot be.

        An unspecified address (0.0.0.0, ::) stands for all of this machine.
        """
        wanted = tuple(sorted(set(endpoints)))
        if wanted == self._excluded:
            return ""
        self._excluded = wanted
        return await self._commands.tell(self._child, {"exclude": wanted}) if self._state == "capturing" else ""

    def status(self) -> CaptureStatus:
        report = self._report
        counters = {name: self._before.get(name, 0) + value for name, value in report.counters.items()}
        return CaptureStatus(
            self._state,
            self._reason,
            self._failure.hint if self._failure is not None else "",
            self._child.pid if self._child is not None else 0,
            self._since_ns,
            self._restarts,
            report.interfaces,
            report.absent,
            counters or dict(self._before),
            self._unaccounted,
            report.excluded,
            report.segment,
            report.store_bytes,
            tls=_sum(self._tls_before, report.tls),
        )

    async def close(self) -> None:
        """End the capture; what was captured is in the store. Again does nothing."""
        self._ending.set()
        running, child = self._running, self._child
        if running is not None:
            if child is not None and self._state == "capturing":
                child.leave()
            elif child is not None:
                child.kill()  # it has captured nothing
            await ended(running, child)
            self._running = None
        self._state = "closed"

    # One child after another

    async def _run(self) -> None:
        pauses = Pauses()
        while True:
            began = time.monotonic()
            await self._one()
            if self._ending.is_set():
                self._reason = "it was closed"
            if self._ready is not None and not self._ready.done():
                self._ready.set_exception(self._failure or CaptureError(f"no capture began: {self._reason}"))
                return
            if self._ending.is_set():
                return
            self._state = "restarting"
            self.note(f"the process that captures ended: {self._reason}; another begins")
            if not await pauses.wait(time.monotonic() - began, self._ending):
                return
            self._restarts += 1

    async def _one(self) -> None:
        """The life of one child."""
        self._failure, self._reason = None, ""
        try:
            module = "pysniff.cluster.worker.capturing_process"
            descriptors = (*self._keys.descriptors, *(() if self._plain is None else (self._plain,)))
            child = await Child.begin(module, str(self._directory), descriptors=descriptors)
        except OSError as error:
            self._reason = f"it cannot be started: {error.strerror}"
            return
        if self._ending.is_set():
            child.kill()
        self._child = child
        watch = asyncio.create_task(self._watch(child))
        try:
            self._begun = self.settings, self._excluded
            child.tell(
                {
                    "settings": self.settings.to_dict(),
                    "exclude": self._excluded,
                    "keep_all": self._keep_all,
                    "keys": self._keys.word(),
                    "keep_secrets": self._keep_secrets,
                    "heard": self._plain,
                }
            )
            async for said in child.heard():
                self._heard = time.monotonic()
                self._take(said)
            code = await child.end()
            self._reason = str(self._failure.message if self._failure is not None else "") or words_for(code)
        finally:
            watch.cancel()
            if self._catching_up is not None:
                self._catching_up.cancel()
            child.kill()  # where this task was cancelled
            self._gone()

    async def _watch(self, child: Child) -> None:
        """A child that hangs is no better than one that died; before it captures, a damaged store may take long."""
        while True:
            await asyncio.sleep(1)
            if self._state == "capturing" and time.monotonic() - self._heard > _SILENCE:
                self.note(f"the process that captures said nothing for {_SILENCE:.0f} seconds")
                child.kill()
                return

    def _take(self, said: dict[str, Any]) -> None:
        if "failed" in said:
            self._failure = failure_in(said)
        elif "answer" in said:
            self._commands.answered(said)
        else:
            self._report = report_of(said)
            for text in self._report.notices:
                self.note(text)
            if said.get("ready"):
                self._state, self._since_ns = "capturing", time.time_ns()
                if self._begun != (self.settings, self._excluded):
                    self._catching_up = asyncio.create_task(self._catch_up())
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)

    async def _catch_up(self) -> None:
        """What was said while the child began; not while others are on their way, which these would undo."""
        async with self._configuring:
            reason = await self._commands.tell(
                self._child, {"settings": self.settings.to_dict(), "exclude": self._excluded}
            )
        if reason:
            self.note(f"the capture goes on with older settings: {reason}")

    def _gone(self) -> None:
        """A child is no more: what it last said of its packets stays in the account."""
        counters = dict(self._report.counters)
        if counters:
            waiting = counters["store_waiting"]
            unread = counters["kernel_received"] - counters["kernel_dropped"] - counters["live_packets"]
            # What came behind its last report, too, but nobody knows how much that was.
            self._unaccounted += waiting + unread
            counters["store_waiting"] = 0
            counters["store_packets"] -= waiting
            counters["kernel_received"] -= unread
        for name, value in counters.items():
            self._before[name] = self._before.get(name, 0) + value
        self._tls_before = _sum(self._tls_before, self._report.tls)
        self._report = Report()
        self._since_ns = 0
        self._child = None
        self._commands.gone()


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _problem_of(bpf: str) -> str:
    """Why a capture filter is none, for Ethernet at least, else ""."""
    # Loaded here: it takes libpcap, which the worker does without.
    from pysniff.capture.bpf import compile

    try:
        if bpf.strip():
            compile(bpf, 1)
    except FilterError as error:
        return str(error)
    return ""
