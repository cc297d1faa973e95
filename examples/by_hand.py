"""Feed a Sniffer packets that came from anywhere: it has no thread, socket, file or clock.

python examples/by_hand.py < examples/shop.pcap

The reader below knows only classic little-endian microsecond pcap, as tcpdump writes it;
pysniff.read() knows the rest.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

import pysniff
from pysniff.packet import Packet


def packets(capture: bytes) -> Iterator[Packet]:
    magic, linktype = struct.unpack_from("<I16xI", capture)
    assert magic == 0xA1B2C3D4, "not a capture that this example can read"
    at = 24
    while at < len(capture):
        seconds, microseconds, size, wire_length = struct.unpack_from("<IIII", capture, at)
        data = capture[at + 16 : at + 16 + size]
        yield Packet(data, (seconds * 1_000_000 + microseconds) * 1_000, wire_length, linktype)
        at += 16 + size


sniffer = pysniff.Sniffer()
for packet in packets(sys.stdin.buffer.read()):
    # One at a time or a million: the same entries come out, with the same ids.
    for entry in sniffer.feed([packet]):
        print(entry.id, entry.protocol, entry.summary, "->", entry.status)
for entry in sniffer.close():
    print(entry.id, entry.protocol, entry.summary, "->", entry.status)

assert not sniffer.ledger.imbalances()
