"""WebSocket behind a handshake: what both ends agreed on, and the transcripts without their upgrade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from talk import Step
from transcripts import TRANSCRIPTS, Transcript

from pysniff.dissector import Context, Dissector, Output
from pysniff.dissectors.http1_messages import Http1Request, Http1Response
from pysniff.dissectors.websocket import WebSocket
from pysniff.limits import DEFAULT, Limits

DEFLATE = "permessage-deflate"


def agreed(extensions: str = DEFLATE) -> Context:
    """As the core tells it behind an upgrade of HTTP/1."""
    head = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: {extensions}".encode()
    return Context(
        request=Http1Request(0, 0, 0, 1, b"GET / HTTP/1.1\r\nUpgrade: websocket"),
        response=Http1Response(0, 0, 0, 1, head),
    )


def frames(steps: Iterable[Step]) -> Iterator[Step]:
    """What is behind the heads of the handshake."""
    for side, data in steps:
        rest = data.partition(b"\r\n\r\n")[2] if data.startswith((b"GET ", b"HTTP")) else data
        if rest:
            yield side, rest


class Agreed(WebSocket):
    """With permessage-deflate, whatever begin() is told."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        super().begin(agreed())

    def begin(self, context: Context) -> Iterable[Output]:
        return ()


class Behind(Transcript):
    """What is said behind the handshake of a transcript."""

    @property
    def dissector(self) -> type[Dissector]:
        return Agreed


BEHIND = tuple(
    Behind("ws", "tcp", one.name, tuple(frames(one.steps))) for one in TRANSCRIPTS if "WebSocket" in one.name
)
