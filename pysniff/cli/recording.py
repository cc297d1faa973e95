"""`--store`: packets into a directory. Alone with -q; beside the display in a process of its own, so that showing calls
never costs the capture a packet.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.cli import source
from pysniff.cli.account import print_ledger
from pysniff.cli.decryption import open_tracing
from pysniff.cli.errors import FINE, LOST, complain
from pysniff.cli.feel import Notices, listening
from pysniff.cli.terminal import visible
from pysniff.cli.tls_programs import counted_lines
from pysniff.errors import PysniffError
from pysniff.ledger import Ledger

if TYPE_CHECKING:
    from pysniff.capture.dumpcap import Dumpcap
    from pysniff.capture.live import Live
    from pysniff.capture.writer import Writer
    from pysniff.cli.options import QueryOptions, SniffOptions
    from pysniff.limits import Limits
    from pysniff.packet import Block
    from pysniff.plain import PlainChunk
    from pysniff.secrets import Secret, SecretSource
    from pysniff.store.query import Query
    from pysniff.store.recorder import Recorder
    from pysniff.tracing import Tracing

# The counters that a recording process tells the one that shows its calls.
TOLD = (
    "live_packets", "kernel_received", "kernel_dropped", "interface_dropped", "store_packets", "store_written",
    "store_cut", "store_queue_full", "store_disk_full", "store_waiting", "store_evicted",
    "tables_missed", "names_missed",
)  # fmt: skip
_PATIENCE = 10
# Seconds between its reports.
_EVERY = 0.5
# Seconds between two looks for plain text of programs.
_LISTENS = 0.02


class Tee:
    """Gives packets to a store and to a file."""

    def __init__(self, recorder: Recorder, writer: Writer | None) -> None:
        self._recorder = recorder
        self._writer = writer

    def write(self, block: Block) -> None:
        self._recorder.write(block)
        if self._writer is not None:
            self._writer.write(block)


def open_recorder(
    options: SniffOptions, capture_source: str, secrets: Sequence[SecretSource] | None = None
) -> Recorder:
    """`secrets`: where those come from that are kept with --store-secrets; None: nobody asks for them."""
    from pysniff.store import Store

    assert options.store is not None
    store = Store(options.store, options.storage_limit)
    return store.record(
        keep_all=options.store_all,
        capture_source=capture_source,
        wait=bool(options.files) and not options.follow,
        secrets=[] if secrets is None and options.store_secrets else secrets,
        keep_secrets=options.store_secrets,
    )


def _sources(options: SniffOptions, tracing: Tracing | None) -> list[SecretSource] | None:
    """Of a live recording: key logs, and the keys of running programs; None where nobody wants any."""
    from pysniff.keylogs import key_logs

    found: list[SecretSource] = key_logs(options.keylog, follow=True) if options.store_secrets else []
    if tracing is not None and tracing.secrets is not None:
        found.append(tracing.secrets if options.keys_to is None else Shared(tracing.secrets, options.keys_to))
    return found if found or options.store_secrets else None


class Shared:
    """A SecretSource whose secrets another process gets too, through memory."""

    def __init__(self, source: SecretSource, fd: int) -> None:
        from pysniff.secret_ring import SecretRing

        self.name = source.name
        self._source = source
        self._ring = SecretRing(fd)

    @property
    def complete(self) -> bool:
        return self._source.complete

    def take(self) -> list[Secret]:
        from pysniff.secret_ring import Told

        found = list(self._source.take())
        self._ring.put(Told(secret, 0) for secret in found)
        return found


def ask(options: SniffOptions, query: QueryOptions, limits: Limits) -> Query:
    """The entries that `pysniff query` asks for."""
    from pysniff.store import Store
    from pysniff.store.directory import is_empty

    assert options.store is not None
    store = Store(options.store)
    if is_empty(Path(options.store)) and not options.quiet:
        complain(f"{options.store}: nothing is stored there (record with pysniff --store DIR)")
    if not options.follow and store.is_recorded():
        os.nice(_PATIENCE)  # who records goes first
    return store.query(
        options.filter or "",
        start=query.start,
        end=query.end,
        newest_first=query.newest_first,
        follow=options.follow,
        decode_as=options.decode_as,
        proto=options.proto,
        names=options.names,
        keylog=options.keylog,
        limits=limits,
    )


def record(options: SniffOptions, writer: Writer | None) -> int:
    """Capture into the store and dissect nothing, until --duration or Ctrl-C; the exit code."""
    report = Report(options.report_to)
    try:
        return _record(options, writer, report)
    except PysniffError as error:
        if not report.wanted:
            raise
        report.tell(failed=type(error).__name__, message=error.message, hint=error.hint)
        return error.exit_code


def _record(options: SniffOptions, writer: Writer | None, report: Report) -> int:
    from pysniff.capture.live import open_live
    from pysniff.capture.precedence import take_precedence

    ledger = Ledger()
    take_precedence()
    with ExitStack() as stack:
        tracing = open_tracing(options)  # first of all, so that the first connection is decrypted
        if tracing is not None:
            stack.enter_context(tracing)
        secrets = _sources(options, tracing)
        live = open_live(options.interfaces, options.bpf, netns=options.netns)
        stack.enter_context(live)
        recorder = stack.enter_context(open_recorder(options, "libpcap", secrets))
        if tracing is not None and tracing.secrets is not None:
            kernel = tracing.secrets
            recorder.tell_begun(lambda connection: kernel.began([connection]))
        interrupt = stack.enter_context(source.interruptible(live.stop))
        notices = Notices(recorder.notices), Notices(live.notices)
        if sys.stderr.isatty() and not report.wanted:
            listening(live.interfaces)
        report.tell(ready=True, segment=recorder.segment, interfaces=live.interfaces)
        heard = _quiet if tracing is None else tracing.chunks
        for _ in _fed(live, Tee(recorder, writer), options.duration, ledger, recorder, report, heard):
            for each in () if report.wanted else notices:
                each.tell()
    _account(ledger, live, recorder)
    programs = [] if tracing is None or tracing.secrets is None else [*counted_lines(tracing.secrets.report())]
    report.tell(**_told(ledger), notices=[*recorder.notices, *live.notices], programs=programs)
    if options.verbosity:
        for text in programs:
            click.echo(visible(text), err=True)
    if options.verbosity or (interrupt.asked and not report.wanted):
        print_ledger(ledger)
    return LOST if options.strict and not ledger.lossless() else FINE


def _fed(
    live: Live | Dumpcap,
    tee: Tee,
    duration: float | None,
    ledger: Ledger,
    recorder: Recorder,
    report: Report,
    heard: Callable[[], Sequence[PlainChunk]],
) -> Iterator[None]:
    """Hand every packet on, and plain text of programs; now and then report."""
    from threading import Timer
    from time import monotonic

    from pysniff.capture import Idle

    timer = None if duration is None else Timer(duration, live.stop)
    if timer is not None:
        timer.daemon = True
        timer.start()
    due, listens = monotonic() + _EVERY, 0.0
    try:
        for item in live:
            if monotonic() >= listens:
                recorder.write_plain(heard())
                listens = monotonic() + _LISTENS
            if not isinstance(item, Idle):
                ledger.live_packets += len(item)
                tee.write(item)
            if monotonic() >= due:
                due = monotonic() + _EVERY
                _account(ledger, live, recorder)
                report.tell(**_told(ledger), notices=[*recorder.notices, *live.notices])
                if report.abandoned:
                    live.stop()
            yield
        recorder.write_plain(heard())
    finally:
        if timer is not None:
            timer.cancel()


def _quiet() -> Sequence[PlainChunk]:
    return ()


def _account(ledger: Ledger, live: Live | Dumpcap, recorder: Recorder) -> None:
    counts = live.counts()
    ledger.kernel_received = counts.received_by_kernel
    ledger.kernel_dropped = counts.dropped_by_kernel
    ledger.interface_dropped = counts.dropped_by_interface
    recorder.account(ledger)


def _told(ledger: Ledger) -> dict[str, int]:
    return {name: getattr(ledger, name) for name in TOLD}


class Report:
    """What a recording process tells its parent: a JSON object a line."""

    def __init__(self, fd: int | None) -> None:
        self.wanted = fd is not None
        self.abandoned = False  # the one that wanted it is gone
        self._stream = None if fd is None else os.fdopen(fd, "w")

    def tell(self, **values: object) -> None:
        if self._stream is not None:
            try:
                print(json.dumps(values), file=self._stream, flush=True)
            except OSError:
                self._stream = None
                self.abandoned = True
