"""Probes for plain text in every file with a TLS library, whoever maps it, now and later.

Functions of memory BIOs are probed only once somebody uses them: they are called for every record, by all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from pysniff.tracer import processes
from pysniff.tracer.attachments import Attachments, ProbedFile
from pysniff.tracer.bpf import Descriptor
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.hook import Hook, Mapped
from pysniff.tracer.plaintext_probes import KINDS, MEMORY, PlainProbes, close_together

# Files with functions of memory BIOs that are not probed yet.
_DORMANT = 256
# Whoever loads it is likely to give TLS libraries memory instead of sockets: Python's asyncio.
_MEMORY_FILES = ("_asyncio.",)


class Everywhere:
    """A Prober, with the attachments that it is for. `problems`: what could not be probed later on, in words."""

    def __init__(self, probes: PlainProbes) -> None:
        self.problems: list[str] = []
        self.attachments = _Meeting(self)
        self._probes = probes
        self._lock = Lock()
        self._encrypts: set[int] = set()
        self._attached: dict[int, int] = {}  # file -> ns since boot
        self._dormant: list[tuple[Hook, int, int]] = []  # with a descriptor of the file, and its number
        self._awake = False
        self._later = ExitStack()

    def wants(self, hook: Hook) -> bool:
        return hook.kind in KINDS or hook.kind.reveals_keys

    def attach(self, hook: Hook, path: str, file: int) -> Sequence[Descriptor]:
        if hook.kind.reveals_keys:  # it has TLS: if nothing of it can be read, that is to be said
            self._encrypts.add(file)
            return ()
        if hook.kind in MEMORY:
            with self._lock:
                # A program that has its own TLS library, as node, uses them.
                if not self._awake and file not in self._attached and len(self._dormant) < _DORMANT:
                    self._dormant.append((hook, _reopened(path), file))
                    return ()
        probes = self._probes.attach(hook, path, file)
        self._attached[file] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return probes

    def attached(self, file: int) -> int | None:
        """When that file had its probes, ns since boot; None where it has none."""
        return self._attached.get(file)

    @property
    def files(self) -> int:
        """How many have probes."""
        return len(self._attached)

    def unread(self) -> list[str]:
        """Files with TLS of which no plain text can be read, in words."""
        files = [self.attachments.find(number) for number in sorted(self._encrypts - self._attached.keys())]
        missing = "its functions for plain text were not found; key mode reads it"
        return [f"{file.path}: {file.library}: {missing}" for file in files if file is not None]

    def wake(self) -> None:
        """Probe the functions of memory BIOs from now on: somebody uses them."""
        with self._lock:
            if self._awake:
                return
            self._awake, dormant = True, self._dormant
            self._dormant = []
        for hook, descriptor, file in dormant:
            try:
                path = f"/proc/self/fd/{descriptor}"
                for probe in self._probes.attach(hook, path, file):
                    self._later.enter_context(probe)
            except OSError as error:
                self.problems.append(f"{hook.function}: {error.strerror or error}")
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Undo every probe."""
        close_together([probe for file in self.attachments.files() for probe in file.probes])
        self.attachments.close()
        self.abandon()

    def abandon(self) -> None:
        """As close(), in a forked child, whose parent keeps the probes."""
        self.attachments.abandon()
        self._later.close()
        for _, descriptor, _ in self._dormant:
            os.close(descriptor)
        self._dormant = []


class _Meeting(Attachments):
    """Sees which files are mapped, also those without a TLS library."""

    def __init__(self, everywhere: Everywhere) -> None:
        super().__init__((everywhere,), hooks_of, processes.opened)
        self._everywhere = everywhere

    def meet(self, mapped: Mapped) -> ProbedFile | None:
        if Path(mapped.path).name.startswith(_MEMORY_FILES):
            self._everywhere.wake()
        return super().meet(mapped)


def _reopened(path: str) -> int:
    """A descriptor of its own for what /proc/self/fd/N is; OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
