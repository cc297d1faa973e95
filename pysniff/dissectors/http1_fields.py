"""What stands in a head of HTTP/1 (RFC 9112): start line and field lines, as they should be and as they come."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pysniff.dissectors.http_records import Fields


class StatusLine(NamedTuple):
    """RFC 9112 §4; `status` is 0 where it is no number."""

    version: str
    status: int
    reason: str


def start_line(head: bytes) -> bytes:
    """Without its line end, and without empty lines before it."""
    end = head.find(b"\r")
    if end > 0 and head.find(b"\n", 0, end + 2) == end + 1:
        return head[:end]
    head = head.lstrip(b"\r\n")
    end = head.find(b"\n")
    return (head if end < 0 else head[:end]).rstrip(b"\r")


def status_line(head: bytes) -> StatusLine:
    """Of a response; there are few, so short ones are remembered."""
    line = start_line(head)
    return _remembered(line) if len(line) <= 64 else _status_line(line)


def _status_line(line: bytes) -> StatusLine:
    code = line[9:12]
    return StatusLine(text(line[5:8]), int(code) if code.isdigit() else 0, text(line)[13:])


_remembered = lru_cache(256)(_status_line)


def request_version(head: bytes) -> str:
    """What stands behind HTTP/ in a request line."""
    return text(start_line(head)).rpartition("HTTP/")[2].strip()


def lenient_target(head: bytes) -> tuple[str, str]:
    """Method and URL of a request line, whatever is odd about it.

    The URL may have spaces in it, which RFC 9112 §3.2 lets a recipient accept: what is around it counts.
    """
    method, _, rest = text(start_line(head)).partition(" ")
    url, space, version = rest.rpartition(" ")
    return method, url.strip() if space else version


def plain_target(head: bytes) -> tuple[str, str] | None:
    """Method and URL of a request line as it should be, None where anything is odd about it."""
    words = head.split(b" ", 2)
    if len(words) < 3:
        return None
    method, url, rest = words
    if not method.isalpha() or b"\n" in url or rest[:7] != b"HTTP/1." or rest[8:10] not in (b"\r\n", b""):
        return None
    return text(method), text(url).strip()


def text(raw: bytes) -> str:
    """UTF-8, which browsers and servers send, else ISO-8859-1, which RFC 9110 §5.5 says it was."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain_fields(block: bytes) -> Fields | None:
    """Name and value of every line but the first, None where anything is odd about any of them."""
    whole = text(block)
    lines = whole.split("\r\n")
    if block.translate(None, _PRINTABLE) == b"\r\n" * (len(lines) - 1):
        return _printable_fields(lines)
    fields = _FIELDS(whole)
    count = len(fields)
    plain = (
        block.count(b"\r\n") == block.count(b"\n") == block.count(b"\r") == count
        and "\t" not in whole
        and ":  " not in whole
        and " \r" not in whole
        and whole[-1:] != " "
    )
    return tuple(fields) if plain else None


def _printable_fields(lines: list[str]) -> Fields | None:
    """The same, of lines without control characters in ASCII: nearly all heads there are."""
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or " " in name:
            return None
        fields.append((name, value.strip()))
    return tuple(fields)


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
_PRINTABLE = bytes(range(0x20, 0x7F))
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
