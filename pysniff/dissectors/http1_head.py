"""Where the head of an HTTP/1 message ends, and in the plain case what it says of the body (RFC 9112 §2.1, §6)."""

from __future__ import annotations

import re

# The line ends that end_of_head() counted, by their number.
ENDS = {2: b"\n\n", 3: b"\n\r\n", 4: b"\r\n\r\n"}


def end_of_head(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Where the line ends before the empty line begin, and how many bytes of line ends there are; -1 if nowhere."""
    found = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, len(data) if found < 0 else found)
    if bare >= 0:
        return bare, 2
    if found > 0 and data[found - 1] == 13:
        return found - 1, 4
    return found, 3


# Instead of the length of a body.
CHUNKED = -(1 << 60)
UNTIL_CLOSE = -(1 << 61)


def plain_head(data: bytes, without: int) -> tuple[int, int]:
    """Where the body begins, 0 where the head is not all there or needs a closer look; and the body's length.

    That is what one Content-Length says, CHUNKED, or `without` where the head says nothing.
    """
    found = _TELLING(data)
    if found is None:
        return 0, 0
    kind = found.lastindex
    if kind == _END:
        end = found.end()
        return (end, without) if data[end - 4] == 13 else (0, 0)
    if kind is None:
        return 0, 0
    last = _TELLING(data, found.end())
    if last is None or last.lastindex != _END:
        return 0, 0
    end = last.end()
    if data[end - 4] != 13:
        return 0, 0
    return end, int(found[kind]) if kind == _LENGTH else CHUNKED


# What decides about a body, and the end of a head; where it is anything but the usual, the careful way decides.
_TELLING = re.compile(
    rb"\n(?:(\r\n)|[Cc](?i:ontent-length):[ \t]*([0-9]{1,12})[ \t]*(?=\r)"
    rb"|[Tt](?i:ransfer-encoding): ((?i:chunked))(?=\r)|[Cc](?i:ontent-length)|[Tt](?i:ransfer-encoding)|\n)"
).search
_END, _LENGTH = 1, 2
