"""The streams of an HTTP/2 connection (RFC 9113 §5, §8): which request a frame belongs to, which response, and when
both are over.

A request and its response are given back together, the request first, when both have ended or never will: so an answer
never comes before its request, and a request whose stream is reset says at once that it has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pysniff.body import BodyBuilder
from pysniff.dissector import Output
from pysniff.dissectors.http2_frames import END_STREAM, error_name
from pysniff.dissectors.http2_half import MIDSTREAM, Half
from pysniff.dissectors.http2_head import NO_HEAD, Head
from pysniff.dissectors.http2_inference import Inference
from pysniff.dissectors.http2_messages import Http2Message, Http2Request, Http2Response, long_body
from pysniff.dissectors.http2_tunnel import Tunnel
from pysniff.kept import MESSAGE, Kept
from pysniff.limits import Limits
from pysniff.message import CLIENT, SERVER, Fault, Message, Role

_CLOSED = "the connection ended within this message"
_UNASKED = "its beginning was not seen"
_ANSWERED = "its answer came before"
_FEW = 64  # streams, whose weight is told where there are more
_TURNS = 8  # streams looked at to find one that is idle
_GONE = 256  # streams from before the capture whose end is remembered
_GOODBYES = 16  # GOAWAY frames that are heeded
_TUNNEL = 128 * 1_024  # bytes that one may take: two windows, and what is free of two messages
_TUNNELS = 256  # WebSockets at once: each may hold a message and two compressions' windows


class Streams:
    """`high`, `low`: the streams between them were opened before our eyes, by client and server."""

    client: Half
    server: Half

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.kept = Kept(limits)
        self.requests: dict[int, Http2Message] = {}
        self.responses: dict[int, Http2Message] = {}
        self._low = [0, 0]  # of the server's (even), of the client's (odd); 0 where none is known
        self._high = [0, 0]
        self._gone: dict[int, None] = {}
        self._most = min(_FEW, limits.streams)  # of each half, that were reckoned with so far
        self._left: set[int] = set()  # given back without an answer when the client's half ended
        self._kept = 0  # bytes of long bodies
        self._goodbyes = 0
        self.tunnels: dict[int, Tunnel] = {}
        self.inference: Inference | None = None

    def join(self, client: Half, server: Half) -> None:
        """The halves whose frames these are."""
        self.client = client
        self.server = server
        client.messages, server.messages = self.requests, self.responses

    # Header blocks

    def asked(
        self, stream: int, head: Head, flags: int, position: int, size: int, first: int, at: int, out: list[Output]
    ) -> None:
        """A header block of the client's."""
        requests = self.requests
        request = requests.get(stream)
        half = self.client
        if request is not None:
            self._more(half, request, head, size, at)
        elif not half.loss and stream & 1 and stream > self._high[1]:
            requests[stream] = request = Http2Request(CLIENT, first, at, position, size, head, stream, head.faults)
            self._high[1] = stream
            if not self._low[1]:
                self._low[1] = stream
            if flags & END_STREAM:
                request.ended = True  # and no response can be waiting for it
            if len(requests) > self._most:
                self._bound(requests, out)
            return
        elif stream in half.earlier or (half.loss and stream & 1 and not self.is_over(stream)):
            request = self._asked_late(stream, head, position, size, first, at, out)
        else:
            half.stray(size, self.is_over(stream))
            return
        if flags & END_STREAM and not request.ended:
            self.finish(request, out)

    def _asked_late(
        self, stream: int, head: Head, position: int, size: int, first: int, at: int, out: list[Output]
    ) -> Http2Message:
        """The first header block of a stream after a loss: it need not be a request's."""
        half = self.client
        request: Http2Message
        if head.lines and not head.unknown and not head.begins(":method"):
            request = self._headless(half, stream, position, first)
            self._more(half, request, head, size, at)
        else:
            faults, half.resumed = head.faults + half.resumed, ()
            request = Http2Request(CLIENT, first, at, position, size, head, stream, faults)
            self.requests[stream] = request
        half.earlier.discard(stream)
        self._open(stream, out)
        return request

    def answered(
        self, stream: int, head: Head, flags: int, position: int, size: int, first: int, at: int, out: list[Output]
    ) -> None:
        """A header block of the server's."""
        response = self.responses.get(stream)
        half = self.server
        if response is not None:
            self._more(half, response, head, size, at, final=bool(flags & END_STREAM))
        else:
            request = self.requests.get(stream)
            if half.loss or stream in half.earlier:
                response = self._answered_late(stream, request, head, position, size, first, at)
            elif stream and (request is not None or not self.is_over(stream)):
                response = Http2Response(SERVER, first, at, position, size, head, stream, head.faults)
                self.responses[stream] = response
            if response is None:
                half.stray(size, stream > 0)
                return
            self._left.discard(stream)
            half.earlier.discard(stream)
            if request is None and len(self.responses) > self._most:
                self._bound(self.responses, out)
        if response.ended:
            return
        if flags & END_STREAM:
            self.finish(response, out)
            return
        request = self.requests.get(stream)
        if request is not None and not request.ended and request.head.asks_for("websocket"):
            self._dig(stream, request, response, at, out)

    def _dig(self, stream: int, request: Http2Message, response: Http2Message, at: int, out: list[Output]) -> None:
        """A stream is a tunnel from here on, where the server agrees (RFC 8441 §5)."""
        if not isinstance(response, Http2Response) or response.status // 100 != 2:
            return
        request.settle()
        response.settle()
        self._give(stream, request, response, out)
        if len(self.tunnels) >= _TUNNELS:
            oldest = next(iter(self.tunnels))
            self.tunnels.pop(oldest).end(at, out)
        tunnel = self.tunnels[stream] = Tunnel(self.limits, (self.client, self.server))
        tunnel.begin(request, response, at, out)

    def _answered_late(
        self, stream: int, request: Http2Message | None, head: Head, position: int, size: int, first: int, at: int
    ) -> Http2Message | None:
        """The first header block of a stream after a loss: a response's, or trailers."""
        half = self.server
        if not stream or (request is None and self.is_over(stream)):
            return None
        doubtful = request is None or request.doubtful or stream in half.earlier
        if doubtful and head.lines and not head.unknown and not head.begins(":status"):
            headless = self._headless(half, stream, position, first)
            self._more(half, headless, head, size, at)
            return headless
        faults, half.resumed = head.faults + half.resumed, ()
        if request is not None and doubtful and half.loss == "gap":
            faults += (Fault("gap", "bytes before this answer were lost"),)
        response = Http2Response(SERVER, first, at, position, size, head, stream, faults)
        self.responses[stream] = response
        return response

    def promised(
        self, stream: int, head: Head, position: int, size: int, first: int, at: int, out: list[Output]
    ) -> None:
        """A request that the server makes itself, and will answer (RFC 9113 §8.4)."""
        half = self.server
        if stream & 1 or not stream or self.is_over(stream) or stream in self.requests:
            half.stray(size, False)
            return
        request = Http2Request(SERVER, first, at, position, size, head, stream, head.faults + half.resumed)
        half.resumed = ()
        request.ended = True
        self.requests[stream] = request
        self._open(stream, out)

    def upgraded(self, request: Http2Request) -> None:
        """The request that HTTP/1 was left with is that of stream 1 (RFC 7540 §3.2)."""
        request.ended = True
        self.requests[1] = request
        self._low[1] = self._high[1] = 1

    def _more(self, half: Half, message: Http2Message, head: Head, size: int, at: int, *, final: bool = True) -> None:
        """Another header block of a message: trailers, or what follows a 1xx."""
        if message.ended or message.side is not half.side:
            half.stray(size, False)
            return
        message.size += size
        message.last = at
        another = message.empty and (not final or head.begins(":status"))
        if another and isinstance(message, Http2Response) and message.status < 200:  # 0: nobody saw it
            message.inform(head)
        else:
            message.end_with(head)

    def _headless(self, half: Half, stream: int, position: int, first: int) -> Http2Message:
        """A message of which only a later part was seen."""
        faults = (Fault(half.loss or MIDSTREAM, _UNASKED), *half.resumed)
        half.resumed = ()
        kind = Http2Request if half is self.client else Http2Response
        message = kind(half.side, first, first, position, 0, NO_HEAD, stream, faults)
        answered = stream in self.server.earlier or stream in self.responses
        if half is self.client and stream in half.earlier and not answered:
            message.hopeless = _ANSWERED
        half.earlier.discard(stream)
        half.messages[stream] = message
        return message

    # Streams

    def is_over(self, stream: int) -> bool:
        """Whether a stream that is not remembered was here, and has ended."""
        if stream in self.requests or stream in self.responses or stream in self._left:
            return False
        if stream in self.client.earlier or stream in self.server.earlier:
            return False
        low = self._low[stream & 1]
        return (0 < low <= stream <= self._high[stream & 1]) or stream in self._gone

    def _open(self, stream: int, out: list[Output]) -> None:
        odd = stream & 1
        if stream > self._high[odd]:
            self._high[odd] = stream
            self._low[odd] = self._low[odd] or stream
        if len(self.requests) > self._most:
            self._bound(self.requests, out)

    def receiver(self, half: Half, stream: int, first: int, out: list[Output]) -> Http2Message | None:
        """The message that DATA at the half's offset belongs to, if there is one."""
        message = half.messages.get(stream)
        if message is not None:
            return None if message.ended or message.side is not half.side else message
        if not (half.loss or stream in half.earlier) or self.is_over(stream):
            return None
        if half is self.client and not stream & 1:
            return None
        message = self._headless(half, stream, half.offset, first)
        if len(half.messages) > self._most:
            self._bound(half.messages, out)
        return message

    def add(self, message: Http2Message, piece: bytes) -> None:
        """More of a body that is not short any more."""
        builder = message.builder
        if builder is None:
            builder = self._build(message)
        if self._kept > self.limits.waiting_bytes:
            builder.keep_no_more()
        elif builder.size < self.limits.body_bytes:
            self._keep(message, len(piece))
        builder.add(piece)

    def lose(self, message: Http2Message, size: int, fault: Fault) -> None:
        """Bytes of a body are missing, 0: nobody knows how many."""
        builder = message.builder if message.builder is not None else self._build(message)
        builder.lost(size)
        message.lose(fault)

    def _build(self, message: Http2Message) -> BodyBuilder:
        builder = long_body(message.head, self.limits, self.kept)
        message.build(builder)
        self._keep(message, builder.size)
        return builder

    def _keep(self, message: Http2Message, size: int) -> None:
        message.room -= size
        self._kept += size

    def finish(self, message: Http2Message, out: list[Output]) -> None:
        """A message is all there."""
        message.ended = True
        if message.builder is not None:
            message.settle()
        key = message.key
        if message.role is Role.RESPONSE:
            request = self.requests.get(key)
            goes_on = key in self.client.earlier if request is None else not request.ended
            if not goes_on:
                self._give(key, request, message, out)
        else:
            response = self.responses.get(key)
            if message.hopeless or (response is not None and response.ended):
                self._give(key, message, response, out)

    def _give(self, key: int, request: Http2Message | None, response: Http2Message | None, out: list[Output]) -> None:
        inference = self.inference
        if inference is not None and inference.busy:
            inference.finish(request, response)
        if request is not None:
            del self.requests[key]
            (self.server if request.side else self.client).given += request.size
            if request.room < 0:  # a long body is not ours any more
                self._kept += request.room + 1
            out.append(request)
        if response is not None:
            del self.responses[key]
            self.server.given += response.size
            if response.room < 0:
                self._kept += response.room + 1
            out.append(response)

    def reset(self, half: Half, stream: int, code: int, size: int, at: int, out: list[Output]) -> None:
        """RST_STREAM (§6.4): neither side says more."""
        own = half.messages.get(stream)
        if own is not None and not own.ended and own.side is half.side:
            own.size += size
            own.last = at
        else:
            half.stray(size, True)
        for one in (self.client, self.server):
            one.earlier.discard(stream)
        tunnel = self.tunnels.pop(stream, None)
        if tunnel is not None:
            tunnel.end(at, out)
        words = f"the {half.side.name.lower()} reset the stream: {error_name(code)}"
        request, response = self.requests.get(stream), self.responses.get(stream)
        if request is not None and response is not None and response.ended and not code and not request.falls_short():
            self.finish(request, out)  # RFC 9113 §8.1: the answer needs no more of it, and nothing is wrong
        else:
            self._cut_off(stream, words, out)
        if len(self._gone) >= _GONE:
            del self._gone[next(iter(self._gone))]
        if not self._low[stream & 1] or stream < self._low[stream & 1]:
            self._gone[stream] = None

    def leave(self, half: Half, last: int, code: int, out: list[Output]) -> None:
        """GOAWAY (§6.8): streams of the other side above `last` were never looked at."""
        self._goodbyes += 1
        if self._goodbyes > _GOODBYES:
            return
        odd = half is self.server
        above = [stream for stream in self.requests if stream > last and stream & 1 == odd]
        for stream in above:
            if stream not in self.responses:
                words = f"the {half.side.name.lower()} left before it looked at the stream: {error_name(code)}"
                self._cut_off(stream, words, out)

    def _cut_off(self, stream: int, words: str, out: list[Output]) -> None:
        """Nothing more comes on a stream, for a reason that is told in words."""
        request, response = self.requests.get(stream), self.responses.get(stream)
        if response is None:
            if request is not None:
                request.settle()
                request.hopeless = words
                self._give(stream, request, None, out)
            return
        for message in (request, response):
            if message is not None and not message.ended:
                message.faults += (Fault("truncated", words),)
                message.settle()
        self._give(stream, request, response, out)

    def _bound(self, among: dict[int, Http2Message], out: list[Output]) -> None:
        """More streams are open than ever before; where it is too many, one that is idle, or the oldest, is over."""
        most = self.limits.streams
        if self._most < most:
            self.kept.beside += 2 * MESSAGE * self._most
            self._most = min(2 * self._most, most)
            if len(among) <= most:
                return
        for turn in range(_TURNS):
            stream, message = next(iter(among.items()))
            came = sum(each[stream].size for each in (self.requests, self.responses) if stream in each)
            if turn == _TURNS - 1 or message.mark == came:
                break
            message.mark = came
            among[stream] = among.pop(stream)
        self._cut_off(stream, "more streams were open than are remembered", out)

    # Losses and ends

    def broken(self, half: Half, fault: Fault, at: int, out: list[Output]) -> None:
        """Frames of one half are missing; said once of a message that is idle, so that a gap costs few steps."""
        for tunnel in self.tunnels.values():
            tunnel.gap(half.side, 0, at, out)
        for message in half.messages.values():
            if not message.ended and message.side is half.side and message.broken != message.size:
                message.broken = message.size
                self.lose(message, 0, fault)
        if half is self.server:
            self._low[0] = 0
            for request in self.requests.values():
                if request.key not in self.responses:
                    request.doubtful = True
        else:
            self._low[1] = 0

    def close(self, half: Half, at: int, out: list[Output]) -> None:
        """One half has ended: its messages have, too."""
        for tunnel in self.tunnels.values():
            tunnel.close(half.side, at, out)
        for message in half.messages.values():
            if not message.ended and message.side is half.side:
                message.faults += (Fault("truncated", _CLOSED),)
                message.settle()
        for stream in list(self.requests if half is self.client else chain(self.requests, self.responses)):
            request, response = self.requests.get(stream), self.responses.get(stream)
            if request is not None and not request.ended:
                continue  # its response waits for it
            if response is not None and response.ended:
                self._give(stream, request, response, out)
            elif request is not None:
                if response is None and half is self.client:
                    self._left.add(stream)  # the server may still answer
                self._give(stream, request, None, out)

    # Going on where everything before is gone

    def unfinished(self) -> tuple[set[int], set[int]]:
        """The streams of which more may come, from the client and from the server."""
        requests, responses = self.requests, self.responses
        client = {stream for stream, message in requests.items() if message.side is CLIENT and not message.ended}
        server = {stream for stream, message in requests.items() if stream not in responses and not message.hopeless}
        server |= {stream for stream, message in responses.items() if not message.ended}
        client |= {*self.tunnels, *self.client.earlier}
        return client, server | {*self.tunnels, *self._left, *self.server.earlier}

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The streams between which others were opened before our eyes: `low`, then `high`, even, then odd."""
        return self._low[0], self._low[1], self._high[0], self._high[1]

    def recall(self, seen: tuple[int, int, int, int]) -> None:
        self._low, self._high = [*seen[:2]], [*seen[2:]]

    def weight(self) -> int:
        """About how many bytes of memory they take, without what counts as long bodies."""
        messages = chain(self.requests.values(), self.responses.values())
        return sum([message.weight() for message in messages]) + _TUNNEL * len(self.tunnels)

    def begun(self) -> Iterator[Message]:
        """Copies of what has not been given back."""
        for tunnel in self.tunnels.values():
            yield from tunnel.begun()
        for message in chain(self.requests.values(), self.responses.values()):
            copy = message.snapshot()
            if self.inference is not None and self.inference.joined:
                self.inference.show(copy)
            yield copy
