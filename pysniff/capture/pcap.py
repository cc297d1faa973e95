"""Reads classic pcap (draft-ietf-opsawg-pcap): bytes in, cut anywhere, Blocks out.

A record leaves when its last byte is there; what comes before a cut or a bad length always leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from pysniff.errors import FileError, ReadError
from pysniff.limits import MIB
from pysniff.packet import Block
from pysniff.runs import SHORTEST, run_length

HEADER_BYTES = 24
# libpcap's MAXIMUM_SNAPLEN: honest files with a small snapshot length hold records up to this.
LONGEST_USUAL = 262_144
# Whatever the header promises, one packet is not longer: a corrupt length must not become an allocation.
LONGEST = 16 * MIB

_PADDING = bytes(Block.PADDING)


class _Shape(NamedTuple):
    """What the magic number says: byte order, nanoseconds a unit of the fraction, format of a record's header."""

    order: str
    unit: int
    record: str


# The last: Alexey Kuznetzov's Linux patch, with interface, protocol and direction behind the four usual fields.
_SHAPES = {
    order_magic: _Shape(order, unit, record)
    for magic, unit, record in (
        (0xA1B2C3D4, 1_000, "IIII"),
        (0xA1B23C4D, 1, "IIII"),
        (0xA1B2CD34, 1_000, "IIII8x"),
    )
    for order, order_magic in (("<", magic.to_bytes(4, "little")), (">", magic.to_bytes(4, "big")))
}
MAGICS = frozenset(_SHAPES)


class PcapParser:
    """`feed()` bytes, then `end()`. `linktype` and `snaplen` are known once the header has been fed.

    `runs`: put packets alike into one record, see runs.py.
    """

    name = "pcap"

    def __init__(self, runs: bool = False) -> None:
        self.runs = runs
        self.linktype = -1
        self.snaplen = 0
        self._record: Struct | None = None
        self._unit = 1
        self._longest = LONGEST_USUAL
        self._swapped = False
        self._alike = 0  # packets of the last block that stand in another's record
        self._rest: list[bytes] = []  # of a record not yet whole
        self._have = 0
        self._need = HEADER_BYTES

    def feed(self, data: bytes) -> Iterator[Block]:
        """Yield the packets that are whole now; raise FileError or ReadError where the bytes make no sense."""
        self._rest.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        limit = self._have
        self._rest.append(_PADDING)
        buffer = b"".join(self._rest)
        at = 0
        if self._record is None:
            self._read_header(buffer)
            at = HEADER_BYTES
        assert self._record is not None
        begin = at
        records, at, need = self._walk(buffer, at, limit, self._record)
        self._rest = [buffer[at:limit]]
        self._have = limit - at
        self._need = need
        if records:
            packets, size = len(records) + self._alike, self._record.size
            sums = (packets, at - begin - packets * size)
            yield Block(buffer, records, self.linktype, header=size, time_at=self._time_at, sums=sums)
        if need > self._longest + self._record.size:
            raise ReadError(
                f"a packet of {need - self._record.size} bytes in the capture: it is damaged from here on",
                hint="everything before was read",
            )

    def end(self) -> None:
        """Raise where the capture ends inside a header or a packet."""
        if self._record is None:
            raise FileError("a pcap file that ends inside its header")
        if self._have:
            raise ReadError("the capture was cut short in the middle of a packet", hint="everything before was read")

    def _read_header(self, buffer: bytes) -> None:
        shape = _SHAPES.get(buffer[:4])
        if shape is None:
            raise FileError("not a pcap file")
        major, minor, self.snaplen, network = Struct(shape.order + "HH8xII").unpack_from(buffer, 4)
        # libpcap's sf-pcap.c: 2.x, and 543.0 from AIX.
        if major not in (2, 543):
            raise FileError(f"pcap version {major}.{minor} is unknown")
        # The upper bits say whether and how many FCS bytes follow a frame.
        self.linktype = network & 0xFFFF
        self._longest = min(max(self.snaplen, LONGEST_USUAL), LONGEST)
        # Before 2.3 (and in some 2.3) the two lengths stood the other way round, as in libpcap's sf-pcap.c.
        self._swapped = (major, minor) <= (2, 3)
        self._unit = shape.unit
        self._record = Struct(shape.order + shape.record)

    def _walk(
        self, buffer: bytes, at: int, limit: int, header: Struct
    ) -> tuple[list[tuple[int, int, int, int]], int, int]:
        """The packets from `at` on; where the first that is not whole begins; its bytes, header included."""
        records: list[tuple[int, int, int, int]] = []
        add = records.append
        unpack = header.unpack_from
        size, unit, longest, swapped = header.size, self._unit, self._longest, self._swapped
        last = limit - size
        before, runs = -1, self.runs and not swapped
        self._alike = 0
        while at <= last:
            seconds, fraction, captured, wire = unpack(buffer, at)
            if captured > wire:
                if swapped:
                    captured, wire = wire, captured
                else:
                    wire = captured
            start = at + size
            end = start + captured
            if end > limit or captured > longest:
                return records, at, size + captured
            if captured == before:
                length = self._run_length(buffer, at, limit, captured)
                if length:
                    add((seconds * 1_000_000_000 + fraction * unit, start, -length, captured))
                    self._alike += length - 1
                    at += length * (size + captured)
                    continue
            before = captured if runs and captured >= SHORTEST else -1
            add((seconds * 1_000_000_000 + fraction * unit, start, end, wire))
            at = end
        return records, at, size

    def _run_length(self, buffer: bytes, at: int, limit: int, captured: int) -> int:
        """How many packets from the record at `at` on are alike."""
        assert self._record is not None
        return run_length(buffer, at, limit, self.linktype, self._record.size, captured)

    def _time_at(self, buffer: bytes, start: int) -> int:
        """Time of the packet that begins at `start`."""
        assert self._record is not None
        seconds, fraction, _, _ = self._record.unpack_from(buffer, start - self._record.size)
        return int(seconds * 1_000_000_000 + fraction * self._unit)
