"""Runs of packets alike: the bulk of one download, found in one step so that nobody looks at each.

Alike are neighbouring TCP segments of one flow with the same lengths, header length and flags, in a common shape.
"""

from __future__ import annotations

from functools import cache

from pysniff.shapes import shape_of

# Shorter packets are no bulk, and shorter runs are not worth it.
SHORTEST = 512
FEWEST = 4


def run_length(data: bytes, at: int, limit: int, linktype: int, header: int, captured: int) -> int:
    """How many packets alike follow each other from the record at `at` on, 0 where they are few.

    `header`: bytes of a record's header, the last 8 of them captured and wire length.
    """
    if linktype not in _LINKTYPES:
        return 0
    stride = header + captured
    count = (limit - at) // stride
    if count < FEWEST:
        return 0
    # Most that are no run are told apart by what follows after a few packets.
    key = at + header + shape_of(linktype).ip + 12
    later = key + (FEWEST - 1) * stride
    if data[key : key + 12] != data[later : later + 12]:
        return 0
    for place in _places(linktype, header):
        # The byte at this place of every packet, were they all of this length.
        column = data[at + place : at + place + stride * count : stride]
        if column.count(column[0]) != count:
            count = len(column) - len(column.lstrip(column[:1]))
            if count < FEWEST:
                return 0
    return count


@cache
def _places(linktype: int, header: int) -> tuple[int, ...]:
    """Where packets alike have equal bytes, those first that tell others apart most often."""
    ip = header + shape_of(linktype).ip
    lengths = range(header - 8, header)
    version = range(ip - 2, ip + 1)
    total = range(ip + 2, ip + 4)
    fragment = range(ip + 6, ip + 8)
    key = range(ip + 12, ip + 24)
    flags = range(ip + 32, ip + 34)
    return (*lengths, *reversed(key), *flags, *total, *fragment, ip + 9, *version)


# Those with the ethertype right before the IP header.
_LINKTYPES = (1, 113)
