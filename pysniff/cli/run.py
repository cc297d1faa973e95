"""The run of `pysniff sniff`: entries from the source to the sink, then the account and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from pysniff.cli import source
from pysniff.cli.account import print_ledger
from pysniff.cli.decryption import source_lines, tell_undecrypted, tracing_line
from pysniff.cli.errors import FINE, LOST, complain
from pysniff.cli.export import needs_packets, open_exports, to_stdout
from pysniff.cli.feel import Notices, QuietHint, empty_hint, listening
from pysniff.cli.json_lines import JsonLines
from pysniff.cli.lines import Lines
from pysniff.cli.options import room_for
from pysniff.cli.outcomes import Outcomes
from pysniff.cli.output import Output, Silent, Sink
from pysniff.cli.progress import Progress
from pysniff.cli.terminal import terminal, visible
from pysniff.entries import Entries
from pysniff.errors import PysniffError, WriteError
from pysniff.sources import Taker

if TYPE_CHECKING:
    from pysniff.capture.writer import Writer
    from pysniff.cli.options import SniffOptions
    from pysniff.cli.recorded import Recorded
    from pysniff.entry import Entry
    from pysniff.kfl.filter import Filter
    from pysniff.ledger import Ledger
    from pysniff.secrets import Secrets
    from pysniff.store.query import Query


def run(options: SniffOptions) -> int:
    """Sniff or read until the end, -c, --duration or Ctrl-C; the exit code."""
    if sys.stdout is None:
        raise WriteError("standard output is closed", hint="redirect it to /dev/null")
    if needs_packets(options.outputs) and options.store is None:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="pysniff-") as directory:
            return run(replace(options, store=directory, storage_limit=room_for(options)))
    sink = open_sink(options, sys.stdout)
    exports = open_exports(options.outputs, options.body_limit, sink)
    live_store = options.store is not None and options.query is None and not options.files
    if live_store and options.quiet and exports is None:
        return _recorded(options)
    # The process that records writes it too; of a query, what matched.
    keeps = not live_store and options.query is None
    writer = open_writer(options.write, private=options.write_secrets) if keeps else None
    watched = sys.stderr.isatty() and not options.quiet
    progress = Progress(sys.stderr, enabled=watched and not options.live, shared=sys.stdout.isatty())
    failure: PysniffError | None = None
    with ExitStack() as stack:
        recorder = None
        packets: Taker | None = writer
        if exports is not None and options.store is not None:
            exports.packets_from(Path(options.store))
        if options.store is not None and options.files:
            from pysniff.cli.recording import Tee, open_recorder

            recorder = stack.enter_context(open_recorder(options, "file"))
            packets = Tee(recorder, writer)
        entries = _open(options, packets, progress)
        stack.enter_context(entries)
        if recorder is not None and options.store_secrets:
            entries.secrets.tell(recorder.learn)
        interrupt = stack.enter_context(source.interruptible(entries.stop))
        if watched and not options.files:
            from pysniff.cli.recorded import Recorded

            if isinstance(entries, (Entries, Recorded)):
                listening(entries.interfaces)
                stack.enter_context(QuietHint(lambda: entries.ledger))
        if exports is not None:
            stack.callback(exports.abandon)  # whatever ends the run: what came is kept
        try:
            notices = Notices(entries.notices, *notices_of(entries.secrets))
            pump(entries.batches(), exports or sink, options.count, progress, notices)
        except PysniffError as error:
            failure = error  # what came before it is shown first
        finally:
            progress.erase()
        sink.close()
        if recorder is not None:
            recorder.close()
        if exports is not None and failure is None:
            exports.close()
    if exports is not None and not options.quiet:
        exports.tell()
    if writer is not None:
        # After a wrong filter there is nothing to write, and an old file stays.
        writer.close() if failure is None else writer.abandon()
    if options.write_secrets and failure is None:
        embed_secrets(options, entries)
    ledger = entries.ledger
    if recorder is not None:
        recorder.account(ledger)
    tell_end(options, entries, ledger, asked=interrupt.asked)
    whole = failure is None and not interrupt.asked and not options.live and options.write != "-"
    if watched and whole and not progress.count and (options.files or ledger.packets or ledger.pruned_packets):
        complain(empty_hint(ledger))
    if failure is not None:
        raise failure
    return LOST if options.strict and not ledger.lossless() else FINE


def _open(options: SniffOptions, packets: Taker | None, progress: Progress) -> Entries | Recorded | Query:
    """Entries from files, interfaces or a store."""
    if options.query is not None:
        from pysniff.cli.recording import ask

        return ask(options, options.query, source.limits(options.body_limit))
    if options.store is not None and not options.files:
        from pysniff.cli.recorded import Recorded

        return Recorded(options)
    return source.open_source(options, packets, progress)


def _recorded(options: SniffOptions) -> int:
    """--store with nothing to show."""
    from pysniff.cli.recording import record

    writer = open_writer(options.write)
    try:
        code = record(options, writer)
    except PysniffError:
        if writer is not None:
            writer.abandon()
        raise
    if writer is not None:
        writer.close()
    return code


def pump(batches: Iterable[list[Entry]], sink: Sink, count: int | None, progress: Progress, notices: Notices) -> None:
    """Show every batch, or the first `count` calls."""
    budget = None if count is None else Budget(count)
    notices.tell()
    for batch in batches:
        notices.tell()
        if budget is not None:
            batch = budget.take(batch)
        if batch:
            progress.count += len(batch)
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


def tell_end(options: SniffOptions, entries: Entries | Recorded | Query, ledger: Ledger, *, asked: bool) -> None:
    """What a person should know when it is over. `asked`: somebody ended it, who wants the account."""
    if options.verbosity or asked:
        print_ledger(ledger)
    if options.verbosity:
        for text in source_lines(entries.secrets.sources):
            click.echo(visible(text), err=True)
        if isinstance(entries, Entries) and entries.tracing is not None:
            click.echo(tracing_line(entries.tracing), err=True)
        for text in _programs_of(entries):
            click.echo(visible(text), err=True)
    if isinstance(entries, Entries) and not options.quiet:
        tell_undecrypted(entries.undecrypted, options)
    if options.filter is not None and options.filter.errors and not options.quiet:
        tell_failures(options.filter)


def _programs_of(entries: Entries | Recorded | Query) -> Iterable[str]:
    """What was seen of each program whose keys could be read, or whose connections had none."""
    from pysniff.cli.recorded import Recorded

    if isinstance(entries, Recorded):
        return entries.programs
    if isinstance(entries, Entries) and entries.tracing is not None and entries.tracing.secrets is not None:
        from pysniff.cli.tls_programs import counted_lines

        return counted_lines(entries.tracing.secrets.report())
    return ()


def open_sink(options: SniffOptions, stream: TextIO) -> Sink:
    """Where entries go, and how."""
    if options.quiet or options.write == "-" or to_stdout(options.outputs):
        return Silent()
    output = Output(stream.buffer, live=options.live)
    if options.json:
        return JsonLines(output, options.body_limit)
    lines = Lines(output, terminal(stream), options.verbosity, options.body_limit)
    return Outcomes(lines) if options.files and not options.live else lines


def open_writer(target: str | None, *, private: bool = False) -> Writer | None:
    if target is None:
        return None
    from pysniff.capture.writer import Writer

    return Writer(target, private=private)


def notices_of(secrets: Secrets) -> list[Sequence[str]]:
    """What the sources of secrets note, each in its list."""
    return [notices for source in secrets.sources if (notices := getattr(source, "notices", None)) is not None]


def embed_secrets(options: SniffOptions, entries: Entries | Recorded | Query) -> None:
    """--write-secrets: put what decrypted into the file of packets."""
    from pysniff.capture.embedding import embed
    from pysniff.tls.keylog import write

    used = entries.secrets.used()
    if used and options.write is not None:
        embed(options.write, write(used))
    elif not options.quiet:
        complain("--write-secrets: no secret was of use, and none was written")


def tell_failures(filter: Filter) -> None:
    """One line about the entries that might have matched."""
    count = filter.errors
    entries = "1 entry, which does" if count == 1 else f"{count:,} entries, which do"
    complain(f"the filter failed on {entries} not match: {filter.failure}")
