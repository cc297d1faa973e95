"""Packets as sources hand them over, and what is in them.

A source delivers Blocks: one buffer and where its packets are. Nobody copies a packet to look at it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, NamedTuple


class Packet(NamedTuple):
    """One captured packet. `linktype` is a LINKTYPE_ value of tcpdump.org; `interface` an index or name for show."""

    data: bytes
    time_ns: int
    wire_length: int
    linktype: int = 1
    interface: str = ""


class Record(NamedTuple):
    """Where one packet lies in a block: time (ns), first byte, byte after the last, length on the wire."""

    time_ns: int
    start: int
    end: int
    wire_length: int


class Block:
    """Packets of one link type from one interface, in capture order, in one buffer.

    `records` holds (time_ns, start, end, wire_length) tuples. `data` has at least PADDING bytes behind
    the last packet, so that a header is unpacked without first asking whether it is all there.

    From a reader that was asked for runs, a record may stand for several packets alike (runs.py): its end is minus
    their number, its last field the length of each; each begins `header` bytes behind the one before, and
    `time_at(data, start)` is its time. singles() takes those apart.
    """

    __slots__ = ("data", "meta", "linktype", "interface", "header", "time_at", "_records", "_sums")

    PADDING: ClassVar[int] = 96

    def __init__(
        self,
        data: bytes,
        records: list[tuple[int, int, int, int]],
        linktype: int,
        interface: str = "",
        header: int = 0,
        time_at: Callable[[bytes, int], int] | None = None,
        sums: tuple[int, int] | None = None,
    ) -> None:
        self.data = data
        self.meta = b""
        self._records: list[tuple[int, int, int, int]] | None = records
        self.linktype = linktype
        self.interface = interface
        self.header = header
        self.time_at = time_at
        self._sums = sums  # packets and their captured bytes, where the reader knows already

    @classmethod
    def captured_live(cls, data: bytes, meta: bytes, linktype: int, interface: str) -> Block:
        """Of what libpcap gave: `data` without padding, and in `meta` four 32-bit numbers a packet: seconds,
        microseconds, first byte, length. Packets follow one another without gaps. `records` is made when asked for.
        """
        return cls.padded(data + bytes(cls.PADDING), meta, linktype, interface)

    @classmethod
    def padded(cls, data: bytes, meta: bytes, linktype: int, interface: str) -> Block:
        """As captured_live(), of data that has its padding."""
        block = cls(data, [], linktype, interface, sums=(len(meta) // 16, len(data) - cls.PADDING))
        block.meta, block._records = meta, None
        return block

    @property
    def records(self) -> list[tuple[int, int, int, int]]:
        if self._records is None:
            self._records = [
                (seconds * 1_000_000_000 + micros * 1000, start, start + size, size)
                for seconds, micros, start, size in struct.iter_unpack("=IIII", self.meta)
            ]
        return self._records

    @classmethod
    def of(cls, packet: Packet) -> Block:
        size = len(packet.data)
        record = (packet.time_ns, 0, size, packet.wire_length)
        return cls(packet.data + bytes(cls.PADDING), [record], packet.linktype, packet.interface)

    def __len__(self) -> int:
        if self._sums is not None:
            return self._sums[0]
        return sum([1 if end >= 0 else -end for _, _, end, _ in self.records])

    def captured(self) -> int:
        """Bytes of all packets."""
        if self._sums is not None:
            return self._sums[1]
        return sum([end - start if end >= 0 else -end * size for _, start, end, size in self.records])

    def packets(self) -> Iterator[Packet]:
        for record in self.records:
            for time_ns, start, end, wire_length in self.singles(record):
                yield Packet(self.data[start:end], time_ns, wire_length, self.linktype, self.interface)

    def singles(self, record: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
        """The record of each packet that a record stands for."""
        _, start, end, size = record
        if end >= 0:
            return [record]
        assert self.time_at is not None
        stride = size + self.header
        starts = range(start, start - end * stride, stride)
        return [(self.time_at(self.data, one), one, one + size, size) for one in starts]


FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Segment(NamedTuple):
    """A TCP segment.

    `key`: source address, destination address, source port, destination port, as on the wire
    (4 + 4 + 2 + 2 bytes, or 16 + 16 + 2 + 2). `missing`: payload bytes at the end that the snapshot cut.
    """

    key: bytes
    seq: int
    ack: int
    flags: int
    payload: bytes
    missing: int


class Datagram(NamedTuple):
    """A UDP datagram; fields as of Segment."""

    key: bytes
    payload: bytes
    missing: int


# Why a packet goes no further. "fragment": kept until its datagram is whole.
Reason = Literal["not_ip", "other_ip", "malformed", "fragment"]


class Rejected(NamedTuple):
    """A packet that is neither TCP nor UDP. `detail`: a word or two for the ledger, "arp" or "bad IP length"."""

    reason: Reason
    detail: str
