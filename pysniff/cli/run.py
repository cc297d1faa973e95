"""The run of `pysniff sniff`: entries from the source to the sink, then the account and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from pysniff.cli import source
from pysniff.cli.errors import FINE, LOST
from pysniff.cli.feel import Notices, QuietHint, listening
from pysniff.cli.json_lines import JsonLines
from pysniff.cli.lines import Lines
from pysniff.cli.output import Output, Silent, Sink
from pysniff.cli.progress import Progress
from pysniff.cli.terminal import terminal, visible
from pysniff.errors import PysniffError, WriteError

if TYPE_CHECKING:
    from pysniff.capture.writer import Writer
    from pysniff.cli.options import SniffOptions
    from pysniff.entry import Entry
    from pysniff.ledger import Ledger


def run(options: SniffOptions) -> int:
    """Sniff or read until the end, -c, --duration or Ctrl-C; the exit code."""
    if sys.stdout is None:
        raise WriteError("standard output is closed", hint="redirect it to /dev/null")
    sink = open_sink(options)
    writer = open_writer(options.write)
    watched = sys.stderr.isatty() and not options.quiet
    progress = Progress(sys.stderr, enabled=watched and not options.live, shared=sys.stdout.isatty())
    failure: PysniffError | None = None
    with ExitStack() as stack:
        entries = stack.enter_context(source.open_source(options, writer, progress))
        interrupt = stack.enter_context(source.interruptible(entries.stop))
        if watched and not options.files:
            listening(entries.interfaces)
            stack.enter_context(QuietHint(entries.ledger))
        try:
            pump(entries.batches(), sink, options.count, progress, Notices(getattr(entries, "notices", ())))
        except PysniffError as error:
            failure = error  # what came before it is shown first
        finally:
            progress.erase()
        sink.close()
    if writer is not None:
        # After a wrong filter there is nothing to write, and an old file stays.
        writer.close() if failure is None else writer.abandon()
    if options.verbosity or interrupt.asked:
        print_ledger(entries.ledger)
    if failure is not None:
        raise failure
    return LOST if options.strict and not entries.ledger.lossless() else FINE


def pump(batches: Iterable[list[Entry]], sink: Sink, count: int | None, progress: Progress, notices: Notices) -> None:
    """Show every batch, or the first `count` calls."""
    budget = None if count is None else Budget(count)
    notices.tell()
    for batch in batches:
        notices.tell()
        if budget is not None:
            batch = budget.take(batch)
        if batch:
            progress.entries += len(batch)
            progress.make_room()
            sink.show(released(batch))
        if budget is not None and not budget.left:
            return
    notices.tell()


def released(batch: list[Entry]) -> Iterator[Entry]:
    """Each entry once; the list lets go of it, and with it goes the body that was decoded to show it."""
    batch.reverse()
    while batch:
        yield batch.pop()


class Budget:
    """-c: calls still to be shown. The closing line of a call shown open belongs to the same call."""

    def __init__(self, count: int) -> None:
        self.left = count
        self._open: set[str] = set()

    def take(self, entries: Iterable[Entry]) -> list[Entry]:
        taken = []
        for entry in entries:
            if not self.left:
                break
            if not self._is_revision(entry):
                self.left -= 1
            taken.append(entry)
        return taken

    def _is_revision(self, entry: Entry) -> bool:
        if entry.state == "open":
            seen = entry.id in self._open
            self._open.add(entry.id)
            return seen
        if self._open and entry.id in self._open:
            self._open.remove(entry.id)
            return True
        return False


def open_sink(options: SniffOptions) -> Sink:
    if options.quiet or options.write == "-":
        return Silent()
    output = Output(sys.stdout.buffer, live=options.live)
    if options.json:
        return JsonLines(output, options.body_limit)
    return Lines(output, terminal(sys.stdout), options.verbosity, options.body_limit)


def open_writer(target: str | None) -> Writer | None:
    if target is None:
        return None
    from pysniff.capture.writer import Writer

    return Writer(target)


def print_ledger(ledger: Ledger) -> None:
    for text in ledger.lines():
        # Reasons may quote the wire.
        click.echo(visible(text), err=True)
