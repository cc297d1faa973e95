"""Finds the function that writes the key log in stripped code: the one that is called with most of its labels.

The labels are those of draft-ietf-tls-keylogfile; each is a C string, whose address is loaded as the second argument
right before the call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysniff.tracer import x86
from pysniff.tracer.elf import CHUNK, Elf
from pysniff.tracer.unwinding import Functions

# The rarest first: who lacks it has no TLS 1.3, or no key log.
LABELS = (
    b"CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    b"SERVER_HANDSHAKE_TRAFFIC_SECRET",
    b"CLIENT_TRAFFIC_SECRET_0",
    b"SERVER_TRAFFIC_SECRET_0",
    b"CLIENT_EARLY_TRAFFIC_SECRET",
    b"EXPORTER_SECRET",
    b"CLIENT_RANDOM",
)
# A call is at most so many bytes behind the instruction that loads its argument.
_NEAR = 64
# Calls with different labels that a function must have: others may be called with one of these strings by chance.
_ENOUGH = 2
_REFERENCES = 1_024

Values = npt.NDArray[np.int32]
Addresses = npt.NDArray[np.int64]
_HALF = 1 << 31
# What instructions that begin four bytes further on add, for each place of a chunk.
_EVERY_FOURTH: Values = np.arange(0, CHUNK + 64, 4, dtype=np.int32)


class Found(NamedTuple):
    """`labels`: with how many different ones it is called; `size`: at most its bytes."""

    address: int
    size: int
    labels: int


def has_labels(elf: Elf) -> bool:
    """Whether the file can write a key log at all: cheap, to be asked first."""
    return bool(elf.find(LABELS[0], elf.data, most=1))


def writer(elf: Elf, functions: Functions) -> Found | None:
    """The function(object, label, secret, length) that is called with most labels; None if none stands out."""
    places = {address: label for label in LABELS for address in elf.find(label + b"\0", elf.data)}
    called: dict[int, set[bytes]] = {}
    for at, label in references(elf, places):
        target = _call_with_label(elf, at, places)
        if target is not None and target != at and elf.executable(target):
            called.setdefault(target, set()).add(label)
    if functions:
        called = {target: labels for target, labels in called.items() if target in functions}
    ranked = Counter({target: len(labels) for target, labels in called.items()}).most_common(2)
    if not ranked or ranked[0][1] < _ENOUGH or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return None
    address, labels = ranked[0]
    return Found(address, functions.size(address), labels)


def references(elf: Elf, places: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """The instructions that load one of these addresses, and what is there; at most some thousand."""
    found: list[tuple[int, bytes]] = []
    if not places:
        return found
    targets = np.array(sorted(places), dtype=np.int64)
    for segment in elf.code:
        for address, chunk in elf.chunks(segment, 16):
            for at, target in _loads(address, chunk, targets, absolute=elf.fixed):
                if target in places:
                    found.append((at, places[target]))
            if len(found) >= _REFERENCES:
                return found
    return found


def _loads(address: int, chunk: bytes, targets: Addresses, *, absolute: bool) -> Iterator[tuple[int, int]]:
    """In code that is loaded at `address`: where one of those addresses is loaded, and which."""
    for shift in range(4):
        count = (len(chunk) - shift) // 4
        if count <= 0:
            continue
        values = np.frombuffer(chunk, "<i4", count, shift)
        # lea register, [rip + displacement]: it ends with those four bytes, and adds its end.
        first = address + shift + 4
        for index in _hits(values + _EVERY_FOURTH[:count], targets - first):
            at = index * 4 + shift
            if at >= 3 and chunk[at - 3] in (0x48, 0x4C) and chunk[at - 2] == 0x8D and chunk[at - 1] & 0xC7 == 5:
                yield address + at - 3, first + 4 * index + int(values[index])
        if absolute:
            # mov register, imm32
            for index in _hits(values, targets):
                at = index * 4 + shift
                if at >= 1 and 0xB8 <= chunk[at - 1] <= 0xBF:
                    extended = at >= 2 and chunk[at - 2] == 0x41
                    yield address + at - 1 - extended, int(values[index])


def _hits(values: Values, targets: Addresses) -> list[int]:
    """The indices of values that are among the targets, which are sorted; the first thousand."""
    targets = targets[(targets >= -_HALF) & (targets < _HALF)]
    if not len(targets):
        return []
    candidates = np.flatnonzero((values >= np.int32(targets[0])) & (values <= np.int32(targets[-1])))
    return [int(index) for index in candidates[np.isin(values[candidates], targets)][:_REFERENCES]]


def _call_with_label(elf: Elf, at: int, places: dict[int, bytes]) -> int | None:
    """What is called or jumped to next with that label as its second argument."""
    code = elf.at(at, _NEAR)
    register = -1
    here = at
    while here < at + len(code):
        instruction = x86.decode(code, here - at, at)
        if instruction is None:
            return None
        if here == at:
            register = instruction.reg if instruction.opcode == 0x8D else instruction.rm
        elif instruction.opcode in (0xE8, 0xE9, 0xEB):
            if register == x86.RSI:
                return instruction.target
            if instruction.opcode != 0xE8:
                here = instruction.target
                if not at < here < at + len(code):
                    return None
                continue
            if register in x86.CLOBBERED:
                return None
        elif instruction.memory is None and instruction.opcode in (0x89, 0x8B):
            source, copy = instruction.reg, instruction.rm
            if instruction.opcode == 0x8B:
                source, copy = copy, source
            if source == register and copy == x86.RSI:
                register = x86.RSI
        here = instruction.end
    return None
