"""The header blocks of one half of an HTTP/2 connection (RFC 9113 §4.3): put together, decoded, and handed over."""

from __future__ import annotations

from pysniff.dissector import Output
from pysniff.dissectors.hpack import Decoder, HpackError
from pysniff.dissectors.http2_frames import END_HEADERS, HEADER, PADDED, PUSH_PROMISE, STREAM, header_block
from pysniff.dissectors.http2_half import GAP, Half
from pysniff.dissectors.http2_head import Head, too_many, unnamed
from pysniff.dissectors.http2_streams import Streams
from pysniff.limits import Limits
from pysniff.message import SERVER, Fault, Side

# Header blocks remembered with what they say, while the table they refer to stands still.
_HEADS = 256
_HEAD = 1_024  # bytes that one takes
_MANY = 64  # fields of one that may take much more than its bytes
_LONG = 64  # bytes of a block that is not remembered


class Block:
    """A header block that goes on in CONTINUATION frames (§6.10). `size`: bytes on the wire so far."""

    __slots__ = ("kind", "stream", "flags", "promised", "pieces", "length", "size", "position", "first")

    def __init__(self, kind: int, stream: int, flags: int, promised: int, size: int, position: int, first: int) -> None:
        self.kind = kind
        self.stream = stream
        self.flags = flags
        self.promised = promised
        self.pieces: list[bytes] = []
        self.length = 0
        self.size = size
        self.position = position
        self.first = first


class Blocks(Half):
    """`block`: the one that is not complete."""

    def __init__(self, side: Side, limits: Limits, streams: Streams) -> None:
        super().__init__(side, limits)
        self.streams = streams
        self.decoder = Decoder(limits)
        self.block: Block | None = None
        self.heads: dict[bytes, Head] = {}
        self.opened = streams.answered if side is SERVER else streams.asked

    def weight(self) -> int:
        """About how many bytes of memory this half takes, without messages."""
        block = 0 if self.block is None else self.block.length
        return block + self.decoder.weight() + _HEAD * len(self.heads)

    def begin_block(self, block: Block, piece: bytes | None) -> None:
        self.block = block
        block.length = len(piece) if piece is not None else self.limits.head_bytes + 1  # no block at all: too long
        block.pieces = [piece] if piece else []

    def go_on_block(
        self, block: Block, flags: int, payload: bytes, size: int, at: int, out: list[Output]
    ) -> None:  # fmt: skip
        block.size += size
        block.first = block.first or at
        block.length += len(payload)
        if block.length > self.limits.head_bytes:
            block.pieces.clear()
        elif payload:
            block.pieces.append(payload)
        if flags & END_HEADERS:
            self.end_block(block, at, out)

    def end_block(self, block: Block, at: int, out: list[Output]) -> None:
        self.block = None
        if block.length > self.limits.head_bytes:
            self.forget()
            head = Head([], 0, (Fault("truncated", "a header block that is too long"),))
        else:
            head = self.head_of(b"".join(block.pieces))
        self._hand_over(block, head, at, out)

    def unfinished(self, at: int, out: list[Output]) -> None:
        """Another frame came before the block's end."""
        block = self.block
        assert block is not None
        self.block = None
        self.forget()
        self._hand_over(block, Head([], 0, (Fault("malformed", "a header block without end"),)), at, out)

    def _hand_over(self, block: Block, head: Head, at: int, out: list[Output]) -> None:
        where = (block.position, block.size, block.first, at)
        if block.kind == PUSH_PROMISE:
            self.streams.promised(block.promised, head, *where, out)
        else:
            self.opened(block.stream, head, block.flags, *where, out)

    def head_of(self, block: bytes | None) -> Head:
        """What a block says; None stands for one whose frame contradicts itself."""
        faults: tuple[Fault, ...] = ()
        decoder = self.decoder
        if block is None:
            self.forget()
            return Head([], 0, (Fault("malformed", "more padding than there is room"),))
        later = decoder.later(block)
        if later is not None:
            head = Head.of(later, self.limits)
            if len(block) <= _LONG and not later.named:
                if len(self.heads) >= _HEADS:
                    self.heads.clear()
                self.heads[block] = head
            return head
        try:
            lines = decoder.decode(block)
        except HpackError as problem:
            lines = problem.lines
            faults = (Fault("malformed", f"header block: {problem}"),)
            self.forget()
        faults += too_many(lines, self.limits)
        if not decoder.whole:
            faults += unnamed(lines, GAP if decoder.epoch else self.loss or "truncated")
        head = Head(lines, len(block), faults)
        if len(lines) > _MANY:
            self.streams.kept.beside += head.weight()
        if decoder.changed or len(self.heads) >= _HEADS:
            self.heads.clear()
        if not decoder.changed and len(block) <= _LONG:
            self.heads[block] = head
        return head

    def forget(self) -> None:
        """A header block was lost."""
        self.decoder.forget()
        self.heads.clear()
        self.unlearn()

    def unlearn(self) -> None:
        """What the table has is not known any more."""
        inference = self.streams.inference
        if inference is not None:
            inference.lost(self.side, self.decoder)

    def promise(
        self, flags: int, stream: int, payload: bytes, start: int, first: int, at: int, out: list[Output]
    ) -> None:  # fmt: skip
        """The request that the server makes itself (§6.6)."""
        content = header_block(flags & PADDED, payload)
        promised = int.from_bytes(content[:4], "big") & STREAM if content is not None and len(content) >= 4 else 0
        piece = content[4:] if content is not None and promised else None
        block = Block(PUSH_PROMISE, stream, flags, promised, HEADER + len(payload), start, first)
        self.begin_block(block, piece)
        if flags & END_HEADERS:
            self.end_block(block, at, out)
