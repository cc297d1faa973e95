"""Plain text of TLS connections as processes read and write it, for connections that keys cannot open.

Whatever is lost leaves a hole in the offsets, so nothing is ever put together wrongly.
"""

from __future__ import annotations

import os
import time
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self

from pysniff.errors import CaptureError, PrivilegeError
from pysniff.limits import MIB, SECOND
from pysniff.plain import PlainChunk
from pysniff.tracer import earlier, processes
from pysniff.tracer.architecture import here
from pysniff.tracer.attachments import Attachments
from pysniff.tracer.btf import NotFound
from pysniff.tracer.follower import Follower
from pysniff.tracer.hook import Library
from pysniff.tracer.installed import installed
from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext_earlier import Earlier
from pysniff.tracer.plaintext_everywhere import Everywhere
from pysniff.tracer.plaintext_probes import PlainProbes
from pysniff.tracer.plaintext_records import PlainRecord, ends_of, pack_ends, read_record
from pysniff.tracer.plaintext_state import Counter, PlainMaps
from pysniff.tracer.plaintext_streams import Ends, PlainStreams
from pysniff.tracer.privileges import Needed, examine
from pysniff.tracer.task import task_of_kernel
from pysniff.tracer.watch import watch

# What is not taken in time is lost; 64 MiB are a second of a busy server's and many of most. Of connections that were
# open before there is less.
RING, RING_EARLIER = 64 * MIB, 16 * MIB
# Of the ring, at one time.
_TAKEN = 32 * MIB
# ns between two looks whether connections that were open before are still open.
_LOOK = 5 * SECOND
# Connections open at the beginning that are remembered.
_OPEN = 1 << 20
# Ticks of /proc/PID/stat in a second.
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class PlainReport:
    """What the plaintext mode does and could not do; counts of calls and pieces, and bytes where it says so.

    `given_bytes`: in chunks. Each of these is a gap where it concerned somebody: `ring_full`, pieces for which the ring
    had no room, and their bytes; `unreadable`, pieces whose memory could not be read; `beyond_bytes`, behind the first
    2 MiB of one call; `unknown_bytes`, of connections whose socket was never known; `begun_before`, calls begun before
    their probe was there. `doubled_bytes`: told by both ends on this machine, and taken once. `nested`: calls within
    calls, TLS in TLS, of which only the inner text is told. `other_calls`: system calls not understood, as of io_uring.
    `waiting_bytes`: whose socket is not known yet. `files`: with probes; `processes`: with probes of their own, and
    `connections` that were open before. `problems`: what this machine does not let it do, in words.
    """

    given_bytes: int
    ring_full: int
    ring_full_bytes: int
    unreadable: int
    unreadable_bytes: int
    beyond_bytes: int
    unknown_bytes: int
    doubled_bytes: int
    waiting_bytes: int
    begun_before: int
    nested: int
    no_room: int
    other_calls: int
    files: int
    processes: int
    connections: int
    problems: tuple[str, ...]


