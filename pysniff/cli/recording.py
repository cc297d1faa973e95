"""`--store`: packets into a directory. Alone with -q; beside the display in a process of its own, so that showing calls
never costs the capture a packet.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from pysniff import errors
from pysniff.cli import source
from pysniff.cli.account import print_ledger
from pysniff.cli.errors import FINE, LOST
from pysniff.cli.feel import Notices, listening
from pysniff.errors import CaptureError, PysniffError
from pysniff.ledger import Ledger

if TYPE_CHECKING:
    from pysniff.capture.dumpcap import Dumpcap
    from pysniff.capture.live import Live
    from pysniff.capture.writer import Writer
    from pysniff.cli.options import QueryOptions, SniffOptions
    from pysniff.entry import Entry
    from pysniff.limits import Limits
    from pysniff.packet import Block
    from pysniff.store.query import Query
    from pysniff.store.recorder import Recorder

# The counters that a recording process tells the one that shows its calls.
_TOLD = (
    "live_packets", "kernel_received", "kernel_dropped", "interface_dropped", "store_packets", "store_written",
    "store_cut", "store_queue_full", "store_disk_full", "store_waiting", "store_evicted",
    "tables_missed",
)  # fmt: skip
_PRECEDENCE = -10
_PATIENCE = 10
# Seconds between its reports.
_EVERY = 0.5


class Tee:
    """Gives packets to a store and to a file."""

    def __init__(self, recorder: Recorder, writer: Writer | None) -> None:
        self._recorder = recorder
        self._writer = writer

    def write(self, block: Block) -> None:
        self._recorder.write(block)
        if self._writer is not None:
            self._writer.write(block)


def open_recorder(options: SniffOptions, capture_source: str) -> Recorder:
    from pysniff.store import Store

    assert options.store is not None
    store = Store(options.store, options.storage_limit)
    return store.record(
        keep_all=options.store_all, capture_source=capture_source, wait=bool(options.files) and not options.follow
    )


def ask(options: SniffOptions, query: QueryOptions, limits: Limits) -> Query:
    """The entries that `pysniff query` asks for."""
    from pysniff.store import Store

    assert options.store is not None
    store = Store(options.store)
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

    ledger = Ledger()
    _take_precedence()
    with ExitStack() as stack:
        live = open_live(options.interfaces, options.bpf)
        stack.enter_context(live)
        recorder = stack.enter_context(open_recorder(options, "libpcap"))
        interrupt = stack.enter_context(source.interruptible(live.stop))
        notices = Notices(recorder.notices), Notices(live.notices)
        if sys.stderr.isatty() and not report.wanted:
            listening(live.interfaces)
        report.tell(ready=True, segment=recorder.segment, interfaces=live.interfaces)
        for _ in _fed(live, Tee(recorder, writer), options.duration, ledger, recorder, report):
            for each in () if report.wanted else notices:
                each.tell()
    _account(ledger, live, recorder)
    report.tell(**_told(ledger), notices=[*recorder.notices, *live.notices])
    if options.verbosity or (interrupt.asked and not report.wanted):
        print_ledger(ledger)
    return LOST if options.strict and not ledger.lossless() else FINE


def _take_precedence() -> None:
    """Where it may, ahead of what reads the store: who captures must be there when packets come, a query has time."""
    with contextlib.suppress(OSError):  # it takes CAP_SYS_NICE
        os.setpriority(os.PRIO_PROCESS, 0, _PRECEDENCE)


def _fed(
    live: Live | Dumpcap, tee: Tee, duration: float | None, ledger: Ledger, recorder: Recorder, report: Report
) -> Iterator[None]:
    """Hand every packet on; now and then report."""
    from threading import Timer
    from time import monotonic

    from pysniff.capture import Idle

    timer = None if duration is None else Timer(duration, live.stop)
    if timer is not None:
        timer.daemon = True
        timer.start()
    due = monotonic() + _EVERY
    try:
        for item in live:
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
    finally:
        if timer is not None:
            timer.cancel()


def _account(ledger: Ledger, live: Live | Dumpcap, recorder: Recorder) -> None:
    counts = live.counts()
    ledger.kernel_received = counts.received_by_kernel
    ledger.kernel_dropped = counts.dropped_by_kernel
    ledger.interface_dropped = counts.dropped_by_interface
    recorder.account(ledger)


def _told(ledger: Ledger) -> dict[str, int]:
    return {name: getattr(ledger, name) for name in _TOLD}


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


class Recorded:
    """Entries of what another process records, as reading.Entries gives those of an interface.

    Raises what that process could not do as the exception that it had there.
    """

    def __init__(self, options: SniffOptions) -> None:
        self._options = options
        self._told: dict[str, int] = {}
        self._ready = Event()
        self._failure: PysniffError | None = None
        self._segment = 0
        self.interfaces: Sequence[str] = ()
        self.notices: list[str] = []
        self._query: Query | None = None
        reader, writer = os.pipe()
        try:
            # In a session of its own: Ctrl-C is for the one that shows, which ends this one in good order.
            self._process = subprocess.Popen(
                _command(options, writer), pass_fds=(writer,), stdin=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(writer)
        self._thread = Thread(target=self._listen, args=(os.fdopen(reader),), daemon=True)
        self._thread.start()
        self._ready.wait()
        if not self._segment:
            self._process.wait()
            raise self._failure or CaptureError("the process that records did not begin")
        self._query = self._asked()

    @property
    def ledger(self) -> Ledger:
        assert self._query is not None
        ledger = self._query.ledger
        for name, value in self._told.items():
            setattr(ledger, name, value)
        return ledger

    def batches(self) -> Iterator[list[Entry]]:
        assert self._query is not None
        yield from self._query.batches()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the capture; what was captured is still shown. Safe in a signal handler."""
        if self._process.poll() is None:
            self._process.terminate()

    def close(self) -> None:
        if self._query is not None:
            self._query.close()
        self.stop()
        self._process.wait()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self) -> Query:
        from pysniff.descriptors import schemas
        from pysniff.kfl.variables import compile
        from pysniff.store.query import Query, Question

        options = self._options
        question = Question(
            filter=options.filter or compile(""),
            follow=True,
            after=self._segment - 1,
            decode_as=options.decode_as,
            proto=schemas(options.proto),
            limits=source.limits(options.body_limit),
        )
        assert options.store is not None
        return Query(Path(options.store), question)

    def _listen(self, lines: IO[str]) -> None:
        """Take the reports of the recording process until it ends."""
        with lines:
            for line in lines:
                self._take(json.loads(line))
        code = self._process.wait()
        if not self._ready.is_set() or (code and self._failure is None):
            self._failure = self._failure or CaptureError(
                f"the process that records ended with {code}", hint="what it had stored was shown"
            )
        self._ready.set()
        if self._query is not None:
            self._query.finish()

    def _take(self, report: dict[str, object]) -> None:
        if report.get("ready"):
            self._segment = int(str(report["segment"]))
            self.interfaces = [str(name) for name in _list(report["interfaces"])]
            self._ready.set()
        elif "failed" in report:
            kind = getattr(errors, str(report["failed"]), CaptureError)
            self._failure = kind(str(report["message"]), hint=str(report["hint"]))
        else:
            self._told = {name: int(str(report[name])) for name in _TOLD}
            self.notices[:] = [str(notice) for notice in _list(report["notices"])]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _command(options: SniffOptions, report: int) -> list[str]:
    """The same capture as one that only records."""
    assert options.store is not None
    command = [sys.executable, "-m", "pysniff", "sniff", "-q", "--store", options.store]
    command += ["--storage-limit", str(options.storage_limit), "--report-to", str(report)]
    command += [word for name in options.interfaces for word in ("-i", name)]
    if options.store_all:
        command.append("--store-all")
    if options.duration is not None:
        command += ["--duration", str(options.duration)]
    if options.write is not None:
        command += ["-w", options.write]
    return command + (["-f", options.bpf] if options.bpf else [])
