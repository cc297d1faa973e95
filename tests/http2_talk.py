"""One HTTP/2 connection that goes on and on: calls of HTTP and gRPC in each other, whose fields are said once and then
referred to. The same seed gives the same packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hpack import Encoder
from transcripts import H2, h2
from wire import Wire

from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Packet

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
TOKEN = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
MSS = 1400


class Calls:
    """`shake()`, then `turn()` as often as wanted, then `finish()`: each gives packets."""

    def __init__(self, wire: Wire, random: Random) -> None:
        self._wire = wire
        self._random = random
        self._encoders = (Encoder(), Encoder())
        self._stream = -1
        self._asking: dict[int, bool] = {}  # requests that have not ended, and whether they are gRPC
        self._waiting: dict[int, bool] = {}  # answers that have not begun
        self._answering: dict[int, bool] = {}  # answers that have not ended

    def shake(self) -> list[Packet]:
        settings = h2(SETTINGS, 0, 0) + h2(SETTINGS, 1, 0)
        return [*self._wire.handshake(), *self._say(CLIENT, H2), *self._say(SERVER, settings)]

    def turn(self) -> list[Packet]:
        """A call begins, and others go on."""
        client = self._ask() + self._go_on_asking(0.6)
        server = self._answer(0.6) + self._go_on_answering(0.6)
        return [*self._say(CLIENT, client), *self._say(SERVER, server)]

    def finish(self) -> list[Packet]:
        """Everything ends."""
        client = self._go_on_asking(1)
        server = self._answer(1) + self._go_on_answering(1)
        return [*self._say(CLIENT, client), *self._say(SERVER, server), *self._wire.farewell()]

    def _say(self, side: Side, data: bytes) -> list[Packet]:
        pieces = []
        while data:
            size = self._random.choice((MSS, MSS, 700, 5))
            pieces.append(self._wire.send(side, data[:size]))
            data = data[size:]
        return pieces

    def _block(self, side: Side, stream: int, fields: list[tuple[str, str]], *, ends: bool) -> bytes:
        random, encoder = self._random, self._encoders[side]
        if random.random() < 0.02:
            encoder.header_table_size = random.choice((256, 4096))
        block = encoder.encode(fields, huffman=random.random() < 0.7)
        if random.random() < 0.1 and len(block) > 2:
            cut = random.randrange(1, len(block))
            more = h2(CONTINUATION, END_HEADERS, stream, block[cut:])
            return h2(HEADERS, END_STREAM * ends, stream, block[:cut]) + more
        return h2(HEADERS, END_HEADERS | END_STREAM * ends, stream, block)

    def _data(self, stream: int, *, ends: bool, grpc: bool) -> bytes:
        random = self._random
        body = random.randbytes(random.choice((0, 40, 900, 6000)))
        if grpc:
            body = b"\0" + len(body).to_bytes(4, "big") + body
        if random.random() < 0.1:
            return h2(DATA, PADDED | END_STREAM * ends, stream, b"\7" + body + bytes(7))
        return h2(DATA, END_STREAM * ends, stream, body)

    def _ask(self) -> bytes:
        random = self._random
        self._stream += 2
        grpc = random.random() < 0.5
        path = f"/shop.Cart/{random.choice(('Add', 'Get', 'Pay'))}" if grpc else f"/items/{random.randrange(5)}"
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "shop:8080")]
        fields += [("authorization", TOKEN), ("user-agent", "till/1.0")]
        if random.random() < 0.2:
            fields.append(("x-request-id", random.randbytes(8).hex()))
        if grpc:
            fields += [("content-type", "application/grpc"), ("te", "trailers")]
        ends = not grpc and random.random() < 0.5
        if not ends:
            self._asking[self._stream] = grpc
        self._waiting[self._stream] = grpc
        return self._block(CLIENT, self._stream, fields, ends=ends)

    def _go_on_asking(self, share: float) -> bytes:
        said = h2(PING, 0, 0, bytes(8)) if self._random.random() < 0.1 else b""
        for stream, grpc in list(self._asking.items()):
            if share == 1 or self._random.random() < share:
                ends = share == 1 or self._random.random() < 0.5
                said += self._data(stream, ends=ends, grpc=grpc)
                if ends:
                    del self._asking[stream]
        return said

    def _answer(self, share: float) -> bytes:
        random = self._random
        said = h2(WINDOW_UPDATE, 0, 0, b"\0\0\1\0") if random.random() < 0.2 else b""
        for stream, grpc in list(self._waiting.items()):
            if share < 1 and random.random() > share:
                continue
            del self._waiting[stream]
            if random.random() < 0.05:
                said += h2(RST_STREAM, 0, stream, b"\0\0\0\x02")
                self._asking.pop(stream, None)
                continue
            fields = [(":status", "200" if grpc else random.choice(("200", "201", "404"))), ("server", "shelf/2.1")]
            fields.append(("content-type", "application/grpc" if grpc else "application/json"))
            said += self._block(SERVER, stream, fields, ends=False)
            self._answering[stream] = grpc
        return said

    def _go_on_answering(self, share: float) -> bytes:
        random = self._random
        said = b""
        for stream, grpc in list(self._answering.items()):
            if share < 1 and random.random() > share:
                continue
            ends = share == 1 or random.random() < 0.5
            said += self._data(stream, ends=ends and not grpc, grpc=grpc)
            if ends and grpc:
                fields = [
                    ("grpc-status", random.choice(("0", "0", "5"))),
                    ("grpc-message", random.choice(("", "none"))),
                ]
                said += self._block(SERVER, stream, fields, ends=True)
            if ends:
                del self._answering[stream]
        return said


def calls(wire: Wire, random: Random, count: int) -> Iterator[list[Packet]]:
    """As the conversations of traffic.py."""
    talk = Calls(wire, random)
    yield talk.shake()
    for _ in range(count):
        yield talk.turn()
    yield talk.finish()
