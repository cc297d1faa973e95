"""Programs that read a secret where a TLS library would write its key log, and what they tell of it.

They run whether a key log is written or not: every library asks that inside the function.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R7, R8, R9, Helper, Register, Test
from pysniff.tracer.bpf import Map, Program
from pysniff.tracer.hook import Hook, Kind
from pysniff.tracer.limits import NAME, LimitMaps
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.ring import NO_WAKEUP, RingBuffer
from pysniff.tracer.task import Task
from pysniff.tracer.uprobe import load, sleepable_works

# The longest of the key log format has 31 characters.
LABEL = 40
RANDOM = 32
# SHA-512's; that of TLS 1.2 has 48 bytes. A longer one is none.
SECRET = 64
_RECORD = struct.Struct(f"<QII{NAME}sIIqII{LABEL}s{RANDOM}s{SECRET}s")
# Counters of a Map: records that did not fit into the ring, and memory that could not be read.
DROPPED, UNREADABLE = 0, 1


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One call. `at`: ns since boot; `file`: the number its program was made with.

    `label` is "" where it could not be read; `distance` from the function to the label is the same in every process
    that has the file.
    """

    at: int
    pid: int
    comm: str
    file: int
    distance: int
    label: str
    random: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyRecord({self.pid}, {self.comm!r}, {self.label})"


def read_record(content: bytes) -> KeyRecord | None:
    """What a program gave; None where it makes no secret."""
    if len(content) < _RECORD.size:
        return None
    at, pid, _, comm, file, length, distance, label_length, _, label, random, secret = _RECORD.unpack_from(content)
    if not 0 < length <= SECRET or not any(random):
        return None
    text = label[: min(label_length, LABEL)].partition(b"\0")[0].decode("ascii", "replace")
    name = comm.partition(b"\0")[0].decode("utf-8", "replace")
    return KeyRecord(at, pid, name, file, distance, text, random, secret[:length])


@dataclass(frozen=True, slots=True)
class KeyMaps:
    """What key programs share. `counters`: a PERCPU_ARRAY of DROPPED and UNREADABLE."""

    ring: RingBuffer
    counters: Map
    limits: LimitMaps
    task: Task


def key_program(hook: Hook, file: int, maps: KeyMaps, architecture: Architecture) -> Program:
    """Loaded for uprobe.attach; `file` comes with every record. OSError, ValueError for a hook that says too little."""
    if hook.kind not in _ARGUMENTS or (hook.kind is Kind.LOG_SECRET and not hook.client_random):
        raise ValueError(f"nobody has said where {hook.function} has the client random")
    return load(_written(hook, file, maps, ProbeProgram(architecture, sleepable=sleepable_works())), hook.kind.value)


def _written(hook: Hook, file: int, maps: KeyMaps, program: ProbeProgram) -> ProbeProgram:
    record = program.room(_RECORD.size)
    at, pid, comm, number, length, distance, label_length = (record + place for place in (0, 8, 16, 32, 36, 40, 48))
    label, random, secret = record + 56, record + 56 + LABEL, record + 56 + LABEL + RANDOM
    program.zero(record, _RECORD.size + 7 & ~7)
    maps.task.identify(program, pid=pid, comm=comm)
    program.load(R7, FRAME, pid, size=4)
    maps.limits.ask(program, R7, comm, "out")
    program.store(FRAME, number, file, size=4)
    _ARGUMENTS[hook.kind](program, hook, _Places(distance, label, label_length, random, secret, length))
    program.call(Helper.KTIME_GET_BOOT_NS).store(FRAME, at, R0, size=8)
    program.map(R1, maps.ring.map.fd).move(R2, FRAME).add(R2, record).move(R3, _RECORD.size).move(R4, NO_WAKEUP)
    program.call(Helper.RINGBUF_OUTPUT).jump_if(R0, Test.EQUAL, 0, "out")
    program.count(maps.counters, DROPPED).jump("out")
    program.label("unreadable").count(maps.counters, UNREADABLE)
    return program.label("out").leave()


