"""Files that processes map to execute, as it happens: when a program starts, and when it loads a library.

From perf's MMAP2 records, which need no BPF; where perf is refused, by looking at all processes now and then.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pysniff.tracer import processes
from pysniff.tracer.bpf import Descriptor
from pysniff.tracer.hook import Mapped
from pysniff.tracer.perf import perf_event

_SOFTWARE, _DUMMY = 1, 9  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY
# Wake up when a byte is there: counting records for that would count samples only.
_MMAP, _WATERMARK, _MMAP2 = 1 << 8, 1 << 14, 1 << 23
_RECORD_LOST, _RECORD_MMAP2 = 2, 10
_HEAD, _TAIL = 1024, 1032  # data_head and data_tail in struct perf_event_mmap_page
# Of each processor; a record has about 120 bytes, and starting a program makes about ten.
_PAGES = 32
_MOST = 8_192
# Seconds between two looks at all processes; one takes at most this part of the time.
_OFTEN, _SHARE = 1.0, 20

_ONLINE = Path("/sys/devices/system/cpu/online")


class Watch(Protocol):
    """`lost`: records that the kernel dropped; `lacking`: what it does not see at all, and why, "" for nothing."""

    lost: int
    lacking: str

    def descriptors(self) -> Sequence[int]:
        """Readable when there is something to take()."""

    def take(self) -> list[Mapped]:
        """What came since, each file once for each process; also files that were met before."""

    def close(self) -> None:
        """End it; calling it again is harmless."""


def watch() -> Watch:
    """The best that this machine allows."""
    try:
        return MappingWatch()
    except OSError as error:
        return Looks(f"perf events are refused ({error.strerror or error}): run as root, or with CAP_PERFMON")


class MappingWatch:
    """Every mapping, by records of the kernel; OSError where that is refused.

    Where `lost` grew, look at processes.now(): records were not taken in time.
    """

    lacking = ""

    def __init__(self) -> None:
        self.lost = 0
        self._rings: list[_Ring] = []
        try:
            for cpu in _processors():
                self._rings.append(_Ring(cpu))
        except BaseException:
            self.close()
            raise

    def descriptors(self) -> Sequence[int]:
        return [ring.event.fd for ring in self._rings]

    def take(self) -> list[Mapped]:
        found: dict[Mapped, None] = {}
        for ring in self._rings:
            for kind, record in ring.take():
                if kind == _RECORD_LOST and len(record) >= 16:
                    self.lost += struct.unpack_from("<QQ", record)[1]
                elif kind == _RECORD_MMAP2 and len(record) > 64:
                    mapped = _mapped(record)
                    if mapped is not None:
                        found[mapped] = None
        return list(found)

    def close(self) -> None:
        while self._rings:
            self._rings.pop().close()


class Looks:
    """The same by looking at /proc from time to time, in a thread of its own: once a second, or 5 % of the time."""

    def __init__(self, reason: str) -> None:
        self.lost = 0
        self.lacking = f"{reason}; programs that end within a second of their start may not be seen"
        self._new: dict[Mapped, None] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._readable, self._writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread: threading.Thread | None = threading.Thread(
            target=self._look, name="pysniff-processes", daemon=True
        )
        self._thread.start()

    def descriptors(self) -> Sequence[int]:
        return [self._readable]

    def take(self) -> list[Mapped]:
        with self._lock:
            if self._new:
                os.read(self._readable, 1)
            new, self._new = self._new, {}
        return list(new)

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end.set()
            thread.join()
            os.close(self._readable)
            os.close(self._writable)

    def _look(self) -> None:
        known: set[Mapped] = set()
        pause = 0.0
        while not self._end.wait(pause):
            began = time.monotonic()
            there = set(processes.now())
            with self._lock:
                if there - known and not self._new:
                    os.write(self._writable, b"\0")
                self._new.update(dict.fromkeys(sorted(there - known)))
            known = there
            pause = max(_OFTEN, _SHARE * (time.monotonic() - began))


class _Ring:
    """The records of one processor."""

    def __init__(self, cpu: int) -> None:
        self.event: Descriptor = perf_event(_SOFTWARE, _DUMMY, cpu=cpu, flags=_MMAP | _MMAP2 | _WATERMARK, wakeup=1)
        self._size = _PAGES * mmap.PAGESIZE
        try:
            self._memory = mmap.mmap(self.event.fd, mmap.PAGESIZE + self._size)
        except BaseException:
            self.event.close()
            raise

    def take(self) -> list[tuple[int, bytes]]:
        """Records with their kinds, without their headers; at most some thousand, the rest waits."""
        records: list[tuple[int, bytes]] = []
        head, tail = struct.unpack_from("<QQ", self._memory, _HEAD)
        while tail < head and len(records) < _MOST:
            kind, _, size = struct.unpack("<IHH", self._bytes(tail, 8))
            if size < 8:
                tail = head
                break
            records.append((kind, self._bytes(tail + 8, size - 8)))
            tail += size
        struct.pack_into("<Q", self._memory, _TAIL, tail)
        return records

    def close(self) -> None:
        self._memory.close()
        self.event.close()

    def _bytes(self, position: int, size: int) -> bytes:
        start = position % self._size
        first = min(size, self._size - start)
        begin = mmap.PAGESIZE + start
        return self._memory[begin : begin + first] + self._memory[mmap.PAGESIZE : mmap.PAGESIZE + size - first]


def _mapped(record: bytes) -> Mapped | None:
    """The file of an MMAP2 record; None of memory that is none."""
    pid, _, _, _, _, major, minor, inode, generation = struct.unpack_from("<IIQQQIIQQ", record)
    path = record[64:].partition(b"\0")[0]
    if not inode or not path.startswith(b"/") or not 0 < pid < 1 << 31:
        return None
    return Mapped(pid, os.fsdecode(path.removesuffix(b" (deleted)")), os.makedev(major, minor), inode, generation)


def _processors() -> list[int]:
    """Those that are switched on."""
    numbers: list[int] = []
    for part in _ONLINE.read_text().strip().split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
