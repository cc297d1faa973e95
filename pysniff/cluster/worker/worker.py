"""A worker put together: what captures, or reads files, what dissects, the configuration, and the links to hubs.

Its event loop moves frames and waits; packets are in other processes. Without any hub it records.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from pysniff import __version__
from pysniff.capture.exclusion import Endpoint
from pysniff.cluster import node_name
from pysniff.cluster.access import Access
from pysniff.cluster.frames import VERSION, Hello
from pysniff.cluster.worker import status
from pysniff.cluster.worker.answers import WorkerAnswers, compiles
from pysniff.cluster.worker.capturing import CaptureStatus, Capturing
from pysniff.cluster.worker.configuration import Configuration, Document
from pysniff.cluster.worker.configuration_file import NAME, load
from pysniff.cluster.worker.configuring import Configuring
from pysniff.cluster.worker.keys import Keys
from pysniff.cluster.worker.others import Others
from pysniff.cluster.worker.processes import Processes
from pysniff.cluster.worker.reading import Files, Reading
from pysniff.cluster.worker.tracing import Tracing
from pysniff.cluster.worker.tracing_words import TracingSettings
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.errors import CaptureError, FileError, PysniffError, WriteError
from pysniff.hosts import names_from
from pysniff.ledger import Ledger
from pysniff.secret_ring import SecretRing
from pysniff.store.directory import create

# The last ones, which its status has.
_NOTICES = 200


class _Kept(TypedDict):
    """What both who captures and who reads are told."""

    keep_all: bool
    keys: Keys
    keep_secrets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """`configuration`: what the command line says of the capture. `listen`: None to dial hubs only. `hubs`: URLs.
    `names`: a file with names of addresses. `own`: ends on this machine whose traffic is the cluster's, known from the
    start. `files`: what is read in place of a capture. `keylogs`: files with secrets of TLS, that may grow.
    `store_secrets`: whether secrets are kept beside the packets. `tracing`: which programs' keys are read out of them;
    off: none ever, whatever a hub says."""

    directory: Path
    node: str
    configuration: Configuration = field(default_factory=Configuration)
    store_all: bool = False
    listen: tuple[str, int] | None = ("127.0.0.1", 8897)
    hubs: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    names: Path | None = None
    own: tuple[Endpoint, ...] = ()
    files: Files | None = None
    keylogs: tuple[Path, ...] = ()
    store_secrets: bool = False
    tracing: TracingSettings = field(default_factory=TracingSettings)


class Worker:
    """`await start()`, and `await close()` in the end. `tell`: takes one line for people, `tell_more` one for those who
    want to know of hubs that come and go: the same unless told."""

    def __init__(
        self, options: WorkerOptions, tell: Callable[[str], None], tell_more: Callable[[str], None] | None = None
    ) -> None:
        """Raise what start() would, where that can be known: OptionError, FileError, WriteError."""
        node_name.check(options.node)
        names_from(options.names)  # a wrong one is said at once
        if options.listen is not None:
            options.access.allow(options.listen[0])
        create(options.directory)
        self.session = secrets.token_hex(8)
        self.listening: tuple[str, int] | None = None
        self._options = options
        self._tell = tell
        self._tell_more = tell_more or tell
        self._started_ns = time.time_ns()
        # What a hub once set is for captures.
        document = load(options.directory) if options.files is None else Document()
        effective = options.configuration.overlaid(document)
        self._tracing = Tracing(effective.traced(options.tracing)) if options.tracing.mode != "off" else None
        # A capture that is read may bring secrets with it.
        self._brought = SecretRing() if options.files is not None else None
        keys = self._keys()
        self._processes = Processes(options.directory, options.node, names=options.names, keys=keys)
        kept = _Kept(keep_all=options.store_all, keys=keys, keep_secrets=options.store_secrets)
        self._capturing: Capturing | Reading = (
            Capturing(
                options.directory,
                effective.settings(),
                **kept,
                heard=None if self._tracing is None else self._tracing.heard,
            )
            if options.files is None
            else Reading(options.directory, effective.settings(), options.files, **kept)
        )
        for each in (self._capturing, self._tracing):
            if each is not None:
                each.on_notice.append(self._noticed)
        self._configuring = Configuring(
            options.directory,
            options.configuration,
            document,
            self._capturing,
            self._compiles,
            tell,
            None if self._tracing is None else self._trace,
        )
        answers = WorkerAnswers(self._processes, self._configuring, self.status, self._told_to_exclude)
        self._links = WorkerLinks(answers, self._hello(), options.access)
        self._links.on_change.append(self._linked)
        self._hubs: dict[str, tuple[object, object]] = {}
        self._notices: list[str] = []
        self._excluding: asyncio.Task[None] | None = None
        self._others = Others()
        self._look_again: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Capture, then listen and dial; raise PysniffError where either cannot begin, and nothing is left running."""
        options = self._options
        try:
            await self._exclude()
            if self._tracing is not None:
                await self._begin_to_trace(self._tracing)  # so that the first connection is decrypted
            await self._begin_to_capture()
            await self._processes.start()
            if options.listen is not None:
                self.listening = await self._links.listen(*options.listen)
            for url in options.hubs:
                self._links.dial(url)
            await self._exclude()
        except OSError as error:
            await self.close()
            raise WriteError(f"no process can be started: {error.strerror or error}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Part from the hubs, end all answers, write what was captured."""
        await self._links.close()
        if self._look_again is not None:
            self._look_again.cancel()
        if self._excluding is not None:
            self._excluding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._excluding
        await self._processes.close()
        await self._capturing.close()
        if self._tracing is not None:
            await self._tracing.close()
        if self._brought is not None:
            self._brought.close()
            self._brought = None

    @property
    def capture(self) -> CaptureStatus:
        return self._capturing.status()

    @property
    def reading(self) -> Reading | None:
        """What reads files in place of a capture."""
        return self._capturing if isinstance(self._capturing, Reading) else None

    def ledger(self) -> Ledger:
        """The account of what was captured, over all processes that did."""
        ledger = Ledger()
        for name, value in self.capture.counters.items():
            if name in Ledger.__slots__:
                setattr(ledger, name, value)
        return ledger

    def status(self) -> dict[str, object]:
        """What "status" answers."""
        capture = self.capture
        return {
            **status.life(self._options.node, self.session, self._started_ns),
            "capturing": capture.state == "capturing" and bool(capture.interfaces),
            "capture": status.capture_figures(capture),
            "ledger": dict(capture.counters),
            "store": status.store_figures(self._options.directory, self._capturing.settings.storage_limit, capture),
            "queries": status.query_figures(self._processes),
            "memory": status.memory_figures(capture, self._processes, self._tracing),
            "tls": status.tls_figures(capture, self._tracing, [str(path) for path in self._options.keylogs])
            | {"store_secrets": self._options.store_secrets},
            "config_version": self._configuring.document.version,
            "hubs": self._links.hubs(),
            "links": dict(self._links.figures),
            "notices": self._notices[-20:],
        }

    async def _begin_to_trace(self, tracing: Tracing) -> None:
        """Where this machine does not allow it, that is said, and everything else goes on."""
        try:
            await tracing.start()
        except CaptureError as error:
            self._noticed(f"--tls: {error}; going on without")

    async def _begin_to_capture(self) -> None:
        try:
            await self._capturing.start()
        except PysniffError as error:
            version = self._configuring.document.version
            # No configuration is to blame for a store that another process has, or a disk.
            if version and not isinstance(error, FileError | WriteError):
                hint = f"version {version} of a hub's configuration is in force: remove {NAME} in the store to undo it"
                raise type(error)(error.message, hint=f"{error.hint}; {hint}" if error.hint else hint) from None
            raise

    async def _compiles(self, bpf: str) -> str:
        return await compiles(self._processes, bpf)

    def _hello(self) -> Hello:
        info: dict[str, object] = {"started_ns": self._started_ns}
        return Hello(VERSION, "worker", self._options.node, self.session, f"pysniff {__version__}", info)

    def _keys(self) -> Keys:
        files = tuple(str(path.absolute()) for path in self._options.keylogs)
        if self._brought is not None:
            return Keys(files, self._brought.fd, "pcapng")
        return Keys(files, None if self._tracing is None else self._tracing.ring)

    async def _trace(self, mode: str) -> str:
        """What a hub's document says of keys: "" or why it cannot be."""
        assert self._tracing is not None
        return await self._tracing.configure(replace(self._options.tracing, mode=mode or self._options.tracing.mode))

    def _noticed(self, text: str) -> None:
        self._notices.append(text)
        del self._notices[:-_NOTICES]
        self._tell(text)
        self._processes.tell("query", text)

    def _linked(self) -> None:
        """A hub came or went."""
        hubs = {f"{hub['address']}": (hub["state"], hub["reason"]) for hub in self._links.hubs()}
        for address, now in hubs.items():
            if self._hubs.get(address) != now:
                state, reason = now
                self._tell_more(f"hub {address}: {state}" + (f" ({reason})" if reason else ""))
        for address in self._hubs.keys() - hubs.keys():
            self._tell_more(f"hub {address}: gone")
        self._hubs = hubs
        self._see_hubs()

    def _told_to_exclude(self, hub: str, ends: list[Endpoint]) -> None:
        self._others.tell(hub, ends)
        self._see_hubs()

    def _see_hubs(self) -> None:
        """Believe hubs that are there, and for a while those that are gone."""
        if self._look_again is not None:
            self._look_again.cancel()
        loop = asyncio.get_running_loop()
        connected = {str(hub["session"]) for hub in self._links.hubs() if hub["state"] == "connected"}
        again = self._others.see(connected, loop.time())
        self._look_again = None if again is None else loop.call_at(again, self._linked)
        self._exclude_soon()

    def _exclude_soon(self) -> None:
        if self._excluding is None or self._excluding.done():
            self._excluding = asyncio.get_running_loop().create_task(self._exclude())

    async def _exclude(self) -> None:
        """Keep what this worker and its hubs say to each other out of the capture, or each call shown would be one."""
        told: frozenset[Endpoint] | None = None
        while told != (wanted := self._own_traffic()):
            told = wanted
            if reason := await self._capturing.exclude(wanted):
                self._tell(f"the traffic with hubs is captured too: {reason}")

    def _own_traffic(self) -> frozenset[Endpoint]:
        listening = () if self.listening is None else (self.listening,)
        ours = (one for one, _ in self._links.endpoints())
        return self._others.ends().union(self._options.own, listening, ours)
