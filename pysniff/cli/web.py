"""`pysniff --web`: captures, or reads files, and shows the calls on a page in a browser."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pysniff.cli.account import print_ledger
from pysniff.cli.browser import open_browser
from pysniff.cli.errors import FINE, complain
from pysniff.cli.options import STORAGE_LIMIT, room_for
from pysniff.cli.peers import ending, hub_token, teller, where
from pysniff.cli.progress import Progress
from pysniff.errors import OptionError, ReadError
from pysniff.limits import MIB

if TYPE_CHECKING:
    from pysniff.cli.options import SniffOptions, Web
    from pysniff.cluster.laptop import Laptop
    from pysniff.cluster.worker.reading import Reading

PORT = 8898
# Seconds between two looks at how far the files are read.
_LOOK = 0.2


def check_web(options: SniffOptions, web: Web) -> None:
    """Raise OptionError for what makes no sense on a page."""
    refused = (
        (options.json, "--json", "ask the running page's address: pysniff query http://127.0.0.1:8898 --json"),
        (options.write is not None, "-w", "the page gives packets as pcapng; --store DIR keeps them all"),
        (bool(options.outputs), "-o", "the page gives each call as HAR and curl; -o works without --web"),
        (options.count is not None, "-c", "the page shows as many as there are"),
        (options.strict, "--strict", "the page shows the ledger; --strict is for runs that end by themselves"),
        (bool(options.decode_as), "-d", "a protocol can be forced on a port without --web"),
        (bool(options.proto), "--proto", "fields of gRPC messages are named without --web"),
        (options.body_limit != MIB, "--body-limit", "the page asks for as much as it shows"),
        (options.duration is not None and not options.files, "--duration", "with --web it is for files: Ctrl-C ends"),
    )
    for given, option, hint in refused:
        if given:
            raise OptionError(f"--web and {option} exclude each other", hint=hint)


def show(options: SniffOptions, web: Web) -> int:
    """Until Ctrl-C; the exit code. Raises PysniffError."""
    check_web(options, web)
    try:
        import pysniff.cluster.laptop  # noqa: F401
        from pysniff.cli.serving import prepare
        from pysniff.cluster.hub.page import HOW_TO_BUILD, built
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pysniff"):
            raise
        raise OptionError(f"--web needs {error.name}", hint="pip install 'pysniff[web]'") from None
    if built() is None:
        raise OptionError("the page is not built", hint=HOW_TO_BUILD)
    prepare(complain)
    return asyncio.run(_Run(options, web).until_ended())


class _Run:
    """One run, from its options to its account."""

    def __init__(self, options: SniffOptions, web: Web) -> None:
        from pysniff.cluster.endpoint import endpoint

        self._options = options
        self._opens = web.browser
        self._listen = endpoint(web.listen or "127.0.0.1", PORT)
        self._progress = Progress(
            sys.stderr, enabled=sys.stderr.isatty() and not options.quiet, shared=True, what="packets"
        )

    async def until_ended(self) -> int:
        # A terminal that closes ends it too, unless nohup says otherwise.
        gone = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        ended = ending(*gone)
        with ExitStack() as stack:
            if self._options.store is None:
                from pysniff.cluster.temporary_store import temporary_store

                directory = stack.enter_context(temporary_store())
            else:
                directory = Path(self._options.store)
            token, source = hub_token(None, self._listen[0])
            laptop = self._laptop(directory, token)
            await _until(ended, self._serve(laptop, token, source))
        if laptop.worker is None:
            return FINE
        print_ledger(laptop.worker.ledger())
        reading = laptop.worker.reading
        return FINE if reading is None or reading.failure is None else reading.failure.exit_code

    def _laptop(self, directory: Path, token: str | None) -> Laptop:
        from pysniff.cluster.access import is_loopback
        from pysniff.cluster.hub.program import HubOptions
        from pysniff.cluster.laptop import Laptop
        from pysniff.cluster.node_name import machine
        from pysniff.cluster.worker.capturing_words import CaptureSettings
        from pysniff.cluster.worker.configuration import Configuration
        from pysniff.cluster.worker.reading import Files
        from pysniff.cluster.worker.tracing_words import TracingSettings
        from pysniff.cluster.worker.worker import WorkerOptions

        options = self._options
        capture = CaptureSettings(
            interfaces=options.interfaces, netns=options.netns, bpf=options.bpf, storage_limit=options.storage_limit
        )
        files = None
        if options.files:
            files = Files(names=options.files, follow=options.follow, duration=options.duration)
            if options.storage_limit == STORAGE_LIMIT:  # a file is to be there from its beginning
                capture = replace(capture, storage_limit=room_for(options))
        hub = HubOptions(
            name=machine(),
            listen=self._listen,
            token=token,
            allowed_hosts=() if is_loopback(self._listen[0]) else (socket.gethostname(),),
            tell=self._complain,
            tell_more=teller(not options.verbosity),
        )
        worker = WorkerOptions(
            directory=directory,
            node=machine(),
            configuration=Configuration(capture=capture),
            store_all=options.store_all or files is not None,
            names=None if options.names is None else Path(options.names),
            files=files,
            keylogs=tuple(map(Path, options.keylog)),
            store_secrets=options.store_secrets,
            tracing=TracingSettings(mode=options.tls or "off", only=options.tls_only),
        )
        return Laptop(hub, worker, self._tell)

    def _tell(self, text: str) -> None:
        """A line for people, unless they want none."""
        if not self._options.quiet:
            self._complain(text)

    def _complain(self, text: str) -> None:
        self._progress.make_room()
        complain(text)

    async def _serve(self, laptop: Laptop, token: str | None, source: str) -> None:
        """Until it is cancelled, or there is nothing to serve: raises PysniffError."""
        async with laptop:
            worker = laptop.worker
            assert worker is not None
            self._welcome(laptop, where("page", laptop.url, token, source, self._place()))
            opening = asyncio.create_task(self._open(laptop.url + self._place()))
            try:
                if worker.reading is not None:
                    await self._read(worker.reading)
                await asyncio.Event().wait()
            finally:
                opening.cancel()

    def _welcome(self, laptop: Laptop, link: str) -> None:
        assert laptop.worker is not None
        capture = laptop.worker.capture
        if capture.files:
            self._tell(f"reading {capture.reason}")
        else:
            self._tell(f"listening on {', '.join(capture.interfaces) or 'no interface yet'}")
        if capture.absent:
            self._tell(f"waiting for {', '.join(capture.absent)} (pysniff -D lists the interfaces)")
        self._tell(f"{link} ... Ctrl-C stops")

    def _place(self) -> str:
        """What of the page is shown, behind the # of its address."""
        filter = self._options.filter
        return "" if filter is None else f"#/calls?{urlencode({'filter': filter.text})}"

    async def _open(self, url: str) -> None:
        """The browser. It gets no token: this machine needs none where it alone is served."""
        reason = await open_browser(url) if self._opens else ""
        if reason:
            self._complain(f"no browser was opened: {reason} (open {url})")

    async def _read(self, reading: Reading) -> None:
        """Tell how far it is; raise what left nothing to be shown."""
        progress = self._progress
        over = asyncio.create_task(reading.over.wait())
        try:
            while not over.done():
                status = reading.status()
                progress.count = status.counters.get("store_packets", 0)
                progress(status.bytes_read, status.bytes_in_all or None)
                await asyncio.wait((over,), timeout=_LOOK)
        finally:
            over.cancel()
            progress.erase()
        failure = reading.failure
        if failure is not None and not isinstance(failure, ReadError):
            raise failure
        if failure is not None:
            self._complain(f"{failure}; what came before it is shown")
        status = reading.status()
        self._tell(f"{status.counters.get('store_packets', 0):,} packets were read")


async def _until(ended: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do the work until then; raise what it raises."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(ended.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    for task in (working, waiting):
        task.cancel()
    for result in await asyncio.gather(working, waiting, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
