"""Requests and responses of HTTP/1 (RFC 9112): the head stays as it was sent until somebody asks."""

from __future__ import annotations

import re

from pysniff.dissectors.http import Content, Fields, HttpRequest, HttpResponse
from pysniff.message import Fault, Side


class _Head:
    """`head`: start line and field lines, without the empty line."""

    __slots__ = ()

    head: bytes

    @property
    def headers_size(self) -> int:
        line_end = 2 if b"\r\n" in self.head or b"\n" not in self.head else 1
        return len(self.head) + 2 * line_end

    @property
    def late_faults(self) -> tuple[Fault, ...]:
        odd = oddities(self.head)
        faults: tuple[Fault, ...] = super().late_faults  # type: ignore[misc]
        return (Fault("malformed", odd), *faults) if odd else faults

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
    """The first line, and name and value of every line after it that has a colon."""
    whole = text(block)
    if oddities(block):
        whole = _FOLD.sub(" ", whole.replace("\r\n", "\n").strip("\n")).replace("\n", "\r\n")
    lines = whole.split("\r\n")
    fields = [line.partition(":") for line in lines[1:]]
    return lines[0], tuple([(name.rstrip(), value.strip()) for name, colon, value in fields if colon and name])


def oddities(block: bytes) -> str:
    """What RFC 9112 says should not be in a head, in words; "" where all is well."""
    if b"\n " in block or b"\n\t" in block:
        return "folded header lines"  # §5.2
    if block.count(b"\n") != block.count(b"\r\n"):
        return "line feeds without carriage return"  # §2.2
    if block[:1] in (b"\r", b"\n"):
        return "empty lines before the start line"  # §2.2
    return ""


_FOLD = re.compile(r"[ \t]*\n[ \t]+")
