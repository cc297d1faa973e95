"""Makes an index from its segment alone, or the part that is missing at its end; skips what is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct

import numpy as np

from pysniff.capture.pcapng import ENHANCED, INTERFACE, LAST_TIME
from pysniff.limits import DEFAULT
from pysniff.packet import Block
from pysniff.plain import PlainChunk
from pysniff.plain_block import BLOCK_TYPE
from pysniff.store.columns import Indexer
from pysniff.store.directory import SegmentFiles, read_from, size_of
from pysniff.store.flows import FOLLOWED, FlowTable
from pysniff.store.heard import chunk_at, rows_of, text_of
from pysniff.store.index import Index, chunk, late
from pysniff.store.plausible import Notes
from pysniff.store.segment import HEAD, TAIL, walk

# Packets indexed at once.
_TOGETHER = 1024
# A conversation that was quiet for longer does not go on, in nanoseconds.
_REMEMBERED = DEFAULT.idle + 60_000_000_000
_ENHANCED = Struct("<IIIIIII").unpack_from


Made = dict[SegmentFiles, Index]


def load(files: SegmentFiles, *, growing: bool, before: Sequence[SegmentFiles], made: Made) -> Index:
    """The index of a segment, completed in memory where the file lacks something, and then kept in `made`.

    `growing`: somebody writes it now, so what it lacks is still to come. `before`: the segments before it, oldest
    first. Raises FileNotFoundError where the segment is gone.
    """
    size = size_of(files.packets)
    if not size and not files.packets.exists():
        raise FileNotFoundError(files.packets)
    if files in made and made[files].covered == size:
        return made[files]
    index = stored(files)
    if index.covered > size:  # the segment was cut short
        index = Index()
    elif not index.damaged and (growing or index.covered == size):
        return index
    made[files] = completed(index, files, before, made)
    return made[files]


def stored(files: SegmentFiles) -> Index:
    """What the file of an index says, nothing where there is none."""
    index = Index()
    try:
        index.extend(read_from(files.index, 0))
    except FileNotFoundError:
        pass
    return index


def completed(index: Index, files: SegmentFiles, before: Sequence[SegmentFiles], made: Made) -> Index:
    """An index with what stands in the segment behind the bytes that it covers."""
    data = read_from(files.packets, 0)
    index.damaged = False
    if index.covered >= len(data):
        return index
    table = FlowTable(keep_all=True)
    table.remember(earlier_rows(before, made))
    table.begin_segment()
    if index.covered:
        table.remember([(row, index.protocols[row["protocol"]]) for row in index.rows], here=True)
    indexer, interfaces = Indexer(), list(index.interfaces)
    newest = max(index.latest, (made.get(before[-1]) or stored(before[-1])).latest if before else 0)
    table.clock = newest
    padded = data + bytes(Block.PADDING)
    for offsets, item in _packets(padded, index.covered, len(data), interfaces):
        if isinstance(item, Block):
            columns = indexer.columns(item)
            numbers, _ = table.assign(columns)
            times, covered = columns.time, item.records[-1][2]
        else:
            numbers, times = rows_of([item], table), np.array([item.time_ns])
            covered = offsets[0] + len(text_of(item))
        index.extend_by(
            chunk(
                Notes(interfaces, table.protocols, index.source),
                np.array(offsets, np.int64),
                numbers,
                late(times, newest),
                table.touched(),
                table.protocols,
                covered,
                int(times.min()),
                int(times.max()),
            )
        )
        newest = max(newest, index.latest)
    index.covered = len(data)
    return index


def _packets(
    data: bytes, at: int, limit: int, interfaces: list[tuple[int, str]]
) -> Iterator[tuple[list[int], Block | PlainChunk]]:
    """Neighbouring packets of one interface, with the places of their blocks, and plain text between them; adds to
    `interfaces`."""
    offsets: list[int] = []
    records: list[tuple[int, int, int, int]] = []
    number = -1
    for place, kind, total in walk(data, at, limit):
        of = -1
        if kind == ENHANCED and total >= HEAD + TAIL:
            _, _, of, high, low, size, wire = _ENHANCED(data, place)
        if records and (of != number or len(records) >= _TOGETHER):
            yield offsets, Block(data, records, *interfaces[number])
            offsets, records = [], []
        if kind == BLOCK_TYPE:
            heard = chunk_at(data, place)
            if heard is not None:
                yield [place], heard
        elif kind == INTERFACE and total >= 20:
            interfaces.append(_interface(data[place : place + total]))
        elif 0 <= of < len(interfaces) and size <= total - HEAD - TAIL:
            number = of
            offsets.append(place)
            records.append((min(high << 32 | low, LAST_TIME), place + HEAD, place + HEAD + size, wire))
    if records:
        yield offsets, Block(data, records, *interfaces[number])


def _interface(block: bytes) -> tuple[int, str]:
    """Link type and name of an interface description as Recording writes it."""
    linktype = int.from_bytes(block[8:10], "little")
    code, size = int.from_bytes(block[16:18], "little"), int.from_bytes(block[18:20], "little")
    return linktype, block[20 : 20 + size].decode("utf-8", "replace") if code == 2 else ""


def earlier_rows(files: Sequence[SegmentFiles], made: Made) -> list[tuple[np.void, str]]:
    """What the last segments know of conversations that may go on, oldest first; `made`: indexes that no file has."""
    found: list[tuple[np.void, str]] = []
    newest = None
    for one in reversed(files):
        index = made.get(one) or stored(one)
        if newest is None and len(index.offsets):
            newest = index.latest
        if newest is not None and len(index.offsets) and index.latest < newest - _REMEMBERED:
            break
        rows = index.rows[index.rows["transport"] != 0]
        found += [(row, index.protocols[row["protocol"]]) for row in reversed(rows)]
        if len(found) >= FOLLOWED:
            break
    return found[::-1]


def repaired(files: SegmentFiles, before: Sequence[SegmentFiles]) -> tuple[Index, str]:
    """The index of a segment, put right on disk where it was not, and words about what was wrong."""
    index, size = stored(files), size_of(files.packets)
    if index.covered == size and not index.damaged and files.index.exists():
        return index, ""
    if index.covered > size:  # the segment was cut short
        index = Index()
    index = completed(index, files, before, {})  # those before it are put right already
    return index, f"{files.packets.name}: its index was made again"
