"""Whether what a chunk of an index says can be: a checksum that is right does not say who wrote it.

What passes leads no reader out of its bounds. It may still be wrong: then packets are looked for where they are not,
which costs those packets.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from pysniff.store.rows import SHARED_FLOW, B


class Notes(NamedTuple):
    """What a chunk says besides: link type and name of every interface, the protocols that rows number, and
    Entry.capture_source."""

    interfaces: list[tuple[int, str]]
    protocols: list[str]
    source: str


def notes_of(text: bytes) -> Notes | None:
    """None where they make no sense."""
    try:
        notes = json.loads(text)
        interfaces = [(int(linktype), str(name)) for linktype, name in notes["interfaces"]]
        return Notes(interfaces, [str(name) for name in notes["protocols"]], str(notes["source"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def are_places(offsets: np.ndarray, flows: np.ndarray, late: np.ndarray, since: int, covered: int, rows: int) -> bool:
    """Packets in order, from `since` up to `covered` bytes of the segment, of so many rows; late ones are of them."""
    if since > covered:
        return False
    if not len(offsets):
        return not len(late)
    rising = offsets[0] >= since and offsets[-1] < covered and bool((offsets[1:] > offsets[:-1]).all())
    late_ones = late["packet"]
    known = not len(late_ones) or (late_ones[-1] < len(offsets) and bool((late_ones[1:] > late_ones[:-1]).all()))
    return bool(rising and known and ((flows < rows) | (flows >= SHARED_FLOW)).all())


def are_rows(numbers: np.ndarray, rows: np.ndarray, known: int, protocols: int) -> bool:
    """Rows that were `known` in number before, changed, and new ones behind them."""
    if not len(rows):
        return True
    sizes = rows["size"]
    good = (sizes == 4) | (sizes == 16) | ((sizes == 0) & (rows["transport"] == 0))
    good &= (rows["protocol"] < protocols) & (rows["lead"] <= B) & (rows["client"] <= B)
    return int(numbers.max()) < known + len(numbers) and bool(good.all())