class PlainSource:
    """Chunks of plain text from running processes: of all, or of the connections that are open now.

    `only_earlier`: probes are then in the processes that have such connections, and go when those are closed. Raises
    PrivilegeError or CaptureError where the machine does not allow it. close() undoes everything, and so does the end
    of this process, however it ends.
    """

    def __init__(self, limits: Limits | None = None, *, only_earlier: bool = False, ring: int = 0) -> None:
        architecture = here()
        if architecture is None:
            raise CaptureError(
                f"plain text cannot be read on this processor ({os.uname().machine})", hint="use --keylog FILE"
            )
        limits = limits or Limits()
        size = ring or (RING_EARLIER if only_earlier else RING)
        self._lock = Lock()
        self._closed = False
        self._problems: list[str] = []
        self._everywhere: Everywhere | None = None
        self._earlier: Earlier | None = None
        self._libraries: dict[int, str] = {}
        self._final: PlainReport | None = None
        self._looked = self._began = 0
        self._open_before: set[frozenset[bytes]] = set()
        self._streams = PlainStreams(self._library, self._is_whole)
        with ExitStack() as opened:
            try:
                self._maps = PlainMaps.make(size, limits, task_of_kernel(), only_earlier=only_earlier)
                opened.callback(self._maps.close)
                self._probes = PlainProbes(self._maps, architecture)
                opened.callback(self._probes.close)
                self._sockets = ExitStack()
                opened.push(self._sockets)
                for probe in self._probes.sockets():
                    self._sockets.enter_context(probe)
            except FileNotFoundError as error:
                hint = "it needs Linux 6.3 (tracepoint sock_send_length); key mode does not"
                raise CaptureError("the kernel does not tell what sockets send and receive", hint=hint) from error
            except NotFound as error:
                raise CaptureError(str(error), hint="plain text needs a kernel with BTF; key mode does not") from error
            except OSError as error:
                raise _refusal(error) from error
            if only_earlier:
                self._begin_earlier(limits, opened)
            else:
                self._begin_everywhere(opened)
            self._began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._opened = opened.pop_all()
        _sources.add(self)

    def fileno(self) -> int:
        """Readable when there is something to poll()."""
        return self._maps.ring.fileno()

    def poll(self) -> list[PlainChunk]:
        """What came since, by time; the bytes of one direction of a connection in their order. Does not wait."""
        with self._lock:
            if self._closed:
                return []
            boot, offset = _clocks()
            records = [one for one in map(read_record, self._maps.ring.take(_TAKEN)) if one is not None]
            if self._everywhere is not None and any(record.ends is None for record in records):
                self._everywhere.wake()
            chunks = self._streams.take(records, offset)
            self._streams.expire(boot)
            if self._earlier is not None and boot - self._looked > _LOOK:
                self._looked = boot
                self._earlier.look()
                if self.finished:
                    self._sockets.close()
            return chunks

    @property
    def finished(self) -> bool:
        """Whether nothing more can come: no connection is left that was open before."""
        return self._closed or (self._earlier is not None and not self._earlier.processes)

    def report(self) -> PlainReport:
        """For people to read; after close(), what it was then."""
        with self._lock:
            return self._final or self._reported()

    def close(self) -> None:
        """What is in the ring and was not taken is gone."""
        with self._lock:
            if self._closed:
                return
            self._final = self._reported()
            self._closed = True
        self._opened.close()
        _sources.discard(self)

    def abandon(self) -> None:
        """In a forked child: close what it has of the probes, which stay its parent's."""
        self._sockets.close()
        if self._everywhere is not None:
            self._everywhere.abandon()
        if self._earlier is not None:
            self._earlier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def attachments(self) -> Attachments | None:
        """Of the files that have probes, where it reads all connections."""
        return None if self._everywhere is None else self._everywhere.attachments

    def _begin_everywhere(self, opened: ExitStack) -> None:
        begun = self._everywhere = Everywhere(self._probes)
        opened.callback(begun.close)
        self._open_before = _open_now()
        seeing = watch()
        follower = Follower(begun.attachments, seeing, installed=installed, now=processes.now)
        opened.callback(follower.close)
        self._open_before |= _open_now()  # those too that were opened meanwhile
        if seeing.lacking:
            self._problems.append(seeing.lacking)

    def _begin_earlier(self, limits: Limits, opened: ExitStack) -> None:
        assert self._maps.earlier is not None
        begun = self._earlier = Earlier(self._maps.earlier, self._probes, self._number)
        opened.callback(begun.close)
        begun.begin(limits)
        if not begun.processes:
            self._sockets.close()

    def _number(self, library: Library) -> int:
        """Of a library, for records of its probes."""
        self._libraries[len(self._libraries) + 1] = library.name
        return len(self._libraries)

    def _library(self, file: int) -> str:
        if self._everywhere is None:
            return self._libraries.get(file, "")
        found = self._everywhere.attachments.find(file)
        return found.libraries[0].name if found and found.libraries else ""

    def _is_whole(self, record: PlainRecord, ends: Ends) -> bool:
        """Whether nothing of its connection can have been missed.

        The connection was opened when the file had its probes: they were there when this began, or before its process.
        """
        if self._everywhere is None or record.offset or frozenset(ends) in self._open_before:
            return False
        attached = self._everywhere.attached(record.file)
        if attached is None:
            return False
        return attached < self._began or _started_at(record.pid) > attached

    def _reported(self) -> PlainReport:
        count, losses = self._maps.counters.sum, self._streams.losses
        problems = list(self._problems)
        if self._earlier is not None:
            problems += (f"process {pid}: {reason}" for pid, reason in self._earlier.left_out.items())
        if self._everywhere is not None:
            problems += (*self._everywhere.problems, *self._everywhere.unread())
        return PlainReport(
            given_bytes=self._streams.given,
            ring_full=count(Counter.RING_FULL),
            ring_full_bytes=count(Counter.RING_FULL + Counter.BYTES),
            unreadable=count(Counter.UNREADABLE),
            unreadable_bytes=count(Counter.UNREADABLE + Counter.BYTES),
            beyond_bytes=count(Counter.BEYOND + Counter.BYTES),
            unknown_bytes=losses.unknown,
            doubled_bytes=losses.doubled,
            waiting_bytes=self._streams.waiting,
            begun_before=count(Counter.BEGUN_BEFORE),
            nested=count(Counter.NESTED),
            no_room=count(Counter.NO_ROOM),
            other_calls=count(Counter.UNKNOWN_CALL),
            files=self._everywhere.files if self._everywhere else 0,
            processes=len(self._earlier.processes) if self._earlier else 0,
            connections=self._earlier.connections if self._earlier else 0,
            problems=tuple(problems),
        )


