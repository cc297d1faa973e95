"""Writes eBPF programs: one method for each instruction, and labels (RFC 9669).

program = Assembler()
program.load(R1, R1, 112, size=8).jump_if(R1, Test.EQUAL, 0, "out").call(Helper.KTIME_GET_BOOT_NS)
program.label("out").move(R0, 0).exit()
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, Self


class Register(IntEnum):
    """R0: what a call or the program returns; R1 to R5: arguments, lost by a call; R6 to R9: kept; R10: the frame."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


R0: Final = Register.R0
R1: Final = Register.R1
R2: Final = Register.R2
R3: Final = Register.R3
R4: Final = Register.R4
R5: Final = Register.R5
R6: Final = Register.R6
R7: Final = Register.R7
R8: Final = Register.R8
R9: Final = Register.R9
FRAME: Final = Register.R10

# Below FRAME; the kernel's MAX_BPF_STACK.
STACK_SIZE = 512


class Test(IntEnum):
    """How two values compare; SIGNED where the first bit is a sign."""

    EQUAL = 0x10
    ABOVE = 0x20
    ANY_BIT = 0x40
    NOT_EQUAL = 0x50
    BELOW = 0xA0
    AT_MOST = 0xB0
    SIGNED_BELOW = 0xC0
    SIGNED_AT_MOST = 0xD0


class Helper(IntEnum):
    """Functions of the kernel, as include/uapi/linux/bpf.h numbers them; their arguments are in bpf-helpers(7)."""

    MAP_LOOKUP = 1
    MAP_UPDATE = 2
    MAP_DELETE = 3
    KTIME_GET_NS = 5
    GET_CURRENT_PID_TGID = 14
    GET_CURRENT_COMM = 16
    SKB_LOAD_BYTES = 26
    GET_CURRENT_TASK = 35
    GET_CURRENT_CGROUP_ID = 80
    PROBE_READ_USER = 112
    PROBE_READ_KERNEL = 113
    PROBE_READ_USER_STR = 114
    GET_NS_CURRENT_PID_TGID = 120
    GET_CURRENT_ANCESTOR_CGROUP_ID = 123
    KTIME_GET_BOOT_NS = 125
    RINGBUF_OUTPUT = 130
    RINGBUF_RESERVE = 131
    RINGBUF_SUBMIT = 132
    RINGBUF_DISCARD = 133
    COPY_FROM_USER = 148
    GET_CURRENT_TASK_BTF = 158
    GET_ATTACH_COOKIE = 174
    TASK_PT_REGS = 175


_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_INSTRUCTION = struct.Struct("<BBhI")
_ALU64, _ALU32, _JMP64, _JMP32 = 0x07, 0x04, 0x05, 0x06
_BY_REGISTER = 0x08
_MAP_BY_DESCRIPTOR = 1  # BPF_PSEUDO_MAP_FD


class Assembler:
    """Instructions in order. Every method returns the assembler; ValueError for what no instruction can hold."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._instructions)

    def move(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        """An integer is of 32 bits, with its sign; see `constant`."""
        return self._arithmetic(0xB0, to, value, bits)

    def add(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        return self._arithmetic(0x00, to, value, bits)

    def subtract(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        return self._arithmetic(0x10, to, value, bits)

    def either(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        """Bitwise or."""
        return self._arithmetic(0x40, to, value, bits)

    def both(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        """Bitwise and."""
        return self._arithmetic(0x50, to, value, bits)

    def differ(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        """Bitwise exclusive or."""
        return self._arithmetic(0xA0, to, value, bits)

    def shift_left(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        return self._arithmetic(0x60, to, value, bits)

    def shift_right(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        return self._arithmetic(0x70, to, value, bits)

    def shift_right_signed(self, to: Register, value: Register | int, *, bits: int = 64) -> Self:
        return self._arithmetic(0xC0, to, value, bits)

    def extend_sign(self, register: Register) -> Self:
        """The lower 32 bits, as C's int, to 64."""
        return self.shift_left(register, 32).shift_right_signed(register, 32)

    def constant(self, to: Register, value: int) -> Self:
        """64 bits, in two instructions' room."""
        return self._wide(to, 0, value & 0xFFFFFFFFFFFFFFFF)

    def map(self, to: Register, descriptor: int) -> Self:
        """The map that is open under `descriptor` while the program is loaded."""
        return self._wide(to, _MAP_BY_DESCRIPTOR, descriptor)

    def load(self, to: Register, base: Register, offset: int, *, size: int) -> Self:
        """`size` bytes, 1, 2, 4 or 8, from base + offset; the rest of `to` is zero."""
        return self._emit(0x61 | _SIZES[size], to, base, offset)

    def store(self, base: Register, offset: int, value: Register | int, *, size: int) -> Self:
        """`size` bytes, 1, 2, 4 or 8, to base + offset."""
        if isinstance(value, Register):
            return self._emit(0x63 | _SIZES[size], base, value, offset)
        return self._emit(0x62 | _SIZES[size], base, 0, offset, value)

    def increase(self, base: Register, offset: int, value: Register) -> Self:
        """8 bytes at base + offset by `value`, at once for all processors."""
        return self._emit(0xDB, base, value, offset)

    def label(self, name: str) -> Self:
        if name in self._labels:
            raise ValueError(f"two labels are called {name}")
        self._labels[name] = len(self._instructions)
        return self

    def jump(self, label: str) -> Self:
        self._jumps[len(self._instructions)] = label
        return self._emit(0x05)

    def jump_if(self, left: Register, test: Test, right: Register | int, label: str, *, bits: int = 64) -> Self:
        self._jumps[len(self._instructions)] = label
        code = test | (_JMP64 if bits == 64 else _JMP32)
        if isinstance(right, Register):
            return self._emit(code | _BY_REGISTER, left, right)
        return self._emit(code, left, imm=right)

    def call(self, helper: Helper) -> Self:
        return self._emit(0x85, imm=helper)

    def exit(self) -> Self:
        return self._emit(0x95)

    def code(self) -> bytes:
        """8 bytes for each instruction."""
        out = bytearray()
        for place, (code, to, source, offset, imm) in enumerate(self._instructions):
            if place in self._jumps:
                offset = self._distance(place)
            out += _INSTRUCTION.pack(code, to | source << 4, offset, imm & 0xFFFFFFFF)
        return bytes(out)

    def _distance(self, place: int) -> int:
        label = self._jumps[place]
        if label not in self._labels:
            raise ValueError(f"no label is called {label}")
        distance = self._labels[label] - place - 1
        if not -0x8000 <= distance <= 0x7FFF:
            raise ValueError(f"{label} is {distance} instructions away")
        return distance

    def _arithmetic(self, operation: int, to: Register, value: Register | int, bits: int) -> Self:
        code = operation | (_ALU64 if bits == 64 else _ALU32)
        if isinstance(value, Register):
            return self._emit(code | _BY_REGISTER, to, value)
        return self._emit(code, to, imm=value)

    def _wide(self, to: Register, source: int, value: int) -> Self:
        return self._emit(0x18, to, source, imm=value & 0xFFFFFFFF)._emit(0, imm=value >> 32)

    def _emit(self, code: int, to: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> Self:
        if not -0x8000 <= offset <= 0x7FFF:
            raise ValueError(f"offset {offset} has more than 16 bits")
        if not -0x80000000 <= imm <= 0xFFFFFFFF:
            raise ValueError(f"{imm} has more than 32 bits")
        self._instructions.append((code, to, source, offset, imm))
        return self
