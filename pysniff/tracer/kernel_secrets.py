"""Secrets of running programs, read by probes where their TLS libraries would write a key log.

A secret is in the ring before the function returns, so before any packet that it encrypts is sent.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import Self

from pysniff.errors import CaptureError
from pysniff.limits import MIB
from pysniff.secrets import Secret
from pysniff.tls.keylog import LABELS
from pysniff.tracer import key_program, processes
from pysniff.tracer.architecture import here
from pysniff.tracer.attachments import Attachments, ProbedFile, Prober
from pysniff.tracer.bpf import Descriptor, Map, MapType
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.follower import Follower
from pysniff.tracer.hook import Hook, Mapped
from pysniff.tracer.installed import installed
from pysniff.tracer.key_labels import Labels
from pysniff.tracer.key_program import KeyMaps, KeyRecord, read_record
from pysniff.tracer.limits import LimitMaps, Limits
from pysniff.tracer.privileges import require
from pysniff.tracer.ring import RingBuffer
from pysniff.tracer.task import task_of_kernel
from pysniff.tracer.uprobe import attach
from pysniff.tracer.watch import watch

# 20,000 secrets that nobody has asked for yet: some 4,000 connections.
RING = 4 * MIB
# Processes of which keys are counted, the longest silent go first; and those that a report looks at.
_MOST_COUNTED, _MOST_REPORTED = 4_096, 16_384


@dataclass(frozen=True, slots=True)
class TracedProcess:
    """One process and one file in it that has TLS. `problem`: why there is no probe, or what it does not see.

    `keys`: secrets of this process seen so far; `running`: whether it still does.
    """

    pid: int
    comm: str
    library: str
    path: str
    attached: bool
    problem: str
    keys: int
    running: bool = True


@dataclass(frozen=True, slots=True)
class TracerReport:
    """What the tracer does and could not do.

    `files`: that have probes; `keys`: secrets seen; `dropped`: that did not fit into the ring; `unreadable`: calls
    whose memory could not be read; `unlabelled`: whose label could not be, or is none that decrypts; `lost`: new
    mappings that were told too late (all processes were looked at again); `refused`: files for which there was no
    room; `vanished`: those that were gone, or could not be opened, before they were read; `uncounted`: processes whose
    keys are not told any more. `problems`: what this machine does not let it do, in words.
    """

    processes: tuple[TracedProcess, ...]
    files: int
    keys: int
    dropped: int
    unreadable: int
    unlabelled: int
    lost: int
    refused: int
    vanished: int
    uncounted: int
    problems: tuple[str, ...]


class KernelSecrets:
    """A SecretSource. Probes are there when this is made; files that programs map later get theirs at once.

    Raises PrivilegeError or CaptureError where no key can be had at all. `also`: what else attaches to the files that
    are met, as plaintext mode does. close() undoes everything, and so does the end of the process, however it ends.
    """

    name = "kernel"

    def __init__(self, limits: Limits | None = None, *, also: Sequence[Prober] = (), ring: int = RING) -> None:
        self._lock = Lock()
        self._labels = Labels()
        self._keys: OrderedDict[tuple[int, int], tuple[str, int]] = OrderedDict()
        self._seen = self._strange = self._uncounted = 0
        self._drops = (0, 0)
        self._problems: list[str] = []
        self._closed = False
        with ExitStack() as opened:
            self._maps = self._made(limits or Limits(), ring, opened)
            self._attachments = Attachments((_KeyProber(self._maps), *also), hooks_of, processes.opened)
            opened.callback(self._attachments.close)
            seeing = watch()
            opened.callback(seeing.close)
            self._follower = Follower(self._attachments, seeing, installed=installed, now=processes.now)
            if seeing.lacking:
                self._problems.append(seeing.lacking)
            self._opened = opened.pop_all()
        _open.add(self)

    @property
    def complete(self) -> bool:
        return self._closed

    @property
    def attachments(self) -> Attachments:
        return self._attachments

    def take(self) -> list[Secret]:
        with self._lock:
            if self._closed:
                return []
            # What comes while this goes on may wait for the next time: somebody might never stop.
            records = filter(None, map(read_record, self._maps.ring.take(self._maps.ring.size)))
            return [secret for record in records for secret in self._of(record)]

    def report(self) -> TracerReport:
        """For people to read; takes as long as looking through all processes."""
        with self._lock:
            dropped, unreadable = self._counted()
            counted = dict(self._keys)
        return TracerReport(
            processes=tuple(self._traced(counted)),
            files=sum(bool(file.probes) for file in self._attachments.files()),
            keys=self._seen,
            dropped=dropped,
            unreadable=unreadable,
            unlabelled=self._strange + self._labels.waiting + self._labels.lost,
            lost=self._follower.watch.lost,
            refused=self._attachments.refused,
            vanished=self._attachments.vanished,
            uncounted=self._uncounted,
            problems=(*self._problems, *filter(None, [self._follower.failure])),
        )

    def close(self) -> None:
        """What is in the ring and was not taken is gone; what was counted stays."""
        with self._lock:
            if self._closed:
                return
            self._drops = self._counted()
            self._closed = True
        self._follower.close()
        self._opened.close()
        _open.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made(self, limits: Limits, size: int, opened: ExitStack) -> KeyMaps:
        try:
            require()
            ring = RingBuffer(size)
            opened.callback(ring.close)
            counters = opened.enter_context(Map(MapType.PERCPU_ARRAY, key=4, value=8, entries=2, name="pysniff_counts"))
            limit_maps = LimitMaps(limits)
            opened.callback(limit_maps.close)
        except OSError as error:
            hint = "pysniff doctor says what is missing"
            raise CaptureError(f"keys cannot be read out of programs: {error.strerror or error}", hint=hint) from error
        return KeyMaps(ring, counters, limit_maps, task_of_kernel())

    def _counted(self) -> tuple[int, int]:
        if self._closed:
            return self._drops
        return self._maps.counters.sum(key_program.DROPPED), self._maps.counters.sum(key_program.UNREADABLE)

    def _of(self, record: KeyRecord) -> Iterator[Secret]:
        """The secret, and those that waited for its label; none of what decrypts nothing, as exporters' secrets."""
        for label, labelled in self._labels.of(record):
            if len(labelled.secret) in LABELS.get(label, ()):
                self._seen += 1
                self._count(labelled)
                yield Secret(label, labelled.random, labelled.secret)
            elif "EXPORTER" not in label:
                self._strange += 1

    def _count(self, record: KeyRecord) -> None:
        key = record.pid, record.file
        self._keys[key] = record.comm, self._keys.get(key, ("", 0))[1] + 1
        self._keys.move_to_end(key)
        if len(self._keys) > _MOST_COUNTED:
            self._keys.popitem(last=False)
            self._uncounted += 1

    def _traced(self, counted: dict[tuple[int, int], tuple[str, int]]) -> Iterator[TracedProcess]:
        """Those that run now, then those of which keys are counted and that have ended."""
        found: dict[tuple[int, int], tuple[Mapped, ProbedFile]] = {}
        for mapped in processes.now():
            file = self._attachments.known(mapped)
            if file and _tls(file) and len(found) < _MOST_REPORTED:
                found.setdefault((mapped.pid, file.number), (mapped, file))
        for key, (mapped, file) in found.items():
            comm, keys = counted.pop(key, ("", 0))
            yield _traced(mapped.pid, processes.name_of(mapped.pid) or comm, file, keys, mapped.path)
        for (pid, number), (comm, keys) in counted.items():
            yield _traced(pid, comm, self._attachments.find(number), keys, running=False)


