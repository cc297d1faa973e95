"""What it takes to go on with an HTTP/2 connection behind some bytes (http2_state.py), without its messages.

Frames are stepped over by their length, and of header blocks only those are decoded that move a table. Whatever is
not plain raises Unusual: who reads everything (http2.py) comes to the same state, and knows what to do there.
"""

from __future__ import annotations

import re

from pysniff.dissector import Malformed
from pysniff.dissectors.hpack import FIRST, Decoder, HpackError
from pysniff.dissectors.hpack_strings import integer
from pysniff.dissectors.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER,
    HEADER_TABLE_SIZE,
    HEADERS,
    MAX_FRAME_SIZE,
    PADDED,
    PREFACE,
    PRIORITISED,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM,
    USUAL,
    header_block,
    is_settings,
    settings,
    unpack,
)
from pysniff.dissectors.http2_state import MOST, HalfState, State, read, written
from pysniff.limits import Limits

_LARGEST = (1 << 24) - 1
_FRAME = (USUAL + 1) << 8  # below it is what every receiver takes, type included
_INDEXED = re.compile(rb"[\x81-\xfe]*")
# Header blocks that are remembered as moving no table, and the bytes of one.
_STILL, _LONG = 4_096, 64


class Unusual(Exception):
    """Not for Skim."""


class _Half:
    """One half, as HalfState has it. `going`: streams of which more may come; `silent`: those of them of which nothing
    came; `largest`: the largest payload; `partial`: whose payload is not all there."""

    __slots__ = ("decoder", "fresh", "held", "left", "is_stray", "partial", "most", "largest", "going", "silent")

    def __init__(self, limits: Limits) -> None:
        self.decoder = Decoder(limits)
        self.fresh = True
        self.held = b""
        self.left = 0
        self.is_stray = False
        self.partial = 0
        self.most = self.largest = USUAL
        self.going: set[int] = set()
        self.silent: set[int] = set()

    def recall(self, state: HalfState) -> None:
        table = state.table
        if not table.whole or table.allowed is None or state.joined or state.block is not None:
            raise Unusual
        if state.loss or state.resumed:
            raise Unusual
        self.decoder.recall(table)
        self.fresh, self.held = state.fresh, state.held
        self.left, self.is_stray = state.left, state.is_stray
        self.most = state.most
        self.going = set(state.earlier)

    def remember(self) -> HalfState:
        table = self.decoder.remember()
        if table is None:
            raise Unusual
        held, need = self.held, 0
        if held:
            need = HEADER + (unpack(held, 0)[0] >> 8) if len(held) >= HEADER else HEADER
        frames = (held, None, need, self.left, self.left > 0 and self.is_stray, self.most)
        return HalfState(table, self.fresh, False, *frames, "", (), tuple(sorted(self.going)))


