"""Requests and responses of HTTP/1 (RFC 9112): the head stays as it was sent until somebody asks."""

from __future__ import annotations

from pysniff.dissectors.http import Content, Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.dissectors.http1_fields import (
    StatusLine,
    lenient_fields,
    lenient_target,
    oddities,
    plain_fields,
    plain_target,
    request_version,
    status_line,
)
from pysniff.message import Fault, Side


class _Head(HttpMessage):
    """`head`: start line and field lines, without the empty line."""

    __slots__ = ()

    head: bytes

    @property
    def headers_size(self) -> int:
        head = self.head
        return len(head) + (4 if head.find(b"\r\n") >= 0 or head.find(b"\n") < 0 else 2)

    # find() is twice as fast as `in`, which tries whether the word is a number first.
    def mentions(self, word: bytes) -> bool:
        return self.head.find(word) >= 0

    def _read_fields(self) -> Fields:
        self._index = None
        head = self.head
        fields = plain_fields(head)
        if fields is None:
            fields = lenient_fields(head)
            odd = oddities(head, len(fields))
            if odd:
                self.faults += (Fault("malformed", odd),)
        return fields


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
            target = self._target = plain_target(self.head) or lenient_target(self.head)
        return target

    @property
    def version(self) -> str:
        return request_version(self.head)


class Http1Response(_Head, HttpResponse):
    __slots__ = ("head", "_line")

    side = Side.SERVER
    _line: StatusLine | None

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
        self._fields = self._line = None
        self.interim = interim

    @property
    def status_line(self) -> StatusLine:
        line = self._line
        if line is None:
            line = self._line = status_line(self.head)
        return line

    @property
    def status(self) -> int:
        return self.status_line.status

    @property
    def reason(self) -> str:
        return self.status_line.reason

    @property
    def version(self) -> str:
        return self.status_line.version
