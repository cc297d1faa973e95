"""Entries of what another process records (recording.py): it captures into a store, this one follows the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from pysniff import errors
from pysniff.cli import source
from pysniff.cli.recording import TOLD
from pysniff.errors import CaptureError, PysniffError
from pysniff.secret_ring import RingReader, SecretRing

if TYPE_CHECKING:
    from pysniff.cli.options import SniffOptions
    from pysniff.entry import Entry
    from pysniff.ledger import Ledger
    from pysniff.secrets import Secrets
    from pysniff.store.query import Query


class Recorded:
    """Entries of what another process records, as entries.Entries gives those of an interface.

    `programs`: once it has ended, lines of what it has seen of programs with TLS.

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
        self.programs: list[str] = []
        self._query: Query | None = None
        self._ring = SecretRing() if options.tls else None
        reader, writer = os.pipe()
        try:
            command, given = _command(options, writer), [writer]
            if self._ring is not None:
                command += ["--keys-to", str(self._ring.fd)]
                given.append(self._ring.fd)
            # In a session of its own: Ctrl-C is for the one that shows, which ends this one in good order.
            self._process = subprocess.Popen(command, pass_fds=given, stdin=subprocess.DEVNULL, start_new_session=True)
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

    @property
    def secrets(self) -> Secrets:
        """What decrypts."""
        assert self._query is not None
        return self._query.secrets

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
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self) -> Query:
        from pysniff.descriptors import schemas
        from pysniff.hosts import names_from
        from pysniff.keylogs import key_logs
        from pysniff.kfl.variables import compile
        from pysniff.store.query import Query
        from pysniff.store.question import Question

        options = self._options
        secrets = key_logs(options.keylog, follow=True)
        if self._ring is not None:
            secrets.append(RingReader(self._ring.fd))
        question = Question(
            filter=options.filter or compile(""),
            follow=True,
            after=self._segment - 1,
            decode_as=options.decode_as,
            proto=schemas(options.proto),
            names=names_from(options.names),
            secrets=secrets,
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
            self._told = {name: int(str(report[name])) for name in TOLD}
            self.notices[:] = [str(notice) for notice in _list(report["notices"])]
            self.programs = [str(line) for line in _list(report.get("programs"))]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _command(options: SniffOptions, report: int) -> list[str]:
    """The same capture as one that only records."""
    assert options.store is not None
    command = [sys.executable, "-m", "pysniff", "sniff", "-q", "--store", options.store]
    command += ["--storage-limit", str(options.storage_limit), "--report-to", str(report)]
    command += [word for name in options.interfaces for word in ("-i", name)]
    command += [word for name in options.netns for word in ("--netns", name)]
    if options.store_all:
        command.append("--store-all")
    if options.tls:
        command += ["--tls", "--tls-mode", options.tls]
        command += [word for name in options.tls_only for word in ("--tls-only", name)]
    if options.store_secrets:
        command.append("--store-secrets")
        command += [word for name in options.keylog for word in ("--keylog", name)]
    if options.duration is not None:
        command += ["--duration", str(options.duration)]
    if options.write is not None:
        command += ["-w", options.write]
    return command + (["-f", options.bpf] if options.bpf else [])
