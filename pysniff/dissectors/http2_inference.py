"""Names header fields whose insertion into the dynamic table came before the capture, and says how it knows.

The evidence, strongest first: other connections between the same ends, answers that only one path had, the place of
a field in its block, and what gRPC leaves no choice about. Nothing is concluded from packets behind the exchange of
which it is said, and what is concluded is marked: the entry says `inferred`, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from pysniff.body import Body
from pysniff.dissector import Context
from pysniff.dissectors.hpack import Decoder, Field, Identity, Unknown
from pysniff.dissectors.http import Content
from pysniff.dissectors.http2_acquaintance import acquaintance
from pysniff.dissectors.http2_earlier import Earlier
from pysniff.dissectors.http2_head import NO_HEAD, UNNAMED, Head, unnamed
from pysniff.dissectors.http2_inferred import Inferred, conclude, words
from pysniff.dissectors.http2_messages import Http2Message
from pysniff.dissectors.http2_orders import Kind, is_grpc
from pysniff.message import CLIENT, Fault, Role, Side

_LEARNT = 32  # exchanges of a whole connection from which the next one learns
_COMPARED = 1_024  # exchanges of a joined one that are compared with others
_BODY = 4_096  # bytes of a body that are looked at
_MEMORIES = 256  # blocks of which is remembered what was concluded
_TELLING = 16  # bytes of an answer: {"status":"ok"} and gRPC's empty messages are shorter, and many paths have them


class _Known(NamedTuple):
    """What was concluded of a block; `block` is kept so that no other gets its id."""

    block: object
    revision: int
    head: Head
    faults: tuple[Fault, ...]


class Inference:
    """One connection. `joined`: entries of a table are missing. `busy`: finish() is of use."""

    def __init__(self, context: Context) -> None:
        self.joined = False
        self.busy = True
        self._context = context
        self._exchanges = 0
        self._decoders: list[Decoder | None] = [None, None]
        self._halves = [self._half(side, joined=False) for side in Side]
        self._last: list[Head] = [NO_HEAD, NO_HEAD]  # of each half the one learnt last
        self._memories: list[dict[tuple[int, Kind, bool], _Known]] = [{}, {}]

    def _half(self, side: Side, *, joined: bool) -> Earlier:
        shared = acquaintance(self._context.memory, self._context.server, side)
        return Earlier(shared, self._context.client, joined=joined)

    def listen(self, side: Side, decoder: Decoder) -> None:
        """Hear what a half inserts, from its start."""
        self._decoders[side] = decoder
        half = self._halves[side]

        def learned(identity: Identity, field: Field) -> None:
            half.insert(identity.number, field)

        decoder.learned = learned

    def lost(self, side: Side, decoder: Decoder) -> None:
        """The table has entries that nobody saw inserted; all that it gets from now on counts from 0."""
        self.joined = self.busy = True
        self._halves[side] = self._half(side, joined=True)
        self._last[side] = NO_HEAD
        self._memories[side].clear()
        self.listen(side, decoder)

    def recall(self, decoders: Sequence[Decoder]) -> None:
        """The tables are those of an earlier time: what other connections are told of whole ones, nobody saw here."""
        for decoder in decoders:
            decoder.learned = None
        self.busy = False
        if all(decoder.whole for decoder in decoders):
            return
        for side, decoder in zip(Side, decoders, strict=True):
            self.lost(side, decoder)
            for identity, field in decoder.entries():
                self._halves[side].insert(identity.number, field)

    def finish(self, request: Http2Message | None, response: Http2Message | None) -> None:
        """An exchange is over: learn from it, and put what is known into its messages."""
        self._exchanges += 1
        for message in (request, response):
            if message is not None:
                self._learn(message)
        if self.joined:
            self._conclude()
        if request is not None and response is not None and self._exchanges <= _COMPARED:
            self._compare(request, response)
        if self.joined:
            self._conclude()
            for message in (request, response):
                if message is not None:
                    self.show(message)
        elif self._exchanges >= _LEARNT:
            self.busy = False
            for decoder in self._decoders:
                if decoder is not None:
                    decoder.learned = None

    def _conclude(self) -> None:
        for half in self._halves:
            half.conclude()

    def show(self, message: Http2Message) -> None:
        """Put what is known into a message that nobody has seen yet, and learn nothing."""
        head, trailers = message.head, message.trailers
        faults: tuple[Fault, ...] = ()
        if _unknown(head.lines):
            known = self._known(message, _kind(message), head, head.lines)
            message.head = known.head
            faults = known.faults
            body, index = message._body, known.head.index
            if isinstance(body, Body):
                message._body = body.labelled(index.get("content-encoding", ""), index.get("content-type", ""))
        if trailers and _unknown(trailers):
            kind = Kind.TRAILERS if message.role is Role.RESPONSE else Kind.REQUEST_TRAILERS
            known = self._known(message, kind, trailers, trailers)
            message._trailers = tuple(known.head.lines)
            faults += known.faults
        if faults:
            told = tuple([fault for fault in message.faults if not fault.message.startswith(UNNAMED)])
            message.faults = told + faults

    def _known(self, message: Http2Message, kind: Kind, block: object, fields: Sequence[Field]) -> _Known:
        """What is known of a block, remembered as long as nothing new is."""
        half, memory = self._halves[message.side], self._memories[message.side]
        body, size = _start(message)
        key = id(block), kind, is_grpc(body, size)
        known = memory.get(key)
        if known is None or known.revision != half.revision:
            found = list(conclude(half, kind, fields, grpc=key[2]))
            told = next((fault.kind for fault in message.faults if fault.message.startswith(UNNAMED)), "midstream")
            said = words(found)
            faults = unnamed(found, told) + ((Fault("inferred", said),) if said else ())
            size = block.size if isinstance(block, Head) else 0
            known = _Known(block, half.revision, Head(found, size), faults)
            if len(memory) >= _MEMORIES:
                memory.clear()
            memory[key] = known
        return known

    def _learn(self, message: Http2Message) -> None:
        head, trailers, side = message.head, message.trailers, message.side
        half = self._halves[side]
        half.calls += 1
        if head is not self._last[side]:
            self._last[side] = head
            half.learn(_kind(message), head.lines, grpc=False)
        if trailers and message.role is Role.RESPONSE:
            half.learn(Kind.TRAILERS, trailers, grpc=half.joined and is_grpc(*_start(message)))

    def _compare(self, request: Http2Message, response: Http2Message) -> None:
        """Note the sizes and the answer of an exchange that went well: another path may have no such ones."""
        half = self._halves[CLIENT]
        path = next((field for field in request.head.lines if field[0] == ":path" or half.asks(field)), None)
        if path is None or request.side is not CLIENT or not response.head.pseudo.get(":status", "").startswith("2"):
            return
        body, size = _start(response)
        if size < _TELLING:
            return
        signature = _start(request)[1], size, crc32(body)
        if isinstance(path, Unknown):
            half.compare(path.name.number, signature)
        elif not isinstance(path, Inferred):
            half.shared.sign(signature, path[1])


def _kind(message: Http2Message) -> Kind:
    return Kind.REQUEST if message.role is Role.REQUEST else Kind.RESPONSE


def _unknown(fields: tuple[Field, ...] | list[Field]) -> bool:
    return any(isinstance(field, Unknown) for field in fields)


def _start(message: Http2Message) -> tuple[bytes, int]:
    """How a body begins, as far as that is kept, and its size."""
    content: Content = message.collected()
    if isinstance(content, Body):
        return content.raw[:_BODY], content.encoded_size
    if isinstance(content, bytes):
        return content[:_BODY], len(content)
    return b"".join(content)[:_BODY], sum(map(len, content))
