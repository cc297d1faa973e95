"""Attaches the programs of the plaintext mode: to the functions of files, for every process or for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

from pysniff.tracer import plaintext_memory
from pysniff.tracer.architecture import Architecture
from pysniff.tracer.bpf import Descriptor, Program, ProgramType, raw_tracepoint
from pysniff.tracer.btf import kernel_btf
from pysniff.tracer.hook import Hook, Kind
from pysniff.tracer.perf import EVERY_PROCESS, Uprobe
from pysniff.tracer.plaintext_calls import beginning, end, go_beginning, go_end, gone
from pysniff.tracer.plaintext_sockets import TRACEPOINTS, socket_program
from pysniff.tracer.plaintext_state import RECEIVED, SENT, PlainMaps, PlainProgram
from pysniff.tracer.socket_ends import SocketFields
from pysniff.tracer.uprobe import attach, load

# Of a Go function: how far what it does with its arguments first may reach.
_PROLOGUE = 80
_FRAME = re.compile(rb"\x55\x48\x89\xe5\x48(?:\x83\xec(.)|\x81\xec(....))", re.DOTALL)
_RAX, _RCX, _RBX = 0, 1, 3
# Probes closed at one time.
_CLOSING = 32
# Where the _ex functions put how much they moved.
_COUNT = 3
_DIRECTIONS = {
    **dict.fromkeys((Kind.SSL_WRITE, Kind.SSL_WRITE_EX, Kind.GO_WRITE), SENT),
    **dict.fromkeys((Kind.SSL_READ, Kind.SSL_READ_EX, Kind.GO_READ), RECEIVED),
}
_COUNTED = (Kind.SSL_READ_EX, Kind.SSL_WRITE_EX)
_GO = (Kind.GO_READ, Kind.GO_WRITE)
MEMORY = (Kind.BIO_READ, Kind.BIO_READ_EX, Kind.BIO_WRITE)
KINDS = (*_DIRECTIONS, Kind.SSL_FREE, Kind.GO_CLOSE, *MEMORY)


class _Part(NamedTuple):
    """One program of a hook. `name`: the same for the same program, `offsets`: of the file."""

    name: str
    offsets: Sequence[int]
    on_return: bool = False


class PlainProbes:
    """The programs are loaded when first used, and once; the probes hold them."""

    def __init__(self, maps: PlainMaps, architecture: Architecture) -> None:
        self._maps, self._architecture = maps, architecture
        self._loaded: dict[tuple[str, bool], Program] = {}

    def attach(self, hook: Hook, path: str, file: int, pid: int = EVERY_PROCESS) -> list[Descriptor]:
        """All that one function needs, in every process or just in one, at no cost to others.

        `file`: a number for its records. OSError, ValueError where the hook says too little; nothing is left then.
        """
        probes: list[Descriptor] = []
        with ExitStack() as made:
            for name, offsets, on_return in _parts(hook, path):
                if pid == EVERY_PROCESS:
                    program = self._program(name, for_one=False)
                    some: Sequence[Descriptor] = attach(path, offsets, program, on_return=on_return, cookie=file)
                else:
                    program = self._program(name, for_one=True)
                    some = [Uprobe(path, at, program, on_return=on_return, pid=pid, cookie=file) for at in offsets]
                probes += map(made.enter_context, some)
            made.pop_all()
        return probes

    def sockets(self) -> list[Descriptor]:
        """Where sockets send and receive; OSError, and btf.NotFound where the kernel does not tell what sockets are."""
        fields = SocketFields.of(kernel_btf())
        with ExitStack() as made:
            probes = []
            for direction, name in enumerate(TRACEPOINTS):
                code = socket_program(self._maps, self._architecture, direction, fields).code()
                with Program(ProgramType.RAW_TRACEPOINT, code, name="pysniff_socket") as program:
                    probes.append(made.enter_context(raw_tracepoint(name, program)))
            made.pop_all()
        return probes

    def close(self) -> None:
        """What is attached stays so."""
        while self._loaded:
            self._loaded.popitem()[1].close()

    def _program(self, name: str, *, for_one: bool) -> Program:
        key = name, for_one
        if key not in self._loaded:
            made = _MAKE[name](self._maps, self._architecture)
            if for_one:
                self._loaded[key] = Program(ProgramType.KPROBE, made.code(), name="pysniff_plain")
            else:
                self._loaded[key] = load(made, "pysniff_plain")
        return self._loaded[key]


def close_together(probes: Sequence[Descriptor]) -> None:
    """The kernel waits 40 ms for each until nobody runs it: for many at once, hardly longer."""
    if probes:
        with ThreadPoolExecutor(_CLOSING) as threads:
            for _ in threads.map(Descriptor.close, probes):
                pass


def _parts(hook: Hook, path: str) -> list[_Part]:
    """What is left is attached before what begins, so that no end is missed."""
    kind, first = hook.kind, (hook.offset,)
    if kind is Kind.SSL_FREE:
        return [_Part("free", first)]
    if kind is Kind.GO_CLOSE:
        return [_Part("go close", first)]
    if kind is Kind.BIO_WRITE:
        return [_Part("memory written", first)]
    if kind in (Kind.BIO_READ, Kind.BIO_READ_EX):
        counted = " counted" if kind is Kind.BIO_READ_EX else ""
        return [_Part(f"memory read{counted}", first, on_return=True), _Part("memory reading", first)]
    way = "write" if _DIRECTIONS[kind] == SENT else "read"
    if kind in _GO:
        if not hook.returns:
            raise ValueError("its return instructions were not found")
        known = " spilled" if keeps_arguments(_code(path, hook.offset)) else ""
        return [_Part(f"go {way} end{known}", hook.returns), _Part("go begin", first)]
    counted = " counted" if kind in _COUNTED else ""
    return [_Part(f"{way} end{counted}", first, on_return=True), _Part(f"begin{counted}", first)]


def keeps_arguments(code: bytes) -> bool:
    """Whether a Go function (ABIInternal, x86-64) begins with putting its first three arguments above its own frame.

    Its code has to say so: push rbp, sub rsp by the frame's size, mov [rsp + frame + 16], rax, then rbx and rcx behind.
    """
    frame = _FRAME.search(code)
    if frame is None:
        return False
    size = int.from_bytes(frame[1] or frame[2], "little")
    for number, register in enumerate((_RAX, _RBX, _RCX)):
        place = size + 16 + 8 * number
        short = bytes((0x48, 0x89, 0x44 | register << 3, 0x24, place)) if place < 0x80 else None
        long = bytes((0x48, 0x89, 0x84 | register << 3, 0x24)) + place.to_bytes(4, "little")
        if not (short and short in code) and long not in code:
            return False
    return True


def _code(path: str, offset: int) -> bytes:
    """The beginning of a function; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(_PROLOGUE)
    except OSError:
        return b""


