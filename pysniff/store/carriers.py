"""Which packets carry which entries: by the place of their bytes in the halves of a connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pysniff.decode import Decoder
from pysniff.entry import Entry
from pysniff.fragments import FragmentTable, Whole
from pysniff.layer import Fragment
from pysniff.message import Message, Side
from pysniff.packet import SYN, Packet, Rejected
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.columns import TCP, UDP, Columns, Indexer
from pysniff.store.rows import UNKNOWN, key_of
from pysniff.store.selection import pieces


class Carried(NamedTuple):
    """What has to be known of an entry to find its packets, and to say in a line what it is."""

    id: str
    stream: str
    title: str
    # Addresses and ports of the conversation's first packet, and who sent that.
    sender_key: bytes
    first_side: Side
    # Of each message its side, its first byte's position, the end if nothing is between, its first and last time.
    spans: tuple[tuple[Side, int, int | None, int, int], ...]

    @classmethod
    def of(cls, entry: Entry) -> Carried:
        messages = {id(one): one for one in (entry.request, entry.response) if one is not None}.values()
        title = f"{entry.protocol} {entry.summary} {entry.status}".rstrip()
        return cls(
            entry.id, entry.stream, title, entry.sender_key, entry.first_side, tuple(_span(one) for one in messages)
        )


def _span(message: Message) -> tuple[Side, int, int | None, int, int]:
    whole = message.key is None and not any(fault.kind == "gap" for fault in message.faults)
    end = message.position + message.size if whole else None
    return message.side, message.position, end, message.first, message.last


class _Half:
    """The messages of one half, in the order of their bytes; `under_way`: those that packets of now may carry."""

    def __init__(self) -> None:
        self.coming: list[tuple[int, int, int | None, int, Carried]] = []  # last first
        self.under_way: list[tuple[int, int, int | None, int, Carried]] = []

    def at(self, position: int, length: int, time_ns: int) -> list[Carried]:
        while self.coming and self.coming[-1][0] < position + length:
            self.under_way.append(self.coming.pop())
        self.under_way = [one for one in self.under_way if one[3] >= time_ns]
        return [one[4] for one in self.under_way if one[2] is None or position < one[2]]

    def during(self, time_ns: int) -> list[Carried]:
        """The same by time alone."""
        return [one[4] for one in (*self.under_way, *self.coming) if one[1] <= time_ns <= one[3]]


class _Parts(FragmentTable):
    """Joins fragments and remembers the packets that they came in: `carriers`, of the last datagram or packet."""

    def __init__(self) -> None:
        super().__init__()
        self.carriers: list[Packet] = []
        self._packets: dict[bytes, list[Packet]] = {}

    def add(self, fragment: Fragment, time_ns: int) -> Whole | Rejected:
        known = self._packets.setdefault(fragment.key, [])
        if len(known) < _FRAGMENTS:
            known += self.carriers
        found = super().add(fragment, time_ns)
        if isinstance(found, Whole):
            self.carriers = self._packets.pop(fragment.key)
        elif len(self._packets) > _FRAGMENTS:
            del self._packets[next(iter(self._packets))]
        return found


# Packets of one datagram, and datagrams that wait for some.
_FRAGMENTS = 4_096


def carriers(directory: Path, wanted: Iterable[Carried]) -> Iterator[tuple[Packet, list[Carried]]]:
    """Every packet that carries bytes of one of these entries, in the order of their capture, with those that begin
    in it."""
    halves: dict[tuple[str, bytes], _Half] = {}
    streams: set[str] = set()
    for one in wanted:
        streams.add(one.stream)
        back = _reverse(one.sender_key)
        for side, position, end, first, last in one.spans:
            key = one.sender_key if side is one.first_side else back
            halves.setdefault((one.stream, key), _Half()).coming.append((position, first, end, last, one))
    for half in halves.values():
        half.coming.sort(key=lambda span: span[:2], reverse=True)
    begun: set[str] = set()
    by_key: dict[bytes, list[_Half]] = {}
    for (_, key), half in halves.items():
        by_key.setdefault(key, []).append(half)
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
                for part in parts.carriers if carried else ():
                    fresh = [one for one in carried if one.id not in begun]
                    begun.update(one.id for one in fresh)
                    yield part, fresh
                continue
            key = columns.key(index) if columns.kind[index] in (TCP, UDP) else b""
            found = halves.get((row["name"].tobytes().hex(), key))
            if found is None or (columns.kind[index] == TCP and not columns.length[index]):
                continue
            position, length = _place(row, key, columns, index, packet.time_ns)
            if columns.kind[index] == UDP:
                carried = found.during(packet.time_ns)
            else:
                carried = found.at(position, length, packet.time_ns)
            if carried:
                fresh = [one for one in carried if one.id not in begun]
                begun.update(one.id for one in fresh)
                yield packet, fresh


def _reverse(key: bytes) -> bytes:
    size = (len(key) - 4) // 2
    return key[size : 2 * size] + key[:size] + key[-2:] + key[-4:-2]


def _place(row: np.void, key: bytes, columns: Columns, index: int, time_ns: int) -> tuple[int, int]:
    """Position and length of a packet's payload in its half; of a datagram the position is its time."""
    if columns.kind[index] == UDP:
        return time_ns - int(row["first"]), 1
    base, before = ("base_a", "offset_a") if key == key_of(row) else ("base_b", "offset_b")
    offset = int(row[before])
    first = int(columns.seq[index]) + bool(columns.flags[index] & SYN)
    step = first - int(row[base]) - offset
    return offset + ((step + (1 << 31)) & 0xFFFFFFFF) - (1 << 31), int(columns.length[index])


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
