"""Requests and responses of HTTP/1 (RFC 9112): the head stays as it was sent until somebody asks."""

from __future__ import annotations

import re

from pysniff.dissectors.http import Content, Fields, HttpRequest, HttpResponse
from pysniff.message import Fault, Side


class _Head:
    """`head`: start line and field lines, without the empty line; `ending`: bytes of line ends behind it."""

    __slots__ = ()

    head: bytes

    @property
    def headers_size(self) -> int:
        head = self.head
        return len(head) + (2 if b"\n" in head and b"\r\n" not in head else 4)

    @property
    def version(self) -> str:
        raise NotImplementedError

    def _read_fields(self) -> Fields:
        return read_fields(self.head)[1]

    @property
    def start_line(self) -> str:
        return text(self.head.lstrip(b"\r\n").partition(b"\n")[0]).rstrip("\r")


class Http1Request(_Head, HttpRequest):
    __slots__ = ("head",)

    def __init__(
        self, first: int, last: int, position: int, size: int, head: bytes, body: Content = b"",
        faults: tuple[Fault, ...] = (), trailers: Fields = (),
    ) -> None:  # fmt: skip
        self.side = Side.CLIENT
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.head = head
        self.faults = faults
        self._body = body
        self._trailers = trailers
        self._fields = None

    @property
    def method(self) -> str:
        return self.start_line.partition(" ")[0]

    @property
    def url(self) -> str:
        rest = self.start_line.partition(" ")[2]
        target, space, version = rest.rpartition(" ")
        return target.strip() if space else rest

    @property
    def version(self) -> str:
        return self.start_line.rpartition("HTTP/")[2].strip()


class Http1Response(_Head, HttpResponse):
    __slots__ = ("head",)

    def __init__(
        self, first: int, last: int, position: int, size: int, head: bytes, body: Content = b"",
        faults: tuple[Fault, ...] = (), trailers: Fields = (), interim: tuple[HttpResponse, ...] = (),
    ) -> None:  # fmt: skip
        self.side = Side.SERVER
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
        return self.start_line[5:8]


def text(raw: bytes) -> str:
    """UTF-8, which browsers and servers send, else ISO-8859-1, which RFC 9110 §5.5 says it was."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_fields(block: bytes) -> tuple[str, Fields]:
    """The first line, and name and value of every line after it."""
    whole = text(block)
    if "\n " in whole or "\n\t" in whole or whole.count("\n") != whole.count("\r\n") or whole[:1] in "\r\n":
        # Bare LF and folded lines (RFC 9112 §2.2, §5.2).
        whole = _FOLD.sub(" ", whole.replace("\r\n", "\n").strip("\n")).replace("\n", "\r\n")
    lines = whole.split("\r\n")
    fields = [line.partition(":") for line in lines[1:]]
    return lines[0], tuple([(name.rstrip(), value.strip()) for name, _, value in fields if name])


_FOLD = re.compile(r"[ \t]*\n[ \t]+")
