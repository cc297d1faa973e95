"""Packets on their way to a hub: what docs/protocol.md has in a Chunk, in order of time as far as a store has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path

from pysniff.cluster.chunked import INTERFACES, pack
from pysniff.cluster.worker.telling import Telling
from pysniff.entry import Entry
from pysniff.limits import KIB
from pysniff.packet import Packet
from pysniff.store.carriers import carriers
from pysniff.store.carrying import Carried
from pysniff.store.catalogue import Catalogue
from pysniff.store.selection import pieces

# A chunk has so many packets, or bytes. As many again are held back, since a store has what came on several interfaces
# by the block, and some packets wait until it is known whose they are.
PACKETS, BYTES = 1_024, 256 * KIB
# Calls whose packets are looked up at a time, some 600 bytes each. Packets of further ones come behind theirs, out of
# order where calls overlap.
CALLS = 50_000
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1
_time = itemgetter(0)


class Chunks:
    """Gathers packets; `packets`: how many so far. The names of interfaces are told before the first packet of each."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._interfaces: dict[str, int] = {"": 0}
        self.packets = 0
        self._held: list[tuple[int, bytes]] = []
        self._bytes = 0

    def add(self, packet: Packet, comment: str = "") -> None:
        number = self._interfaces.get(packet.interface)
        if number is None:
            number = self._meet(packet.interface)
        piece = pack(packet, number, comment)
        self._held.append((min(max(packet.time_ns, _FIRST), _LAST), piece))
        self._bytes += len(piece)
        if len(self._held) >= 2 * PACKETS or self._bytes >= 2 * BYTES:
            self._send(max(len(self._held) // 2, 1))

    def flush(self) -> None:
        """What is held back."""
        while self._held:
            self._send(PACKETS)

    def _send(self, count: int) -> None:
        """The earliest ones."""
        self._held.sort(key=_time)
        part, self._held = self._held[:count], self._held[count:]
        data = b"".join([piece for _, piece in part])
        self._bytes -= len(data)
        self.packets += len(part)
        self._telling.chunk([time for time, _ in part], [len(piece) for _, piece in part], data)

    def _meet(self, interface: str) -> int:
        if len(self._interfaces) > INTERFACES:
            return 0
        number = self._interfaces[interface] = len(self._interfaces)
        self._telling.value({"interfaces": [[number, interface]]})
        return number


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


def carrying(directory: Path, entries: Iterable[Entry]) -> Iterator[tuple[Packet, str]]:
    """The packets that carry these entries, each once, with words on the calls that begin in it."""
    calls = (Carried.of(entry) for entry in entries)
    before: set[int] = set()  # packets of the last portion: one may carry the end of a call and the next one's begin
    while portion := {call.id: call for call in islice(calls, CALLS)}:
        told: set[int] = set()
        for packet, begun in carriers(directory, portion.values()):
            mark = hash((packet.time_ns, packet.data, packet.interface))
            if mark not in before:
                yield packet, "\n".join(f"{call.id} {call.title}" for call in begun)
            told.add(mark)
        before = told
