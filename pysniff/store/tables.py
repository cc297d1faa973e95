"""Beside a segment: what it takes to go on, at its beginning, with conversations whose beginning the store has dropped.

HTTP/2 says most header fields once and refers to them afterwards: without its tables what comes later has no names.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pysniff.dissectors import known
from pysniff.entry import Flow
from pysniff.limits import KIB, MIB
from pysniff.resumption import Resumption
from pysniff.store import sidecar
from pysniff.store.directory import PAGE, SegmentFiles, read_from
from pysniff.store.rows import ENDED

MAGIC = b"PSTB0001"
# Bytes of one conversation's state, and of all in a file before they are compressed: 10,000 usual ones.
EACH = 64 * KIB
ALL = 8 * MIB
# Size of the key, of the protocol's name and of the state; first, seq; client; which of the sequence numbers that are
# due is known, and those; bytes before them.
_ENTRY = struct.Struct("<BBIqIBBIIQQ")


def write(files: SegmentFiles, states: Sequence[Resumption], most: int) -> int:
    """Write what fits into so many bytes, small things first; how many conversations were left out. Raises OSError."""
    text, left = encoded(states, most)
    sidecar.write(files.tables, text)
    return left


def load(files: SegmentFiles) -> dict[bytes, Resumption]:
    """By Flow.name; nothing where there is no file, or one that is damaged."""
    try:
        text = read_from(files.tables, 0)
    except OSError:
        return {}
    return {name_of(one): one for one in decoded(text)}


def name_of(resumption: Resumption) -> bytes:
    """Its Flow.name, as rows have it."""
    flow = Flow(resumption.transport, resumption.key, resumption.first, "", "", resumption.seq)
    return bytes.fromhex(flow.name)


def encoded(states: Sequence[Resumption], most: int) -> tuple[bytes, int]:
    """A file of at most so many bytes (of one page, if that is less), and how many of these are not in it: the largest,
    which are in the midst of something."""
    entries: list[bytes] = []
    size = 0
    for one in sorted(states, key=lambda one: len(one.state)):
        entry = _entry(one)
        if entry and size + len(entry) <= ALL:
            entries.append(entry)
            size += len(entry)
    while True:
        text = sidecar.packed(MAGIC, b"".join(entries))
        if len(text) <= max(most, PAGE) or not entries:
            return text, len(states) - len(entries)
        # About so many fit: states are much alike.
        entries = entries[: min(len(entries) - 1, len(entries) * max(most, PAGE) // len(text))]


def _entry(one: Resumption) -> bytes:
    protocol = one.protocol.encode()
    if one.transport != "tcp" or not one.state or len(one.state) > EACH or len(protocol) > 255:
        return b""
    dues = [0 if due is None else due for due in one.due]
    marks = sum(1 << half for half, due in enumerate(one.due) if due is not None)
    client = 2 if one.client is None else one.client
    sizes = (len(one.key), len(protocol), len(one.state))
    head = _ENTRY.pack(*sizes, one.first, one.seq, client, marks, *dues, *one.offsets)
    return head + one.key + protocol + one.state


def decoded(text: bytes) -> list[Resumption]:
    """What encoded() was given; nothing where the bytes are others."""
    body = sidecar.unpacked(MAGIC, text, ALL)
    if body is None:
        return []
    found: list[Resumption] = []
    at = 0
    while at + _ENTRY.size <= len(body):
        key, protocol, state, first, seq, client, marks, *rest = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        end = at + key + protocol + state
        if end > len(body) or key not in (12, 36) or state > EACH or client > 2:
            return []
        name = body[at + key : at + key + protocol].decode("ascii", "replace")
        due = (rest[0] if marks & 1 else None, rest[1] if marks & 2 else None)
        whose = None if client == 2 else client
        ends = body[at : at + key]
        found.append(Resumption("tcp", ends, first, seq, whose, due, (rest[2], rest[3]), name, body[end - state : end]))
        at = end
    return found


def promises(rows: np.ndarray, protocols: Sequence[str]) -> bool:
    """Whether a conversation in a segment may go on behind it that needs this."""
    numbers = [number for number, name in enumerate(protocols) if name in remembering()]
    return bool((np.isin(rows["protocol"], numbers) & (rows["marks"] & ENDED == 0)).any())


def remembering() -> frozenset[str]:
    """The protocols that need this."""
    return frozenset(one.protocol for one in known()["tcp"] if one.remembers)


def disk_use(directory: Path) -> int:
    """Bytes of these files in whole pages, of those that are being written too."""
    return sidecar.disk_use(directory, ".tables")
