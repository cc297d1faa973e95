"""The packets of one segment that a query needs, read in few large pieces; what is damaged is counted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pysniff.decode import Decoder
from pysniff.limits import KIB, MIB
from pysniff.packet import Block
from pysniff.plain import PlainChunk
from pysniff.plain_block import BLOCK_TYPE
from pysniff.store.columns import Columns, Ints
from pysniff.store.directory import SegmentFiles
from pysniff.store.heard import chunk_at
from pysniff.store.index import Index
from pysniff.store.segment import HEAD, headers, sound

# Bytes read at once, and the gap between two packets that is read over rather than jumped.
PIECE = MIB
_GAP = 16 * KIB
# Read with one opening of the file; between those it is closed, so that the space of a dropped one is free at once.
_OPENING = 4 * MIB

_PADDING = bytes(Block.PADDING)


class Piece:
    """Bytes of a segment, and in them packets of it: `numbers` in the index, `offsets` in the bytes.

    Behind the last packet are so many bytes as a Block wants.
    """

    __slots__ = ("data", "numbers", "offsets")

    def __init__(self, data: bytes, numbers: Ints, offsets: Ints) -> None:
        self.data = data
        self.numbers = numbers
        self.offsets = offsets

    def blocks(self, index: Index) -> Iterator[tuple[Block, Ints]]:
        """The packets in their order, of one interface each, with their numbers; unsound ones are left out."""
        for item, numbers in self.items(index):
            if isinstance(item, Block):
                yield item, numbers

    def items(self, index: Index) -> Iterator[tuple[Block | PlainChunk, Ints]]:
        """As blocks(), with the plain text between them, a chunk each."""
        heard = headers(self.data, self.offsets)["kind"] == BLOCK_TYPE
        if not heard.any():
            yield from self._blocks(index)
            return
        edges = [0, *(np.flatnonzero(heard[1:] | heard[:-1]) + 1).tolist(), len(heard)]
        for begin, stop in pairwise(edges):
            numbers, offsets = self.numbers[begin:stop], self.offsets[begin:stop]
            if not heard[begin]:
                yield from Piece(self.data, numbers, offsets)._blocks(index)
            elif (chunk := chunk_at(self.data, int(offsets[0]))) is not None:
                yield chunk, numbers

    def columns(self, index: Index, decoder: Decoder) -> Iterator[tuple[Columns, Ints]]:
        """As blocks(), for numpy."""
        for block, records, numbers in self._runs(index):
            yield Columns(block, records, decoder), numbers

    def _blocks(self, index: Index) -> Iterator[tuple[Block, Ints]]:
        for block, records, numbers in self._runs(index):
            block.records.extend(zip(*records.tolist(), strict=True))
            yield block, numbers

    def _runs(self, index: Index) -> Iterator[tuple[Block, Ints, Ints]]:
        """A block without its records, and these: a row of each of their four fields."""
        found = headers(self.data, self.offsets)
        good = sound(self.data, self.offsets, found) & (found["interface"] < len(index.interfaces))
        if not good.all():
            found, numbers, offsets = found[good], self.numbers[good], self.offsets[good]
        else:
            numbers, offsets = self.numbers, self.offsets
        if not len(found):
            return
        times = (found["high"].astype(np.int64) << 32) | found["low"]
        start = offsets + HEAD
        records = np.array([times, start, start + found["size"], np.maximum(found["wire"], found["size"])])
        interface = found["interface"]
        edges = [0, *(np.flatnonzero(interface[1:] != interface[:-1]) + 1).tolist(), len(found)]
        for begin, stop in pairwise(edges):
            linktype, name = index.interfaces[int(interface[begin])]
            yield Block(self.data, [], linktype, name), records[:, begin:stop], numbers[begin:stop]


def pieces(files: SegmentFiles, index: Index, numbers: Ints) -> Iterator[Piece]:
    """The packets with these numbers, in their order; raise FileNotFoundError once the segment is gone.

    No descriptor is open while a piece is out.
    """
    offsets = index.offsets[numbers]
    ends = np.append(index.offsets[1:], index.covered)[numbers]
    for opening in _together(_ranges(offsets, ends), _OPENING):
        fd = os.open(files.packets, os.O_RDONLY | os.O_CLOEXEC)
        try:
            read = [_piece(fd, ranges, numbers, offsets, ends) for ranges in _together(opening, PIECE)]
        finally:
            os.close(fd)
        yield from (piece for piece in read if len(piece.numbers))


class _Range(NamedTuple):
    """Packets read at once: places in what is wanted, and bytes of the file."""

    first: int
    stop: int
    low: int
    high: int


def _piece(fd: int, ranges: Sequence[_Range], numbers: Ints, offsets: Ints, ends: Ints) -> Piece:
    """One piece of several ranges, so that what a piece costs is not paid for every packet of a quiet conversation.

    Where at least half of what lies between them is wanted, it is read over: joining ranges would copy that much again.
    """
    begin, end = ranges[0].low, ranges[-1].high
    if end - begin <= 2 * sum(one.high - one.low for one in ranges):
        ranges = [_Range(ranges[0].first, ranges[-1].stop, begin, end)]
    parts: list[bytes] = []
    chosen: list[Ints] = []
    places: list[Ints] = []
    size = 0
    for first, stop, low, high in ranges:
        data = os.pread(fd, high - low + len(_PADDING), low)
        if len(data) < high - low:  # the file is shorter than it was
            stop = first + int(np.searchsorted(ends[first:stop], low + len(data), "right"))
        if len(data) < high - low + len(_PADDING):
            data += _PADDING
        parts.append(data)
        chosen.append(numbers[first:stop])
        places.append(offsets[first:stop] + (size - low))
        size += len(data)
    if len(parts) == 1:
        return Piece(parts[0], chosen[0], places[0])
    return Piece(b"".join(parts), np.concatenate(chosen), np.concatenate(places))


def _ranges(offsets: Ints, ends: Ints) -> list[_Range]:
    """Neighbours are read together, up to PIECE bytes."""
    if not len(offsets):
        return []
    edges = [0, *(np.flatnonzero(offsets[1:] - ends[:-1] > _GAP) + 1).tolist(), len(offsets)]
    found: list[_Range] = []
    for begin, stop in pairwise(edges):
        while begin < stop:
            low, high = int(offsets[begin]), int(ends[stop - 1])
            last = stop
            if high - low > PIECE:
                last = begin + max(int(np.searchsorted(ends[begin:stop], low + PIECE, "right")), 1)
                high = int(ends[last - 1])
            found.append(_Range(begin, last, low, high))
            begin = last
    return found


def _together(ranges: Sequence[_Range], most: int) -> Iterator[list[_Range]]:
    """Ranges in a row of up to `most` bytes in all; one alone may have more."""
    found: list[_Range] = []
    size = 0
    for one in ranges:
        if found and size + one.high - one.low > most:
            yield found
            found, size = [], 0
        found.append(one)
        size += one.high - one.low
    if found:
        yield found
