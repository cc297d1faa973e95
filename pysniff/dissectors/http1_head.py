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
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0, 0
    found = _PLAIN(data, 0, end + 2)
    if found is None:
        return end + 4, without
    if _PLAIN(data, found.end(), end + 2) is not None:
        return 0, 0
    length, chunked = found.groups()
    if length is not None:
        return end + 4, int(length)
    return (end + 4, CHUNKED) if chunked else (0, 0)


# What decides about a body, or ends a head early; where it is anything but the usual, the careful way decides.
_PLAIN = re.compile(
    rb"\n(?:content-length:[ \t]*([0-9]{1,12})[ \t]*\r|transfer-encoding: (chunked)\r"
    rb"|content-length|transfer-encoding|\r?\n)",
    re.IGNORECASE,
).search
