"""Secrets in memory that processes share: one writes, any number read, and nothing of it is on a disk.

A file without a name (memfd_create(2)) holds a ring: the oldest secrets go for newer ones. Whoever inherits the
descriptor reads at a pace of its own.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pysniff.limits import MIB
from pysniff.secrets import Secret

# Bytes of the ring: some 70,000 secrets, those of 12,000 connections. Memory is taken as it fills.
SIZE = 8 * MIB
_HEAD = struct.Struct("<8sQQI")  # mark; where the oldest record begins, where the newest ends; checksum of the two
_MARK = b"PSSR0001"
_DATA = 64  # where the ring begins in the file
# Of a record: its length with this, the process that has the secret, length of the label; the random, label and value.
_RECORD = struct.Struct("<HIB32s")
LONGEST = 512
# Tries to read a head that is whole: who writes one takes far less time than a try.
_TRIES = 100


class Told(NamedTuple):
    """A secret, and the process that has it, 0 where nobody knows."""

    secret: Secret
    pid: int


class SecretRing:
    """The one that writes. `fd`: to be inherited by those who read; a given one is gone on with."""

    def __init__(self, fd: int | None = None, size: int = SIZE) -> None:
        """Raise OSError where the system has no such file."""
        self.fd = os.memfd_create("pysniff-secrets", os.MFD_CLOEXEC) if fd is None else fd
        self._size = size
        self._begin = self._end = 0
        self._lengths: deque[int] = deque()
        if fd is None:
            self._write_head()
        else:
            reader = RingReader(fd, size)
            for record in reader.records():
                self._lengths.append(len(record))
            self._end = reader.position
            self._begin = self._end - sum(self._lengths)

    def put(self, every: Iterable[Told]) -> int:
        """Add these; how many were none that a ring takes."""
        records, strange = [], 0
        for told in every:
            record = _record(told)
            if record:
                records.append(record)
            else:
                strange += 1
        for record in records:
            self._add(record)
        return strange

    def close(self) -> None:
        os.close(self.fd)

    def _add(self, record: bytes) -> None:
        begin = self._begin
        while self._end + len(record) - self._begin > self._size:
            self._begin += self._lengths.popleft()
        if self._begin != begin:
            self._write_head()  # before what stood there is overwritten
        at = self._end % self._size
        first = record[: self._size - at]
        os.pwrite(self.fd, first, _DATA + at)
        if len(first) < len(record):
            os.pwrite(self.fd, record[len(first) :], _DATA)
        self._lengths.append(len(record))
        self._end += len(record)
        self._write_head()

    def _write_head(self) -> None:
        os.pwrite(self.fd, _HEAD.pack(_MARK, self._begin, self._end, _checksum(self._begin, self._end)), 0)


class RingReader:
    """A SecretSource of what another process puts into the ring. `position`: where it has read to; `missed`: bytes that
    were overwritten before."""

    complete = False

    def __init__(self, fd: int, size: int = SIZE, name: str = "kernel") -> None:
        self.name = name
        self._fd = fd
        self._size = size
        self.position = 0
        self.missed = 0

    def take(self) -> list[Secret]:
        return [told.secret for told in self.told()]

    def told(self) -> list[Told]:
        """As take(), with the processes."""
        return [_told(record) for record in self.records()]

    def records(self) -> list[bytes]:
        begin, end = self._head()
        if self.position == end:
            return []
        if self.position < begin or self.position > end:
            self._miss(begin)
        at = self.position
        data = self._read(at, end)
        begin, _ = self._head()
        if begin > at:  # some of it was overwritten meanwhile
            data = data[begin - at :]
            self._miss(begin)
        self.position = max(end, begin)
        return _cut(data)

    def _miss(self, begin: int) -> None:
        self.missed += max(begin - self.position, 0)
        self.position = begin

    def _read(self, begin: int, end: int) -> bytes:
        at, size = begin % self._size, end - begin
        first = os.pread(self._fd, min(size, self._size - at), _DATA + at)
        rest = size - (self._size - at)
        return first + os.pread(self._fd, rest, _DATA) if rest > 0 else first

    def _head(self) -> tuple[int, int]:
        for _ in range(_TRIES):
            text = os.pread(self._fd, _HEAD.size, 0)
            if len(text) == _HEAD.size:
                mark, begin, end, checksum = _HEAD.unpack(text)
                if mark == _MARK and checksum == _checksum(begin, end) and begin <= end <= begin + self._size:
                    return begin, end
        return self.position, self.position


def _checksum(begin: int, end: int) -> int:
    return zlib.crc32(struct.pack("<QQ", begin, end))


def _record(told: Told) -> bytes:
    """Nothing for what is no secret."""
    (label, random, value), pid = told
    name = label.encode("ascii", "replace")
    size = _RECORD.size + len(name) + len(value)
    if len(random) != 32 or not 0 < len(name) < 64 or not value or size > LONGEST:
        return b""
    return _RECORD.pack(size, pid & 0xFFFFFFFF, len(name), random) + name + value


def _cut(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + _RECORD.size <= len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        if size < _RECORD.size or at + size > len(data):
            break
        found.append(data[at : at + size])
        at += size
    return found


def _told(record: bytes) -> Told:
    _, pid, name, random = _RECORD.unpack_from(record)
    end = _RECORD.size + name
    return Told(Secret(record[_RECORD.size : end].decode("ascii", "replace"), random, record[end:]), pid)