class Skim:
    """`read()` the bytes of each half; then state(). Raises Unusual, and is of no use then.

    `still`: header blocks that move no table, and the highest index in each; several connections may share it.
    """

    def __init__(self, limits: Limits, still: dict[bytes, int], state: bytes = b"") -> None:
        self._limits = limits
        self._client, self._server = _Half(limits), _Half(limits)
        self._low = self._high = 0  # of the client's streams
        self._reset: set[int] = set()  # streams, in what is read now
        self._still = still
        if state:
            self._recall(state)

    def _recall(self, text: bytes) -> None:
        try:
            state = read(text, self._limits)
            self._client.recall(state.client)
            self._server.recall(state.server)
        except (Malformed, ValueError):
            raise Unusual from None
        even_low, self._low, even_high, self._high = state.seen
        if even_low or even_high:
            raise Unusual

    def state(self) -> bytes:
        text = written(State(self._client.remember(), self._server.remember(), (0, self._low, 0, self._high)))
        if len(text) > MOST:
            raise Unusual
        return text

    def read(self, client: bytes, server: bytes) -> None:
        """All that came of both halves since, in order."""
        self._reset.clear()
        for mine, other, data in ((self._client, self._server, client), (self._server, self._client, server)):
            if mine.fresh and data:
                data = self._begin(mine, data)
            if data:
                self._read(mine, other, data)
        for half in (self._client, self._server):
            if half.largest > half.most or len(half.going) >= self._limits.streams:
                raise Unusual

    def _begin(self, half: _Half, data: bytes) -> bytes:
        """The first bytes of a half (RFC 9113 §3.4)."""
        if half is self._client:
            if not data.startswith(PREFACE):
                raise Unusual
            data = data[len(PREFACE) :]
        elif len(data) < HEADER or not is_settings(data):
            raise Unusual
        half.fresh = False
        return data

    def _read(self, half: _Half, other: _Half, data: bytes) -> None:
        position = 0
        if half.left:
            position = min(half.left, len(data))
            half.left -= position
        elif half.held:
            data = half.held + data
        end = len(data)
        going, still = half.going, self._still
        highest = half.decoder.highest
        asks = half is self._client
        while end - position >= HEADER:
            word, flags, stream = unpack(data, position)
            begin = position + HEADER
            stop = begin + (word >> 8)
            kind = word & 0xFF
            if word >= _FRAME:
                half.largest = max(half.largest, word >> 8)
                if kind == HEADERS and word >> 8 > self._limits.head_bytes:
                    raise Unusual
            if kind == DATA:
                if flags & END_STREAM or stop > end or flags & PADDED or not stream:
                    self._data(half, data, begin, stop, flags, stream & STREAM)
            elif kind == HEADERS:
                if stop > end:
                    break
                block: bytes | None = data[begin:stop]
                if flags & (PADDED | PRIORITISED):
                    block = header_block(flags, data[begin:stop])
                if block is None or not flags & END_HEADERS:
                    raise Unusual
                # Most blocks by far say what was said before.
                if still.get(block, FIRST + _LARGEST) > highest:
                    self._decode(half, block)
                    highest = half.decoder.highest
                stream &= STREAM
                if asks and stream > self._high:
                    if not stream & 1:
                        raise Unusual
                    self._high = stream
                    self._low = self._low or stream
                    other.going.add(stream)
                    other.silent.add(stream)
                    if not flags & END_STREAM:
                        going.add(stream)
                elif stream not in going and not self._was_here(stream):
                    raise Unusual
                else:
                    half.silent.discard(stream)
                    if flags & END_STREAM:
                        going.discard(stream)
            elif stop > end and kind <= CONTINUATION:
                break
            else:
                self._other(half, other, kind, flags, stream & STREAM, data, begin, stop)
            position = stop
        half.held = data[position:end]

    def _was_here(self, stream: int) -> bool:
        """Whether the client opened a stream, as far as that is known."""
        return stream & 1 > 0 and self._low <= stream <= self._high

    def _data(self, half: _Half, data: bytes, begin: int, stop: int, flags: int, stream: int) -> None:
        """DATA that changes something."""
        if stream in half.silent:
            raise Unusual
        if not stream or (flags & PADDED and (begin == stop or stop > len(data) or data[begin] >= stop - begin)):
            raise Unusual
        if stop > len(data):
            half.left = stop - len(data)
            half.is_stray = stream in half.going
            half.partial = stream
            if stream in self._reset or not (half.is_stray or self._was_here(stream)):
                raise Unusual
        if flags & END_STREAM:
            half.going.discard(stream)

    def _other(
        self, half: _Half, other: _Half, kind: int, flags: int, stream: int, data: bytes, begin: int, stop: int
    ) -> None:  # fmt: skip
        """Frames of other kinds, all there unless nobody knows the kind."""
        if kind in (PUSH_PROMISE, GOAWAY, CONTINUATION) or (kind < CONTINUATION and stop - begin > USUAL):
            raise Unusual
        if kind == RST_STREAM and stop - begin == 4:
            if not self._low or stream < self._low or not stream & 1 or (other.left and stream == other.partial):
                raise Unusual
            self._reset.add(stream)
            for one in (half, other):
                one.going.discard(stream)
                one.silent.discard(stream)
        elif kind == SETTINGS and not flags & ACK:
            for setting, value in settings(data[begin:stop]):
                if setting == MAX_FRAME_SIZE:
                    other.most = max(other.most, min(value, _LARGEST))
                elif setting == HEADER_TABLE_SIZE and other.decoder.allowed is not None:
                    other.decoder.allowed = max(other.decoder.allowed, value)
        elif stop > len(data):
            half.left, half.is_stray = stop - len(data), False

    def _decode(self, half: _Half, block: bytes) -> None:
        """A header block that was not seen yet, or refers to what it did not."""
        if len(block) > self._limits.head_bytes:
            raise Unusual
        try:
            index = _highest(block)
            if index < 0:
                half.decoder.decode(block)
        except (HpackError, IndexError, ValueError):
            raise Unusual from None
        if index > half.decoder.highest or not half.decoder.whole:
            raise Unusual
        if index >= 0 and len(block) <= _LONG:
            if len(self._still) >= _STILL:
                self._still.clear()
            self._still[block] = index


def _highest(block: bytes) -> int:
    """The highest index in a header block that moves no table, -1 for one that does; raise IndexError or ValueError
    for what is none (RFC 7541 §6)."""
    found = _INDEXED.match(block)
    position = found.end() if found is not None else 0
    highest = max(block[:position], default=0x80) - 0x80
    end = len(block)
    while position < end:
        first = block[position]
        position += 1
        if 0x20 <= first < 0x80:
            return -1
        full = 0x7F if first >= 0x80 else 0x0F
        index = first & full
        if index == full:
            index, position = integer(block, position, full)
        highest = max(highest, index)
        if first >= 0x80:
            if not index:
                raise ValueError("an index that points nowhere")
            continue
        for _ in range(1 if index else 2):
            length = block[position] & 0x7F
            position += 1
            if length == 0x7F:
                length, position = integer(block, position, length)
            position += length
    if position > end:
        raise ValueError("a string that goes beyond its end")
    return highest
