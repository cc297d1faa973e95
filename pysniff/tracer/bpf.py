"""bpf(2): maps and programs. Each is a descriptor: closed with its object, and by the kernel when the process ends."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, Self

from pysniff.tracer.architecture import here
from pysniff.tracer.syscalls import buffer, call

_MAP_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _PROG_LOAD = 0, 1, 2, 3, 4, 5
_RAW_TRACEPOINT_OPEN, _LINK_CREATE = 17, 28
# union bpf_attr of any kernel up to now; zeros behind what a kernel knows are allowed.
_ATTRIBUTES = 168
# What the verifier says about a program that it rejects; the last words are the reason.
_LOG_SIZE = 1 << 20
_LAST_WORDS = 2_000

_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
TRACE_UPROBE_MULTI: Final = 48  # expected_attach_type, 6.6 and later


class MapType(IntEnum):
    HASH = 1
    ARRAY = 2
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    RINGBUF = 27


class ProgramType(IntEnum):
    KPROBE = 2
    CGROUP_SKB = 8
    RAW_TRACEPOINT = 17


class ProgramRejected(OSError):
    """The kernel did not take a program; the message ends with what its verifier said last."""


def bpf(command: int, attributes: bytes) -> int:
    """What bpf(2) returned; OSError."""
    architecture = here()
    if architecture is None:
        raise OSError(38, f"probes are not known for this processor ({os.uname().machine})")
    attr = buffer(attributes.ljust(_ATTRIBUTES, b"\0"))
    return call(architecture.bpf, command, attr, len(attr))


class Descriptor:
    """One that is closed once; also usable in `with`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Map(Descriptor):
    """Keys and values are bytes of the sizes given; those of PERCPU_ARRAY are for all possible processors at once."""

    def __init__(self, kind: MapType, *, key: int, value: int, entries: int, name: str = "pysniff") -> None:
        self.fd = -1
        self.key_size, self.kind = key, kind
        attr = struct.pack("<IIIIIII16s", kind, key, value, entries, 0, 0, 0, _name(name))
        try:
            fd = bpf(_MAP_CREATE, attr)
        except PermissionError:
            # Before 5.11 maps counted as locked memory, of which a process has 64 KiB.
            if not _lock_memory_without_limit():
                raise
            fd = bpf(_MAP_CREATE, attr)
        super().__init__(fd)
        self.value_size = value
        if kind is MapType.PERCPU_ARRAY:
            self.value_size = (value + 7 & ~7) * possible_cpus()

    def __getitem__(self, key: bytes) -> bytes:
        """KeyError where there is none."""
        value = ctypes.create_string_buffer(self.value_size)
        try:
            self._element(_LOOKUP, key, value)
        except FileNotFoundError:
            raise KeyError(key) from None
        return value.raw

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if len(value) != self.value_size:
            raise ValueError(f"{len(value)} bytes where values have {self.value_size}")
        self._element(_UPDATE, key, buffer(value))

    def __delitem__(self, key: bytes) -> None:
        """KeyError where there is none."""
        try:
            self._element(_DELETE, key, None)
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[bytes]:
        """Keys; of a map that changes meanwhile, some may be missing or come twice."""
        here_, following = None, ctypes.create_string_buffer(self.key_size)
        while True:
            start = 0 if here_ is None else ctypes.addressof(here_)
            try:
                bpf(_NEXT_KEY, struct.pack("<I4xQQQ", self.fd, start, ctypes.addressof(following), 0))
            except FileNotFoundError:
                return
            yield following.raw
            here_ = buffer(following.raw)

    def sum(self, index: int) -> int:
        """What all processors have counted at `index` of a PERCPU_ARRAY of 8 bytes."""
        return sum(struct.unpack(f"<{self.value_size // 8}Q", self[struct.pack("<I", index)]))

    def _element(self, command: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None) -> None:
        if len(key) != self.key_size:
            raise ValueError(f"{len(key)} bytes where keys have {self.key_size}")
        held = buffer(key)
        address = 0 if value is None else ctypes.addressof(value)
        bpf(command, struct.pack("<I4xQQQ", self.fd, ctypes.addressof(held), address, 0))


class Program(Descriptor):
    """A program that the kernel has verified; ProgramRejected where it did not, other OSError where it was not let.

    `btf_id`: what a TRACING program is attached to; `sleepable`: it may wait for memory (COPY_FROM_USER; 6.0 and later
    for uprobes).
    """

    def __init__(
        self,
        kind: ProgramType,
        code: bytes,
        *,
        name: str = "pysniff",
        attach_type: int = 0,
        btf_id: int = 0,
        sleepable: bool = False,
    ) -> None:
        self.fd = -1
        self.kind, self.name = kind, name
        instructions, licence = buffer(code), buffer(b"GPL\0")

        def load(log: ctypes.Array[ctypes.c_char] | None) -> int:
            logging = (0, 0, 0) if log is None else (1, len(log), ctypes.addressof(log))
            attr = struct.pack("<IIQQ", kind, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(licence))
            attr += struct.pack("<IIQII16sII", *logging, 0, _SLEEPABLE * sleepable, _name(name), 0, attach_type)
            return bpf(_PROG_LOAD, attr.ljust(108, b"\0") + struct.pack("<I", btf_id))

        try:
            fd = load(None)
        except OSError as error:
            # EPERM: we may not load any; EACCES is one of the verifier's ways to say no.
            if error.errno == errno.EPERM:
                raise
            log = ctypes.create_string_buffer(_LOG_SIZE)
            try:
                fd = load(log)
            except OSError:
                said = log.value.decode("utf-8", "replace").strip()[-_LAST_WORDS:]
                if not said:
                    raise
                reason = f"the kernel rejects the program {name}: {os.strerror(error.errno or 0)}: {said}"
                raise ProgramRejected(error.errno, reason) from None
        super().__init__(fd)


def raw_tracepoint(name: str, program: Program) -> Descriptor:
    """Runs a RAW_TRACEPOINT program whenever the kernel passes `name`, for as long as this is open; OSError."""
    text = buffer(name.encode() + b"\0")
    return Descriptor(bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI4x", ctypes.addressof(text), program.fd)))


def tracing(program: Program) -> Descriptor:
    """Runs a TRACING program where its `btf_id` says, for as long as this is open; OSError."""
    return Descriptor(bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI4x", 0, program.fd)))


def link(attributes: bytes) -> Descriptor:
    """BPF_LINK_CREATE; OSError."""
    return Descriptor(bpf(_LINK_CREATE, attributes))


def possible_cpus() -> int:
    """How many values a per-CPU map has for one key; at least 1."""
    try:
        with open("/sys/devices/system/cpu/possible") as file:
            return int(file.read().strip().replace("-", ",").split(",")[-1]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


def _lock_memory_without_limit() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        return False
    return True


def _name(name: str) -> bytes:
    return name.encode()[:15]
