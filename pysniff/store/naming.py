"""Beside a finished segment: what addresses are called, as its packets tell it, so that a question about one connection
need not read what every other one asked of DNS.

A file has what was known before the segment, whose packets may be gone, and then what each packet told. Where there is
none, a query reads the conversations that tell names.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pysniff.dissectors import known
from pysniff.limits import MIB
from pysniff.names import Lesson
from pysniff.store import sidecar
from pysniff.store.directory import SegmentFiles, read_from
from pysniff.store.index import Index

MAGIC = b"PSNM0001"
# Bytes of all that is in a file, before it is compressed: 400,000 names.
ALL = 16 * MIB
# How many were known before, how many the segment tells, or ABSENT: too many to keep, read it.
_COUNTS = struct.Struct("<II")
_ABSENT = 0xFFFFFFFF
# Number of the packet, newest time of packets up to it; time of the name, size of the address and of the name.
_TOLD = struct.Struct("<Iq")
_LESSON = struct.Struct("<qBH")


class Told(NamedTuple):
    """What one packet of a segment told; `clock`: the newest time of a packet up to it."""

    packet: int
    clock: int
    lesson: Lesson


class Naming(NamedTuple):
    """`before`: what was known when the segment began, oldest first. `told`: in it; None: nobody has noted that."""

    before: Sequence[Lesson]
    told: Sequence[Told] | None


def tells(index: Index, forced: Collection[tuple[str, int]] = ()) -> np.ndarray:
    """Of each row whether its conversation may tell names; `forced`: transports and ports of decode_as."""
    rows = index.rows
    numbers = [number for number, name in enumerate(index.protocols) if name in naming()]
    wanted: np.ndarray = np.isin(rows["protocol"], numbers)
    for transport, port in forced:
        number = 6 if transport == "tcp" else 17
        wanted |= (rows["transport"] == number) & ((rows["port_a"] == port) | (rows["port_b"] == port))
    return wanted


def naming() -> frozenset[str]:
    """The protocols that tell names."""
    return frozenset(one.protocol for each in known().values() for one in each if one.names)


def write(files: SegmentFiles, names: Naming, most: int) -> int:
    """Write at most so many bytes; how many names were left out. Raises OSError."""
    text, left = encoded(names, most)
    sidecar.write(files.names, text)
    return left


def load(files: SegmentFiles) -> Naming | None:
    """None where there is no file, or one that is damaged."""
    try:
        return decoded(read_from(files.names, 0))
    except OSError:
        return None


def encoded(names: Naming, most: int) -> tuple[bytes, int]:
    """A file of at most so many bytes, and how many names are not in it: the oldest; rather than some of what the
    segment tells, nothing of it."""
    before, told = list(names.before), names.told
    left = 0
    while True:
        text = _file(before, told)
        if len(text) <= most or not (before or told):
            return text, left
        if told:
            left += len(told)
            told = None
        else:  # with a fifth to spare, for not all of them take the same
            keep = min(len(before) * most * 4 // (len(text) * 5), len(before) - 1)
            left += len(before) - keep
            before = before[len(before) - keep :]


def _file(before: Sequence[Lesson], told: Sequence[Told] | None) -> bytes:
    parts = [_COUNTS.pack(len(before), _ABSENT if told is None else len(told))]
    parts += [_written(lesson) for lesson in before]
    for packet, clock, lesson in told or ():
        parts += [_TOLD.pack(packet, clock), _written(lesson)]
    return sidecar.packed(MAGIC, b"".join(parts))


def _written(lesson: Lesson) -> bytes:
    name = lesson.name.encode("utf-8", "surrogatepass")
    return _LESSON.pack(lesson.time_ns, len(lesson.address), len(name)) + lesson.address + name


def decoded(text: bytes) -> Naming | None:
    """What a file says; None for anything else."""
    body = sidecar.unpacked(MAGIC, text, ALL)
    try:
        return None if body is None else _parsed(body)
    except (struct.error, UnicodeDecodeError, ValueError):
        return None


def _parsed(body: bytes) -> Naming:
    """Raise struct.error, UnicodeDecodeError or ValueError for what is none."""
    count, told = _COUNTS.unpack_from(body)
    at = _COUNTS.size
    before: list[Lesson] = []
    for _ in range(count):
        lesson, at = _lesson(body, at)
        before.append(lesson)
    if told == _ABSENT:
        return Naming(before, None)
    found: list[Told] = []
    for _ in range(told):
        packet, clock = _TOLD.unpack_from(body, at)
        lesson, at = _lesson(body, at + _TOLD.size)
        found.append(Told(packet, clock, lesson))
    return Naming(before, found)


def _lesson(body: bytes, at: int) -> tuple[Lesson, int]:
    time_ns, address, name = _LESSON.unpack_from(body, at)
    at += _LESSON.size
    end = at + address + name
    if end > len(body) or address not in (4, 16):
        raise ValueError("cut off, or no address")
    return Lesson(time_ns, body[at : at + address], body[at + address : end].decode("utf-8", "surrogatepass")), end


def disk_use(directory: Path) -> int:
    """Bytes of these files in whole pages, of those that are being written too."""
    return sidecar.disk_use(directory, ".names")
