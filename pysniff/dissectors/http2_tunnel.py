"""A WebSocket within an HTTP/2 stream (RFC 8441): the DATA of both halves is its bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from pysniff.dissector import Context, Malformed, Output, Overhead, Undecoded
from pysniff.dissectors.http2_half import Half
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.dissectors.websocket import WebSocket
from pysniff.limits import Limits
from pysniff.message import Message, Side

_PIECES = 4_096  # of each half whose places are remembered
_REASON = "not WebSocket"


class Tunnel:
    """`halves`: those of the connection; what comes out of the tunnel is given back for them."""

    def __init__(self, limits: Limits, halves: tuple[Half, Half]) -> None:
        self.halves = halves
        self.inner: WebSocket | None = WebSocket(limits)
        self._fed = [0, 0]  # bytes of each half so far, those that were lost included
        # Where pieces of each half began in the tunnel, and in the connection's half.
        self._places: tuple[list[int], list[int]] = ([0], [0])
        self._offsets: tuple[list[int], list[int]] = ([0], [0])

    def begin(self, request: Http2Message, response: Http2Message, at: int, out: list[Output]) -> None:
        inner = self.inner
        if inner is not None:
            self._run(inner.begin(Context(request=request, response=response, at=at)), out)

    def feed(self, side: Side, piece: bytes, offset: int, at: int, out: list[Output]) -> None:
        """Bytes that stand at `offset` of their half of the connection."""
        if self.inner is None:
            self._undecoded(side, len(piece), out)
            return
        places, offsets = self._places[side], self._offsets[side]
        if len(places) == _PIECES:
            del places[1 : _PIECES // 2], offsets[1 : _PIECES // 2]
        places.append(self._fed[side])
        offsets.append(offset)
        self._fed[side] += len(piece)
        self._run(self.inner.feed(side, piece, at), out)
        if self.inner is not None and not self.inner.pending(side):
            del places[:-1], offsets[:-1]

    def gap(self, side: Side, size: int, at: int, out: list[Output]) -> None:
        if self.inner is not None:
            self._fed[side] += size
            self._run(self.inner.gap(side, size, at), out)

    def close(self, side: Side, at: int, out: list[Output]) -> None:
        if self.inner is not None:
            self._run(self.inner.close(side, at), out)

    def end(self, at: int, out: list[Output]) -> None:
        for side in Side:
            self.close(side, at, out)

    def begun(self) -> Iterator[Message]:
        """Copies of messages that are not all there."""
        for message in self.inner.open() if self.inner is not None else ():
            self._move(message)
            yield message

    def _run(self, outputs: Iterable[Output], out: list[Output]) -> None:
        try:
            for output in outputs:
                if not isinstance(output, (Message, Undecoded, Overhead)):
                    raise Malformed(_REASON)
                if isinstance(output, Message):
                    self._move(output)
                self.halves[output.side].given += output.size
                out.append(output)
        except Malformed:
            inner, self.inner = self.inner, None
            for side in Side:
                if inner is not None:
                    self._undecoded(side, inner.pending(side), out)

    def _undecoded(self, side: Side, size: int, out: list[Output]) -> None:
        if size:
            self.halves[side].given += size
            out.append(Undecoded(side, size, _REASON))

    def _move(self, message: Message) -> None:
        """From the place in the tunnel to that in the half."""
        places = self._places[message.side]
        piece = bisect_right(places, message.position) - 1
        message.position += self._offsets[message.side][piece] - places[piece]
