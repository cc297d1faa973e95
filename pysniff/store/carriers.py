"""Which packets carry which entries: by the place of their bytes in the halves of a connection."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from pathlib import Path

import numpy as np

from pysniff.decode import Decoder
from pysniff.fragments import FragmentTable, Whole
from pysniff.layer import Fragment
from pysniff.limits import SECOND
from pysniff.overheard import PLACE
from pysniff.packet import SYN, Packet, Rejected
from pysniff.store.carrying import Carried, Half
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.columns import TCP, UDP, Columns, Indexer
from pysniff.store.rows import UNKNOWN, key_of
from pysniff.store.selection import pieces
from pysniff.tcp import reverse


class _Parts(FragmentTable):
    """Joins fragments and remembers the packets that they came in: `carriers`, of the last datagram or packet."""

    def __init__(self) -> None:
        super().__init__()
        self.carriers: list[Packet] = []
        self._packets: dict[bytes, list[Packet]] = {}

    def add(self, fragment: Fragment, time_ns: int, interface: Hashable = "") -> Whole | Rejected:
        known = self._packets.setdefault(fragment.key, [])
        if len(known) < _FRAGMENTS:
            known += self.carriers
        found = super().add(fragment, time_ns, interface)
        if isinstance(found, Whole):
            self.carriers = self._packets.pop(fragment.key)
        elif len(self._packets) > _FRAGMENTS:
            del self._packets[next(iter(self._packets))]
        return found


# A process tells of bytes a little before they are sent, or after they have come, in nanoseconds.
_ABOUT = SECOND // 50
# Packets of one datagram, and datagrams that wait for some.
_FRAGMENTS = 4_096


def carriers(directory: Path, wanted: Iterable[Carried]) -> Iterator[tuple[Packet, list[Carried]]]:
    """Every packet that carries bytes of one of these entries, once, with those that begin in it; in the order of
    their capture, but where it takes later packets to know whose bytes they are."""
    begun: set[str] = set()
    for packet, carried in _carried(directory, wanted):
        if carried:
            fresh = [one for one in carried if one.id not in begun]
            begun.update(one.id for one in fresh)
            yield packet, fresh


def _carried(directory: Path, wanted: Iterable[Carried]) -> Iterator[tuple[Packet, list[Carried]]]:
    halves: dict[tuple[str, bytes], Half] = {}
    told: dict[tuple[str, bytes], Half] = {}  # messages that a process told: no byte of a packet says whose it is
    by_key: dict[bytes, list[Half]] = {}
    streams: set[str] = set()
    for one in wanted:
        streams.add(one.stream)
        back = reverse(one.sender_key)
        for span in one.spans:
            key = one.sender_key if span.side is one.first_side else back
            if span.position >= PLACE:
                about = span._replace(first=span.first - _ABOUT, last=span.last + _ABOUT)
                told.setdefault((one.stream, key), Half()).add(about, one)
                continue
            if (one.stream, key) not in halves:
                halves[one.stream, key] = half = Half()
                by_key.setdefault(key, []).append(half)
            halves[one.stream, key].add(span, one)
    parts = _Parts()
    decoder = Decoder()
    decoder.fragments = parts
    for chapter in chapters_of(directory, streams):
        for packet, columns, index, row in packets_of(chapter, shared=True):
            if row is None:
                parts.carriers = [packet]
                found_in = decoder.decode(packet.data, packet.linktype, packet.wire_length, packet.time_ns)
                every = [half for one in found_in if not isinstance(one, Rejected) for half in by_key.get(one.key, ())]
                carried = [one for half in every for one in half.during(packet.time_ns)]
                yield from ((part, carried) for part in parts.carriers)
                continue
            key = columns.key(index) if columns.kind[index] in (TCP, UDP) else b""
            place = row["name"].tobytes().hex(), key
            found = halves.get(place)
            if place in told and columns.length[index] and (heard := told[place].during(packet.time_ns)):
                yield packet, heard
                continue
            if found is None:
                continue
            if columns.kind[index] == UDP:
                yield packet, found.during(packet.time_ns)
            elif columns.length[index]:
                yield from found.take(packet, _position(row, key, columns, index), columns.payload(index))
    for half in halves.values():
        yield from half.rest()


def _position(row: np.void, key: bytes, columns: Columns, index: int) -> int:
    """Of a segment's payload in its half."""
    base, before = ("base_a", "offset_a") if key == key_of(row) else ("base_b", "offset_b")
    offset = int(row[before])
    first = int(columns.seq[index]) + bool(columns.flags[index] & SYN)
    step = first - int(row[base]) - offset
    return offset + ((step + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def chapters_of(directory: Path, streams: Collection[str]) -> list[Chapter]:
    """The segments, with the rows of these streams and those that may be their handshakes."""
    names = np.frombuffer(b"".join(bytes.fromhex(name) for name in sorted(streams)), np.uint64)
    chapters = Catalogue(directory).chapters()
    for chapter in chapters:
        chapter.choose(np.isin(chapter.index.rows["name"].view(np.uint64), names))
    wanted: set[bytes] = set()
    for chapter in reversed(chapters):
        assert chapter.chosen is not None
        if wanted:  # a handshake in the segment before has no name yet
            unnamed = chapter.index.rows["lead"] == UNKNOWN
            chapter.choose(chapter.chosen | (chapter.having_ends(wanted) & unnamed))
        wanted |= chapter.continued()
    return chapters


def packets_of(chapter: Chapter, *, shared: bool = False) -> Iterator[tuple[Packet, Columns, int, np.void | None]]:
    """The packets of the chosen rows: each with its block's columns, its place in them, and its row.

    `shared`: also those that may be anybody's, without a row.
    """
    numbers = chapter.numbers()
    flows, rows = chapter.index.flows, chapter.index.rows
    if not shared:
        numbers = numbers[flows[numbers] < len(rows)]
    indexer = Indexer()
    try:
        for piece in pieces(chapter.files, chapter.index, numbers):
            for block, places in piece.blocks(chapter.index):
                columns = indexer.columns(block)
                for index, (packet, number) in enumerate(zip(block.packets(), places.tolist(), strict=True)):
                    row = int(flows[number])
                    yield packet, columns, index, rows[row] if row < len(rows) else None
    except FileNotFoundError:
        return  # dropped meanwhile