def _traced(
    pid: int, comm: str, file: ProbedFile | None, keys: int, path: str = "", *, running: bool = True
) -> TracedProcess:
    if file is None:
        return TracedProcess(pid, comm, "", path, False, "", keys, running)
    attached = any(hook.kind.reveals_keys for hook in file.hooks)
    problem = file.problem or "; ".join(file.shortcomings)
    return TracedProcess(pid, comm, file.library, path or file.path, attached, problem, keys, running)


def _tls(file: ProbedFile) -> bool:
    """Not one that only plaintext mode looks into."""
    return bool(file.problem or file.shortcomings) or any(hook.kind.reveals_keys for hook in file.hooks)


class _KeyProber:
    """Reads secrets where a hook reveals them."""

    def __init__(self, maps: KeyMaps) -> None:
        self._maps = maps

    def wants(self, hook: Hook) -> bool:
        return hook.kind.reveals_keys

    def attach(self, hook: Hook, path: str, file: int) -> Sequence[Descriptor]:
        architecture = here()
        if architecture is None:
            raise CaptureError("probes are not known for this processor")
        with key_program.key_program(hook, file, self._maps, architecture) as program:
            # The probe holds the program.
            return attach(path, [hook.offset], program)


# A child that os.fork() makes has the same probes open, and would keep them when its parent is gone.
_open: weakref.WeakSet[KernelSecrets] = weakref.WeakSet()


def _abandon() -> None:
    for secrets in list(_open):
        secrets.attachments.abandon()


os.register_at_fork(after_in_child=_abandon)
