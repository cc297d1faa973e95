"""A run of `pysniff run`: the command, the capture beside it, and what is told when it is over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from pysniff.cli.errors import LOST, complain
from pysniff.cli.export import needs_packets, open_exports
from pysniff.cli.feel import Notices
from pysniff.cli.options import SniffOptions
from pysniff.cli.progress import Progress
from pysniff.cli.recording import Tee, open_recorder
from pysniff.cli.run import embed_secrets, notices_of, open_sink, open_writer, pump, tell_end
from pysniff.cli.source import open_source
from pysniff.errors import PysniffError, WriteError
from pysniff.launched.command import PassingOn
from pysniff.launched.watched import Watched


def launch(options: SniffOptions, words: Sequence[str], log: str | None) -> int:
    """Run the command; its exit code, or LOST where it is fine and --strict found that something was lost."""
    if not needs_packets(options.outputs):
        return _run(options, words, log)
    with TemporaryDirectory(prefix="pysniff-") as directory:
        return _run(replace(options, store=directory), words, log)


def _run(options: SniffOptions, words: Sequence[str], log: str | None) -> int:
    failure: Exception | None = None
    with ExitStack() as stack:
        output = stack.enter_context(_opened(log))
        sink = open_sink(options, output)
        exports = open_exports(options.outputs, options.body_limit, sink)
        writer = open_writer(options.write, private=options.write_secrets)
        watched = stack.enter_context(Watched())
        only = (watched.group,) if options.tls and watched.group else ()
        options = replace(options, keylog=(watched.keylog, *options.keylog), tls_only=only)
        recorder = None
        if exports is not None and options.store is not None:
            exports.packets_from(Path(options.store))
            recorder = stack.enter_context(open_recorder(options, "libpcap"))
        packets = writer if recorder is None else Tee(recorder, writer)
        entries = stack.enter_context(open_source(options, packets, _ignore))
        entries.only(watched.watch())
        if entries.tracing is not None:
            entries.tracing.meet(words)
        signals = stack.enter_context(PassingOn())
        command = watched.start(words)
        signals.to(command)
        command.when_over(entries.finish)
        if exports is not None:
            stack.callback(exports.abandon)
        try:
            notices = Notices(entries.notices, *notices_of(entries.secrets))
            pump(entries.batches(), exports or sink, None, Progress(sys.stderr, enabled=False), notices)
            sink.close()
            if recorder is not None:
                recorder.close()
            if exports is not None:
                exports.close()
        except (PysniffError, BrokenPipeError) as error:
            failure = error  # the command goes on all the same
        code = command.wait()
        if writer is not None:
            writer.close()
        if options.write_secrets and failure is None:
            embed_secrets(options, entries)
        if not options.quiet:
            _tell(options, watched)
            tell_end(options, entries, entries.ledger, asked=False)
            if exports is not None:
                exports.tell()
    if isinstance(failure, PysniffError):
        complain(str(failure))
    return LOST if not code and options.strict and not entries.ledger.lossless() else code


def _tell(options: SniffOptions, watched: Watched) -> None:
    """What was not seen, or may be somebody else's."""
    for fact in watched.facts():
        complain(fact)
    if options.verbosity and watched.inexact:
        complain(watched.inexact)


def _ignore(done: int, total: int | None) -> None:
    """Nobody waits for a command as for a file."""


@contextmanager
def _opened(log: str | None) -> Iterator[TextIO]:
    """Where the calls of a command go. Raises WriteError."""
    if log is None:
        yield sys.stderr
        return
    try:
        # What calls say is nobody else's business.
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        raise WriteError(f"{log}: {getattr(error, 'strerror', None) or error}") from None
    with open(fd, "w", encoding="utf-8") as stream:
        yield stream
