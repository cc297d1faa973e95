"""Requests and responses of HTTP/1 (RFC 9112): the head stays as it was sent until somebody asks."""

from __future__ import annotations

import re

from pysniff.dissectors.http import Content, Fields, HttpMessage, HttpRequest, HttpResponse
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
            target = self._target = _plain_target(self.head) or self._find_target()
        return target

    def _find_target(self) -> tuple[str, str]:
        # The URL may have spaces in it, which RFC 9112 §3.2 lets a recipient accept: what is around it counts.
        method, _, rest = self.start_line.partition(" ")
        url, space, version = rest.rpartition(" ")
        return method, url.strip() if space else version

    @property
    def version(self) -> str:
        return self.start_line.rpartition("HTTP/")[2].strip()


def _plain_target(head: bytes) -> tuple[str, str] | None:
    """Method and URL of a request line as it should be, None where anything is odd about it."""
    words = head.split(b" ", 2)
    if len(words) < 3:
        return None
    method, url, rest = words
    if not method.isalpha() or b"\n" in url or rest[:7] != b"HTTP/1." or rest[8:10] not in (b"\r\n", b""):
        return None
    return text(method), text(url).strip()


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


def text(raw: bytes) -> str:
    """UTF-8, which browsers and servers send, else ISO-8859-1, which RFC 9110 §5.5 says it was."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain_fields(block: bytes) -> Fields | None:
    """Name and value of every line but the first, None where anything is odd about any of them."""
    whole = text(block)
    fields = _FIELDS(whole)
    lines = len(fields)
    plain = (
        block.count(b"\r\n") == block.count(b"\n") == lines
        and "\t" not in whole
        and ":  " not in whole
        and " \r" not in whole
        and whole[-1:] != " "
    )
    return tuple(fields) if plain else None


def read_fields(block: bytes) -> Fields:
    """Name and value of every line but the first that has a colon."""
    fields = plain_fields(block)
    return lenient_fields(block) if fields is None else fields


def lenient_fields(block: bytes) -> Fields:
    """The same, whatever is odd about them."""
    lines = _FOLD.sub(" ", text(block).replace("\r\n", "\n").strip("\n")).split("\n")
    parted = [line.partition(":") for line in lines[1:]]
    return tuple([(name.rstrip(), value.strip()) for name, colon, value in parted if colon and name])


def oddities(block: bytes, fields: int) -> str:
    """What RFC 9112 says should not be in a head with so many fields, in words; "" where all is well."""
    if block.count(b"\r\n") == block.count(b"\n") == fields:
        return ""
    whole = text(block)
    if _FOLD.search(whole):
        return "folded header lines"  # §5.2
    if block.count(b"\n") != block.count(b"\r\n"):
        return "line feeds without carriage return"  # §2.2
    if block[:1] in (b"\r", b"\n"):
        return "empty lines before the start line"  # §2.2
    return "a header line without a name or colon"  # §5


# A field line as it should be; anything else leaves a line feed that no match accounts for.
_FIELDS = re.compile(r"\r\n([!-9;-~]+): ?([^\r]*)").findall
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
