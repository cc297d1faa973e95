"""A segment: a pcapng file of packets as they were captured, valid after every write; any tool opens it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from pysniff.capture.writer import interface_block, section_block
from pysniff.packet import Block
from pysniff.store.columns import Columns, Ints

# Fixed part of an enhanced packet block before the packet, and behind it.
HEAD, TAIL = 28, 4

_HEADER = np.dtype([(name, "<u4") for name in ("kind", "total", "interface", "high", "low", "size", "wire")])
# The end of the block before, padded, and the beginning of the next: what stands between two packets.
_BETWEEN = np.dtype([("padding", "V3"), ("before", "<u4"), *((name, "<u4") for name in _HEADER.names or ())])
_KIND = 7  # where `kind` stands in it


class SegmentText:
    """Renders blocks of packets for one segment; knows the interfaces that it describes."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}
        self.interfaces: list[tuple[int, str]] = []  # link type and name, by number

    def header(self) -> bytes:
        return section_block()

    def interface(self, block: Block) -> tuple[int, bytes]:
        """The number of a block's interface, and its description where it is new."""
        key = (block.linktype, block.interface)
        number = self._numbers.get(key)
        if number is not None:
            return number, b""
        number = self._numbers[key] = len(self._numbers)
        self.interfaces.append(key)
        return number, interface_block(*key)

    def packets(self, columns: Columns, kept: Ints, number: int) -> tuple[bytes, Ints]:
        """Enhanced packet blocks of the packets `kept`, and where each begins in them."""
        size = columns.size[kept]
        count = len(size)
        padding = -size & 3
        total = HEAD + TAIL + size + padding
        ticks = np.maximum(columns.time[kept], 0)
        rows = np.zeros(count + 1, _BETWEEN)
        rows["before"][1:] = total
        head = rows[:count]
        head["kind"] = 6
        head["total"], head["interface"], head["size"] = total, number, size
        head["high"], head["low"] = ticks >> 32, ticks & 0xFFFFFFFF
        head["wire"] = np.minimum(columns.wire[kept], 0xFFFFFFFF)
        text: bytes = rows.tobytes()
        step: int = _BETWEEN.itemsize
        begins = np.arange(count, dtype=np.int64) * step
        begins[1:] += 3 - padding[:-1]
        begins[0] = _KIND
        heads: list[int] = begins.tolist()
        start = columns.start[kept]
        starts: list[int] = start.tolist()
        stops: list[int] = (start + size).tolist()
        data = columns.block.data
        pieces = [b""] * (2 * count + 1)
        pieces[0:-1:2] = [text[heads[place] : step * (place + 1)] for place in range(count)]
        pieces[1::2] = [data[starts[place] : stops[place]] for place in range(count)]
        last = step * count
        pieces[-1] = text[last + 3 - int(padding[-1]) : last + _KIND]
        offsets = np.zeros(count, np.int64)
        np.cumsum(total[:-1], out=offsets[1:])
        return b"".join(pieces), offsets


def headers(data: bytes, offsets: Ints) -> np.ndarray:
    """The fixed parts of the enhanced packet blocks at `offsets`, as a structured array."""
    if not len(offsets):
        return np.zeros(0, _HEADER)
    view = np.ndarray((len(data) - HEAD + 1,), _HEADER, data, 0, (1,))
    found: np.ndarray = view[offsets]
    return found


def sound(data: bytes, offsets: Ints, found: np.ndarray) -> np.ndarray:
    """Which of these blocks are whole: their lengths agree with each other and with what stands at their ends."""
    total = found["total"].astype(np.int64)
    end = offsets + total
    good: np.ndarray = (found["kind"] == 6) & (total % 4 == 0) & (found["size"].astype(np.int64) + HEAD + TAIL <= total)
    good &= (total >= HEAD + TAIL) & (end <= len(data))
    view = np.ndarray((len(data) - 3,), np.dtype("<u4"), data, 0, (1,))
    good[good] = view[end[good] - 4] == found["total"][good]
    return good


def walk(data: bytes, at: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """Place, type and length of each whole block from `at` on; what is damaged is stepped over."""
    unpack = struct.Struct("<II").unpack_from
    tail = struct.Struct("<I").unpack_from
    while at + 12 <= limit:
        kind, total = unpack(data, at)
        if total >= 12 and total % 4 == 0 and at + total <= limit and tail(data, at + total - 4)[0] == total:
            yield at, kind, total
            at += total
            continue
        following = _next_packet(data, at + 4, limit)
        if following < 0:
            return
        at = following


def _next_packet(data: bytes, at: int, limit: int) -> int:
    """Where the next sound enhanced packet block begins, -1 for nowhere; blocks begin at multiples of four."""
    tail = struct.Struct("<I").unpack_from
    while True:
        at = data.find(b"\x06\0\0\0", at, limit)
        if at < 0:
            return -1
        if at % 4 == 0 and at + HEAD + TAIL <= limit:
            total = int.from_bytes(data[at + 4 : at + 8], "little")
            size = int.from_bytes(data[at + 20 : at + 24], "little")
            fits = total % 4 == 0 and HEAD + TAIL + size <= total <= HEAD + TAIL + size + 3 and at + total <= limit
            if fits and tail(data, at + total - 4)[0] == total:
                return at
        at += 1
