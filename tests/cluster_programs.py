"""Programs that a test starts, watches and kills by their process number; what they said is told when a test fails."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Seconds after which something that should have happened never will; nothing waits so long that goes right.
DEADLINE = 60.0


def until(happened: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition; fail with `what` was waited for."""
    end = time.monotonic() + deadline
    while not happened():
        assert time.monotonic() < end, f"waited {deadline:g} s for {what}"
        time.sleep(0.02)


class Program:
    """A process; `said` is what it wrote to both of its outputs so far."""

    def __init__(self, name: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, text: str) -> str:
        """What it said, once `text` is in it."""
        until(lambda: text in self.said or not self.running, f"{self.name} to say {text!r}; it said:\n{self.said}")
        assert text in self.said, f"{self.name} ended with {self.process.returncode} and said:\n{self.said}"
        return self.said

    def wait_end(self, code: int | None = 0) -> str:
        """What it said, once it has ended with that exit code."""
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end; it said:\n{self.said}") from None
        assert code is None or self.process.returncode == code, (
            f"{self.name} ended with {self.process.returncode} and said:\n{self.said}"
        )
        return self.said

    def stop(self) -> str:
        """End it in good order; what it said."""
        self._signal(signal.SIGTERM)
        return self.wait_end(None)

    def kill(self) -> None:
        """As the kernel does when memory is short: this process alone, without a word."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def kill_all(self) -> None:
        """It and its children, as when a machine loses power."""
        for pid in [*self.children(), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def children(self) -> list[int]:
        """Process numbers of its children and theirs."""
        found, seen = [self.process.pid], 0
        while seen < len(found):
            path = Path(f"/proc/{found[seen]}/task/{found[seen]}/children")
            seen += 1
            try:
                found += [int(word) for word in path.read_text().split()]
            except OSError:
                pass
        return found[1:]

    def memory(self) -> int:
        """Its resident set, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024

    def _signal(self, number: int) -> None:
        if self.running:
            os.kill(self.process.pid, number)


class Programs:
    """All programs of a test; those that still run are ended with the `with`, and what they said is printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Program] = []

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Program:
        number = len(self._started)
        program = Program(name, words, self._folder / f"program-{number}.txt", environment or {})
        self._started.append(program)
        return program

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for program in reversed(self._started):
            if program.running:
                self._end(program)
        for program in self._started:  # pytest shows it with a test that failed
            print(f"--- {program.name}, exit code {program.process.returncode}:\n{program.said[-4000:]}")

    @staticmethod
    def _end(program: Program) -> None:
        below = program.children()
        os.kill(program.process.pid, signal.SIGTERM)
        try:
            program.process.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
        for pid in below:  # what a killed one left behind
            try:
                if os.getpgid(pid) == program.process.pid:
                    os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