_Make = Callable[[PlainMaps, Architecture], PlainProgram]
_MAKE: dict[str, _Make] = {
    "free": lambda maps, architecture: gone(maps, architecture, is_go=False),
    "go close": lambda maps, architecture: gone(maps, architecture, is_go=True),
    "memory written": plaintext_memory.written,
    "memory reading": plaintext_memory.reading,
    "memory read": lambda maps, architecture: plaintext_memory.read(maps, architecture, counted=False),
    "memory read counted": lambda maps, architecture: plaintext_memory.read(maps, architecture, counted=True),
    "begin": lambda maps, architecture: beginning(maps, architecture, count_argument=None),
    "begin counted": lambda maps, architecture: beginning(maps, architecture, count_argument=_COUNT),
    "go begin": go_beginning,
    "write end": lambda maps, architecture: end(maps, architecture, SENT, counted=False),
    "write end counted": lambda maps, architecture: end(maps, architecture, SENT, counted=True),
    "read end": lambda maps, architecture: end(maps, architecture, RECEIVED, counted=False),
    "read end counted": lambda maps, architecture: end(maps, architecture, RECEIVED, counted=True),
    "go write end": lambda maps, architecture: go_end(maps, architecture, SENT, spilled=False),
    "go read end": lambda maps, architecture: go_end(maps, architecture, RECEIVED, spilled=False),
    "go write end spilled": lambda maps, architecture: go_end(maps, architecture, SENT, spilled=True),
    "go read end spilled": lambda maps, architecture: go_end(maps, architecture, RECEIVED, spilled=True),
}
