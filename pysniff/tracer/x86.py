"""Reads single instructions of x86-64: how long they are, and their operands (Intel SDM volume 2, appendix A).

Enough to follow compilers' code; what it cannot read ends a function, and harms nothing.
"""

from __future__ import annotations

from typing import NamedTuple

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
R8, R9, R10, R11 = 8, 9, 10, 11
# System V ABI: where arguments are, and what a call may change.
ARGUMENTS = (RDI, RSI, RDX, RCX, R8, R9)
CLOBBERED = (RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11)

# Opcodes of the maps behind the escape bytes have these added.
_0F, _0F38, _0F3A = 0x100, 0x200, 0x300
VECTOR = 0x400  # VEX and EVEX, whose operands are mostly not general registers

_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_INVALID = frozenset(b"\x06\x07\x0e\x16\x17\x1e\x1f\x27\x2f\x37\x3f\x60\x61\x82\x9a\xce\xd4\xd5\xd6\xea")
_0F_WITHOUT_OPERANDS = frozenset(
    b"\x05\x06\x07\x08\x09\x0b\x0e\x30\x31\x32\x33\x34\x35\x37\x77\xa0\xa1\xa2\xa8\xa9\xaa"
)
_0F_WITH_BYTE = frozenset(b"\x70\x71\x72\x73\xa4\xac\xba\xc2\xc4\xc5\xc6")


class Memory(NamedTuple):
    """base + index * scale + displacement; -1 where there is no such register. `relative`: to the next instruction."""

    base: int
    indexed_by: int
    scale: int
    displacement: int
    relative: bool = False


class Instruction(NamedTuple):
    """`opcode`: its last byte, plus 0x100 behind 0F, 0x200 behind 0F38, 0x300 behind 0F3A, 0x400 for VEX and EVEX.

    `wide`: of 64 bits; `prefix`: 0x66, 0xF2, 0xF3 or 0. `reg` and `rm`: register numbers, -1 where there is none;
    `memory` instead of `rm`. `extension`: the three bits that distinguish members of a group.
    """

    address: int
    size: int
    opcode: int
    wide: bool = False
    prefix: int = 0
    reg: int = -1
    rm: int = -1
    extension: int = 0
    memory: Memory | None = None
    immediate: int = 0
    rex: bool = False

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def target(self) -> int:
        """Where a relative jump or call goes."""
        return self.end + self.immediate

    @property
    def conditional(self) -> bool:
        """Whether it is a jump that may not be taken."""
        return 0x70 <= self.opcode <= 0x7F or 0x180 <= self.opcode <= 0x18F

    @property
    def leaves(self) -> bool:
        """Whether what follows is not run next: a jump, a return, or a trap."""
        return self.opcode in (0xE9, 0xEB, 0xC2, 0xC3, 0xCC, 0xF4, 0x10B) or (
            self.opcode == 0xFF and self.extension in (4, 5)
        )


def decode(code: bytes, start: int, address: int) -> Instruction | None:
    """The instruction at `start` of these bytes, which are loaded at `address` + start; None if it cannot be read."""
    try:
        return _decode(code, start, address + start)
    except IndexError:
        return None


def _signed(code: bytes, at: int, size: int) -> int:
    if at + size > len(code):
        raise IndexError
    return int.from_bytes(code[at : at + size], "little", signed=True)


def _decode(code: bytes, start: int, address: int) -> Instruction | None:
    at, prefix, operand_size = start, 0, 4
    while code[at] in _PREFIXES:
        if code[at] == 0x66:
            operand_size = 2
        if code[at] in (0x66, 0xF2, 0xF3):
            prefix = code[at]
        at += 1
        if at - start > 14:
            return None
    rex = code[at] if code[at] & 0xF0 == 0x40 else 0
    at += bool(rex)
    wide = bool(rex & 8)
    opcode, at, rex, wide = _opcode(code, at, rex, wide)
    if opcode < 0:
        return None
    reg = rm = -1
    extension = 0
    memory = None
    if _has_modrm(opcode):
        modrm = code[at]
        extension = modrm >> 3 & 7
        reg = extension | (rex & 4) << 1
        if modrm >> 6 == 3:
            rm = modrm & 7 | (rex & 1) << 3
            at += 1
        else:
            memory, at = _memory(code, at, rex)
    elif (opcode < 0x100 and opcode & 0xF0 in (0x50, 0xB0)) or opcode & ~7 in (0x90, 0x1C8):
        rm = opcode & 7 | (rex & 1) << 3
    size = _immediate_size(opcode, extension, operand_size, wide)
    immediate = _signed(code, at, size) if size else 0
    at += size
    if memory is not None and memory.relative:
        memory = memory._replace(displacement=address + at - start + memory.displacement)
    if at > len(code) or at - start > 15:
        return None
    return Instruction(address, at - start, opcode, wide, prefix, reg, rm, extension, memory, immediate, bool(rex))


