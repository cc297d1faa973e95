"""What the index needs to know of each packet, a block at a time: numpy reads the headers that nearly all packets have.

Capture pays for this, so no Python runs for a single packet of a common shape (shapes.py); decode.py takes the rest.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pysniff.decode import Decoder
from pysniff.fragments import FragmentTable
from pysniff.layer import Fragment
from pysniff.packet import Block, Datagram, Rejected, Segment
from pysniff.shapes import shape_of
from pysniff.tunnels import TUNNELS

# Said to be types, for wheels are compiled where numpy is not installed.
Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]

# What a packet is to a query: nothing it could ask for; in every answer, since nobody can say here to which
# conversation it belongs (a fragment, several messages in one packet); or of one conversation.
OTHER, SHARED, TCP, UDP = 0, 1, 6, 17

# Where a link header says what is behind, by link type: its length, and the place of two bytes.
_LINKS = {1: (14, 12), 113: (16, 14), 276: (20, 0), 0: (4, 0), 12: (0, -1), 14: (0, -1), 101: (0, -1)}
_LINKS |= {228: (0, -1), 229: (0, -1)}
_IS_TUNNEL = np.zeros(65_536, np.bool_)
_IS_TUNNEL[sorted(TUNNELS)] = True
# Both ends of a conversation are summed up in one number; its factors are secret, so that nobody makes two alike.
_FACTORS = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)


class _Apart(FragmentTable):
    """Joins nothing: a fragment's conversation stays unknown."""

    def add(self, fragment: Fragment, time_ns: int, interface: Hashable = "") -> Rejected:
        return Rejected("fragment", "")


class Columns:
    """One value a packet, in the order of the block.

    `kind`: OTHER, SHARED, TCP or UDP. `pair`: the same for both directions of a conversation, `back` tells them apart.
    `seq`, `flags`: of TCP. `body`, `length`: where the payload lies in the block's data. `missing`: whether the
    snapshot cut it.
    """

    __slots__ = (
        "block",
        "time",
        "start",
        "size",
        "wire",
        "kind",
        "pair",
        "back",
        "seq",
        "flags",
        "body",
        "length",
        "_keys",
    )

    def __init__(self, block: Block, records: Ints, decoder: Decoder) -> None:
        self.block = block
        self.time, self.start, end, self.wire = records
        count = len(self.time)
        self.size = end - self.start
        self.kind = np.zeros(count, np.uint8)
        self.pair = np.zeros(count, np.uint64)
        self.back = np.zeros(count, np.bool_)
        self.seq = np.zeros(count, np.uint32)
        self.flags = np.zeros(count, np.uint8)
        self.body = np.zeros(count, np.int64)
        self.length = np.zeros(count, np.int64)
        self._keys: dict[int, bytes] = {}  # of packets that have no common shape
        if block.linktype in _LINKS:
            self._plain(end)
        slow = np.flatnonzero(self.kind == OTHER)
        if len(slow):
            self._slow(slow.tolist(), decoder)

    def __len__(self) -> int:
        return len(self.time)

    def key(self, index: int) -> bytes:
        """Addresses and ports of one packet, as on the wire (Segment.key)."""
        found = self._keys.get(index)
        if found is not None:
            return found
        at = int(self.start[index]) + _LINKS[self.block.linktype][0]
        data = self.block.data
        return data[at + 12 : at + 24] if data[at] >> 4 == 4 else data[at + 8 : at + 44]

    def ack(self) -> Ints:
        """Of TCP segments of a common shape: what they acknowledge."""
        words = self._gather("u1", _LINKS[self.block.linktype][0], self.start)
        header = np.where(words >> 4 == 4, 20, 40) + _LINKS[self.block.linktype][0]
        return self._gather(">u4", 8, self.start + header)

    def payload(self, index: int) -> bytes:
        """The payload of one packet; of one without common shape it is decoded again."""
        at = int(self.body[index])
        if at >= 0:
            return self.block.data[at : at + int(self.length[index])]
        start = int(self.start[index])
        packet = self.block.data[start : start + int(self.size[index])]
        found = Decoder().decode(packet, self.block.linktype, int(self.wire[index]), 0)
        return next((one.payload for one in found if isinstance(one, (Segment, Datagram))), b"")

    def _gather(self, kind: str, offset: int, where: Ints) -> Ints:
        """A number of each packet, `offset` bytes behind `where`."""
        data, dtype = self.block.data, np.dtype(kind)
        view = np.ndarray((len(data) - dtype.itemsize + 1,), dtype, data, 0, (1,))
        return view[where + offset].astype(np.int64)

    def _plain(self, end: Ints) -> None:
        shape = shape_of(self.block.linktype)
        ip, place = _LINKS[self.block.linktype]
        version = self._gather("u1", ip, self.start)
        four, six = version == 0x45, version & 0xF0 == 0x60
        if place >= 0:
            link = self._gather(">u2", place, self.start)
            four &= link == shape.type4
            if six.any():
                six &= np.isin(link, [number for number in shape.types6 if isinstance(number, int)])
        self._plain_of(np.flatnonzero(four), end, ip, 20)
        self._plain_of(np.flatnonzero(six), end, ip, 40)

    def _plain_of(self, chosen: Ints, end: Ints, ip: int, header: int) -> None:
        """Packets of one IP version."""
        if not len(chosen):
            return
        start = self.start[chosen] + ip
        if header == 20:
            stop = start + self._gather(">u2", 2, start)
            protocol = self._gather("u1", 9, start)
            protocol[self._gather(">u2", 6, start) & 0x3FFF != 0] = 0  # a fragment
        else:
            stop = start + 40 + self._gather(">u2", 4, start)
            protocol = self._gather("u1", 6, start)
        inside = stop <= end[chosen]
        above = start + header
        tcp = (protocol == 6) & inside
        words = self._gather("u1", 12, above) >> 4
        body = above + words * 4
        tcp &= (words >= 5) & (body <= stop)
        ports = self._gather(">u4", 0, above)
        udp_length = self._gather(">u2", 4, above)
        udp = (protocol == 17) & inside & (udp_length >= 8) & (above + udp_length <= stop)
        udp &= ~(_IS_TUNNEL[ports & 0xFFFF] | _IS_TUNNEL[ports >> 16])
        self.kind[chosen[tcp]] = TCP
        self.kind[chosen[udp]] = UDP
        self.seq[chosen[tcp]] = self._gather(">u4", 4, above[tcp])
        self.flags[chosen[tcp]] = self._gather("u1", 13, above[tcp])
        self.body[chosen[tcp]], self.length[chosen[tcp]] = body[tcp], (stop - body)[tcp]
        self.body[chosen[udp]], self.length[chosen[udp]] = above[udp] + 8, udp_length[udp] - 8
        if header == 20:
            sources = self._gather(">u4", 12, start).astype(np.uint64)
            targets = self._gather(">u4", 16, start).astype(np.uint64)
        else:
            parts = [self._gather(">i8", offset, start).view(np.uint64) for offset in (8, 16, 24, 32)]
            sources, targets = _address(parts[0], parts[1]), _address(parts[2], parts[3])
        numbers, both = protocol.astype(np.uint64), ports.astype(np.uint64)
        source = _mixed(sources, both >> np.uint64(16), numbers)
        target = _mixed(targets, both & np.uint64(0xFFFF), numbers)
        self.pair[chosen] = source + target
        self.back[chosen] = source > target

    def _slow(self, chosen: Sequence[int], decoder: Decoder) -> None:
        """Packets of any shape, one by one."""
        data, linktype = self.block.data, self.block.linktype
        for index in chosen:
            start = int(self.start[index])
            packet = data[start : start + int(self.size[index])]
            found = decoder.decode(packet, linktype, int(self.wire[index]), 0)
            if all(isinstance(one, Rejected) and one.reason != "fragment" for one in found):
                continue
            one = found[0]
            if len(found) > 1 or isinstance(one, Rejected):
                self.kind[index] = SHARED
                continue
            tcp = isinstance(one, Segment)
            self.kind[index] = TCP if tcp else UDP
            if isinstance(one, Segment):
                self.seq[index], self.flags[index] = one.seq, one.flags & 0xFF
            self.body[index], self.length[index] = -1, len(one.payload) + one.missing
            self._keys[index] = one.key
        pairs = pairs_of([(int(self.kind[index]), key) for index, key in self._keys.items()])
        for index, (pair, way) in zip(self._keys, pairs, strict=True):
            self.pair[index], self.back[index] = pair, way


