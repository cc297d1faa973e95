"""Secrets of running programs, read by probes where their TLS libraries would write a key log.

A secret is in the ring before the function returns, so before any packet that it encrypts is sent.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from threading import Lock
from typing import Self

from pysniff.errors import CaptureError
from pysniff.limits import MIB
from pysniff.secrets import Secret, TlsConnection
from pysniff.tls.keylog import LABELS
from pysniff.tracer import key_program, processes
from pysniff.tracer.architecture import here
from pysniff.tracer.attachments import Attachments, Prober
from pysniff.tracer.bpf import Descriptor, Map, MapType
from pysniff.tracer.connection_owners import ConnectionOwners
from pysniff.tracer.connections import Connections
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.follower import Follower
from pysniff.tracer.hook import Hook
from pysniff.tracer.installed import installed
from pysniff.tracer.key_labels import Labels
from pysniff.tracer.key_program import KeyMaps, KeyRecord, read_record
from pysniff.tracer.limits import LimitMaps, Limits
from pysniff.tracer.privileges import require
from pysniff.tracer.ring import RingBuffer
from pysniff.tracer.task import task_of_kernel
from pysniff.tracer.traced import TracerReport, traced_processes
from pysniff.tracer.uprobe import attach
from pysniff.tracer.watch import watch

# 20,000 secrets that nobody has asked for yet: some 4,000 connections.
RING = 4 * MIB
# Processes of which keys are counted; the longest silent go first.
_MOST_COUNTED = 4_096


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
        self._final: TracerReport | None = None
        with ExitStack() as opened:
            self._limits = limits or Limits()
            self._maps = self._made(self._limits, ring, opened)
            self._owners = ConnectionOwners()
            opened.callback(self._owners.close)
            self._connections = Connections(self._owners)
            self._attachments = Attachments((_KeyProber(self._maps), *also), hooks_of, processes.opened)
            opened.callback(self._attachments.close)
            seeing = watch()
            opened.callback(seeing.close)
            self._follower = Follower(self._attachments, seeing, installed=installed, now=processes.now)
            self._problems += filter(None, (seeing.lacking, self._owners.lacking))
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

    def began(self, connections: Iterable[TlsConnection]) -> None:
        """Have these counted for their processes: TLS connections that were captured. Any thread may tell."""
        self._connections.began(connections)

    def report(self) -> TracerReport:
        """For people to read; takes as long as looking through all processes. After close(), what it was then."""
        return self._final or self._reported()

    def close(self) -> None:
        """What is in the ring and was not taken is gone; what was counted stays."""
        with self._lock:
            if self._closed:
                return
            self._drops = self._counted()
            self._closed = True
        self._follower.close()
        self._connections.close()
        self._final = self._reported()
        self._opened.close()
        _open.discard(self)

    def _reported(self) -> TracerReport:
        with self._lock:
            dropped, unreadable = self._counted()
            counted = dict(self._keys)
        return TracerReport(
            processes=tuple(
                traced_processes(
                    self._attachments, self._limits, counted, self._connections.counted(), self._follower.files_of
                )
            ),
            files=sum(bool(file.probes) for file in self._attachments.files()),
            keys=self._seen,
            dropped=dropped,
            unreadable=unreadable,
            unlabelled=self._strange + self._labels.waiting + self._labels.lost,
            lost=self._follower.watch.lost,
            refused=self._attachments.refused,
            vanished=self._attachments.vanished,
            uncounted=self._uncounted + self._connections.forgotten,
            unowned=self._connections.unowned,
            problems=(*self._problems, *filter(None, [self._follower.failure])),
        )

    def abandon(self) -> None:
        """Let go of what is attached, in a forked child: it goes on in the parent."""
        self._attachments.abandon()
        self._owners.close()

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
        self._connections.revealed(record.random, key, record.comm)
        self._keys[key] = record.comm, self._keys.get(key, ("", 0))[1] + 1
        self._keys.move_to_end(key)
        if len(self._keys) > _MOST_COUNTED:
            self._keys.popitem(last=False)
            self._uncounted += 1


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
        secrets.abandon()


os.register_at_fork(after_in_child=_abandon)
