"""What the programs of the plaintext mode share: calls that are going on, TLS objects and their sockets, counters.

All maps that a traced process can fill forget the oldest, and what that costs is a gap with a size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R7, Helper, Register, Test
from pysniff.tracer.bpf import Map, MapType
from pysniff.tracer.btf import kernel_btf
from pysniff.tracer.limits import NAME, LimitMaps, Limits
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.ring import RingBuffer
from pysniff.tracer.task import Task

# Threads (and goroutines) inside of a read or write at one time; TLS objects; processes; records on their way between
# a socket and a memory BIO.
_CALLS, _OBJECTS, _PROCESSES, _PASSING = 16_384, 65_536, 16_384, 16_384
# Connections that were open when the tracing began, of those processes that are traced for them.
EARLIER = 65_536

# Flags of a process: its threads are goroutines; it moves records between sockets and memory by itself.
GO, MEMORY = 1, 2
# What a connection's bytes are wanted for.
UNKNOWN, WANTED, UNWANTED = 0, 1, 2
SENT, RECEIVED = 0, 1

PID_TGID = 8
GOROUTINE = 16  # g, then the process as the kernel calls it
OBJECT = 16  # its address, then the process as the kernel calls it
# family and local port as the kernel has them, remote port as on the wire, 2 of zeros, local and remote address.
TUPLE = 40
READING = 16  # where a memory BIO is read to, and where it puts how much, if it does
# Of a record's ciphertext, behind its header: no two records have the same.
FINGERPRINT = 16
RECORD_HEADER = 5  # RFC 8446 §5.2

BPF_NOEXIST = 1


class Call(IntEnum):
    """Offsets in what is kept of a call while it goes on; `TOUCHED`: a socket was read or written meanwhile.

    `DEPTH`: the stack pointer when it began; for goroutines its distance from the stack's end, as stacks move.
    """

    OBJECT = 0
    BUFFER = 8
    COUNT = 16  # where the function puts how many bytes it moved, 0 where it returns that
    DEPTH = 24
    STARTED = 32  # ns since boot
    PID = 40
    TOUCHED = 44
    PROCESS_STARTED = 48  # numbers of processes and threads are used again
    SIZE = 56


class Object(IntEnum):
    """Offsets in what is kept of a TLS object. `BORN`: ns since boot of its first call; two at one address differ."""

    BORN = 0
    SOCKET = 8  # the kernel's address of it, 0 while nobody knows
    SENT = 16
    RECEIVED = 24
    TUPLE = 32
    WANTED = 72
    SIZE = 80


class Passing(IntEnum):
    """Offsets in what is kept of a record seen at one end of a memory BIO."""

    SOCKET = 0  # received: the socket and its tuple; sent: the object and when it was born
    TUPLE = 8
    OBJECT = 0
    BORN = 8
    SIZE = 48


class Counter(IntEnum):
    """`BYTES` more than the first four: how many bytes these were."""

    GIVEN = 0
    RING_FULL = 1
    UNREADABLE = 2
    BEYOND = 3  # behind what is copied of one call
    NESTED = 4
    BEGUN_BEFORE = 5
    NO_ROOM = 6
    UNKNOWN_CALL = 7
    UNWANTED = 8
    TIED = 9
    BYTES = 16
    SIZE = 24


@dataclass(frozen=True, slots=True)
class PlainMaps:
    """`started`: offsets in struct task_struct of a process's first thread, and of when a thread began.

    `earlier`: the tuples of connections that were open before, where no other is wanted."""

    ring: RingBuffer
    counters: Map
    calls: Map
    goroutines: Map
    objects: Map
    processes: Map
    passing: Map
    reading: Map
    limits: LimitMaps
    limited: bool
    task: Task
    started: tuple[int, int]
    earlier: Map | None = None

    @classmethod
    def make(cls, ring_size: int, limits: Limits, task: Task, *, only_earlier: bool) -> PlainMaps:
        """OSError where the kernel does not let us, btf.NotFound where it does not tell what is needed."""
        btf = kernel_btf()

        def forgetting(key: int, value: int, entries: int, name: str) -> Map:
            return Map(MapType.LRU_HASH, key=key, value=value, entries=entries, name=name)

        earlier = Map(MapType.HASH, key=TUPLE, value=1, entries=EARLIER, name="ps_earlier") if only_earlier else None
        return cls(
            ring=RingBuffer(ring_size, name="ps_plain"),
            counters=Map(MapType.PERCPU_ARRAY, key=4, value=8, entries=Counter.SIZE, name="ps_counters"),
            calls=forgetting(PID_TGID, Call.SIZE, _CALLS, "ps_calls"),
            goroutines=forgetting(GOROUTINE, Call.SIZE, _CALLS, "ps_goroutines"),
            objects=forgetting(OBJECT, Object.SIZE, _OBJECTS, "ps_objects"),
            processes=forgetting(4, 4, _PROCESSES, "ps_processes"),
            passing=forgetting(8 + FINGERPRINT, Passing.SIZE, _PASSING, "ps_passing"),
            reading=forgetting(PID_TGID, READING, _CALLS, "ps_reading"),
            limits=LimitMaps(limits),
            limited=bool(limits),
            task=task,
            started=(btf.offset("task_struct", "group_leader"), btf.offset("task_struct", "start_time")),
            earlier=earlier,
        )

    def close(self) -> None:
        self.ring.close()
        maps = (self.counters, self.calls, self.goroutines, self.objects, self.processes, self.passing, self.reading)
        for held in (*maps, self.earlier):
            if held is not None:
                held.close()
        self.limits.close()


class PlainProgram(ProbeProgram):
    """Adds what these programs have in common. `me`: where on the stack PID_TGID bytes say who runs."""

    def __init__(self, maps: PlainMaps, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.maps = maps
        self.me = self.room(PID_TGID)
        self._counter = self.room(8)
        self.call(Helper.GET_CURRENT_PID_TGID).store(FRAME, self.me, R0, size=8)

    def look_up(self, where: Map, key: int) -> Self:
        """R0: the value of the key at FRAME + key, or 0."""
        return self.map(R1, where.fd).move(R2, FRAME).add(R2, key).call(Helper.MAP_LOOKUP)

    def update(self, where: Map, key: int, value: int, flags: int = 0) -> Self:
        self.map(R1, where.fd).move(R2, FRAME).add(R2, key).move(R3, FRAME).add(R3, value).move(R4, flags)
        return self.call(Helper.MAP_UPDATE)

    def delete(self, where: Map, key: int) -> Self:
        return self.map(R1, where.fd).move(R2, FRAME).add(R2, key).call(Helper.MAP_DELETE)

    def object_key(self, key: int, address: Register) -> Self:
        """To the stack at `key`: the object at an address of this process. R1 is lost."""
        self.store(FRAME, key, address, size=8).load(R1, FRAME, self.me + 4, size=4)
        return self.store(FRAME, key + 8, R1, size=8)

    def tally(self, counter: int, amount: Register | int = 1) -> Self:
        """More of a counter; `amount` not R0 to R5. R0 to R5 are lost."""
        nothing = self.new_label()
        self.store(FRAME, self._counter, counter, size=4)
        self.look_up(self.maps.counters, self._counter).jump_if(R0, Test.EQUAL, 0, nothing)
        return self.move(R1, amount).increase(R0, 0, R1).label(nothing)

    def flag_process(self, flag: int) -> Self:
        """Know from now on that this process is one of those."""
        key, value, new, known = self.room(8), self.room(8), self.new_label(), self.new_label()
        self.load(R1, FRAME, self.me + 4, size=4).store(FRAME, key, R1, size=8).store(FRAME, value, flag, size=8)
        self.look_up(self.maps.processes, key).jump_if(R0, Test.EQUAL, 0, new).load(R1, R0, 0, size=4)
        self.jump_if(R1, Test.ANY_BIT, flag, known).either(R1, flag).store(R0, 0, R1, size=4).jump(known)
        return self.label(new).update(self.maps.processes, key, value).label(known)

    def whom(self, elsewhere: str) -> int:
        """Where on the stack its process's number is as this process calls it; jumps where it is not to be traced."""
        maps, pid = self.maps, self.room(8)
        if maps.limited or maps.task.namespace is not None:
            comm = self.room(NAME)
            maps.task.identify(self, pid=pid, comm=comm)
            self.load(R7, FRAME, pid, size=4)
            maps.limits.ask(self, R7, comm, elsewhere)
        else:
            self.load(R1, FRAME, self.me + 4, size=4).store(FRAME, pid, R1, size=8)
        return pid