@dataclass(frozen=True, slots=True)
class _Places:
    """Offsets on the stack of what a record has."""

    distance: int
    label: int
    label_length: int
    random: int
    secret: int
    length: int


def _log_secret(program: ProbeProgram, hook: Hook, places: _Places) -> None:
    """(object, label, secret, length)"""
    registers = hook.arguments or program.architecture.arguments
    program.register(R7, registers[1])
    _label(program, places)
    program.register(R8, registers[0])
    pointer = program.room(8)
    for offset in hook.client_random[:-1]:
        program.add(R8, offset).read_user(pointer, 8, R8).jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")
        program.load(R8, FRAME, pointer, size=8)
    program.add(R8, hook.client_random[-1])
    program.read_user(places.random, RANDOM, R8).jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")
    program.register(R9, registers[2]).register(R2, registers[3])
    _secret(program, places, R9)


def _go_write_key_log(program: ProbeProgram, hook: Hook, places: _Places) -> None:
    """(c *Config) (label string, clientRandom, secret []byte): pointer, length and capacity of each slice."""
    program.go_argument(R7, 1).go_argument(R8, 2)
    _label(program, places, R8)
    program.go_argument(R8, 4).jump_if(R8, Test.NOT_EQUAL, RANDOM, "unreadable").go_argument(R8, 3)
    program.read_user(places.random, RANDOM, R8).jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")
    program.go_argument(R9, 6).go_argument(R2, 7)
    _secret(program, places, R9)


def _rustls_log(program: ProbeProgram, hook: Hook, places: _Places) -> None:
    """(&self, label: &str, client_random: &[u8], secret: &[u8]): pointer and length of each."""
    program.argument(R7, 1).argument(R8, 2)
    _label(program, places, R8)
    program.argument(R8, 4).jump_if(R8, Test.NOT_EQUAL, RANDOM, "unreadable").argument(R8, 3)
    program.read_user(places.random, RANDOM, R8).jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")
    program.argument(R9, 5).argument(R2, 6)
    _secret(program, places, R9)


def _label(program: ProbeProgram, places: _Places, length: Register | None = None) -> None:
    """R7: where it is; a C string, or `length` (R8) bytes. Where it cannot be read the distance tells it."""
    unread = program.new_label()
    program.register(R1, program.architecture.instruction_pointer).move(R2, R7).subtract(R2, R1)
    program.store(FRAME, places.distance, R2, size=8)
    program.fault_in(R7, LABEL - 9, places.label)
    if length is None:
        program.read_user_string(places.label, LABEL, R7)
        program.jump_if(R0, Test.SIGNED_AT_MOST, 0, unread).store(FRAME, places.label_length, R0, size=4)
    else:
        program.move(R2, length).jump_if(R2, Test.ABOVE, LABEL, unread).jump_if(R2, Test.EQUAL, 0, unread)
        program.read_user(places.label, R2, R7).jump_if(R0, Test.NOT_EQUAL, 0, unread)
        program.store(FRAME, places.label_length, length, size=4)
    program.label(unread)


def _secret(program: ProbeProgram, places: _Places, address: Register) -> None:
    """`address` (R9), of R2 bytes."""
    program.jump_if(R2, Test.ABOVE, SECRET, "unreadable").jump_if(R2, Test.EQUAL, 0, "unreadable")
    program.store(FRAME, places.length, R2, size=4)
    program.read_user(places.secret, R2, address).jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")


_ARGUMENTS: dict[Kind, Callable[[ProbeProgram, Hook, _Places], None]] = {
    Kind.LOG_SECRET: _log_secret,
    Kind.GO_WRITE_KEY_LOG: _go_write_key_log,
    Kind.RUSTLS_LOG: _rustls_log,
}
