"""WebSocket libraries talking with themselves: what they put on the wire, and what each heard of the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import strategies as st
from talk import Step
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Asked
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate

from pysniff.message import CLIENT, SERVER, Side


class Say(NamedTuple):
    """`opcode`: text, binary or ping. A message of several `parts` is sent in fragments; `ping`: one behind each."""

    side: Side
    opcode: str
    parts: tuple[bytes, ...]
    ping: bool = False


class Deal(NamedTuple):
    """What is offered and accepted of permessage-deflate; `bits` of the server's window."""

    deflate: bool = True
    client_takeover: bool = True
    server_takeover: bool = True
    bits: int = 15


Heard = tuple[Side, str, bytes]  # sender, opcode, payload


class Chat(NamedTuple):
    steps: list[Step]
    heard: list[Heard]


deals = st.builds(Deal, st.booleans(), st.booleans(), st.booleans(), st.integers(9, 15))
_words = st.lists(st.sampled_from(["schön ", "price: ", "17 ", "\U0001f600", "hello, hello, "]), max_size=40)
_texts = _words.map(lambda words: "".join(words).encode())
_sides = st.sampled_from([CLIENT, SERVER])
_messages = st.one_of(
    st.tuples(st.just("text"), st.lists(_texts, min_size=1, max_size=4).map(tuple)),
    st.tuples(st.just("binary"), st.lists(st.binary(max_size=300), min_size=1, max_size=4).map(tuple)),
    st.tuples(st.just("ping"), st.binary(max_size=125).map(lambda one: (one,))),
)


@st.composite
def _say(draw: st.DrawFn) -> Say:
    opcode, parts = draw(_messages)
    return Say(draw(_sides), opcode, parts, draw(st.booleans()))


says = st.lists(_say(), max_size=8)


class Websockets:
    """The `websockets` package."""

    def __init__(self, deal: Deal, subprotocol: str = "chat") -> None:
        client, server = not deal.client_takeover, not deal.server_takeover
        offer = ClientPerMessageDeflateFactory(server, client, deal.bits, None)
        accept = ServerPerMessageDeflateFactory(server, client, deal.bits, None)
        self.client = ClientProtocol(
            parse_uri("ws://shop/chat"),
            extensions=[offer] if deal.deflate else None,
            subprotocols=[Subprotocol(subprotocol)],
        )
        self.server = ServerProtocol(extensions=[accept], subprotocols=[Subprotocol(subprotocol)])
        self.ends = (self.client, self.server)
        self.steps: list[Step] = []
        self.frames: tuple[list[Frame], list[Frame]] = ([], [])
        self.heard: list[Heard] = []
        self.client.send_request(self.client.connect())
        self.pass_on()

    def pass_on(self) -> None:
        """Everything that either end has to send reaches the other one."""
        while any([self.turn(CLIENT), self.turn(SERVER)]):
            pass

    def turn(self, side: Side) -> bool:
        data = b"".join(self.ends[side].data_to_send())
        if data:
            self.steps.append((side, data))
            other = self.ends[side.other]
            other.receive_data(data)
            for event in other.events_received():
                self.hear(side, event)
        return bool(data)

    def hear(self, side: Side, event: object) -> None:
        if isinstance(event, Asked):
            self.server.send_response(self.server.accept(event))
        elif isinstance(event, Frame):
            if event.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
                self.heard.append((side, event.opcode.name.lower(), bytes(event.data)))
                return
            frames = self.frames[side]
            frames.append(event)
            if event.fin:
                payload = b"".join(bytes(frame.data) for frame in frames)
                self.heard.append((side, frames[0].opcode.name.lower(), payload))
                frames.clear()

    def say(self, say: Say) -> None:
        end = self.ends[say.side]
        if say.opcode == "ping":
            end.send_ping(say.parts[0])
        else:
            begin = end.send_text if say.opcode == "text" else end.send_binary
            for number, part in enumerate(say.parts):
                send = end.send_continuation if number else begin
                send(part, fin=number == len(say.parts) - 1)
                if say.ping:
                    end.send_ping(b"between")
        self.pass_on()

    def close(self, code: int, reason: str) -> None:
        self.client.send_close(code, reason)
        self.pass_on()


class Wsproto:
    """The `wsproto` package. It does not tell the payload of a close frame, and cuts messages where reads end."""

    def __init__(self, deal: Deal) -> None:
        self.ends = (WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER))
        self.deal = deal
        self.steps: list[Step] = []
        self.heard: list[Heard] = []
        self.parts: tuple[list[bytes], list[bytes]] = ([], [])
        offer = PerMessageDeflate(not deal.client_takeover, 15, not deal.server_takeover, deal.bits)
        extensions: list[Extension] = [offer] if deal.deflate else []
        self.send(CLIENT, Request(host="shop", target="/chat", subprotocols=["chat"], extensions=extensions))

    def send(self, side: Side, event: Event) -> None:
        data = self.ends[side].send(event)
        self.steps.append((side, data))
        self.ends[side.other].receive_data(data)
        for heard in list(self.ends[side.other].events()):
            self.hear(side, heard)

    def hear(self, side: Side, event: Event) -> None:
        if isinstance(event, Request):
            self.send(SERVER, AcceptConnection("chat", [PerMessageDeflate()] if self.deal.deflate else []))
        elif isinstance(event, Message):
            data = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            self.parts[side].append(data)
            if event.message_finished:
                opcode = "text" if isinstance(event, TextMessage) else "binary"
                self.heard.append((side, opcode, b"".join(self.parts[side])))
                self.parts[side].clear()
        elif isinstance(event, Ping | Pong):
            self.heard.append((side, type(event).__name__.lower(), bytes(event.payload)))
            if isinstance(event, Ping):
                self.send(side.other, event.response())
        elif isinstance(event, CloseConnection):
            self.heard.append((side, "close", event.code.to_bytes(2, "big") + (event.reason or "").encode()))
            if side is CLIENT:
                self.send(SERVER, event.response())

    def say(self, say: Say) -> None:
        if say.opcode == "ping":
            self.send(say.side, Ping(say.parts[0]))
            return
        for number, part in enumerate(say.parts):
            last = number == len(say.parts) - 1
            text = say.opcode == "text"
            self.send(say.side, TextMessage(part.decode(), last) if text else BytesMessage(part, last))
            if say.ping:
                self.send(say.side, Ping(b"between"))

    def close(self, code: int, reason: str) -> None:
        self.send(CLIENT, CloseConnection(code, reason))


def chat(kind: type[Websockets | Wsproto], deal: Deal, says: Iterable[Say], code: int = 1000, why: str = "") -> Chat:
    """A whole connection."""
    library = kind(deal)
    for say in says:
        library.say(say)
    library.close(code, why)
    return Chat(library.steps, library.heard)
