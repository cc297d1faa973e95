"""Goes on with the HTTP/2 connections of a segment that are plain, all of them at once: numpy finds their packets and
sees whether these are in order, so that what is left is to step over the frames of each half (http2_skim.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pysniff.decode import Decoder
from pysniff.dissectors.http2_skim import Skim, Unusual
from pysniff.limits import Limits
from pysniff.packet import ACK, FIN, RST, SYN
from pysniff.resumption import Resumption
from pysniff.store import tables
from pysniff.store.catalogue import Chapter
from pysniff.store.columns import TCP, Bools, Ints, pairs_of
from pysniff.store.followed import MASK, SIGN
from pysniff.store.passage import resumption
from pysniff.store.rows import BASE_A, BASE_B, BEGUN, ENDED, JOINED, OLD, UNKNOWN, UNSURE, A, key_of
from pysniff.store.selection import pieces

PROTOCOL = "http2"


class _Packets(NamedTuple):
    """A value each, in the order of capture. `from_b`: who sent it. `payload`: b"" where there is none that is plain;
    then `length` tells what there is."""

    row: Ints
    from_b: Bools
    seq: Ints
    ack: Ints
    flags: Ints
    length: Ints
    payload: list[bytes]


class Skimming:
    """The connections that go on, and what they need. `known`: by name, as of the end of the segment read last."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._skims: dict[bytes, Skim] = {}
        self._still: dict[bytes, int] = {}
        self.known: dict[bytes, Resumption] = {}

    def resume(self, states: Iterable[Resumption]) -> None:
        """Know of these, where they are plain."""
        for one in states:
            try:
                if one.protocol != PROTOCOL or one.client is None or None in one.due:
                    continue
                self._skims[tables.name_of(one)] = Skim(self._limits, self._still, one.state)
            except Unusual:
                continue
            self.known[tables.name_of(one)] = one

    def forget(self, names: Iterable[bytes]) -> None:
        for name in names:
            self._skims.pop(name, None)
            self.known.pop(name, None)

    def plain(self, chapter: Chapter) -> Bools:
        """The rows that can be read so, as far as the index tells."""
        rows = chapter.index.rows
        if PROTOCOL not in chapter.index.protocols or chapter.has_shared():
            return np.zeros(len(rows), np.bool_)
        marks = rows["marks"]
        found: Bools = (rows["protocol"] == chapter.index.protocols.index(PROTOCOL)) & (rows["transport"] == TCP)
        found &= (marks & (BASE_A | BASE_B) == BASE_A | BASE_B) & (marks & (JOINED | UNSURE | ENDED) == 0)
        found &= (rows["client"] != UNKNOWN) & (rows["lead"] != UNKNOWN)
        found &= (rows["cut_packets_a"] == 0) & (rows["cut_packets_b"] == 0)
        for place in np.flatnonzero(found).tolist():
            name = rows["name"][place].tobytes()
            one = self.known.get(name)
            if one is None:
                found[place] = not marks[place] & (OLD | BEGUN)
            else:
                at = resumption(rows[place], chapter.index.protocols)
                found[place] = name in self._skims and (one.offsets, one.due, one.client) == (
                    at.offsets, at.due, at.client
                )  # fmt: skip
        return found

    def read(self, chapter: Chapter, rows: Bools) -> Bools:
        """Go on with these, of plain(); which of them were not plain: what is known of those is as of before."""
        strange = rows.copy()
        packets = _packets(chapter, rows)
        if packets is None:
            return strange
        order = np.argsort(packets.row, kind="stable")
        ordered, fresh = _fresh(packets, order, chapter.index.rows)
        order = order[fresh & ordered[packets.row[order]]]
        for number in np.flatnonzero(ordered).tolist():
            low, high = np.searchsorted(packets.row[order], (number, number + 1)).tolist()
            mine = order[low:high]
            from_b = packets.from_b[mine]
            halves = (b"".join([packets.payload[place] for place in mine[from_b == way].tolist()]) for way in (0, 1))
            strange[number] = not self._go_on(chapter, number, *halves)
        return strange

    def _go_on(self, chapter: Chapter, number: int, from_a: bytes, from_b: bytes) -> bool:
        row = chapter.index.rows[number]
        name = row["name"].tobytes()
        skim = self._skims.pop(name, None)
        if skim is None:
            skim = Skim(self._limits, self._still)
        try:
            skim.read(*((from_a, from_b) if row["client"] == A else (from_b, from_a)))
            self.known[name] = _behind(row, chapter.index.protocols, skim.state())
        except Unusual:
            return False
        self._skims[name] = skim
        return True


