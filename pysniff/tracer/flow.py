"""Follows what compiled functions do with their arguments: which fields of an object they reach, and what they return.

Not an emulator: it knows the few instructions that compilers use for this, and forgets a register that any other
changes. Every path through the function is followed, within a bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from pysniff.tracer import x86
from pysniff.tracer.elf import Elf
from pysniff.tracer.x86 import Instruction, Memory

# Of one function: those that tell have 2 to 150 instructions.
_STEPS = 2_000
# A path of more pointers than this is nothing that we look for.
_DEPTH = 3


class Reached(NamedTuple):
    """The address that one finds from an argument by adding each offset, and following all but the last."""

    argument: int
    path: tuple[int, ...]

    def plus(self, offset: int) -> Reached:
        return self._replace(path=(*self.path[:-1], self.path[-1] + offset))

    def followed(self) -> Reached:
        return self._replace(path=(*self.path, 0))


class Loaded(NamedTuple):
    """Some bits of what is at that place."""

    place: Reached
    size: int
    mask: int


Value = Reached | Loaded | int
State = dict[int, Value]


class How(Enum):
    ADDRESS = "address"  # computed, by adding to a pointer
    LOAD = "load"  # read
    BYTES = "bytes"  # read byte by byte, as elements of an array
    STORED = "stored"  # written to the memory of another argument: `into`
    PASSED = "passed"  # given to another function, together with the length that is `value`
    RETURNED = "returned"  # `value` is returned


class Event(NamedTuple):
    how: How
    place: Reached
    value: int = 0
    into: Reached | None = None


def events(elf: Elf, address: int, size: int) -> list[Event]:
    """What the function of `size` bytes does with what its arguments point at, in no order that means anything."""
    code = elf.at(address, size)
    return list(_follow(code, address)) if code else []


def straight(code: bytes, address: int) -> Iterator[tuple[Instruction, State]]:
    """Each instruction from the beginning of a function, and what registers hold before it, if no branch is taken."""
    state = _arguments()
    at = address
    while instruction := x86.decode(code, at - address, address):
        yield instruction, dict(state)
        if instruction.leaves:
            return
        if not instruction.conditional:
            for _ in _step(instruction, state):
                pass
        at = instruction.end


def _arguments() -> State:
    return {register: Reached(number, (0,)) for number, register in enumerate(x86.ARGUMENTS)}


def _follow(code: bytes, start: int) -> Iterator[Event]:
    waiting: deque[tuple[int, State]] = deque([(start, _arguments())])
    seen: set[tuple[int, frozenset[tuple[int, Value]]]] = set()
    steps = 0
    while waiting:
        at, state = waiting.popleft()
        while start <= at < start + len(code):
            key = at, frozenset(state.items())
            steps += 1
            if key in seen or steps > _STEPS:
                break
            seen.add(key)
            instruction = x86.decode(code, at - start, start)
            if instruction is None:
                break
            opcode = instruction.opcode
            if opcode in (0xC3, 0xC2):
                value = state.get(x86.RAX)
                if isinstance(value, Loaded):
                    yield Event(How.RETURNED, value.place, value.mask)
                break
            if instruction.leaves:
                if opcode in (0xCC, 0xF4, 0x10B):
                    break
                if opcode != 0xFF and start < instruction.target < start + len(code):
                    at = instruction.target
                    continue
                yield from _passed(state)
                break
            if instruction.conditional:
                waiting.append((instruction.target, dict(state)))
            else:
                yield from _step(instruction, state)
            at = instruction.end


def _step(instruction: Instruction, state: State) -> Iterator[Event]:
    """Change the state as the instruction does."""
    opcode, memory = instruction.opcode, instruction.memory
    if opcode == 0xE8 or (opcode == 0xFF and instruction.extension == 2):
        yield from _passed(state)
        for register in x86.CLOBBERED:
            state.pop(register, None)
        return
    place = _place(memory, state) if memory is not None else None
    if place is not None and memory is not None and opcode != 0x8D and not opcode & x86.VECTOR:
        yield from _used(instruction, memory, place, state)
    result: Value | None = None
    if opcode == 0x8D:
        if place is not None and memory is not None and memory.indexed_by < 0:
            result = place
            yield Event(How.ADDRESS, place)
        _set(state, instruction.reg, result)
    elif opcode == 0x8B:
        if memory is None:
            result = state.get(instruction.rm)
        elif place is not None and memory.indexed_by < 0:
            if not instruction.wide:
                result = Loaded(place, 2 if instruction.prefix == 0x66 else 4, 0xFFFFFFFF)
            elif len(place.path) < _DEPTH:
                result = place.followed()
        _set(state, instruction.reg, result)
    elif opcode == 0x89 and memory is None:
        _set(state, instruction.rm, state.get(instruction.reg))
    elif opcode & ~7 == 0xB8 or (opcode == 0xC7 and memory is None):
        _set(state, instruction.rm, instruction.immediate)
    elif opcode in (0x31, 0x33) and memory is None and instruction.reg == instruction.rm:
        _set(state, instruction.rm, 0)
    elif opcode in (0x1B6, 0x1B7):
        if place is not None and memory is not None and memory.indexed_by < 0:
            size = opcode - 0x1B5
            result = Loaded(place, size, (1 << 8 * size) - 1)
        _set(state, instruction.reg, result)
    elif opcode in (0x80, 0x81, 0x83, 0xC1, 0xD1, 0x24, 0x25) and memory is None:
        register = x86.RAX if opcode in (0x24, 0x25) else instruction.rm
        yield from _immediate(instruction, register, state)
    else:
        for register in _changed(instruction):
            state.pop(register, None)


def _used(instruction: Instruction, memory: Memory, place: Reached, state: State) -> Iterator[Event]:
    """What an instruction does with memory that an argument leads to."""
    opcode = instruction.opcode
    if opcode in (0x1B6, 0x8A):
        # An element: base + counter, or a pointer that was computed and is counted up.
        yield Event(
            How.BYTES if (memory.indexed_by >= 0 and memory.scale == 1) or not memory.displacement else How.LOAD, place
        )
    elif opcode == 0x89 and memory.indexed_by < 0:
        value = state.get(instruction.reg)
        if isinstance(value, Reached):
            yield Event(How.STORED, value, into=place)
    elif memory.indexed_by < 0:
        yield Event(How.LOAD, place)


def _immediate(instruction: Instruction, register: int, state: State) -> Iterator[Event]:
    """Adding, subtracting, masking or shifting by a constant."""
    value = state.get(register)
    amount = instruction.immediate
    opcode = instruction.opcode
    operation = 4 if opcode in (0x24, 0x25) else instruction.extension
    result: Value | None = None
    if opcode in (0xC1, 0xD1):
        shift = amount if opcode == 0xC1 else 1
        if isinstance(value, Loaded) and operation == 5:
            result = value._replace(mask=value.mask & ~((1 << (shift & 31)) - 1))
    elif operation == 7:
        return
    elif operation in (0, 5) and instruction.wide:
        amount = amount if operation == 0 else -amount
        # Adding 1 counts through an array: where it began has been seen.
        if isinstance(value, Reached) and amount != 1:
            result = value.plus(amount)
            yield Event(How.ADDRESS, result)
        elif isinstance(value, int):
            result = value + amount
    elif operation == 4 and isinstance(value, Loaded):
        low = value.mask & -value.mask
        result = value._replace(mask=value.mask & (amount * low if low else 0) & 0xFFFFFFFF)
    _set(state, register, result)


def _passed(state: State) -> Iterator[Event]:
    """What a call gets: an address and a constant length, one argument behind the other."""
    for register, following in zip(x86.ARGUMENTS, x86.ARGUMENTS[1:], strict=False):
        value, length = state.get(register), state.get(following)
        if isinstance(value, Reached) and isinstance(length, int):
            yield Event(How.PASSED, value, length)


def _place(memory: Memory, state: State) -> Reached | None:
    base = state.get(memory.base)
    return base.plus(memory.displacement) if isinstance(base, Reached) and not memory.relative else None


def _set(state: State, register: int, value: Value | None) -> None:
    if value is None:
        state.pop(register, None)
    else:
        state[register] = value


# In these, bits of the operation are where other instructions have a register.
_GROUPS = frozenset((0x80, 0x81, 0x83, 0x8F, 0xC0, 0xC1, 0xC6, 0xC7, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF))
_STRINGS = frozenset((0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF))


def _changed(instruction: Instruction) -> tuple[int, ...]:
    """The registers that an instruction changes which was not looked at otherwise: rather one too many."""
    opcode, reg, rm = instruction.opcode, instruction.reg, instruction.rm
    if opcode in _GROUPS:
        multiplies = opcode in (0xF6, 0xF7) and instruction.extension >= 4
        return (x86.RAX, x86.RDX) if multiplies else (rm,)
    if opcode < 0x40:
        form = opcode & 7
        if opcode >= 0x38:  # cmp
            return ()
        return (rm,) if form < 2 else (reg,) if form < 4 else (x86.RAX,)
    if opcode in (0x84, 0x85, 0xA8, 0xA9, 0x68, 0x6A) or 0x50 <= opcode <= 0x57:
        return ()
    if opcode in (0x98, 0x99):
        return x86.RAX, x86.RDX
    if opcode in (0x63, 0x69, 0x6B, 0x1AF) or 0x140 <= opcode <= 0x14F:
        return (reg,)
    if opcode in _STRINGS:
        return x86.RAX, x86.RCX, x86.RSI, x86.RDI
    if _of_vectors(opcode):
        return ()
    return reg, rm


def _of_vectors(opcode: int) -> bool:
    """SSE, whose registers have the same numbers as others; and what has no operands, or only looks."""
    if opcode in (0x10D, 0x118, 0x11E, 0x11F, 0x17F):
        return True
    if 0x110 <= opcode <= 0x117 or 0x128 <= opcode <= 0x12B or 0x12E <= opcode <= 0x12F or 0x151 <= opcode <= 0x17D:
        return True
    return 0x1D0 <= opcode <= 0x1FE and opcode != 0x1D7
