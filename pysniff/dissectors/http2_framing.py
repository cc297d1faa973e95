"""The frames of one half of an HTTP/2 connection, cut anywhere (RFC 9113 §4).

What a frame means is for the streams to say; here it is found, and its payload put together, or counted as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pysniff.dissector import Malformed, Output
from pysniff.dissectors.hpack import Decoder
from pysniff.dissectors.http2_blocks import Block
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
    WINDOW_UPDATE,
    header_block,
    is_settings,
    settings,
    unpack,
)
from pysniff.dissectors.http2_half import GAP, MIDSTREAM
from pysniff.dissectors.http2_head import Head
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.dissectors.http2_payload import Payloads
from pysniff.dissectors.http2_search import ANYWHERE, AT_ONCE, Search
from pysniff.dissectors.http2_state import Begun, HalfState
from pysniff.dissectors.http2_streams import Streams
from pysniff.limits import Limits
from pysniff.message import SERVER, Fault, Side

_LARGEST = (1 << 24) - 1
_UNTOLD = 1 << 22  # largest payload where the receiver's settings were not seen: gRPC's libraries allow so much
_PATIENCE = 4_096  # bytes of overhead that are told of together
_MISSTEPS = 64  # how often a half may be out of step


class Framing(Payloads):
    """`peer`: the other half."""

    peer: Framing

    def __init__(self, side: Side, limits: Limits, streams: Streams) -> None:
        super().__init__(side, limits, streams)
        self.allow(USUAL)
        self.failed = ""  # why there is no use in going on
        self._fresh = True  # nothing is known of how this half begins
        self._joined = False  # but that it may be in the middle
        self._search: Search | None = None
        self._buffer = bytearray()  # a frame that is not all there, or its header
        self._need = 0  # bytes that it must have to be read
        self._began = 0  # time of its first byte
        self._missteps = 0

    def allow(self, most: int) -> None:
        """Bytes of a payload that the receiver takes; `_quick`: below it is what is read at once, type included."""
        self.most = most
        self._quick = (min(most, self.limits.head_bytes) + 1) << 8

    def receive(self, data: bytes, at: int) -> Iterable[Output]:
        """The next bytes."""
        out: list[Output] = []
        self.fed += len(data)
        if self._fresh:
            data = self._begin(data, at)
        if data and (self._search is not None or (data := self._read(data, at, out))):
            self._catch_up(data, at, out)
        if self.astray or self.overhead > _PATIENCE:
            self.flush(out)
        return _then_fail(out, self.failed) if self.failed else out

    def _catch_up(self, data: bytes, at: int, out: list[Output]) -> None:
        """Search where that is due, read what was found, and so on."""
        todo = [(data, at)]
        while todo and not self.failed:
            data, at = todo.pop()
            if self._search is not None:
                todo += self._seek(data, at, out)[::-1]
            elif rest := self._read(data, at, out):
                todo.append((rest, at))

    def _begin(self, data: bytes, at: int) -> bytes:
        """The first bytes: the preface of its side (§3.4), or what comes in the middle."""
        if not self._buffer:
            self._began = at
        self._buffer += data
        head = bytes(self._buffer)
        if self.side is SERVER:
            if len(head) < HEADER:
                return b""
            # Settings are sent at any time: in the middle they begin something only with the client's preface.
            whole = is_settings(head) and (not self._joined or (not self.peer._fresh and not self.peer.loss))
        else:
            if len(head) < len(PREFACE) and PREFACE.startswith(head):
                return b""
            whole = head.startswith(PREFACE)
            if whole:
                self.overhead += len(PREFACE)
                self.offset += len(PREFACE)
                head = head[len(PREFACE) :]
        self._buffer.clear()
        if whole:
            self._fresh = False
        else:
            self._join_in()
        return head

    def _join_in(self) -> None:
        """Nobody knows what came before."""
        self._fresh = False
        self.loss = self.loss or MIDSTREAM
        self.decoder = Decoder(self.limits, midstream=True)
        self.unlearn()
        self._search = Search(AT_ONCE)

    def _read(self, data: bytes, at: int, out: list[Output]) -> bytes:
        """Frames, from `offset` on; what is left where they are out of step, and are to be searched for."""
        first, position = at, 0
        if self.left:
            position = self.go_on(data, 0, at, out)
        elif self._buffer:
            buffer = self._buffer
            buffer += data
            if len(buffer) < self._need:
                return b""
            first, data = self._began or at, bytes(buffer)
            buffer.clear()
        base, end = self.offset, len(data)
        messages, heads = self.messages, self.heads
        most = 0 if self.block is not None else self._quick
        while True:
            if end - position < HEADER:
                need = HEADER
                break
            word, flags, stream = unpack(data, position)
            stop = position + HEADER + (word >> 8)
            kind = word & 0xFF
            if word < most:
                if kind == DATA:
                    message = messages.get(stream)
                    if message is not None and stop <= end and flags <= END_STREAM and not message.ended:
                        # Most frames by far: all there, of a known stream, and not padded.
                        if stop > position + HEADER and not message.add(data[position + HEADER : stop]):
                            self.streams.add(message, data[position + HEADER : stop])
                        message.size += stop - position
                        message.last = at
                        if flags:
                            self.streams.finish(message, out)
                        position = stop
                        first = at
                        continue
                elif kind == HEADERS and stop <= end and flags & END_HEADERS:
                    block: bytes | None = data[position + HEADER : stop]
                    if flags & (PADDED | PRIORITISED):
                        block = header_block(flags, data[position + HEADER : stop])
                    head = heads.get(block)  # type: ignore[arg-type]  # None is in no such dictionary
                    if head is None:
                        head = self.head_of(block)
                    self.opened(stream & STREAM, head, flags, base + position, stop - position, first, at, out)
                    position = stop
                    first = at
                    continue
                elif kind == WINDOW_UPDATE and stop <= end:
                    self.overhead += stop - position
                    position = stop
                    first = at
                    continue
            self.offset = base + position
            need = self._less_usual(data, position, first, at, out)
            if need < 0:
                return data[position:]
            if need:
                break
            position = self.offset - base
            first = at
            most = 0 if self.block is not None else self._quick
        self.offset = base + position
        if position < end:
            self._buffer += data[position:] if position else data
            self._began = first
        self._need = need
        return b""

    def _less_usual(self, data: bytes, position: int, first: int, at: int, out: list[Output]) -> int:
        """Any other frame, at `offset`: 0 and `offset` is behind what was read; or how many bytes it takes to read it;
        or -1 where none of this can be a frame."""
        word, flags, stream = unpack(data, position)
        size, kind, stream = word >> 8, word & 0xFF, stream & STREAM
        stop = position + HEADER + size
        if self.block is not None and (kind != CONTINUATION or stream != self.block.stream):
            self.unfinished(at, out)
        if size > self.most and not (kind == DATA and self.loss and size <= _UNTOLD):
            return self._out_of_step(at, out)
        if kind == DATA:
            return self._data(data, position, first, at, out)
        if kind > CONTINUATION or size > self._longest(kind):  # however much of it is here
            if self.block is not None:
                return self._out_of_step(at, out)
            fault = Fault("truncated", "a header block that is too long")
            self._pass_over(data, position, first, at, fault, out)
            return 0
        if stop > len(data):
            return stop - position
        start = self.offset
        self.offset += stop - position
        payload = data[position + HEADER : stop]
        self._whole(kind, flags, stream, payload, start, first, at, out)
        return 0

    def _longest(self, kind: int) -> int:
        """Bytes of a payload that are put together; what is longer is only counted."""
        return self.limits.head_bytes if kind in (HEADERS, PUSH_PROMISE, CONTINUATION) else USUAL

    # Payloads that are read as they come

    def _data(self, data: bytes, position: int, first: int, at: int, out: list[Output]) -> int:
        """A DATA frame that is cut, padded (§6.1) or of a stream that is not known; returns as _less_usual()."""
        word, flags, stream = unpack(data, position)
        size, stream = word >> 8, stream & STREAM
        head, padding = HEADER, 0
        if flags & PADDED:
            if size and position + HEADER == len(data):
                return HEADER + 1
            padding = data[position + HEADER] if size else 1
            if padding >= size:
                return self._out_of_step(at, out)
            head += 1
        if not stream:
            return self._out_of_step(at, out)
        message = self.streams.receiver(self, stream, first, out)
        self.take(message, head, size - (head - HEADER), at)
        self.is_stray = message is None and not self.streams.is_over(stream)
        self.padding, self.ends = padding, bool(flags & END_STREAM)
        self.tunnel = self.streams.tunnels.get(stream) if message is None else None
        self.offset += head
        self.offset += self.go_on(data, position + head, at, out) - position - head
        return 0

    def _pass_over(self, data: bytes, position: int, first: int, at: int, fault: Fault, out: list[Output]) -> None:
        """A frame at `offset` of which only the header counts."""
        word, flags, stream = unpack(data, position)
        size, kind, stream = word >> 8, word & 0xFF, stream & STREAM
        message: Http2Message | None = None
        if kind == HEADERS:
            self.forget()
            self.opened(stream, Head([], 0, (fault,)), flags & ~END_STREAM, self.offset, 0, first, at, out)
        elif kind in (PUSH_PROMISE, CONTINUATION):
            self.forget()
        elif kind == SETTINGS:
            self.peer.decoder.allowed = None
        if kind in (HEADERS, DATA):
            message = self.messages.get(stream)
            message = None if message is None or message.ended else message
        self.take(message, HEADER, size, at)
        self.body = False
        self.ends = bool(flags & END_STREAM)
        self.offset += HEADER
        begin = position + HEADER
        self.offset += self.go_on(data, begin, at, out) - begin

    # Whole frames

    def _whole(
        self, kind: int, flags: int, stream: int, payload: bytes, start: int, first: int, at: int, out: list[Output]
    ) -> None:  # fmt: skip
        """Any frame but DATA and the usual HEADERS."""
        size = HEADER + len(payload)
        if kind == HEADERS:
            block = Block(kind, stream, flags, 0, size, start, first)
            self.begin_block(block, header_block(flags, payload))
            if flags & END_HEADERS:  # right behind a block without end
                self.end_block(block, at, out)
        elif kind == PUSH_PROMISE and self.side is SERVER:
            self.promise(flags, stream, payload, start, first, at, out)
        elif kind == CONTINUATION:
            if self.block is None:
                self.forget()
                self.astray += size
            else:
                self.go_on_block(self.block, flags, payload, size, at, out)
        elif kind == RST_STREAM and len(payload) == 4:
            self.streams.reset(self, stream, int.from_bytes(payload, "big"), size, at, out)
        else:
            if kind == SETTINGS and not flags & ACK:
                self._set(payload)
            elif kind == GOAWAY and len(payload) >= 8:
                last, code = int.from_bytes(payload[:4], "big") & STREAM, int.from_bytes(payload[4:8], "big")
                self.streams.leave(self, last, code, out)
            self.overhead += size

    def _set(self, payload: bytes) -> None:
        """Settings bind those who send to this half's side (§6.5.2)."""
        peer = self.peer
        for setting, value in settings(payload):
            if setting == MAX_FRAME_SIZE:
                peer.allow(max(peer.most, min(value, _LARGEST)))
            elif setting == HEADER_TABLE_SIZE and peer.decoder.allowed is not None:
                peer.decoder.allowed = max(peer.decoder.allowed, value)

    # Losses

    def weight(self) -> int:
        searched = 0 if self._search is None else len(self._search.held)
        return super().weight() + len(self._buffer) + searched

    def gap(self, size: int, at: int) -> list[Output]:
        """Bytes were lost: stay in step where the frame is known that they belong to."""
        out: list[Output] = []
        if not size and self._fresh and not self._buffer:
            self._joined = True  # the first bytes tell
            return out
        fault = Fault(GAP, "bytes of this message were lost", size)
        framed = not self._fresh and self._search is None and self.block is None
        if framed and HEADER <= len(self._buffer) < self._need:
            data = bytes(self._buffer)
            if 0 < size <= HEADER + (unpack(data, 0)[0] >> 8) - len(data):
                self._buffer.clear()
                self._pass_over(data, 0, self._began, at, fault, out)
        if 0 < size <= self.left:
            self.miss(size, fault, at, out)
        else:
            fresh = self._fresh
            self._break(fault, at, out)
            self.offset += size
            if fresh:
                self._join_in()
            self._search = Search(AT_ONCE)
            if size:
                self.loss = GAP
                self.resumed = (Fault(GAP, "bytes before this message were lost", size),)
        self.flush(out)
        return out

    def _break(self, fault: Fault, at: int, out: list[Output]) -> None:
        """Frames may be missing from here on: what has begun is not as sure as it was."""
        self.forget()
        held = self._drop()
        self.let_go()
        self.undecoded(held, "cut off", out)
        self.streams.broken(self, fault, at, out)

    def _drop(self) -> int:
        """Bytes that were held for what is not complete."""
        held = len(self._buffer) + (len(self._search.held) if self._search is not None else 0)
        self.offset += held
        self._buffer.clear()
        block, self._search, self.block = self.block, None, None
        return held + (block.size if block is not None else 0)

    def _out_of_step(self, at: int, out: list[Output]) -> int:
        """Here should be a frame, and is none."""
        self._break(Fault("malformed", "frames of this message may be missing"), at, out)
        self.loss = self.loss or GAP
        self.resumed = (Fault("malformed", "what is before this message was not understood"),)
        self._search = Search(ANYWHERE)
        self._missteps += 1
        if self._missteps > _MISSTEPS:
            self.failed = "no frames any more"
        return -1

    def _seek(self, data: bytes, at: int, out: list[Output]) -> list[tuple[bytes, int]]:
        """Look for a frame; what is to be read from there on, in the pieces in which it came."""
        search = self._search
        assert search is not None
        place, found = search.add(data, at)
        self.offset += place
        self.undecoded(place, "no frame begins here", out)
        if found:
            self._search = None
            return search.taken()
        if search.skipped > self.limits.resync_bytes:
            self.failed = "no frame was found"
        return []

    # Going on where everything before is gone

    def remember(self, unfinished: set[int]) -> HalfState | None:
        """Where this half stands; None out of step, and within a block that is too long."""
        table = self.decoder.remember()
        block, here = self.block, self.offset + len(self._buffer)
        if table is None or self.failed or self._search is not None:
            return None
        begun = None
        if block is not None:
            if block.length > self.limits.head_bytes:
                return None
            where = (block.length, block.size, here - block.position)
            begun = Begun(block.kind, block.stream, block.flags, block.promised, *where, b"".join(block.pieces))
        whose = self.target.key if self.target is not None else None
        if self.tunnel is not None:
            whose = next((stream for stream, one in self.streams.tunnels.items() if one is self.tunnel), None)
        if self.left and self.ends and whose is not None:
            unfinished = unfinished - {whose}
        stray = self.left > 0 and (self.is_stray or whose is not None)
        need = self._need if self._buffer else 0
        frames = (bytes(self._buffer), begun, need, self.left, stray, self.most)
        return HalfState(table, self._fresh, self._joined, *frames, self.loss, self.resumed, tuple(sorted(unfinished)))

    def recall(self, state: HalfState) -> None:
        """Go on from there: what it holds counts as pending; its first byte has the time of what comes next."""
        self.decoder.recall(state.table)
        self._fresh, self._joined = state.fresh, state.joined
        self._buffer += state.held
        self._need, self.left, self.is_stray = state.need, state.left, state.is_stray
        self.fed, self.offset = len(state.held), -len(state.held)
        begun = state.block
        if begun is not None:
            self.fed += begun.size
            block = Block(begun.kind, begun.stream, begun.flags, begun.promised, begun.size, -begun.position, 0)
            block.pieces, block.length = [begun.data], begun.length
            self.block = block
        self.allow(state.most)
        self.loss, self.resumed = state.loss, state.resumed
        self.earlier = set(state.earlier)

    def close(self, out: list[Output]) -> None:
        """The half has ended: nothing more will come of what is not complete."""
        self.undecoded(self._drop(), "cut off", out)
        self.let_go()
        self.flush(out)


def _then_fail(out: list[Output], reason: str) -> Iterator[Output]:
    """What was found before that stands."""
    yield from out
    raise Malformed(reason)
