"""Parts of a multipart body (RFC 2046 §5.1), read leniently: what is there, not what should be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pysniff.message import Fault

PARTS = 1_000  # of one body; uploads have a few
HEADERS = 100  # of one part
HEADER_BYTES = 16 * 1024  # of one part's header block

_BORDER = re.compile(rb"\r?\n\r?\n")  # between headers and content
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)


class Part(NamedTuple):
    """One part; `headers` as sent, names and values without surrounding space.

    `faults`: what a bound left out, of kind truncated; on the last part also how many bytes of parts behind it.
    """

    headers: tuple[tuple[str, str], ...]
    content: bytes
    faults: tuple[Fault, ...] = ()


def multipart(body: bytes, content_type: str) -> list[Part]:
    """The parts of `body`, at most PARTS of them; none where `content_type` names no boundary that occurs.

    A part whose end is missing goes to the end of the body. The last of PARTS says what follows it.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        return []
    mark = b"--" + (found[1] or found[2]).encode("utf-8", "replace")
    parts: list[Part] = []
    at = _mark(body, mark, 0)
    while at >= 0:
        start = at + len(mark)
        line_end = body.find(b"\n", start)
        if body[start : start + 2] == b"--" or line_end < 0:
            break
        if len(parts) == PARTS:
            more = Fault("truncated", f"more than {PARTS} parts", len(body) - at)
            parts[-1] = parts[-1]._replace(faults=(*parts[-1].faults, more))
            break
        at = _mark(body, mark, line_end)
        parts.append(_part(body[line_end + 1 : _end(body, at)] if at != line_end + 1 else b""))
    return parts


def _mark(body: bytes, mark: bytes, start: int) -> int:
    """Where the next boundary at the beginning of a line is, or -1."""
    if start == 0 and body.startswith(mark):
        return 0
    at = body.find(b"\n" + mark, start)
    return at + 1 if at >= 0 else -1


def _end(body: bytes, mark_at: int) -> int:
    """Where the content before a boundary ends: the line break belongs to the boundary."""
    if mark_at < 0:
        return len(body)
    return mark_at - 2 if body[mark_at - 2 : mark_at] == b"\r\n" else mark_at - 1


def _part(data: bytes) -> Part:
    if data.startswith(b"\r\n"):
        return Part((), data[2:])
    if data.startswith(b"\n"):
        return Part((), data[1:])
    border = _BORDER.search(data)
    if border is None:
        return Part((), data)
    lines = data[: min(border.start(), HEADER_BYTES)].split(b"\n", HEADERS)
    # Of a line that the bound cut, and of all lines past the bound, none is a header as it was sent.
    whole = lines[:-1] if border.start() > HEADER_BYTES else lines[:HEADERS]
    left = border.start() - sum(len(line) + 1 for line in whole)
    faults = (Fault("truncated", "more headers than are read", left),) if left > 0 else ()
    return Part(tuple(_headers(whole)), data[border.end() :], faults)


def _headers(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            yield name.strip(), value.strip()
