"""Plain text that processes sent and received through TLS, among the packets of a segment: a custom block each.

They are numbered with the packets, so that a conversation's are found, read in their order, and dropped with it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic

import numpy as np

from pysniff.limits import MIB
from pysniff.plain import PlainChunk
from pysniff.plain_block import BLOCK_TYPE, ENTERPRISE, decode, encode
from pysniff.store.columns import TCP, Ints, pairs_of
from pysniff.store.flows import FlowTable
from pysniff.store.rows import SHARED_FLOW

_HEAD = struct.Struct("<III")
# Bytes that wait for the packets of their connections.
_WAITING = 16 * MIB
# Seconds for packets that are older to come, so that all are in order, as captures deliver in batches; and for the
# first one of a connection.
_ORDER, _PATIENCE = 0.3, 2.0


def text_of(chunk: PlainChunk) -> bytes:
    """Its block; b"" for what is no chunk."""
    try:
        content = encode(chunk)
    except ValueError:
        return b""
    content += bytes(-len(content) % 4)
    total = _HEAD.size + len(content) + 4
    return _HEAD.pack(BLOCK_TYPE, total, ENTERPRISE) + content + total.to_bytes(4, "little")


def chunk_at(data: bytes, at: int) -> PlainChunk | None:
    """What stands in a block; None where it is another's, or damaged."""
    if at + _HEAD.size > len(data):
        return None
    kind, total, enterprise = _HEAD.unpack_from(data, at)
    end = at + total
    if (kind, enterprise) != (BLOCK_TYPE, ENTERPRISE) or total % 4 or total < _HEAD.size + 4 or end > len(data):
        return None
    if int.from_bytes(data[end - 4 : end], "little") != total:
        return None
    return decode(data[at + _HEAD.size : end - 4])


def rows_of(chunks: Sequence[PlainChunk], table: FlowTable) -> Ints:
    """The rows of their conversations, SHARED_FLOW for those of which there are no packets."""
    found = np.full(len(chunks), SHARED_FLOW, np.int64)
    for place, (chunk, (pair, _)) in enumerate(zip(chunks, pairs_of([(TCP, one.key) for one in chunks]), strict=True)):
        flow = table.find(pair)
        if flow is not None:
            found[place] = table.number(flow, chunk.time_ns)
            flow.end = max(flow.end, chunk.time_ns)
    return found


class Waiting:
    """Chunks until their packets have come: a connection that is not captured is not kept either.

    `strange`: chunks without packets, or for which there was no room.
    """

    def __init__(self) -> None:
        self.strange = 0
        self._chunks: deque[tuple[PlainChunk, float]] = deque()  # and when it came
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def take(self, chunks: Iterable[PlainChunk]) -> None:
        now = monotonic()
        for chunk in chunks:
            self._chunks.append((chunk, now))
            self._bytes += len(chunk.data)
        while self._bytes > _WAITING:
            self._bytes -= len(self._chunks.popleft()[0].data)
            self.strange += 1

    def ready(self, table: FlowTable, clock: int, *, last: bool = False) -> list[PlainChunk]:
        """Those that can be written, where packets have come up to this time, or had time to; `last`: no more will."""
        found: list[PlainChunk] = []
        left: deque[tuple[PlainChunk, float]] = deque()
        now = monotonic()
        keys = pairs_of([(TCP, chunk.key) for chunk, _ in self._chunks])
        for (chunk, came), (pair, _) in zip(self._chunks, keys, strict=True):
            if table.find(pair) is not None and (chunk.time_ns <= clock or came + _ORDER < now or last):
                found.append(chunk)
            elif last or came + _PATIENCE < now:
                self.strange += 1
            else:
                left.append((chunk, came))
        self._chunks = left
        self._bytes = sum(len(chunk.data) for chunk, _ in left)
        return found
