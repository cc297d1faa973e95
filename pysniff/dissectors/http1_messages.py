"""Requests and responses of HTTP/1 (RFC 9112): the head stays as it was sent until somebody asks."""

from __future__ import annotations

from pysniff.dissectors.http import Content, Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.dissectors.http1_fields import lenient_fields, oddities, plain_fields, plain_target, text
from pysniff.message import Fault, Side


class _Head(HttpMessage):
    """`head`: start line and field lines, without the empty line."""

    __slots__ = ()

    head: bytes

    @property
    def headers_size(self) -> int:
        head = self.head
        return len(head) + (4 if b"\r\n" in head or b"\n" not in head else 2)

    def mentions(self, word: bytes) -> bool:
        return self.head.find(word) >= 0  # twice as fast as `in`, which tries whether `word` is a number first

    def _read_fields(self) -> Fields:
        head = self.head
        fields = plain_fields(head)
        if fields is None:
            fields = lenient_fields(head)
            odd = oddities(head, len(fields))
            if odd:
                self.faults += (Fault("malformed", odd),)
        return fields

    @property
    def start_line(self) -> str:
        head = self.head.lstrip(b"\r\n")
        end = head.find(b"\n")
        return text((head if end < 0 else head[:end]).rstrip(b"\r"))


class Http1Request(_Head, HttpRequest):
    __slots__ = ("_target", "head")

    side = Side.CLIENT
    _target: tuple[str, str] | None

    def __init__(
        self, first: int, last: int, position: int, size: int, head: bytes, body: Content = b"",
        faults: tuple[Fault, ...] = (), trailers: Fields = (),
    ) -> None:  # fmt: skip
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.head = head
        self.faults = faults
        self._body = body
        self._trailers = trailers
        self._fields = self._target = None

    @property
    def target(self) -> tuple[str, str]:
        target = self._target
        if target is None:
            target = self._target = plain_target(self.head) or self._find_target()
        return target

    def _find_target(self) -> tuple[str, str]:
        # The URL may have spaces in it, which RFC 9112 §3.2 lets a recipient accept: what is around it counts.
        method, _, rest = self.start_line.partition(" ")
        url, space, version = rest.rpartition(" ")
        return method, url.strip() if space else version

    @property
    def version(self) -> str:
        return self.start_line.rpartition("HTTP/")[2].strip()


class Http1Response(_Head, HttpResponse):
    __slots__ = ("head",)

    side = Side.SERVER

    def __init__(
        self, first: int, last: int, position: int, size: int, head: bytes, body: Content = b"",
        faults: tuple[Fault, ...] = (), trailers: Fields = (), interim: tuple[HttpResponse, ...] = (),
    ) -> None:  # fmt: skip
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.head = head
        self.faults = faults
        self._body = body
        self._trailers = trailers
        self._fields = None
        self.interim = interim

    @property
    def status(self) -> int:
        code = self.head.lstrip(b"\r\n")[9:12]
        return int(code) if code.isdigit() else 0

    @property
    def reason(self) -> str:
        return self.start_line[13:]

    @property
    def version(self) -> str:
        return text(self.head.lstrip(b"\r\n")[5:8])
