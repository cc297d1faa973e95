"""Requests and responses of HTTP/2 (RFC 9113 §8): decoded when they arrive, for the coding has a memory, and shared
where they are equal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pysniff.body import Body, BodyBuilder
from pysniff.dissectors.grpc_call import read_type
from pysniff.dissectors.grpc_framing import MessageCounter
from pysniff.dissectors.http import Content, Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.dissectors.http2_head import Head
from pysniff.dissectors.http2_parts import FrameParts
from pysniff.kept import FREE, MESSAGE, Kept
from pysniff.limits import Limits
from pysniff.message import Fault, Side, noted, printable

_SLOTS = ("key", "head", "ended", "room", "builder", "mark", "broken", "doubtful", "hopeless")


class Http2Message(HttpMessage):
    """What both have. While it arrives: `ended` says that it is all there, `room` counts down while the body is short,
    and from -1 on what is kept of a long one, which `builder` has, `mark` what came until the streams were last looked
    through for idle ones, `broken` what came until frames were last lost, `doubtful` that bytes of the other half were
    lost while this one waited for its answer."""

    if TYPE_CHECKING:
        __slots__ = _SLOTS
    else:
        __slots__ = ()  # two bases cannot both have some: they are in the subclasses

    parts = FrameParts
    key: int
    head: Head
    ended: bool
    room: int
    builder: BodyBuilder | None
    mark: int
    broken: int
    doubtful: bool
    hopeless: str

    def __init__(
        self, side: Side, first: int, last: int, position: int, size: int, head: Head, key: int,
        faults: tuple[Fault, ...] = (),
    ) -> None:  # fmt: skip
        self.side = side
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.faults = faults
        self.head = head
        self.key = key
        self._body = b""
        self._trailers = ()
        self.ended = False
        self.room = ROOM
        self.builder = None
        self.mark = self.broken = 0
        self.doubtful = False
        self.hopeless = ""

    @property
    def stream_id(self) -> int:
        return self.key

    @property
    def version(self) -> str:
        return "2"

    @property
    def headers(self) -> Fields:
        return self.head.fields

    @property
    def headers_size(self) -> int:
        """Bytes of the header block as it was sent, compressed."""
        return self.head.size

    @property
    def index(self) -> dict[str, str]:
        return self.head.index

    def mentions(self, word: bytes) -> bool:
        """Of words in a value; a head that nobody knows may contain any."""
        head = self.head
        return head.says(word.decode()) or bool(self.faults and (not head.size or head.unknown))

    @property
    def content_type(self) -> str:
        return self.head.content_type

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        head = self.head
        if self._body and head.content[0]:
            return self.faults + head.late + self.body.faults
        return self.faults + head.late if head.lines is not None else ()

    @property
    def body(self) -> Body:
        body = self._body
        if not isinstance(body, Body):
            size = len(body) if isinstance(body, bytes) else sum(map(len, body))
            body = self._body = Body(body, size, *self.head.content)
        return body

    def falls_short(self) -> bool:
        """Whether less came of the body than its Content-Length says."""
        length = self.header("content-length")
        if not (length.isascii() and length.isdigit()) or len(length) > 19:
            return False
        return int(length) > (self.builder.size if self.builder is not None else self.body.encoded_size)

    def add(self, piece: bytes) -> bool:
        """The next bytes of the body, while it is short; False where they need a `builder`."""
        room = self.room - len(piece) - _PIECE
        if room < 0:
            return False
        body = self._body
        if isinstance(body, list):
            body.append(piece)
        else:
            self._body = [piece]
        self.room = room
        return True

    def build(self, builder: BodyBuilder) -> None:
        """From now on the body is long."""
        self.room = -1
        self.builder = builder
        if isinstance(self._body, list):
            for piece in self._body:
                builder.add(piece)
            self._body = b""

    @property
    def empty(self) -> bool:
        """Whether nothing of the body came yet."""
        return not self._body and self.builder is None

    def collected(self) -> Content:
        """The body as far as it came."""
        if self.builder is not None:
            return self.builder.body()
        return [*self._body] if isinstance(self._body, list) else self._body

    def settle(self) -> None:
        """All of it is there."""
        self.ended = True
        if self.builder is not None:
            self._body = self.builder.body()
            self.share = self.builder.share
            self.builder = None

    def weight(self) -> int:
        body = ROOM - self.room if self.builder is None else min(self.builder.size, FREE)
        return MESSAGE + self.head.weight() + body + _FIELD * len(self._trailers)

    def lose(self, fault: Fault) -> None:
        """Something is wrong with it."""
        self.faults = noted(self.faults, fault)

    def snapshot(self) -> Self:
        """A copy, as it is now."""
        copy = type(self)(
            self.side, self.first, self.last, self.position, self.size, self.head, self.key, self.faults
        )  # fmt: skip
        copy._body = self.collected()
        copy._trailers = self._trailers
        copy.ended = self.ended
        return copy

    def end_with(self, head: Head) -> None:
        """Trailers."""
        self._trailers = head.fields
        for fault in head.faults + head.late:
            self.lose(fault)


# A body counts as short while it fits here, each piece costing a little extra.
ROOM = 32 * 1_024
_PIECE = 128
_FIELD = 150  # bytes that one of the trailers takes


class Http2Request(Http2Message, HttpRequest):
    __slots__ = _SLOTS

    @property
    def target(self) -> tuple[str, str]:
        """Method, and :path; for CONNECT the authority."""
        head = self.head
        return head.pseudo.get(":method", ""), head.path

    @property
    def _unseen(self) -> bool:
        """Whether a placeholder stands for the path: `?-12` is no query."""
        return self.head.path[:1] == "?"

    @property
    def path(self) -> str:
        return self.head.path if self._unseen else super().path

    @property
    def query(self) -> Fields:
        return () if self._unseen else super().query

    @property
    def summary(self) -> str:
        return self.headline if self._unseen else super().summary

    @property
    def host(self) -> str:
        return self.head.pseudo.get(":authority") or self.header("host")

    @property
    def scheme(self) -> str:
        return self.head.pseudo.get(":scheme", "")

    @property
    def connect_protocol(self) -> str:
        """Of an extended CONNECT: what it is to be the beginning of (RFC 8441)."""
        return self.head.pseudo.get(":protocol", "")

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = super().to_dict(body_limit)
        record["host"] = self.host
        if self._unseen:
            record["path"], record["query"] = self.path, []
        record["stream_id"] = self.key
        return record


class Http2Response(Http2Message, HttpResponse):
    __slots__ = _SLOTS

    def __init__(
        self, side: Side, first: int, last: int, position: int, size: int, head: Head, key: int,
        faults: tuple[Fault, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(side, first, last, position, size, head, key, faults)
        self.interim = ()

    @property
    def status(self) -> int:
        code = self.head.status
        return int(code) if code.isascii() and code.isdigit() and len(code) < 5 else 0

    @property
    def status_text(self) -> str:
        return printable(self.head.status)

    def snapshot(self) -> Self:
        copy = super().snapshot()
        copy.interim = self.interim
        return copy

    def inform(self, head: Head) -> None:
        """What began this answer was a 1xx; the next head is here."""
        before = Http2Response(self.side, self.first, self.last, self.position, 0, self.head, self.key)
        if len(self.interim) < _INTERIM and self._informed + before.head.size <= _INTERIM_BYTES:
            self.interim = (*self.interim, before)
        else:
            self.lose(Fault("truncated", "more 1xx responses than are kept"))
        self.head = head
        for fault in head.faults:
            self.lose(fault)

    @property
    def _informed(self) -> int:
        """Bytes of the 1xx responses."""
        return sum([one.headers_size for one in self.interim])

    def weight(self) -> int:
        return super().weight() + self._informed + MESSAGE * len(self.interim)

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = super().to_dict(body_limit)
        record["stream_id"] = self.key
        return record


_INTERIM = 100  # 1xx responses before a final one
_INTERIM_BYTES = 64 * 1_024  # of their header blocks


def long_body(head: Head, limits: Limits, kept: Kept) -> BodyBuilder:
    """What collects a body that may get too long to be kept: gRPC's messages in it are counted all the same."""
    coding, content_type = head.content
    kind = read_type(content_type)
    tally = None if kind is None or kind.base64 else partial(MessageCounter, web=kind.web)
    return BodyBuilder(limits, coding, content_type, tally, kept)
