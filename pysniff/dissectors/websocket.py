"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692), behind an upgrade of HTTP or joined in the middle.

Both halves go on independently; every message and every control frame is an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from pysniff.dissector import Context, Dissector, Malformed, Match, Output, Switch
from pysniff.dissectors.http import HttpMessage
from pysniff.dissectors.websocket_deflate import Agreed, agreed
from pysniff.dissectors.websocket_frames import Half
from pysniff.dissectors.websocket_match import judge
from pysniff.dissectors.websocket_variables import VARIABLES
from pysniff.kept import Kept
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, SERVER, Message, Side

_WORDS = (b"GET ", b"HTTP")  # what the halves of a connection begin with whose handshake is still to come


class WebSocket(Dissector):
    """`begin` reads the handshake. Without one, it may come first: then that is HTTP's."""

    protocol: ClassVar[str] = "ws"
    gives = ("ws", "http")
    variables = VARIABLES

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._kept = Kept(limits)
        self._halves = self._both(Agreed(), "")
        self._held: list[bytes] | None = None  # first bytes of each half, while nobody knows whether that is HTTP

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        """Only a client's frames, whose text must make sense without its mask, are recognised without handshake."""
        verdicts = (judge(client, CLIENT), judge(server, SERVER))
        return Match.NO if Match.NO in verdicts else verdicts[0]

    def begin(self, context: Context) -> Iterable[Output]:
        self._kept = context.kept
        request, response = context.request, context.response
        if isinstance(request, HttpMessage) and request.header("sec-websocket-key1"):
            raise Malformed("a draft of WebSocket")  # hixie-76: other frames altogether
        if isinstance(response, HttpMessage):
            subprotocol = response.header("sec-websocket-protocol")[:_NAME]
            self._halves = self._both(agreed(response.header("sec-websocket-extensions")), subprotocol)
        else:
            self._held = [b"", b""]
            self._halves = self._both(Agreed(), "")
            for half in self._halves:
                half.join()
        return ()

    def _both(self, agreement: Agreed, subprotocol: str) -> tuple[Half, Half]:
        return (
            Half(CLIENT, self.limits, agreement, subprotocol, self._kept),
            Half(SERVER, self.limits, agreement, subprotocol, self._kept),
        )

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        if self._held is not None:
            return self._look(self._held, side, data, at)
        half = self._halves[side]
        out = half.feed(data, at)
        return self._fail(out, half.broken) if half.broken else out

    def _fail(self, out: list[Output], reason: str) -> Iterator[Output]:
        yield from out
        raise Malformed(reason)

    def _look(self, held: list[bytes], side: Side, data: bytes, at: int) -> Iterable[Output]:
        held[side] += data
        begin, word = held[side], _WORDS[side]
        if begin.startswith(word):
            client, server = held
            self._held = None
            return (Switch("http", client, server),)
        return () if word.startswith(begin) else self._release(at)

    def _release(self, at: int) -> Iterator[Output]:
        """There is no handshake to come."""
        held, self._held = self._held, None
        for side in Side:
            if held is not None and held[side]:
                yield from self.feed(side, held[side], at)

    def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
        if self._held is not None and size:
            yield from self._release(at)
        yield from self._halves[side].gap(size, at)

    def close(self, side: Side, at: int) -> Iterator[Output]:
        if self._held is not None and self._held[side]:
            yield from self._release(at)
        half = self._halves[side]
        yield from self._fail(half.close(at), half.broken) if half.broken else half.close(at)

    def open(self) -> Iterable[Message]:
        return [message for half in self._halves if (message := half.snapshot()) is not None]

    def weight(self) -> int:
        return super().weight() + sum([half.weight() for half in self._halves])

    def pending(self, side: Side) -> int:
        held = 0 if self._held is None else len(self._held[side])
        return held + self._halves[side].pending()


_NAME = 200  # characters of a subprotocol's name
