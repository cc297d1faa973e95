"""Reads ELF files that anyone may have written: every offset is checked, every table has a bound.

With pread, never mmap: a mapped file that its owner cuts short would kill the reader (SIGBUS).
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from pysniff.errors import PysniffError
from pysniff.limits import KIB, MIB

# Of one file: Chromium has 10 segments to load, 40 sections and 300 MB.
_SEGMENTS, _SECTIONS = 4_096, 65_536
_LOADS = 64
_SYMBOLS_BYTES, _NAMES_BYTES = 128 * MIB, 256 * MIB
_SCANNED = 384 * MIB
CHUNK = MIB
# Places where one string is found; linkers let names share their ends, so a short one is found often.
_FOUND = 4_096

X86_64, AARCH64 = 62, 183
MACHINES = {3: "x86", X86_64: "x86-64", 40: "arm", AARCH64: "arm64", 243: "riscv"}

# Where programs are: addresses of 47 bits (larger ones a program has to ask for, which those of code are not).
HIGHEST = 1 << 47

_LOAD = 1
_EXECUTE = 1
_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)


class ElfError(PysniffError):
    """Not an ELF file of 64 bits, or one whose tables point nowhere."""


class ElfClassError(ElfError):
    """An ELF file of 32 bits, or of the other byte order."""


class Segment(NamedTuple):
    """What is loaded: `size` bytes at `offset` of the file come to lie at `address`."""

    address: int
    offset: int
    size: int
    executable: bool


class Section(NamedTuple):
    kind: int
    address: int
    offset: int
    size: int
    link: int


class Symbol(NamedTuple):
    """A function. `size` is 0 where the file does not say."""

    name: str
    address: int
    size: int


class Elf:
    """A file, open until close(). Raises OSError and ElfError, here and in every method that reads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # A FIFO must not make us wait, nor a terminal become ours.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise ElfError(f"{os.fspath(path)}: not a regular file")
            self.size = status.st_size
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def fixed(self) -> bool:
        """Whether it is linked to run at one address, so that code may have addresses in it (not PIE)."""
        return bool(self._kind == 2)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many bytes."""
        if size < 0 or offset < 0 or offset + size > self.size:
            raise ElfError(f"{size} bytes at {offset} are not in a file of {self.size}")
        parts = []
        while size:
            part = os.pread(self._fd, size, offset)
            if not part:
                raise ElfError("the file became shorter")
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def offset(self, address: int) -> int | None:
        """Where in the file the byte is that is loaded there; None where none is."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        return None

    def executable(self, address: int) -> bool:
        return any(s.executable and s.address <= address < s.address + s.size for s in self.segments)

    def at(self, address: int, size: int) -> bytes:
        """What is loaded there, at most `size` bytes; less at the end of a segment, nothing outside."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                within = address - segment.address
                return self.read(segment.offset + within, min(size, segment.size - within))
        return b""

    def chunks(self, segment: Segment, overlap: int) -> Iterator[tuple[int, bytes]]:
        """The segment piece by piece with their addresses; each has `overlap` bytes of the next one too."""
        for start in range(0, min(segment.size, _SCANNED), CHUNK):
            size = min(CHUNK + overlap, segment.size - start)
            yield segment.address + start, self.read(segment.offset + start, size)

    def find(self, needle: bytes, segments: Iterable[Segment], most: int = 64) -> list[int]:
        """The addresses where these bytes are, so many at most."""
        found: list[int] = []
        for segment in segments:
            for address, chunk in self.chunks(segment, len(needle) - 1):
                place = chunk.find(needle)
                while place >= 0:
                    found.append(address + place)
                    if len(found) >= most:
                        return found
                    place = chunk.find(needle, place + 1)
        return found

    @property
    def data(self) -> list[Segment]:
        """Where constants may be: the segments that are not code, or all where an old linker put both into one."""
        return [segment for segment in self.segments if not segment.executable] or self.segments

    @property
    def code(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.executable]

    def symbols(self, names: Iterable[str]) -> dict[str, Symbol]:
        """The functions of these names that the file has, in its dynamic symbols or in the others."""
        wanted = [(name, name.encode() + b"\0") for name in names]
        found: dict[str, Symbol] = {}
        for table, strings in self._symbol_tables():
            places: dict[int, str] = {}
            for name, needle in wanted:
                place = strings.find(needle)
                while place >= 0 and len(places) < _FOUND:
                    places[place] = name
                    place = strings.find(needle, place + 1)
            for symbol in self._functions(table, places):
                found.setdefault(symbol.name, symbol)
        return found

    def symbols_with(self, part: bytes) -> list[Symbol]:
        """The functions that have this in their names, which are of 512 bytes at most."""
        found: list[Symbol] = []
        for table, strings in self._symbol_tables():
            places: dict[int, str] = {}
            place = strings.find(part)
            while place >= 0 and len(places) < _FOUND:
                start = strings.rfind(b"\0", max(place - 512, 0), place) + 1
                end = strings.find(b"\0", place, place + 512)
                if start and end > 0:
                    places[start] = strings[start:end].decode("utf-8", "replace")
                place = strings.find(part, place + len(part))
            found += self._functions(table, places)
        return found

    def names(self, table: str) -> bytes:
        """The strings of .dynsym or .symtab, each between NULs: symbols, and what versions they are of."""
        return next((strings for section, strings in self._symbol_tables() if section is self.sections.get(table)), b"")

    def _read_header(self) -> None:
        header = self.read(0, 64)
        if header[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if header[4:6] != b"\x02\x01":
            raise ElfClassError("an ELF file of 32 bits, or big-endian: only those of 64 bits, little-endian, are read")
        self._kind, self.machine = struct.unpack_from("<HH", header, 16)
        segments, sections = struct.unpack_from("<QQ", header, 32)
        segment_size, segment_count, section_size, section_count, names = struct.unpack_from("<HHHHH", header, 54)
        self.segments = self._read_segments(segments, segment_size, segment_count)
        try:
            self.sections = self._read_sections(sections, section_size, section_count, names)
        except ElfError:
            # Only what is loaded has to be right for a program to run.
            self.sections = {}

    def _read_segments(self, offset: int, size: int, count: int) -> list[Segment]:
        if (count and size != 56) or count > _SEGMENTS:
            raise ElfError(f"{count} program headers of {size} bytes")
        segments = []
        for kind, flags, start, address, _, length, _, _ in struct.iter_unpack(
            "<IIQQQQQQ", self.read(offset, size * count)
        ):
            if kind != _LOAD or start >= self.size or address + length > HIGHEST:
                continue
            segments.append(Segment(address, start, min(length, self.size - start), bool(flags & _EXECUTE)))
        if len(segments) > _LOADS:
            raise ElfError(f"{len(segments)} segments to load: more than {_LOADS}")
        if sum(segment.size for segment in segments) > _SCANNED:
            raise ElfError(f"more than {_SCANNED // MIB} MiB to load")
        return segments

    def _read_sections(self, offset: int, size: int, count: int, names: int) -> dict[str, Section]:
        if not count:
            return {}
        if size != 64 or count > _SECTIONS or names >= count:
            raise ElfError(f"{count} section headers of {size} bytes")
        headers = list(struct.iter_unpack("<IIQQQQIIQQ", self.read(offset, size * count)))
        strings = self.read(headers[names][4], min(headers[names][5], MIB))
        sections: dict[str, Section] = {}
        self._by_number = [
            Section(kind, address, start, length, link) for _, kind, _, address, start, length, link, *_ in headers
        ]
        for header, section in zip(headers, self._by_number, strict=True):
            end = strings.find(b"\0", header[0], header[0] + KIB)
            if end > header[0]:
                sections.setdefault(strings[header[0] : end].decode("utf-8", "replace"), section)
        return sections

    def _symbol_tables(self) -> Iterator[tuple[Section, bytes]]:
        """.dynsym and .symtab with their strings; those that are damaged or beyond any bound are left out."""
        for name in (".dynsym", ".symtab"):
            table = self.sections.get(name)
            if table is None or table.size > _SYMBOLS_BYTES or table.link >= len(self._by_number):
                continue
            strings = self._by_number[table.link]
            if strings.size <= _NAMES_BYTES and strings.offset + strings.size <= self.size:
                yield table, self.read(strings.offset, strings.size)

    def _functions(self, table: Section, places: dict[int, str]) -> Iterator[Symbol]:
        if not places:
            return
        try:
            entries = np.frombuffer(self.read(table.offset, table.size // 24 * 24), _SYMBOL)
        except ElfError:
            return
        names = np.fromiter(places, dtype="<u4", count=len(places))
        for entry in entries[np.isin(entries["name"], names)][:_FOUND]:
            address = int(entry["value"])
            if entry["section"] and entry["info"] & 15 in _FUNCTIONS and self.executable(address):
                yield Symbol(places[int(entry["name"])], address, int(entry["size"]))


def matches(pattern: re.Pattern[bytes], beginning: bytes, text: bytes) -> Iterator[re.Match[bytes]]:
    """Where the pattern matches, which begins with those bytes; at most some thousand places are looked at."""
    place = text.find(beginning)
    for _ in range(_FOUND):
        if place < 0:
            return
        if match := pattern.match(text, place):
            yield match
        place = text.find(beginning, place + 1)


def machine_name(number: int) -> str:
    return MACHINES.get(number, f"machine {number}")
