"""Reads a BPF ring buffer (5.8 and later) through shared memory: records in the order in which programs gave them."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from pysniff.tracer.bpf import Map, MapType

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_LENGTH = _DISCARDED - 1
_HEADER = 8
# Of this machine, so that each is read and written at once, and never in halves while the kernel changes it.
_POSITION = struct.Struct("@Q")
_WORD = struct.Struct("@I")
# For BPF programs: RINGBUF_OUTPUT without waking who waits, since whoever needs a record asks.
NO_WAKEUP = 1


class RingBuffer:
    """`size`: bytes, a power of two of at least one page. `fileno()` becomes readable when a record woke it.

    What did not fit is counted by the program that gave it (RINGBUF_OUTPUT returned less than 0); the kernel counts
    nothing.
    """

    def __init__(self, size: int, *, name: str = "pysniff_ring") -> None:
        page = mmap.PAGESIZE
        if size < page or size & size - 1:
            raise ValueError(f"{size} is not a power of two of at least {page}")
        self.size = size
        self.map = Map(MapType.RINGBUF, key=0, value=0, entries=size, name=name)
        self._consumer = mmap.mmap(self.map.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The records are mapped twice, one behind the other, so that none is ever in two pieces.
        self._producer = mmap.mmap(self.map.fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._records = page

    def fileno(self) -> int:
        return self.map.fd

    @property
    def used(self) -> int:
        """Bytes that wait to be read."""
        return int(_POSITION.unpack_from(self._producer)[0] - _POSITION.unpack_from(self._consumer)[0])

    def take(self, most: int = 1 << 30) -> Iterator[bytes]:
        """The records that are complete, up to about `most` bytes; the room of each is given back with the next."""
        at = _POSITION.unpack_from(self._consumer)[0]
        end = at + most
        mask, records, producer = self.size - 1, self._records, self._producer
        while at < min(end, _POSITION.unpack_from(producer)[0]):
            place = records + (at & mask)
            header = _WORD.unpack_from(producer, place)[0]
            if header & _BUSY:
                return
            length = header & _LENGTH
            record = b"" if header & _DISCARDED else producer[place + _HEADER : place + _HEADER + length]
            at += _HEADER + length + 7 & ~7
            _POSITION.pack_into(self._consumer, 0, at)
            if not header & _DISCARDED:
                yield record

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()
        self.map.close()
