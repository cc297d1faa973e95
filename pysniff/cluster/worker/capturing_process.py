"""The child process of a worker that captures into its store and dissects nothing (capturing.py starts it).

`python -m pysniff.cluster.worker.capturing_process DIRECTORY`, told on standard input and heard on standard output in
the words of capturing_words.py. It ends, with everything written, when its standard input does or on SIGTERM.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Any

from pysniff.capture import Idle
from pysniff.capture.live import Live
from pysniff.capture.precedence import take_precedence
from pysniff.cluster.worker.capturing_words import COUNTERS, NAMES, CaptureSettings, taken
from pysniff.cluster.worker.hearing import Hearer
from pysniff.cluster.worker.keys import Keys
from pysniff.cluster.worker.speaking import Speaking
from pysniff.errors import CaptureError, PysniffError
from pysniff.ledger import Ledger
from pysniff.limits import KIB
from pysniff.store import Store
from pysniff.store.recorder import Recorder

# Seconds between reports.
_EVERY = 0.5
# Seconds between two looks for plain text of programs.
_LISTENS = 0.02
# A command names a filter of 16 KiB and some hundred ends at most.
_LONGEST = 256 * KIB
# A socket for each interface, three files for each namespace.
_FILES = 16_384


class Process:
    """`run()` until it is told to end. Raises PysniffError."""

    def __init__(self, directory: Path, begin: dict[str, Any], speaking: Speaking) -> None:
        self._settings = settings = CaptureSettings.of(begin["settings"])
        problem = settings.problem()
        if problem:
            raise CaptureError(problem)
        self._speaking = speaking
        self._ledger = Ledger()
        # First the store: one that is damaged takes its time, in which packets would be dropped.
        store = Store(directory, settings.storage_limit)
        keys = Keys.of(begin["keys"])
        self._recorder: Recorder = store.record(
            keep_all=bool(begin["keep_all"]),
            capture_source="libpcap",
            secrets=keys.sources() if keys else None,
            keep_secrets=bool(begin["keep_secrets"]),
        )
        self._recorder.flush_interval = settings.flush_interval
        self._hearer = None if begin["heard"] is None else Hearer(int(begin["heard"]))
        if self._hearer is not None:
            self._recorder.tell_begun(self._hearer.begun)
        self._listens = 0.0
        try:
            self._live = Live(
                settings.interfaces,
                settings.bpf,
                netns=settings.netns,
                wait=True,
                exclude=[(str(address), int(port)) for address, port in begin["exclude"]],
            )
        except BaseException:
            self._recorder.close()
            raise

    def run(self, commands: IO[bytes]) -> None:
        with self._live, self._recorder:
            signal.signal(signal.SIGTERM, lambda *_: self._live.stop())
            Thread(target=self._listen, args=(commands,), name="commands", daemon=True).start()
            self._report(ready=True)
            self._record()
        self._report()

    def _record(self) -> None:
        due = monotonic() + _EVERY
        for item in self._live:
            if not isinstance(item, Idle):
                self._ledger.live_packets += len(item)
                self._recorder.write(item)
            if self._hearer is not None and monotonic() >= self._listens:
                self._recorder.write_plain(self._hearer.take())
                self._hearer.tell()
                self._listens = monotonic() + _LISTENS
            if monotonic() >= due:
                due = monotonic() + _EVERY
                self._report()
                if not self._speaking.heard:
                    self._live.stop()

    def _report(self, *, ready: bool = False) -> None:
        if self._speaking.is_full:
            return
        live, recorder, ledger = self._live, self._recorder, self._ledger
        counts = live.counts()
        ledger.kernel_received, ledger.kernel_dropped, ledger.interface_dropped = counts
        recorder.account(ledger)
        self._speaking.say(
            ready=ready,
            counters={name: ledger.total(name) for name in COUNTERS},
            interfaces=live.interfaces[:NAMES],
            absent=live.absent[:NAMES],
            excluded=live.excluded,
            notices=taken(live.notices) + taken(recorder.notices),
            segment=recorder.segment,
            store_bytes=recorder.used,
            tls=(*recorder.tls, 0 if self._hearer is None else self._hearer.untold),
        )

    # Commands, in a thread of their own

    def _listen(self, commands: IO[bytes]) -> None:
        while line := commands.readline(_LONGEST):
            try:
                command = json.loads(line)
                number = int(command["number"])
            except (ValueError, TypeError, KeyError):
                continue
            try:
                refused = self._obey(command)
            except (ValueError, TypeError, KeyError) as problem:
                refused = f"not understood: {problem}"
            self._speaking.say(answer=number, refused=refused)
        self._live.stop()

    def _obey(self, command: dict[str, Any]) -> str:
        """Do what is asked for; "" or why it cannot be done."""
        try:
            if "settings" in command:
                self._change(CaptureSettings.of(command["settings"]))
            if "exclude" in command:
                self._live.exclude([(str(address), int(port)) for address, port in command["exclude"]])
        except PysniffError as error:
            return str(error)
        return ""

    def _change(self, wanted: CaptureSettings) -> None:
        """All of it, or none."""
        before, live = self._settings, self._live
        problem = wanted.problem()
        if problem:
            raise CaptureError(problem)
        if wanted.bpf != before.bpf:
            live.set_bpf(wanted.bpf)
        if (wanted.interfaces, wanted.netns) != (before.interfaces, before.netns):
            try:
                live.set_interfaces(wanted.interfaces, wanted.netns)
            except PysniffError:
                live.set_bpf(before.bpf)
                raise
        if wanted.storage_limit != before.storage_limit:
            self._recorder.resize(wanted.storage_limit)
        self._recorder.flush_interval = wanted.flush_interval
        self._settings = wanted


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker
    take_precedence()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _FILES) if most > 0 else _FILES, most))
    speaking, commands = Speaking(os.dup(1)), sys.stdin.buffer
    try:
        line = commands.readline(_LONGEST)
        if line:
            Process(Path(words[0]), json.loads(line), speaking).run(commands)
    except PysniffError as error:
        speaking.say(failed=type(error).__name__, message=error.message, hint=error.hint)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