def pairs_of(conversations: Sequence[tuple[int, bytes]]) -> list[tuple[int, bool]]:
    """Columns.pair and .back of packets by transport and key."""
    found: list[tuple[int, bool]] = [(0, False)] * len(conversations)
    for size in (12, 36):
        chosen = [index for index, (_, key) in enumerate(conversations) if len(key) == size]
        if chosen:
            keys = [conversations[index][1] for index in chosen]
            transports = np.array([conversations[index][0] for index in chosen], np.uint64)
            source, target = _ends_of(keys, transports, size)
            every = zip(chosen, (source + target).tolist(), (source > target).tolist(), strict=True)
            for index, pair, back in every:
                found[index] = (pair, back)
    return found


def _ends_of(keys: list[bytes], transports: Words, size: int) -> tuple[Words, Words]:
    """Both ends of each key as numbers; the keys have one size."""
    rows = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, size)
    ports = np.ascontiguousarray(rows[:, -4:]).view(">u4").reshape(-1).astype(np.uint64)
    if size == 12:
        addresses = np.ascontiguousarray(rows[:, :8]).view(">u4").astype(np.uint64)
        sources, targets = addresses[:, 0], addresses[:, 1]
    else:
        quarters = np.ascontiguousarray(rows[:, :32]).view(">u8").astype(np.uint64)
        sources, targets = _address(quarters[:, 0], quarters[:, 1]), _address(quarters[:, 2], quarters[:, 3])
    return _mixed(sources, ports >> np.uint64(16), transports), _mixed(targets, ports & np.uint64(0xFFFF), transports)


def _address(upper: Words, lower: Words) -> Words:
    """An IPv6 address as one number."""
    number: Words = (upper * _FACTORS[0]) ^ (lower + _FACTORS[1])
    return number


def _mixed(address: Words, port: Words, protocol: Words) -> Words:
    """An end of a conversation as one number (a multiplicative hash, wrapping)."""
    number: Words = (address + (port << np.uint64(40)) + protocol) * _FACTORS[2]
    number ^= number >> np.uint64(31)
    number *= _FACTORS[0]
    number ^= number >> np.uint64(29)
    return number


class Indexer:
    """Makes Columns of blocks."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._decoder.fragments = _Apart()

    def columns(self, block: Block) -> Columns:
        if block.meta:
            seconds, micros, start, size = np.frombuffer(block.meta, np.uint32).reshape(-1, 4).T.astype(np.int64)
            records = np.array([seconds * 1_000_000_000 + micros * 1000, start, start + size, size])
        else:
            records = np.array(block.records, np.int64).reshape(-1, 4).T
        return Columns(block, records, self._decoder)
