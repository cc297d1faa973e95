"""Parts of a multipart body (RFC 2046 §5.1), read leniently: what is there, not what should be."""

from __future__ import annotations

import re
from typing import NamedTuple

PARTS = 1_000  # of one body; uploads have a few
HEADERS = 100  # of one part
HEADER_BYTES = 16 * 1024  # of one part's header block

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)


class Part(NamedTuple):
    """One part; `headers` as sent, names and values without surrounding space."""

    headers: tuple[tuple[str, str], ...]
    content: bytes


def multipart(body: bytes, content_type: str) -> list[Part]:
    """The parts of `body`, at most PARTS of them; none where `content_type` names no boundary that occurs.

    A part whose end is missing goes to the end of the body.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        return []
    mark = b"--" + (found[1] or found[2]).encode("utf-8", "replace")
    parts: list[Part] = []
    at = _mark(body, mark, 0)
    while at >= 0 and len(parts) < PARTS:
        start = at + len(mark)
        if body[start : start + 2] == b"--":
            break
        line_end = body.find(b"\n", start)
        if line_end < 0:
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
    head = data[:HEADER_BYTES]
    border = re.search(rb"\r?\n\r?\n", head)
    if border is None:
        return Part((), data)
    headers = []
    for line in head[: border.start()].split(b"\n", HEADERS)[:HEADERS]:
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            headers.append((name.strip(), value.strip()))
    return Part(tuple(headers), data[border.end() :])