def _clocks() -> tuple[int, int]:
    """Time since boot, and what is to be added for that of packets, ns."""
    # This thread may lose its processor between two readings: those that are closest together are right.
    readings = []
    for _ in range(5):
        before, now = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        readings.append((after - before, now - (before + after) // 2))
    return after, min(readings)[1]


def _refusal(error: OSError) -> CaptureError | PrivilegeError:
    """Why the kernel did not let us, found by trying one thing after the other."""
    for one in examine():
        if one.problem and one.needed is not Needed.BETTER:
            kind = PrivilegeError if one.refused else CaptureError
            return kind(f"plain text cannot be read out of programs: {one.problem}", hint=one.remedy)
    return CaptureError(f"plain text cannot be read out of programs: {error}", hint="use --keylog FILE")


def _open_now() -> set[frozenset[bytes]]:
    """The ends of every connection that is open now, in every network namespace that a process is in."""
    found: set[frozenset[bytes]] = set()
    namespaces: set[str] = set()
    for pid in processes.running():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115
            if namespace in namespaces:
                continue
            namespaces.add(namespace)
            for one in earlier.established(pid):
                ends = ends_of(pack_ends(one.family, one.local, one.port, one.remote, one.remote_port))
                if ends is not None and len(found) < _OPEN:
                    found.add(frozenset(ends))
        except OSError:
            continue
    return found


def _started_at(pid: int) -> int:
    """When a process began, ns since boot, to a hundredth of a second; 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = text[text.rfind(b")") + 2 :].split()
    return int(fields[19]) * SECOND // _TICKS if len(fields) > 19 else 0


# A child that os.fork() makes has the same probes open, and would keep them when its parent is gone.
_sources: weakref.WeakSet[PlainSource] = weakref.WeakSet()


def _abandon() -> None:
    for source in list(_sources):
        source.abandon()


os.register_at_fork(after_in_child=_abandon)
