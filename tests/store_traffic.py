"""Traffic of many kinds at once, for stores: long conversations that go on and on, between short ones.

The same seed gives the same packets; no two have the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from random import Random

from packets import ethernet_udp
from transcripts import a_record, dns, ws
from wire import MILLISECOND, Wire

from pysniff.message import CLIENT, SERVER
from pysniff.packet import Packet

NOON = 1_795_262_400_000_000_000  # 2026-11-21T12:00:00Z
MSS = 1400
Turns = Iterator[list[Packet]]  # of one conversation: packets that belong together


def said(wire: Wire, *turns: tuple[bool, bytes]) -> list[Packet]:
    """Segments of what client (True) and server say in turn."""
    return [
        wire.send(CLIENT if by_client else SERVER, data[at : at + MSS])
        for by_client, data in turns
        for at in range(0, len(data), MSS)
    ]


def http(wire: Wire, random: Random, calls: int) -> Turns:
    """Keep-alive calls of every shape: numbered, so that no two are alike."""
    yield wire.handshake()
    for number in range(calls):
        path = b"/%d/%d" % (wire.ends[0][1], number)
        body = random.randbytes(random.choice((0, 5, 300, 2000, 9000)))
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        kind = random.randrange(4)
        if kind == 0:
            ask = b"POST " + path + b" HTTP/1.1\r\nHost: shop\r\n" + length + body
            yield said(wire, (True, ask), (False, b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"))
        elif kind == 1:
            ask = b"HEAD " + path + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
            yield said(wire, (True, ask), (False, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"))
        elif kind == 2:
            ask = b"GET " + path + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
            chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n" if body else b"0\r\n\r\n"
            yield said(wire, (True, ask), (False, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))
        else:
            ask = b"GET " + path + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
            yield said(wire, (True, ask), (False, b"HTTP/1.1 404 Not Found\r\n" + length + body))
    yield wire.farewell()


def redis(wire: Wire, random: Random, calls: int) -> Turns:
    yield wire.handshake()
    for number in range(calls):
        key = b"key:%d:%d" % (wire.ends[0][1], number)
        value = random.randbytes(random.choice((1, 50, 3000)))
        ask = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
        yield said(wire, (True, ask), (False, b"+OK\r\n"))
    yield wire.farewell()


UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
)


def websocket(wire: Wire, random: Random, calls: int) -> Turns:
    yield wire.handshake()
    yield said(wire, (True, UPGRADE[0]), (False, UPGRADE[1]))
    for number in range(calls):
        text = b"message %d " % number + b"x" * random.choice((0, 40, 2000))
        yield said(wire, (True, ws(0x81, text, b"mask")), (False, ws(0x82, text[::-1])))
    yield wire.farewell()


def bulk(wire: Wire, random: Random, calls: int) -> Turns:
    """What nobody recognises."""
    yield wire.handshake()
    for _ in range(calls):
        yield said(
            wire, (True, b"\x00\x01\xfe" + random.randbytes(200)), (False, b"\xfe\x02" + random.randbytes(12_000))
        )
    yield wire.farewell()


def names(wire: Wire, random: Random, calls: int) -> Turns:
    """DNS over one socket."""
    (client, sport), (server, _) = wire.ends
    for number in range(calls):
        ident, name = number & 0xFFFF, b"\x04host\x04test\0"
        found = a_record(random.randbytes(4))
        asked = ethernet_udp(client, server, sport, 53, dns(ident, name))
        answered = ethernet_udp(server, client, 53, sport, dns(ident, name, flags=0x8180, answers=(found,)))
        turn = []
        for frame in (asked, answered):
            wire.now += MILLISECOND
            turn.append(Packet(frame, wire.now, len(frame)))
        yield turn


Kind = Callable[[Wire, Random, int], Turns]
LONG: tuple[tuple[Kind, int], ...] = ((http, 80), (redis, 6379), (websocket, 80), (names, 53))
EVERY = (*LONG, (bulk, 9999))


def traffic(seed: int, *, start: int = NOON, kinds: tuple[tuple[Kind, int], ...] = EVERY) -> Iterator[Packet]:
    """Without end: one conversation of each kind that stays, and a new short one now and then."""
    random = Random(seed)
    ports = count(20_000)
    client = f"10.{seed % 250}.0.1"

    def begin(kind: Kind, port: int, calls: int) -> tuple[Wire, Turns]:
        wire = Wire(client, "10.0.0.2", next(ports), port, starts=(random.getrandbits(32), random.getrandbits(32)))
        return wire, kind(wire, random, calls)

    open_ = [begin(kind, port, 1 << 40) for kind, port in kinds]
    now = start
    while True:
        if random.random() < 0.1:
            kind, port = random.choice(kinds)
            open_.append(begin(kind, port, random.randrange(1, 6)))
        place = random.randrange(len(open_))
        wire, turns = open_[place]
        wire.now = now + random.randrange(40) * MILLISECOND + 7
        turn = next(turns, None)
        if turn is None:
            del open_[place]
        else:
            yield from turn
            now = wire.now


def some(seed: int, packets: int, **options: object) -> list[Packet]:
    return list(islice(traffic(seed, **options), packets))  # type: ignore[arg-type]
