"""The child process of a worker that reads keys out of running programs (tracing.py starts it).

`python -m pysniff.cluster.worker.tracing_process RING WAY`: the descriptors of the ring that it puts them into, and of
the way for plain text (hearing.py); told on standard input and heard on standard output in the words of
tracing_words.py. Probes are in the kernel as long as it lives; it ends when its standard input does, or on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from threading import Event, Lock, Thread
from time import monotonic
from typing import IO

from pysniff.cluster.worker.hearing import Teller
from pysniff.cluster.worker.speaking import Speaking
from pysniff.cluster.worker.tracing_words import COUNTERS, MOST_PROCESSES, TracingSettings
from pysniff.errors import PysniffError
from pysniff.limits import KIB
from pysniff.secret_ring import SecretRing, Told
from pysniff.tracer.plaintext import PlainReport
from pysniff.tracer.traced import TracedProcess, TracerReport
from pysniff.tracing import Tracing

# Seconds between two looks for keys: packets wait longer for the disk. And between two reports, for which all processes
# are looked through.
_EVERY, _REPORTS = 0.02, 3.0
_LONGEST = 256 * KIB


class Process:
    """`run()` until it is told to end. Raises PysniffError."""

    def __init__(self, ring: SecretRing, teller: Teller, settings: TracingSettings, speaking: Speaking) -> None:
        self._ring = ring
        self._teller = teller
        self._speaking = speaking
        self._over = Event()
        self._changing = Lock()
        self._before = dict.fromkeys(COUNTERS, 0)  # of tracers that are closed
        self._strange = 0
        self._plain_before = 0
        self._tracing = _traced(settings)

    def run(self, commands: IO[bytes]) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._over.set())
        Thread(target=self._listen, args=(commands,), name="commands", daemon=True).start()
        self._report(ready=True)
        due = monotonic() + _REPORTS
        while not self._over.wait(_EVERY) and self._speaking.heard:
            self._move()
            if monotonic() >= due:
                self._report()
                # Looking through all processes takes its time where there are many.
                due = max(due + _REPORTS, monotonic() + _REPORTS / 2)
        self._change(TracingSettings())
        self._report()

    def _move(self) -> None:
        with self._changing:
            self._take(self._tracing)

    def _take(self, tracing: Tracing | None) -> None:
        begun = self._teller.take()
        if tracing is not None:
            if tracing.secrets is not None:
                self._strange += self._ring.put(Told(secret, 0) for secret in tracing.secrets.take())
            self._teller.tell(tracing.chunks())
            tracing.began(begun)

    def _report(self, *, ready: bool = False) -> None:
        if self._speaking.is_full:
            return
        with self._changing:
            tracing = self._tracing
            report = None if tracing is None or tracing.secrets is None else tracing.secrets.report()
            plain = None if tracing is None or tracing.plain is None else tracing.plain.report()
        now = {name: getattr(report, name, 0) for name in COUNTERS}
        counters = {name: self._before[name] + now[name] for name in COUNTERS}
        counters["unlabelled"] += self._strange
        every = sorted(report.processes, key=_order) if report is not None else []
        self._speaking.say(
            ready=ready,
            processes=[_told(one) for one in every[:MOST_PROCESSES]],
            unnamed=max(len(every) - MOST_PROCESSES, 0),
            counters={
                **counters,
                "plain_bytes": self._plain_before + (plain.given_bytes if plain is not None else 0),
                "plain_dropped": self._teller.dropped,
            },
            problems=_problems(tracing, report, plain),
        )

    def _listen(self, commands: IO[bytes]) -> None:
        """Commands, in a thread of their own."""
        while line := commands.readline(_LONGEST):
            try:
                command = json.loads(line)
                number = int(command["number"])
                self._change(TracingSettings.of(command["settings"]))
                refused = ""
            except PysniffError as error:
                refused = f"{error.message} ({error.hint})" if error.hint else error.message
            except (ValueError, TypeError, KeyError) as problem:
                refused = f"not understood: {problem}"
            self._speaking.say(answer=number, refused=refused)
        self._over.set()

    def _change(self, settings: TracingSettings) -> None:
        """The new probes are there before the old ones go."""
        fresh = _traced(settings)
        with self._changing:
            old, self._tracing = self._tracing, fresh
            self._take(old)
        if old is None:
            return
        old.close()  # what waits is counted then
        if old.secrets is not None:
            report = old.secrets.report()
            for name in COUNTERS:
                self._before[name] += getattr(report, name, 0)
        if old.plain is not None:
            self._plain_before += old.plain.report().given_bytes


def _traced(settings: TracingSettings) -> Tracing | None:
    return None if settings.mode == "off" else Tracing(settings.mode, settings.only)


def _problems(tracing: Tracing | None, *reports: TracerReport | PlainReport | None) -> list[str]:
    found = [] if tracing is None else list(tracing.notices)
    for report in reports:
        found += () if report is None else report.problems
    return [*dict.fromkeys(found)]


def _order(process: TracedProcess) -> tuple[int, bool, bool, int]:
    """Those that say most come first."""
    talks = process.with_keys + process.without_keys > 0
    return -process.keys, not talks, not process.problem, process.pid


def _told(process: TracedProcess) -> dict[str, object]:
    return {
        "pid": process.pid,
        "name": process.comm,
        "library": process.library,
        "path": process.path,
        "attached": process.attached,
        "problem": process.problem,
        "keys": process.keys,
        "with_keys": process.with_keys,
        "without_keys": process.without_keys,
        "running": process.running,
    }


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker
    speaking, commands = Speaking(os.dup(1)), sys.stdin.buffer
    os.dup2(2, 1)
    try:
        line = commands.readline(_LONGEST)
        if line:
            settings = TracingSettings.of(json.loads(line)["settings"])
            ring, way = map(int, words)
            Process(SecretRing(ring), Teller(way), settings, speaking).run(commands)
    except PysniffError as error:
        speaking.say(failed=type(error).__name__, message=error.message, hint=error.hint)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
