"""The connections that were open before, and probes in just the processes that have them, for as long as they do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from pysniff.tracer import earlier, processes
from pysniff.tracer.bpf import Descriptor, Map
from pysniff.tracer.earlier import Holding
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.hook import Library, Mapped
from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext_probes import KINDS, PlainProbes, close_together
from pysniff.tracer.plaintext_records import pack_ends
from pysniff.tracer.plaintext_state import EARLIER

# Processes with probes of their own, with about ten descriptors each.
_PROCESSES = 256


class Earlier:
    """`left_out`: processes for which there was no room, or whose files could not be probed, with the reason."""

    def __init__(self, known: Map, probes: PlainProbes, number: Callable[[Library], int]) -> None:
        self.left_out: dict[int, str] = {}
        self._known, self._attach, self._number = known, probes.attach, number
        self._probes: dict[int, list[Descriptor]] = {}
        self._held: dict[int, list[Holding]] = {}

    def begin(self, limits: Limits) -> None:
        """Probe the processes that have TLS and connections."""
        for pid in filter(partial(_is_wanted, limits), processes.running()):
            mapped = [(one, libraries) for one in processes.mapped_by(pid) if (libraries := _plain(one))]
            held = list(earlier.held_by([pid])) if mapped else []
            if not held:
                continue
            if len(self._probes) >= _PROCESSES:
                self.left_out[pid] = f"{_PROCESSES} processes have probes"
                continue
            try:
                for holding in held:
                    self._known[_packed(holding)] = b"\1"
            except OSError:
                self.left_out[pid] = f"more than {EARLIER:,} connections were open before"
            self._probes[pid], self._held[pid] = [], held
            for one, libraries in mapped:
                self._probe(one, libraries)

    def look(self) -> None:
        """Undo the probes of processes that have none of their connections any more."""
        for pid, held in list(self._held.items()):
            left = [one for one in held if earlier.still_held(one)]
            if not left:  # under other numbers, perhaps
                inodes = {one.connection.inode for one in held}
                left = [one for one in earlier.held_by([pid]) if one.connection.inode in inodes]
            if left:
                self._held[pid] = left
                continue
            del self._held[pid]
            close_together(self._probes.pop(pid))

    @property
    def processes(self) -> list[int]:
        """Those with probes."""
        return list(self._probes)

    @property
    def connections(self) -> int:
        return sum(map(len, self._held.values()))

    def close(self) -> None:
        close_together([probe for probes in self._probes.values() for probe in probes])
        self._probes.clear()
        self._held.clear()

    def _probe(self, mapped: Mapped, libraries: Sequence[Library]) -> None:
        try:
            descriptor = processes.opened(mapped)
        except OSError as error:
            self.left_out[mapped.pid] = f"{mapped.path}: {error.strerror or error}"
            return
        try:
            path = f"/proc/self/fd/{descriptor}"
            for library in libraries:
                number = self._number(library)
                for hook in library.hooks:
                    if hook.kind in KINDS:
                        self._probes[mapped.pid] += self._attach(hook, path, number, mapped.pid)
        except (OSError, ValueError) as error:
            self.left_out[mapped.pid] = f"{mapped.path}: {error}"
        finally:
            os.close(descriptor)


def _is_wanted(limits: Limits, pid: int) -> bool:
    """Whether it may be one to be traced; the kernel knows better."""
    if pid == os.getpid():
        return False
    return not limits or bool(limits.cgroups) or pid in limits.pids or processes.name_of(pid) in limits.names


def _plain(mapped: Mapped) -> list[Library]:
    """The libraries in a file that have functions to probe."""
    try:
        descriptor = processes.opened(mapped)
    except OSError:
        return []
    try:
        found = hooks_of(f"/proc/self/fd/{descriptor}")
    except OSError:
        return []
    finally:
        os.close(descriptor)
    return [library for library in found if any(hook.kind in KINDS for hook in library.hooks)]


def _packed(holding: Holding) -> bytes:
    one = holding.connection
    return pack_ends(one.family, one.local, one.port, one.remote, one.remote_port)
