"""HTTP/2 over TCP (RFC 9113): from the preface, after an upgrade of HTTP/1, or joined in the middle."""

from __future__ import annotations

from collections.abc import Iterable

from pysniff.dissector import Context, Dissector, Malformed, Match, Output, Receiver
from pysniff.dissectors.http import HttpRequest
from pysniff.dissectors.http2_frames import (
    ACK,
    END_HEADERS,
    HEADER,
    HEADERS,
    PREFACE,
    SETTINGS,
    SHORT,
    WRONG,
    Kind,
    frame_end,
    header_block,
    kind_of,
    unpack,
)
from pysniff.dissectors.http2_framing import Framing
from pysniff.dissectors.http2_head import Head
from pysniff.dissectors.http2_inference import Inference
from pysniff.dissectors.http2_messages import Http2Request
from pysniff.dissectors.http2_state import MOST, State, read, written
from pysniff.dissectors.http2_streams import Streams
from pysniff.dissectors.http_variables import VARIABLES
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, SERVER, Message, Side

_FRAMES = 256  # looked at for one that tells whose they are


class Http2(Dissector):
    protocol = "http2"
    gives = ("http", "ws")
    variables = VARIABLES
    remembers = True
    patience = 4  # joined in the middle, the first frame may be one of 16 KiB that tells nothing

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self.streams = Streams(limits)
        client, server = Framing(CLIENT, limits, self.streams), Framing(SERVER, limits, self.streams)
        client.peer, server.peer = server, client
        self.streams.join(client, server)
        self._halves = (client, server)

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        answer = _judge(client, server)
        if answer is Match.YES and _judge(server, client) is Match.YES:
            # Both could be either: YES may hold one way round only, so the bytes decide.
            return Match.YES if client <= server else Match.NO
        return answer

    def begin(self, context: Context) -> Iterable[Output]:
        self.streams.kept = context.kept
        inference = self.streams.inference = Inference(context)
        for side, half in zip(Side, self._halves, strict=True):
            inference.listen(side, half.decoder)
        if isinstance(context.request, HttpRequest):
            self.streams.upgraded(_again(context.request))
        return ()

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        return self._halves[side].receive(data, at)

    def receiver(self, side: Side) -> Receiver:
        return self._halves[side].receive

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        return self._halves[side].gap(size, at)

    def close(self, side: Side, at: int) -> Iterable[Output]:
        out: list[Output] = []
        half = self._halves[side]
        half.close(out)
        self.streams.close(half, at, out)
        return out

    def open(self) -> Iterable[Message]:
        return self.streams.begun()

    def remember(self) -> bytes | None:
        unfinished = self.streams.unfinished()
        client, server = [half.remember(unfinished[half.side]) for half in self._halves]
        if client is None or server is None:
            return None
        text = written(State(client, server, self.streams.seen))
        return text if len(text) <= MOST else None

    def recall(self, state: bytes) -> bool:
        found = read(state, self.limits)
        try:
            for half, known in zip(self._halves, found[:2], strict=True):
                half.recall(known)
        except ValueError as problem:
            raise Malformed(str(problem)) from None
        self.streams.recall(found.seen)
        if self.streams.inference is not None:
            self.streams.inference.recall([half.decoder for half in self._halves])
        return all(half.decoder.whole for half in self._halves)

    def weight(self) -> int:
        return self.streams.weight() + sum([half.weight() for half in self._halves])

    def relieve(self) -> None:
        for half in self._halves:
            half.heads.clear()

    def pending(self, side: Side) -> int:
        half = self._halves[side]
        return half.fed - half.given


def _again(request: HttpRequest) -> Http2Request:
    """The request of an upgrade, as that of stream 1: it has no bytes here."""
    method, url = request.target
    pseudo = [(":method", method), (":scheme", "http"), (":path", url), (":authority", request.host)]
    head = Head([*pseudo, *request.headers], request.headers_size)
    copy = Http2Request(CLIENT, request.first, request.last, 0, 0, head, 1)
    copy._body, copy._trailers = request.body, request.trailers
    return copy


def _judge(client: bytes, server: bytes) -> Match:
    answers = (_is_client(client), _is_server(server))
    if Match.NO in answers:
        return Match.NO
    return Match.YES if Match.YES in answers else Match.UNSURE


def _is_client(data: bytes) -> Match:
    """The preface, or frames among which there is a request's head."""
    if PREFACE.startswith(data[: len(PREFACE)]):
        return Match.YES if len(data) >= len(PREFACE) else Match.UNSURE
    return _frames(data, Kind.REQUEST)


def _is_server(data: bytes) -> Match:
    """Settings first, or frames among which there is a response's head."""
    if len(data) >= HEADER:
        word, flags, stream = unpack(data, 0)
        if word & 0xFF == SETTINGS and not flags & ACK and not stream:
            end = frame_end(data, 0)
            return Match.YES if end > 0 else Match.UNSURE if end == SHORT else Match.NO
    return _frames(data, Kind.RESPONSE)


def _frames(data: bytes, kind: Kind) -> Match:
    position = 0
    for _ in range(_FRAMES):
        if position >= len(data):
            return Match.UNSURE
        end = frame_end(data, position)
        if end < 0:
            return Match.NO if end == WRONG else Match.UNSURE
        word, flags, _ = unpack(data, position)
        if word & 0xFF == HEADERS and flags & END_HEADERS:
            block = header_block(flags, data[position + HEADER : end])
            found = kind_of(block) if block is not None else None
            if found is not Kind.EITHER:
                return Match.YES if found is kind else Match.NO
        position = end
    return Match.NO
