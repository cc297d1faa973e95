"""Where to probe Go's crypto/tls, in binaries stripped or not: .gopclntab names every function, for tracebacks.

Its layout since Go 1.18 is that of runtime/symtab.go (pcHeader, functab, _func); since 1.17 arguments are in registers.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from pysniff.limits import MIB
from pysniff.tracer import x86
from pysniff.tracer.elf import HIGHEST, Elf, ElfError, Section
from pysniff.tracer.entrances import go_entrance
from pysniff.tracer.hook import Hook, Kind, Library

_MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)  # of Go 1.18 and of 1.20 and later
_OLD_MAGICS = (0xFFFFFFFB, 0xFFFFFFFA)  # of Go 1.2 and 1.16
_TABLES = (".gopclntab", ".data.rel.ro.gopclntab")
# Kubernetes' largest programs have 60 MiB.
_TABLE_BYTES = 256 * MIB
_FUNCTIONS = 1_000_000
# Of one function whose ends are wanted; crypto/tls has none of more than 16 KiB.
_CODE_BYTES = 65_536
_RETURNS = 64
_FORKS = 8
# moduledata: pcHeader, six slices, findfunctab, minpc, maxpc, text.
_MODULE_TEXT = 8 + 6 * 24 + 3 * 8
_RELATIVE = 8  # R_X86_64_RELATIVE
_RELOCATIONS_BYTES = 64 * MIB

_BUILDINFO = b"\xff Go buildinf:"
_VERSION = re.compile(rb"go(\d+\.\d+(?:\.\d+|rc\d+|beta\d+)?)")
# Forks of crypto/tls, such as utls, have the same function.
_WRITER = b".(*Config).writeKeyLog\0"
_PLAIN = {
    "crypto/tls.(*Conn).Read": Kind.GO_READ,
    "crypto/tls.(*Conn).Write": Kind.GO_WRITE,
    "crypto/tls.(*Conn).Close": Kind.GO_CLOSE,
}
_NAME = "Go crypto/tls"


def library(elf: Elf) -> Library | None:
    """What a Go program has of crypto/tls; None of programs that have none, or are not made of Go."""
    table = next((elf.sections[name] for name in _TABLES if name in elf.sections), None)
    if table is None:
        return None
    version = _version(elf)
    try:
        functions = _Functions(elf, table)
    except _TooOld:
        problem = "made with a Go older than 1.18, whose tables are not read; build it anew, or set KeyLogWriter"
        return Library(_NAME, version, (), problem) if _mentions_tls(elf, table) else None
    except (ElfError, struct.error) as error:
        return Library(_NAME, version, (), f"its table of functions is damaged: {error}")
    names = functions.ending(_WRITER)
    hooks = [_hook(elf, functions, name, Kind.GO_WRITE_KEY_LOG) for name in names]
    problem = "" if any(hooks) else "crypto/tls is in it, but not its writeKeyLog"
    hooks += [_hook(elf, functions, name, kind) for name, kind in _PLAIN.items()]
    found = tuple(hook for hook in hooks if hook)
    return Library(_NAME, version, found, problem) if found else None


class _TooOld(Exception):
    pass


class _Functions:
    """The functions of one program, by name. ElfError, struct.error or _TooOld where they cannot be had."""

    def __init__(self, elf: Elf, table: Section) -> None:
        if table.size > _TABLE_BYTES:
            raise ElfError(f"more than {_TABLE_BYTES // MIB} MiB")
        self._data = elf.read(table.offset, table.size)
        magic, _, _, pointer, count, _, text, names, _, _, _, functions = struct.unpack_from("<IHBB8Q", self._data)
        if magic in _OLD_MAGICS:
            raise _TooOld
        if magic not in _MAGICS or pointer != 8 or count > _FUNCTIONS or names >= functions:
            raise ElfError(f"a header that is not known, {self._data[:8].hex()}")
        if functions + 8 * count + 4 > len(self._data):
            raise ElfError("it is cut off")
        self._names, self._functions = names, functions
        # Pairs of where a function begins, from the beginning of all code, and where more of it is told; one pair more
        # tells where the last one ends.
        self._pairs = np.frombuffer(self._data, "<u4", 2 * count + 1, functions)
        self._text = text or _text(elf, table)

    def ending(self, end: bytes) -> list[str]:
        """Names with that end, which has a NUL."""
        found: list[str] = []
        place = self._data.find(end, self._names, self._functions)
        while place >= 0 and len(found) < _FORKS:
            start = self._data.rfind(b"\0", max(place - 256, self._names - 1), place) + 1
            if start:
                found.append(self._data[start : place + len(end) - 1].decode("utf-8", "replace"))
            place = self._data.find(end, place + 1, self._functions)
        return found

    def find(self, name: str) -> tuple[int, int] | None:
        """Address and size of the function of that name."""
        place = self._data.find(b"\0" + name.encode() + b"\0", self._names - 1, self._functions)
        if place < 0:
            return None
        wanted = place + 1 - self._names
        told = self._functions + self._pairs[1::2].astype(np.int64) + 4
        data = np.frombuffer(self._data, np.uint8)
        told[told + 4 > len(data)] = 0
        numbers = sum(data[told + byte].astype(np.int64) << 8 * byte for byte in range(4))
        hits = np.flatnonzero(numbers == wanted)
        if not len(hits):
            return None
        index = int(hits[0])
        start, end = int(self._pairs[2 * index]), int(self._pairs[2 * index + 2])
        return (self._text + start, end - start) if start < end else None


def _text(elf: Elf, table: Section) -> int:
    """Where the code begins that offsets count from: since Go 1.26 only moduledata tells, which begins with a pointer
    to the table; in position-independent programs relocations have both.
    """
    if table.address > HIGHEST:
        raise ElfError("it lies where no program can be")
    pointer = struct.pack("<Q", table.address)
    for address in elf.find(pointer, elf.data):
        content = elf.at(address + _MODULE_TEXT, 8)
        if len(content) == 8 and elf.executable(text := int.from_bytes(content, "little")):
            return text
    relocations = elf.sections.get(".rela.dyn") or elf.sections.get(".rela")
    if relocations and relocations.size <= _RELOCATIONS_BYTES:
        entries = np.frombuffer(elf.read(relocations.offset, relocations.size // 24 * 24), "<u8").reshape(-1, 3)
        entries = entries[entries[:, 1] == _RELATIVE]
        for place in entries[(entries[:, 2] == table.address) & (entries[:, 0] < HIGHEST)][:16, 0].tolist():
            texts = entries[entries[:, 0] == place + _MODULE_TEXT][:1, 2].tolist()
            if texts and elf.executable(texts[0]):
                return int(texts[0])
    if ".text" in elf.sections:
        return elf.sections[".text"].address
    raise ElfError("where its code begins is not told")


def _hook(elf: Elf, functions: _Functions, name: str, kind: Kind) -> Hook | None:
    found = functions.find(name)
    if found is None:
        return None
    address, size = found
    offset = elf.offset(address) if elf.executable(address) else None
    if offset is None or size > _CODE_BYTES:
        return None
    returns: tuple[int, ...] = ()
    if kind in (Kind.GO_READ, Kind.GO_WRITE):
        returns = tuple(offset + place for place in _returns(elf.at(address, size)))
        if not returns:
            return None
    if kind is Kind.GO_WRITE_KEY_LOG:
        offset = elf.offset(go_entrance(elf, address, size)) or offset
    return Hook(kind, name, offset, (), ".gopclntab", returns)


def _returns(code: bytes) -> list[int]:
    """Where a function is left, in bytes from its beginning; nothing where its code cannot be read to the end.

    Return probes would replace return addresses, which Go looks at when it moves a stack.
    """
    found = []
    at = 0
    while at < len(code):
        instruction = x86.decode(code, at, 0)
        if instruction is None:
            return []
        if instruction.opcode == 0xC3:
            found.append(at)
        at += instruction.size
    return found if len(found) <= _RETURNS else []


def _mentions_tls(elf: Elf, table: Section) -> bool:
    return table.size <= _TABLE_BYTES and b"\0crypto/tls.(*Conn).Read\0" in elf.read(table.offset, table.size)


def _version(elf: Elf) -> str:
    """As Go's linker wrote it; "" where it did not, or before Go 1.18."""
    section = elf.sections.get(".go.buildinfo")
    if section is None:
        return ""
    try:
        content = elf.read(section.offset, min(section.size, 256))
    except ElfError:
        return ""
    if not content.startswith(_BUILDINFO) or len(content) < 34 or not content[15] & 2:
        return ""
    told = _VERSION.match(content, 33)
    return told[1].decode() if told else ""
