"""Where in a function a probe costs least, its arguments being still there.

The kernel runs the instruction that a probe replaced. A few it does itself (arch/x86/kernel/uprobes.c); for any other
the thread is stepped through a copy, which costs ten times as much as the probe.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.tracer import x86
from pysniff.tracer.elf import Elf
from pysniff.tracer.flow import Reached, State, straight
from pysniff.tracer.x86 import Instruction

# Instructions from the beginning of a function that are looked at.
_FAR = 16
_CODE_BYTES = 4_096
_NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
_USUAL = tuple(_NAMES[register] for register in x86.ARGUMENTS)


class Entrance(NamedTuple):
    """`arguments`: the registers that hold them there; () where it is the usual ones."""

    address: int
    arguments: tuple[str, ...] = ()


def is_cheap(instruction: Instruction) -> bool:
    """Whether the kernel does it itself: push, nop, and relative calls and jumps."""
    if instruction.prefix == 0x66:
        return False
    opcode = instruction.opcode
    return 0x50 <= opcode <= 0x57 or opcode in (0x90, 0xE8, 0xE9, 0xEB) or instruction.conditional


def begins_cheaply(elf: Elf, address: int) -> bool:
    first = x86.decode(elf.at(address, 16), 0, address)
    return first is not None and is_cheap(first)


def entrance(elf: Elf, address: int, size: int, arguments: int) -> Entrance:
    """For a probe that wants the first `arguments` of a C function; where it begins, if nothing is better.

    Of no use to a probe where a function is left: that has to begin where the function does.
    """
    code = elf.at(address, min(size, _CODE_BYTES))
    for count, (instruction, state) in enumerate(straight(code, address)):
        held = _held(state, arguments)
        if not held or count >= _FAR:
            break
        if is_cheap(instruction):
            found = instruction.address
            if found == address or _comes_back(code, address, found):
                break
            return Entrance(found, () if held == _USUAL[:arguments] else held)
        if instruction.leaves:
            break
    return Entrance(address)


def go_entrance(elf: Elf, address: int, size: int) -> int:
    """The same of a Go function, all of whose arguments stay in their registers: at the jump to where a stack grows.

    When it does grow, the function begins again, so the probe sees the call twice.
    """
    code = elf.at(address, min(size, 64))
    at = address
    for _ in range(3):
        instruction = x86.decode(code, at - address, address)
        if instruction is None:
            break
        if instruction.conditional:
            return instruction.address
        # lea r12, [rsp - frame], and cmp of that or rsp with the limit in g (r14).
        is_lea = instruction.opcode == 0x8D and instruction.reg == 12
        if not is_lea and instruction.opcode not in (0x39, 0x3B):
            break
        at = instruction.end
    return address


def inner(elf: Elf, outer: tuple[int, int], extended: tuple[int, int]) -> int | None:
    """The function that both of these (address and size) call with what they were called with, if it begins cheaply.

    `outer` (object, buffer, size) gives it the address of a count on its stack, `extended` its own fourth argument.
    """
    targets = {_called(elf, *outer, counts_itself=True), _called(elf, *extended, counts_itself=False)}
    target = targets.pop()
    if targets or target is None or not elf.executable(target):
        return None
    return target if begins_cheaply(elf, target) else None


def _called(elf: Elf, address: int, size: int, *, counts_itself: bool) -> int | None:
    """What a function calls first, with its first two arguments where they were, and the address of a count."""
    on_stack = False
    for instruction, state in straight(elf.at(address, min(size, _CODE_BYTES)), address):
        if instruction.opcode in (0xE8, 0xE9):
            if _held(state, 2) != _USUAL[:2]:
                return None
            count_is_own = state.get(x86.RCX) == Reached(3, (0,))
            return instruction.target if (on_stack if counts_itself else count_is_own) else None
        if instruction.opcode == 0x8D and instruction.reg == x86.RCX:
            on_stack = instruction.memory is not None and instruction.memory.base == x86.RSP
        elif instruction.opcode in (0x89, 0x8B) and instruction.memory is None:
            source, copy = instruction.reg, instruction.rm
            if instruction.opcode == 0x8B:
                source, copy = copy, source
            if copy == x86.RCX:
                on_stack = source == x86.RSP
    return None


def _held(state: State, arguments: int) -> tuple[str, ...]:
    """The registers that hold the first arguments, the usual ones rather than others; () if one is lost."""
    names = []
    for number in range(arguments):
        holding = [register for register, value in state.items() if value == Reached(number, (0,))]
        if not holding:
            return ()
        usual = x86.ARGUMENTS[number]
        names.append(_NAMES[usual if usual in holding else holding[0]])
    return tuple(names)


def _comes_back(code: bytes, address: int, to: int) -> bool:
    """Whether a jump in the function leads there, so that a probe would see more than calls."""
    at = address
    while instruction := x86.decode(code, at - address, address):
        jumps = instruction.conditional or instruction.opcode in (0xE9, 0xEB)
        if jumps and address < instruction.target <= to:
            return True
        at = instruction.end
    return False
