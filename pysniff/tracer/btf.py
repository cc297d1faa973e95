"""What the running kernel says of its own types (BTF): where a field is in a structure, and the number of a function.

Read when something is asked for; the type table is walked once, and only names that are asked for are compared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

VMLINUX = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
# Kinds of BTF types, and how many bytes follow the first twelve: a constant, and some for each of `vlen` elements.
STRUCT, UNION, FUNCTION = 4, 5, 12
_TRAILING = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12)} | {
    17: (4, 0),
    19: (0, 12),
}
_TRANSPARENT = frozenset({8, 9, 10, 11, 18})  # typedef, volatile, const, restrict, type tag
_HIGHEST_KIND = 19
_DEPTH = 32  # of anonymous structures within each other, and of typedefs of typedefs


class NotFound(LookupError):
    """The kernel has no such type or field, or tells nothing at all."""


class _Type(NamedTuple):
    kind: int
    elements: int
    flag: bool
    size_or_type: int
    body: int


class Btf:
    """`content`: of /sys/kernel/btf/vmlinux. Whatever cannot be read raises NotFound."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._places: list[int] | None = None
        try:
            magic, _, _, header, types, types_size, names, names_size = _HEADER.unpack_from(content)
        except struct.error:
            raise NotFound("no BTF: it is too short") from None
        if magic != _MAGIC:
            raise NotFound("no BTF: it begins otherwise")
        self._types, self._types_end = header + types, header + types + types_size
        self._names, self._names_end = header + names, header + names + names_size

    @classmethod
    def of_kernel(cls, path: Path = VMLINUX) -> Btf:
        """NotFound where it has none, or it may not be read."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise NotFound(f"{path}: {error.strerror}") from error

    def offset(self, structure: str, path: str) -> int:
        """Of a field, in bytes; `path` leads through fields that are structures: "skc_daddr", "sk.sk_common"."""
        number, bits = self.number(STRUCT, structure), 0
        for field in path.split("."):
            found = self._field(self._solid(number), field, _DEPTH)
            if found is None:
                raise NotFound(f"struct {structure} has no {path}")
            bits += found[0]
            number = found[1]
        return bits // 8

    def number(self, kind: int, name: str) -> int:
        """That of a type, from 1, as the kernel counts."""
        for offset in self._name_offsets(name):
            packed = offset.to_bytes(4, "little")
            for number, place in enumerate(self._table(), 1):
                if self._content[place : place + 4] == packed and self._content[place + 7] & 0x1F == kind:
                    return number
        raise NotFound(f"the kernel has no type {name}")

    def _name_offsets(self, name: str) -> Iterator[int]:
        """Where the name, or one that ends with it, begins in the names; most are there once."""
        wanted = name.encode() + b"\0"
        at = self._content.find(b"\0" + wanted, self._names, self._names_end)
        while at >= 0:
            yield at + 1 - self._names
            at = self._content.find(b"\0" + wanted, at + 1, self._names_end)

    def _table(self) -> list[int]:
        if self._places is not None:
            return self._places
        places, at, content = [], self._types, self._content
        end = min(self._types_end, len(content) - 12)
        unpack = struct.Struct("<xxxxHxB").unpack_from
        trailing = [_TRAILING.get(kind, (0, 0)) for kind in range(32)]
        while at <= end and at < self._types_end:
            elements, kind = unpack(content, at)
            places.append(at)
            kind &= 0x1F
            if kind > _HIGHEST_KIND:
                break  # a newer kernel's: what follows cannot be found, what came before can
            fixed, each = trailing[kind]
            at += 12 + fixed + each * elements
        self._places = places
        return places

    def _type(self, number: int) -> _Type | None:
        table = self._table()
        if not 0 < number <= len(table):
            return None
        place = table[number - 1]
        _, info, size_or_type = _TYPE.unpack_from(self._content, place)
        return _Type(info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31), size_or_type, place + 12)

    def _solid(self, number: int) -> int:
        """What it is behind typedefs and qualifiers."""
        for _ in range(_DEPTH):
            found = self._type(number)
            if found is None or found.kind not in _TRANSPARENT:
                break
            number = found.size_or_type
        return number

    def _field(self, number: int, name: str, depth: int) -> tuple[int, int] | None:
        """Its offset in bits and the number of its type, also out of unnamed structures within."""
        found = self._type(number)
        if found is None or found.kind not in (STRUCT, UNION) or not depth:
            return None
        end = found.body + 12 * found.elements
        if end > len(self._content):
            return None
        wanted = name.encode() + b"\0"
        for place in range(found.body, end, 12):
            own, kind, bits = _MEMBER.unpack_from(self._content, place)
            bits &= 0xFFFFFF if found.flag else 0xFFFFFFFF
            if own == 0:
                within = self._field(self._solid(kind), name, depth - 1)
                if within:
                    return bits + within[0], within[1]
            elif self._content.startswith(wanted, self._names + own):
                return bits, kind
        return None


@cache
def kernel_btf() -> Btf:
    """That of the running kernel, read once; NotFound."""
    return Btf.of_kernel()
