"""Packets on their way to a hub: what docs/protocol.md has in a Chunk, in order of time as far as a store has them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pysniff.cluster.worker.telling import Telling
from pysniff.entry import Entry
from pysniff.limits import KIB
from pysniff.packet import Packet
from pysniff.store.carriers import carriers
from pysniff.store.carrying import Carried
from pysniff.store.catalogue import Catalogue
from pysniff.store.selection import pieces

# Link type, flags (none yet), length on the wire; the captured bytes follow.
HEAD = struct.Struct("<HHI")
# A chunk leaves with so many packets, or bytes.
PACKETS, BYTES = 1_024, 256 * KIB
# Calls whose packets are looked up at a time, some 600 bytes each. Packets of further ones come behind theirs, out of
# order where calls overlap.
CALLS = 50_000
_FIRST, _LAST, _U32 = -(1 << 63), (1 << 63) - 1, (1 << 32) - 1


class Chunks:
    """Gathers packets; `packets`: how many so far."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self.packets = 0
        self._clear()

    def add_all(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            self._times.append(min(max(packet.time_ns, _FIRST), _LAST))
            self._lengths.append(HEAD.size + len(packet.data))
            self._data += HEAD.pack(packet.linktype & 0xFFFF, 0, min(packet.wire_length, _U32)) + packet.data
            if len(self._times) >= PACKETS or len(self._data) >= BYTES:
                self.flush()

    def flush(self) -> None:
        if self._times:
            self.packets += len(self._times)
            self._telling.chunk(self._times, self._lengths, bytes(self._data))
            self._clear()

    def _clear(self) -> None:
        self._times: list[int] = []
        self._lengths: list[int] = []
        self._data = bytearray()


def within(directory: Path, start: int | None, end: int | None) -> Iterator[Packet]:
    """Every packet between two times, both included: in a call or not."""
    first, last = _FIRST if start is None else start, _LAST if end is None else end
    catalogue = Catalogue(directory)
    for files in catalogue.look():
        chapter = catalogue.chapter(files)
        if chapter is None or not len(chapter.index.offsets):
            continue
        index = chapter.index
        if index.latest < first or index.earliest > last:
            continue
        try:
            for piece in pieces(files, index, chapter.numbers()):
                for block, _ in piece.blocks(index):
                    yield from (packet for packet in block.packets() if first <= packet.time_ns <= last)
        except FileNotFoundError:
            continue  # dropped meanwhile


def carrying(directory: Path, entries: Iterable[Entry]) -> Iterator[Packet]:
    """The packets that carry these entries, each once."""
    calls = (Carried.of(entry) for entry in entries)
    before: set[int] = set()  # packets of the last portion: one may carry the end of a call and the next one's begin
    while portion := {call.id: call for call in islice(calls, CALLS)}:
        told: set[int] = set()
        for packet, _ in carriers(directory, portion.values()):
            mark = hash((packet.time_ns, packet.data))
            if mark not in before:
                yield packet
            told.add(mark)
        before = told
