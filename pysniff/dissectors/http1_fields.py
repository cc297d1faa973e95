"""What stands in a head of HTTP/1 (RFC 9112): start line and field lines, as they should be and as they come."""

from __future__ import annotations

import re

from pysniff.dissectors.http import Fields


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
