"""Hostile files in a store: an index with checksums put right, beside its segment; and a segment alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from packets import ng_interface, ng_packet, ng_section
from store_traffic import traffic
from stores import asked, question

from pysniff.packet import Block
from pysniff.store.index import MAGIC
from pysniff.store.query import Query
from pysniff.store.recording import Recording

_HEAD = struct.Struct("<IIIIII")
_MARK = 0x4B4E4843


def _record(directory: Path, packets: int, *, close: bool) -> Recording:
    recording = Recording(directory, 1_000_000, keep_all=True)
    for number, packet in enumerate(islice(traffic(1), packets)):
        recording.add(Block.of(packet))
        if number % 8 == 7:
            recording.flush()
    recording.flush()
    if close:
        recording.close()
    return recording


@cache
def sound() -> tuple[bytes, tuple[bytes, ...]]:
    """A small segment, and its index as it is while it grows, and once it is finished."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        recording = _record(directory, 40, close=False)
        growing = (directory / "00000001.index").read_bytes()
        recording.close()
        finished = (directory / "00000001.index").read_bytes()
        return (directory / "00000001.pcapng").read_bytes(), (growing, finished)


def believable(text: bytes) -> bytes:
    """The same bytes as chunks whose marks and checksums are right."""
    data = bytearray(MAGIC + text[len(MAGIC) :])
    at = len(MAGIC)
    while at + 48 <= len(data):
        _, _, notes, packets, late, rows = _HEAD.unpack_from(data, at)
        from pysniff.store.index import LATE
        from pysniff.store.rows import ROW

        end = at + 48 + notes + packets * 8 + late * LATE.itemsize + rows * (4 + ROW.itemsize)
        if end > len(data):
            break
        struct.pack_into("<II", data, at, _MARK, zlib.crc32(data[at + 8 : end]))
        at = end
    return bytes(data)


def ask(packets: bytes, index: bytes | None) -> None:
    """A query of every sort, and a writer that takes over: nothing raises, and the account balances."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "00000001.pcapng").write_bytes(packets)
        if index is not None:
            (directory / "00000001.index").write_bytes(index)
        for text in ("", 'http && dst.port == 80 && src.ip != "x"'):
            asked(directory, text)
        list(Query(directory, question("dns", newest_first=True, start=1)))
        recording = Recording(directory, 1_000_000)
        recording.add(Block.of(next(traffic(2))))
        recording.close()
        asked(directory)


def index(data: bytes) -> None:
    ask(sound()[0], believable(data))


def segment(data: bytes) -> None:
    ask(data, None)


def of_indexes() -> Iterator[bytes]:
    yield from sound()[1]


def of_segments() -> Iterator[bytes]:
    yield sound()[0]
    packets = islice(traffic(3), 6)
    yield ng_section() + ng_interface(1) + b"".join(ng_packet(one.data, one.time_ns) for one in packets)