def _behind(row: np.void, protocols: list[str], state: bytes) -> Resumption:
    """How a conversation goes on at the end of a segment."""
    row = row.copy()
    row["offset_a"], row["offset_b"] = row["until_a"], row["until_b"]
    return resumption(row, protocols)._replace(state=state)


def _packets(chapter: Chapter, rows: Bools) -> _Packets | None:
    """The packets of these rows; None where some cannot be read."""
    index = chapter.index
    again = Chapter(chapter.files, index)
    again.choose(rows)
    numbers = again.numbers()
    chosen = np.flatnonzero(rows).tolist()
    back_of_a = np.zeros(len(rows), np.bool_)
    ways = pairs_of([(TCP, key_of(index.rows[place])) for place in chosen])
    back_of_a[chosen] = [back for _, back in ways]
    found: list[tuple[Ints, ...]] = []
    payloads: list[bytes] = []
    decoder = Decoder()
    try:
        for piece in pieces(chapter.files, index, numbers):
            for columns, places in piece.columns(index, decoder):
                row = index.flows[places]
                if (columns.kind != TCP).any() or (columns.body < 0).any():
                    return None
                from_b = columns.back != back_of_a[row]
                values = (from_b, columns.seq, columns.ack(), columns.flags, columns.length)
                found.append((row, *(each.astype(np.int64) for each in values)))
                data = columns.block.data
                begins: list[int] = columns.body.tolist()
                ends: list[int] = (columns.body + columns.length).tolist()
                payloads += [data[begins[place] : ends[place]] for place in range(len(begins))]
    except FileNotFoundError:
        return None  # dropped meanwhile
    if len(payloads) != len(numbers) or not payloads:
        return None
    row, way, seq, ack, flags, length = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _Packets(row, way == 1, seq, ack, flags, length, payloads)


def _fresh(packets: _Packets, order: Ints, rows: np.ndarray) -> tuple[Bools, Bools]:
    """Of each row whether all bytes of both halves came in order, none was acknowledged before it came, and nothing
    ended; of each packet whether it brought bytes, which one that is sent again does not. `order`: the packets row by
    row, which the answer is in."""
    row, from_b, seq, ack, flags, length = (each[order] for each in packets[:6])
    starts = np.concatenate(([0], np.flatnonzero(row[1:] != row[:-1]) + 1))
    counts = np.diff(np.append(starts, len(row)))
    first, last = np.zeros(len(row), np.bool_), starts + counts - 1
    first[starts] = True
    # So far apart that no row's bytes reach those of the next.
    apart = np.repeat(np.arange(len(starts)), counts) << 34
    good = flags & (FIN | RST) == 0
    good &= (flags & SYN == 0) | (length == 0)
    fresh = np.zeros(len(row), np.bool_)
    for way, base, offset, until in ((0, "base_a", "offset_a", "until_a"), (1, "base_b", "offset_b", "until_b")):
        begun = rows[base][row].astype(np.int64) + rows[offset][row]
        sent = (from_b == way) & (length > 0)
        start = ((seq - begun + SIGN) & MASK) - SIGN  # in what came since the segment began
        reach = np.maximum.accumulate(np.where(sent, start + length, 0).clip(0) + apart) - apart
        before = np.where(first, 0, np.concatenate(([0], reach[:-1])))
        new = sent & (start + length > before)
        good &= ~new | (start == before)
        ahead = ((ack - begun - reach + SIGN) & MASK) - SIGN
        good &= (from_b == way) | (flags & ACK == 0) | (ahead <= 0)
        good[last] &= reach[last] == (rows[until] - rows[offset])[row[last]]
        fresh |= new
    found = np.zeros(len(rows), np.bool_)
    found[row[starts]] = np.logical_and.reduceat(good, starts)
    return found, fresh
