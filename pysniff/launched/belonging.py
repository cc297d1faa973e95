"""Lets through the packets of a command's connections, in their order, and counts the others.

A conversation is asked about at its first packet; until somebody can say whose it is, it waits, and what comes behind
waits with it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from pysniff.capture import Idle
from pysniff.decode import Decoder
from pysniff.launched.owners import TCP, UDP, Owner, Owners
from pysniff.limits import DEFAULT, MIB, SECOND
from pysniff.packet import FIN, RST, SYN, Block, Datagram, Segment
from pysniff.shapes import plain_datagram, shape_of

# Conversations remembered, ours and others'.
_CONVERSATIONS = 65_536
# Bytes and packets that wait; beyond, the first one is decided with what is known.
_WAITING_BYTES, _WAITING_PACKETS = 32 * MIB, 65_536
# A conversation that was quiet for so long may be another one with the same ports.
_QUIET = 60 * SECOND

_Record = tuple[int, int, int, int]
_Name = tuple[int, bytes]  # protocol and key, the smaller one of its two orders


class _Packet(NamedTuple):
    block: Block
    record: _Record
    name: _Name


class _Conversation:
    """`owner`: once it is known. `since`: when it was asked first; `flags`: of TCP, seen so far."""

    __slots__ = ("owner", "since", "last", "flags")

    def __init__(self, at: int) -> None:
        self.owner = Owner.UNKNOWN
        self.since = self.last = at
        self.flags = 0


class Belonging:
    """pass_on() what is captured. `others`: packets that were left out; `guessed`: connections that were over before
    anybody could say whose they were: they are let through; `unknown`: those that go on, and are not."""

    def __init__(self, owners: Owners) -> None:
        self.others = 0
        self.guessed = 0
        self.unknown = 0
        self._owners = owners
        self._known: OrderedDict[_Name, _Conversation] = OrderedDict()
        self._waiting: deque[_Packet] = deque()
        self._waiting_bytes = 0
        self._decoder = Decoder(DEFAULT)

    def pass_on(self, item: Block | Idle) -> Iterator[Block | Idle]:
        """What may go on now; an Idle says no more than holds for what waits."""
        if isinstance(item, Idle):
            yield from self._released(item.time_ns)
            first = self._waiting[0].record[0] if self._waiting else item.time_ns
            yield Idle(min(first - 1, item.time_ns))
            return
        now = 0
        for record in item.records:
            now = max(now, record[0])
            self._take(item, record)
        yield from self._released(now)

    def rest(self) -> Iterator[Block]:
        """What waited, when nothing more comes."""
        yield from self._released(1 << 63)

    def _take(self, block: Block, record: _Record) -> None:
        found = self._named(block, record)
        if found is None:
            self.others += 1
            return
        name, flags = found
        at = record[0]
        conversation = self._known.get(name)
        begins = flags & (SYN | 16) == SYN
        if conversation is None or (
            conversation.owner is not Owner.UNKNOWN and (begins or at - conversation.last > _QUIET)
        ):
            conversation = self._known[name] = _Conversation(at)
            conversation.owner = self._owners.owner(*name)
            if len(self._known) > _CONVERSATIONS:
                self._known.popitem(last=False)
        conversation.last = at
        conversation.flags |= flags
        self._known.move_to_end(name)
        if conversation.owner is Owner.OTHERS:
            self.others += 1
            return
        self._waiting.append(_Packet(block, record, name))
        self._waiting_bytes += record[2] - record[1]

    def _released(self, now: int) -> Iterator[Block]:
        """Blocks of the packets at the head of the queue that are decided."""
        block: Block | None = None
        records: list[_Record] = []
        while self._waiting and self._decides(self._waiting[0], now):
            packet = self._waiting.popleft()
            self._waiting_bytes -= packet.record[2] - packet.record[1]
            conversation = self._known.get(packet.name)
            if conversation is None or conversation.owner is not Owner.OURS:
                self.others += 1
                continue
            if packet.block is not block:
                if block is not None:
                    yield _part(block, records)
                block, records = packet.block, []
            records.append(packet.record)
        if block is not None:
            yield _part(block, records)

    def _decides(self, packet: _Packet, now: int) -> bool:
        """Whether it is known whose a packet is, or it has waited long enough."""
        conversation = self._known.get(packet.name)
        if conversation is None or conversation.owner is not Owner.UNKNOWN:
            return True
        conversation.owner = self._owners.owner(*packet.name)
        if conversation.owner is not Owner.UNKNOWN:
            return True
        if self._owners.was_idle(conversation.since):
            conversation.owner = Owner.OTHERS
            return True
        crowded = self._waiting_bytes > _WAITING_BYTES or len(self._waiting) > _WAITING_PACKETS
        if now - conversation.since < self._owners.patience and not crowded:
            return False
        is_short = conversation.flags & SYN and conversation.flags & (FIN | RST)
        if is_short and self._owners.guesses:
            conversation.owner = Owner.OURS
            self.guessed += 1
        else:
            conversation.owner = Owner.OTHERS
            self.unknown += self._owners.guesses
        return True

    def _named(self, block: Block, record: _Record) -> tuple[_Name, int] | None:
        """The conversation of a packet and its flags, if it is one of TCP or UDP."""
        _, start, end, wire = record
        unpack4, unpack6, ip, type4, types6 = shape_of(block.linktype)
        first = block.data[start + ip]
        if first == 0x45 and end - start >= ip + 40:
            kind, _, word, key, _, _, _, flags = unpack4(block.data, start)
            if word & 0x3FFF00FF == TCP and kind == type4:
                return _name(TCP, key), flags
        elif first & 0xF0 == 0x60 and end - start >= ip + 60:
            kind, _, protocol, key, _, _, _, flags = unpack6(block.data, start)
            if protocol == TCP and kind in types6:
                return _name(TCP, key), flags
        datagram = plain_datagram(block, start, end)
        if datagram is not None:
            return _name(UDP, datagram.key), 0
        for found in self._decoder.decode(block.data[start:end], block.linktype, wire, record[0], block.interface):
            if isinstance(found, Segment):
                return _name(TCP, found.key), found.flags
            if isinstance(found, Datagram):
                return _name(UDP, found.key), 0
        return None


def _name(protocol: int, key: bytes) -> _Name:
    half = (len(key) - 4) // 2
    turned = key[half : 2 * half] + key[:half] + key[-2:] + key[-4:-2]
    return protocol, min(key, turned)


def _part(block: Block, records: list[_Record]) -> Block:
    return block if len(records) == len(block.records) else Block(block.data, records, block.linktype, block.interface)
