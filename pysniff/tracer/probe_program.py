"""What programs at the beginning of a function have in common: its arguments, room on the stack, memory of the process.

R6 keeps the registers of the process (struct pt_regs); a helper's call loses R1 to R5.
"""

from __future__ import annotations

from typing import Self

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R6, STACK_SIZE, Assembler, Helper, Register, Test
from pysniff.tracer.bpf import Map


class ProbeProgram(Assembler):
    """Begins with R6 set. `sleepable`: the program may wait for pages that are not in memory (6.0 and later)."""

    def __init__(self, architecture: Architecture, *, sleepable: bool = False) -> None:
        super().__init__()
        self.architecture, self.sleepable = architecture, sleepable
        self._used = self._names = 0
        self.move(R6, R1)

    def room(self, size: int) -> int:
        """Where `size` bytes of the stack begin, from FRAME, at a multiple of 8; ValueError when it is used up."""
        self._used += size + 7 & ~7
        if self._used > STACK_SIZE:
            raise ValueError(f"the stack has {STACK_SIZE} bytes, not {self._used}")
        return -self._used

    def new_label(self) -> str:
        """A name that no other label has."""
        self._names += 1
        return f"_{self._names}"

    def zero(self, offset: int, size: int, *, base: Register = FRAME) -> Self:
        """`size`, a multiple of 8, bytes."""
        for place in range(offset, offset + size, 8):
            self.store(base, place, 0, size=8)
        return self

    def register(self, to: Register, name: str) -> Self:
        """A register of the process, as `Architecture.registers` calls it."""
        return self.load(to, R6, self.architecture.registers[name], size=8)

    def argument(self, to: Register, number: int) -> Self:
        """Of a C function, from 0; those on the stack are read from there, and are 0 where it cannot be read."""
        return self._argument(to, number, self.architecture.arguments)

    def go_argument(self, to: Register, word: int) -> Self:
        """Of a Go function (ABIInternal): the `word`-th of all words of its arguments, the receiver's first."""
        return self._argument(to, word, self.architecture.go_arguments)

    def result(self, to: Register) -> Self:
        """What a C function returns, in a probe where it is left."""
        return self.register(to, self.architecture.result)

    def read_user(self, offset: int, size: int | Register, address: Register, *, base: Register = FRAME) -> Self:
        """Memory of the process at `address` (not R1 nor R2) to base + offset; R0 is 0, or less where it failed.

        A `size` in a register has to be known to the verifier as bounded.
        """
        return self._read(Helper.PROBE_READ_USER, offset, size, address, base)

    def read_user_string(self, offset: int, size: int, address: Register, *, base: Register = FRAME) -> Self:
        """A string and its NUL, at most `size` bytes; R0 is how many, or less than 0 where it failed."""
        return self._read(Helper.PROBE_READ_USER_STR, offset, size, address, base)

    def read_kernel(self, offset: int, size: int, address: Register, *, base: Register = FRAME) -> Self:
        """As `read_user`, of the kernel's memory."""
        return self._read(Helper.PROBE_READ_KERNEL, offset, size, address, base)

    def fault_in(self, address: Register, last: int, room: int) -> Self:
        """Have the pages of `address` (R7 to R9) and `address` + last read from disk, where the program may wait.

        Constants of a file that the process has not touched yet are not in its memory. `room`: 8 bytes of the stack.
        """
        if self.sleepable:
            for distance in (0, last):
                self.move(R3, address).add(R3, distance).move(R1, FRAME).add(R1, room).move(R2, 1)
                self.call(Helper.COPY_FROM_USER)
        return self

    def count(self, counters: Map, index: int) -> Self:
        """One more at `index` of a PERCPU_ARRAY of 8 bytes."""
        key, nothing = self.room(8), self.new_label()
        self.store(FRAME, key, index, size=4).move(R2, FRAME).add(R2, key).map(R1, counters.fd).call(Helper.MAP_LOOKUP)
        self.jump_if(R0, Test.EQUAL, 0, nothing).move(R1, 1).increase(R0, 0, R1)
        return self.label(nothing)

    def leave(self) -> Self:
        return self.move(R0, 0).exit()

    def _argument(self, to: Register, number: int, registers: tuple[str, ...]) -> Self:
        if number < len(registers):
            return self.register(to, registers[number])
        room, place = self.room(8), 8 * (number - len(registers)) + self.architecture.stack_arguments
        self.store(FRAME, room, 0, size=8).register(R3, self.architecture.stack_pointer).add(R3, place)
        return self.read_user(room, 8, R3).load(to, FRAME, room, size=8)

    def _read(self, helper: Helper, offset: int, size: int | Register, address: Register, base: Register) -> Self:
        if address != R3:
            self.move(R3, address)
        if size is not R2:  # R2 equals the number 2
            self.move(R2, size)
        return self.move(R1, base).add(R1, offset).call(helper)
