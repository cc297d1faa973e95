"""Calls, and answers of DNS that name their servers, for tests of names. Times are milliseconds from the start."""

from __future__ import annotations

import struct
from random import Random

from packets import ethernet_udp
from transcripts import a_record, dns, framed
from wire import MILLISECOND, Wire

from pysniff.entry import Entry
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Packet
from pysniff.sniffer import Sniffer

SHOP, CART = bytes([10, 0, 0, 2]), bytes([10, 0, 0, 3])
GET, OK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def at(milliseconds: int, frame: bytes) -> Packet:
    return Packet(frame, SECOND + milliseconds * MILLISECOND, len(frame))


def answer(milliseconds: int, name: bytes, *addresses: bytes, flags: int = 0x8180) -> Packet:
    """That a name has these addresses, to 10.0.0.1."""
    records = tuple(struct.pack("!HHIH", 1 if len(one) == 4 else 28, 1, 60, len(one)) + one for one in addresses)
    return at(milliseconds, ethernet_udp("10.9.9.9", "10.0.0.1", 53, 40_000, dns(7, name, 1, flags, records)))


def call(milliseconds: int, port: int, server: str = "10.0.0.2") -> list[Packet]:
    """A connection of its own with one call."""
    wire = Wire("10.0.0.1", server, port, now=SECOND + milliseconds * MILLISECOND)
    return [*wire.handshake(), wire.send(CLIENT, GET), wire.send(SERVER, OK), *wire.farewell()]


def entries(packets: list[Packet], **values: object) -> list[Entry]:
    sniffer = Sniffer(**values)  # type: ignore[arg-type]
    return sniffer.feed(packets) + sniffer.close()


def some_traffic(seed: int, count: int = 60) -> list[Packet]:
    """Calls of three servers and the names that they take, in any order; times that go back now and then.

    One resolver is asked over TCP, its answers cut in two, and other packets between.
    """
    random = Random(seed)
    packets: list[Packet] = []
    wires = [Wire("10.0.0.1", f"10.0.0.{n}", 60_000 + n, now=SECOND + n) for n in (2, 3, 4)]
    resolver = Wire("10.0.0.1", "10.9.9.9", 40_001, 53, now=SECOND + 5)
    packets += [packet for wire in (*wires, resolver) for packet in wire.handshake()]
    packets.append(resolver.send(CLIENT, framed(dns(1, b"a.example"))))
    now, rest = 0, b""
    for number in range(count):
        now += random.choice((1, 3, -2))
        kind = random.randrange(4)
        if kind == 0:
            packets.append(answer(now, b"n%d.example" % number, bytes([10, 0, 0, random.choice((2, 3, 4))])))
        elif kind == 1:
            packets += call(now, 50_000 + number, f"10.0.0.{random.choice((2, 3, 4))}")
        elif kind == 2:
            resolver.now = SECOND + now * MILLISECOND
            found = a_record(bytes([10, 0, 0, random.choice((2, 3, 4))]))
            message = rest or framed(dns(number, b"t%d.example" % number, 1, 0x8180, (found,)))
            cut = 0 if rest else random.randrange(1, len(message))
            packets.append(resolver.send(SERVER, message[:cut] if cut else message))
            rest = message[cut:] if cut else b""
        else:
            wire = random.choice(wires)
            wire.now = SECOND + now * MILLISECOND
            packets += [wire.send(CLIENT, GET), wire.send(SERVER, OK)]
    return packets