def _opcode(code: bytes, at: int, rex: int, wide: bool) -> tuple[int, int, int, bool]:
    """The opcode, -1 if there is no such; where its operands begin; the bits that extend registers, as in REX."""
    first = code[at]
    if first == 0x0F:
        second = code[at + 1]
        if second == 0x38:
            return _0F38 | code[at + 2], at + 3, rex, wide
        if second == 0x3A:
            return _0F3A | code[at + 2], at + 3, rex, wide
        return _0F | second, at + 2, rex, wide
    if first == 0xC5:
        return VECTOR | _0F | code[at + 2], at + 3, ~code[at + 1] >> 5 & 4, False
    if first in (0xC4, 0x62):
        kind = code[at + 1] & (0x1F if first == 0xC4 else 7)
        if not 1 <= kind <= 3:
            return -1, at, 0, False
        last = at + (3 if first == 0xC4 else 4)
        return VECTOR | kind << 8 | code[last], last + 1, ~code[at + 1] >> 5 & 7, bool(code[at + 2] & 0x80)
    return (-1 if first in _INVALID else first), at + 1, rex, wide


def _has_modrm(opcode: int) -> bool:
    if opcode & VECTOR:
        return opcode & 0x3FF != _0F | 0x77
    if opcode >= _0F38:
        return True
    low = opcode & 0xFF
    if opcode >= _0F:
        return low not in _0F_WITHOUT_OPERANDS and not 0x80 <= low <= 0x8F and not 0xC8 <= low <= 0xCF
    if low < 0x40:
        return low & 7 < 4
    return (
        low in (0x63, 0x69, 0x6B, 0xC0, 0xC1, 0xC6, 0xC7, 0xF6, 0xF7, 0xFE, 0xFF)
        or 0x80 <= low <= 0x8F
        or 0xD0 <= low <= 0xD3
        or 0xD8 <= low <= 0xDF
    )


def _memory(code: bytes, at: int, rex: int) -> tuple[Memory, int]:
    mod, low = code[at] >> 6, code[at] & 7
    at += 1
    base, index, scale = low | (rex & 1) << 3, -1, 1
    if low == 4:
        sib = code[at]
        at += 1
        scale = 1 << (sib >> 6)
        index = sib >> 3 & 7 | (rex & 2) << 2
        index = -1 if index == RSP else index
        base = sib & 7 | (rex & 1) << 3
        low = sib & 7
        if low == 5 and mod == 0:
            return Memory(-1, index, scale, _signed(code, at, 4)), at + 4
    elif low == 5 and mod == 0:
        return Memory(-1, -1, 1, _signed(code, at, 4), relative=True), at + 4
    size = (0, 1, 4)[mod]
    return Memory(base, index, scale, _signed(code, at, size) if size else 0), at + size


def _immediate_size(opcode: int, extension: int, operand_size: int, wide: bool) -> int:
    if opcode & VECTOR:
        return int(opcode & 0x300 == _0F3A or (opcode & 0x300 == _0F and opcode & 0xFF in _0F_WITH_BYTE))
    if opcode >= _0F38:
        return int(opcode >= _0F3A)
    low = opcode & 0xFF
    if opcode >= _0F:
        return 4 if 0x80 <= low <= 0x8F else int(low in _0F_WITH_BYTE)
    if low < 0x40:
        return {4: 1, 5: operand_size}.get(low & 7, 0)
    if 0xB8 <= low <= 0xBF:
        return 8 if wide else operand_size
    if low in (0x68, 0x69, 0x81, 0xA9, 0xC7):
        return operand_size
    if low in (0xE8, 0xE9):
        return 4
    if low in (0xF6, 0xF7):
        return (1 if low == 0xF6 else operand_size) if extension < 2 else 0
    if 0xA0 <= low <= 0xA3:
        return 8
    if low in (0xC2, 0xCA):
        return 2
    if low == 0xC8:
        return 3
    one = low in (0x6A, 0x6B, 0x80, 0x83, 0xA8, 0xC0, 0xC1, 0xC6, 0xCD, 0xEB) or low >> 4 in (7,)
    return int(one or 0xB0 <= low <= 0xB7 or 0xE0 <= low <= 0xE7)
