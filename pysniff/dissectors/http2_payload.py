"""Payloads of one half of an HTTP/2 connection that are read as they come: mostly DATA that is cut into packets."""

from __future__ import annotations

from pysniff.dissector import Output
from pysniff.dissectors.http2_blocks import Blocks
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.dissectors.http2_streams import Streams
from pysniff.dissectors.http2_tunnel import Tunnel
from pysniff.limits import Limits
from pysniff.message import Fault, Side


class Payloads(Blocks):
    """`left`: bytes still to come of the one being read."""

    def __init__(self, side: Side, limits: Limits, streams: Streams) -> None:
        super().__init__(side, limits, streams)
        self.left = 0  # bytes still to come of a payload that is read as it comes
        self.padding = 0  # so many of them, the last ones
        self.target: Http2Message | None = None  # whose they are
        self.tunnel: Tunnel | None = None  # or what they go through
        self.body = True  # whether they are its body
        self.ends = False  # whether it ends with them
        self.is_stray = False  # whether they belong to nothing that was ever there

    def take(self, message: Http2Message | None, head: int, left: int, at: int) -> None:
        """A frame of this message, whose first `head` bytes are read, and whose other ones are read as they come."""
        self.target, self.left, self.padding, self.tunnel = message, left, 0, None
        self.body, self.is_stray = True, False
        if message is not None:
            message.size += head
            message.last = at
        else:
            self.overhead += head

    def go_on(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """More of such a payload; where it ends, or the data."""
        message = self.target
        take = min(self.left, len(data) - position)
        if message is not None and message.ended:  # by the other half
            self.target, self.tunnel = None, self.streams.tunnels.get(message.key)
            message = None
        if self.tunnel is not None:
            self._dig(self.tunnel, data, position, take, at, out)
        elif message is None:
            if self.is_stray:
                self.astray += take
            else:
                self.overhead += take
        else:
            message.last = at
            message.size += take
            body = min(take, self.left - self.padding)
            if self.body and body > 0:
                piece = data[position : position + body]
                if not message.add(piece):
                    self.streams.add(message, piece)
        self.left -= take
        if not self.left and message is not None:
            self.target = None
            if self.ends:
                self.streams.finish(message, out)
        return position + take

    def _dig(self, tunnel: Tunnel, data: bytes, position: int, take: int, at: int, out: list[Output]) -> None:
        """The bytes belong to what a stream is a tunnel for."""
        body = max(0, min(take, self.left - self.padding))
        self.overhead += take - body
        if body:
            tunnel.feed(self.side, data[position : position + body], self.offset, at, out)
        if take == self.left and self.ends:
            tunnel.close(self.side, at, out)

    def miss(self, size: int, fault: Fault, at: int, out: list[Output]) -> None:
        """Bytes of the payload being read are missing."""
        message = self.target
        self.offset += size
        self.left -= size
        if self.tunnel is not None:
            self.tunnel.gap(self.side, size, at, out)
        elif message is not None and not message.ended:
            self.streams.lose(message, size, fault)
            if not self.left:
                self.target = None
                if self.ends:
                    self.streams.finish(message, out)

    def let_go(self) -> None:
        """Nothing more is known of the payload being read."""
        self.left = 0
        self.target = self.tunnel = None
