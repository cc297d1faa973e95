"""The index beside a segment: which packets are where, and of which conversation. docs/store.md has every field.

A file of chunks, each with its length and checksum, appended after the packets that it tells of: whatever was cut off
or damaged, what stands before it holds. It can be made again from the segment alone (rebuild.py).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from pysniff.store.columns import Ints
from pysniff.store.followed import Followed
from pysniff.store.plausible import Notes, are_places, are_rows, notes_of
from pysniff.store.rows import ROW

MAGIC = b"PSIX0001"
_WORD = np.dtype("<u4")
# Chunk: its mark, checksum of everything behind, bytes of the notes, packets, late ones, rows, end of what it tells of
# in the segment, earliest and latest time of its packets.
_CHUNK = struct.Struct("<IIIIIIQqq")
# A packet that is older than one before it, and the newest time before it: then deadlines up to there have fired.
LATE = np.dtype([("packet", "<u4"), ("after", "<i8")])
_MARK = 0x4B4E4843  # "CHNK"


class Index:
    """Of each packet: `offsets` of its block in the segment, `flows` the row of its conversation.

    `rows` by number. `late`: as LATE, by number of the packet. `covered`: bytes of the segment that this
    tells of. `earliest`, `latest`: times of packets.
    `read`: bytes of the file that were whole.
    """

    def __init__(self) -> None:
        self.offsets: Ints = np.zeros(0, np.int64)
        self.flows: Ints = np.zeros(0, np.int64)
        self.rows = np.zeros(0, ROW)
        self.late = np.zeros(0, LATE)
        self.interfaces: list[tuple[int, str]] = []
        self.protocols: list[str] = [""]
        self.source = ""
        self.covered = 0
        self.earliest = 0
        self.latest = 0
        self.read = 0
        self.damaged = False

    def extend(self, text: bytes) -> None:
        """Take what stands behind `read` in the file; stops in front of what is not whole."""
        at = 0
        if not self.read:
            if text[: len(MAGIC)] != MAGIC:
                self.damaged = bool(text) and not MAGIC.startswith(text)
                return
            at = len(MAGIC)
        offsets, flows, late, updates = [self.offsets], [self.flows], [self.late], []
        before, known = len(self.offsets), len(self.rows)
        while at + _CHUNK.size <= len(text):
            mark, checksum, notes, packets, behind, rows, covered, earliest, latest = _CHUNK.unpack_from(text, at)
            end = at + _CHUNK.size + notes + packets * 8 + behind * LATE.itemsize + rows * (4 + ROW.itemsize)
            if mark != _MARK or (end <= len(text) and zlib.crc32(text[at + 8 : end]) != checksum):
                self.damaged = True
                break
            if end > len(text):
                break
            body = at + _CHUNK.size + notes
            said = notes_of(text[body - notes : body]) if notes else Notes(self.interfaces, self.protocols, self.source)
            places = np.frombuffer(text, _WORD, packets * 2, body)
            numbers = np.frombuffer(text, _WORD, rows, body + packets * 8 + behind * LATE.itemsize)
            values = np.frombuffer(text, ROW, rows, end - rows * ROW.itemsize)
            old = np.frombuffer(text, LATE, behind, body + packets * 8).copy()
            count = max(known, int(numbers.max()) + 1) if rows else known
            if (
                said is None
                or not are_rows(numbers, values, known, len(said.protocols))
                or not are_places(places[:packets], places[packets:], old, self.covered, covered, count)
            ):
                self.damaged = True
                break
            self.interfaces, self.protocols, self.source = said
            known = count
            offsets.append(places[:packets].astype(np.int64))
            flows.append(places[packets:].astype(np.int64))
            old["packet"] += before
            late.append(old)
            updates.append((numbers, values))
            if packets:
                self.earliest = min(self.earliest, earliest) if before else earliest
                self.latest = max(self.latest, latest)
            before += packets
            self.covered = covered
            at = end
        self.read += at
        self.offsets, self.flows, self.late = np.concatenate(offsets), np.concatenate(flows), np.concatenate(late)
        self._update(updates)

    def extend_by(self, text: bytes) -> None:
        """Take one chunk that stands in no file."""
        read, self.read = self.read, max(self.read, len(MAGIC))
        self.extend(text)
        self.read = read

    def _update(self, updates: list[tuple[np.ndarray, np.ndarray]]) -> None:
        if len(updates) == 1 and not len(self.rows) and _in_order(updates[0][0]):
            self.rows = updates[0][1]  # of a finished segment: as it is
            return
        most = max([int(numbers.max()) + 1 for numbers, _ in updates if len(numbers)], default=0)
        rows = self.rows
        if most > len(rows):
            rows = np.zeros(most, ROW)
            rows[: len(self.rows)] = self.rows
        elif updates:
            rows = rows.copy()
        for numbers, values in updates:
            rows[numbers] = values
        self.rows = rows

    def whole(self) -> bytes:
        """All of it as a file of one chunk: what a finished segment keeps."""
        notes = Notes(self.interfaces, self.protocols, self.source)
        numbers = np.arange(len(self.rows))
        body = (self.offsets, self.flows, self.late, numbers, self.rows)
        return MAGIC + _chunk(notes, *body, self.covered, self.earliest, self.latest)


def chunk(
    notes: Notes | None,
    offsets: Ints,
    flows: Ints,
    late: np.ndarray,
    touched: Mapping[int, Followed],
    protocols: Sequence[str],
    covered: int,
    earliest: int,
    latest: int,
) -> bytes:
    """What a writer appends after `covered` bytes of the segment were written; `late` counts from its first packet."""
    rows = np.frombuffer(b"".join([flow.row(protocols) for flow in touched.values()]), ROW)
    numbers = np.fromiter(touched, np.int64, len(touched))
    return _chunk(notes, offsets, flows, late, numbers, rows, covered, earliest, latest)


def _chunk(
    notes: Notes | None,
    offsets: Ints,
    flows: Ints,
    late: np.ndarray,
    numbers: Ints,
    rows: np.ndarray,
    covered: int,
    earliest: int,
    latest: int,
) -> bytes:
    note = b"" if notes is None else json.dumps(notes._asdict()).encode()
    places = [values.astype(_WORD).tobytes() for values in (offsets, flows)]
    parts = [note, *places, late.tobytes(), numbers.astype(_WORD).tobytes(), rows.tobytes()]
    head = _CHUNK.pack(_MARK, 0, len(note), len(offsets), len(late), len(numbers), covered, earliest, latest)
    body = head[8:] + b"".join(parts)
    return struct.pack("<II", _MARK, zlib.crc32(body)) + body


def late(times: Ints, latest: int) -> np.ndarray:
    """LATE of packets with these times, where `latest` is the newest time before them."""
    newest = np.maximum.accumulate(np.concatenate(([latest], times)))[:-1]
    packets = np.flatnonzero(times < newest)
    found = np.zeros(len(packets), LATE)
    found["packet"], found["after"] = packets, newest[packets]
    return found


def _in_order(numbers: np.ndarray) -> bool:
    """Whether these are 0, 1, 2 ..."""
    return bool((numbers == np.arange(len(numbers))).all())
