"""One function a target: any bytes in, an exception only where a promise is broken.

The bytes are a list of operations, so that cutting and joining them gives other sensible lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from dialogue import PLAIN, Wire, datagrams, segments
from handshake import BEHIND, Agreed
from kfl_talk import SCHEMA, SHOP, agree
from packets import ng_interface, ng_packet, ng_section, pcap
from protos import descriptor_set
from shapes import SHAPES
from test_contract import TINY, Told
from test_decode_hostile import LINKTYPES, check
from test_kfl_hostile import REFUSED, STOPPED
from test_kfl_language import ABSORBED, FAILS, READS, TRUE, lines
from transcripts import DISSECTORS, TRANSCRIPTS

from fuzz import cluster, names, stored
from fuzz.grpc_calls import call, calls, schemas
from pysniff.capture.pcap import PcapParser
from pysniff.capture.pcapng import PcapngParser
from pysniff.dissector import Dissector, Match
from pysniff.errors import FileError, FilterError, ReadError
from pysniff.kfl import compile
from pysniff.limits import KIB, SECOND, Limits
from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Block, Packet
from pysniff.sniffer import Sniffer

Target = Callable[[bytes], None]
FEED, GAP, CLOSE, LOOK = range(4)


def operations(data: bytes, width: int) -> Iterator[tuple[int, bytes]]:
    """(code, content) pairs; the length of a content has `width` bytes."""
    at = 0
    while at + 1 + width <= len(data):
        code = data[at]
        begin = at + 1 + width
        at = begin + int.from_bytes(data[at + 1 : begin], "big")
        yield code, data[begin:at]


def operation(code: int, content: bytes, width: int) -> bytes:
    return bytes([code]) + len(content).to_bytes(width, "big") + content


# Dissectors: bits 0-1 of a code are what to do, bit 2 the side, bit 3 of the first one tiny limits.


def dissect(kind: type[Dissector], data: bytes) -> None:
    talk: Told | None = None
    heads = [b"", b""]
    for code, content in operations(data, 2):
        talk = talk or Told(kind(TINY) if code & 8 else kind())
        side, what = Side(code >> 2 & 1), code & 3
        if what == FEED and content:
            heads[side] = (heads[side] + content)[:512]
            talk.feed(side, content)
        elif what == GAP:
            talk.gap(side, int.from_bytes(content[:3], "big"))
        elif what == CLOSE and side not in talk.ended:
            talk.close(side)
    if talk is not None:
        end(talk, heads, kind)


def end(talk: Told, heads: list[bytes], kind: type[Dissector]) -> None:
    for side in (CLIENT, SERVER):
        if side not in talk.ended:
            talk.close(side)
    for one, other in ((heads[0], heads[1]), (heads[0], b""), (b"", heads[1])):
        if one != other and kind.match(one, other) is Match.YES:
            assert kind.match(other, one) is not Match.YES
    for message in talk.messages:
        assert all(len(address) in (4, 16) and len(name) > 0 for address, name in message.names())


def dialogues(kind: type[Dissector]) -> Iterator[bytes]:
    for transcript in (*TRANSCRIPTS, *BEHIND):
        if transcript.dissector is kind:
            for piece in (1 << 15, 9):
                yield b"".join(
                    operation(side << 2, data[at : at + piece], 2)
                    for side, data in transcript.steps
                    for at in range(0, len(data), piece)
                )


# Files


def parse(kind: type[PcapParser] | type[PcapngParser], data: bytes) -> None:
    """Cut or whole, the packets before what is damaged are the same."""
    assert packets_of(kind, [data[at : at + 37] for at in range(0, len(data), 37)]) == packets_of(kind, [data])


def packets_of(kind: type[PcapParser] | type[PcapngParser], pieces: Iterable[bytes]) -> tuple[list[Packet], bool]:
    parser = kind()
    found: list[Packet] = []
    try:
        for piece in pieces:
            for block in parser.feed(piece):
                assert block.records
                for time_ns, start, stop, wire in block.records:
                    assert 0 <= start <= stop <= len(block.data) - Block.PADDING
                    assert wire >= stop - start and isinstance(time_ns, int)
                found += block.packets()
        parser.end()
    except (FileError, ReadError):
        return found, True
    return found, False


# Packets


def decode(data: bytes) -> None:
    """The first byte chooses the link type, the second the length on the wire."""
    if len(data) > 2:
        check(data[2:], LINKTYPES[data[0] % len(LINKTYPES)], (0, 60, 1500, 1 << 31)[data[1] % 4])


SMALL = Limits(
    head_bytes=KIB, line_bytes=256, body_bytes=2 * KIB, decoded_bytes=16 * KIB, pipeline=4, detect_bytes=256,
    detect_chunks=8, held_bytes=KIB, held_segments=4, held_total=2 * KIB, hole_wait=SECOND, fragments=2,
    fragment_bytes=2 * KIB, layers=8, conversations=2, half_open=2, closed=2, linger=SECOND, idle=40 * SECOND,
    idle_udp=20 * SECOND, open_after=2 * SECOND,
)  # fmt: skip
STEPS = (0, 1_000, 1_000_000, 300_000_000, 3 * SECOND, 40 * SECOND, -5 * SECOND, 80 * 365 * 86_400 * SECOND)


def sniff(data: bytes) -> None:
    """Bits 0-2 of a code are the time that passes, bits 3-7 the link type, 0 being Ethernet."""
    sniffer = Sniffer(limits=SMALL)
    now = PLAIN.start_ns
    for code, content in operations(data, 2):
        now = max(0, now + STEPS[code & 7]) % (1 << 63)
        linktype = (1, *LINKTYPES)[(code >> 3) % (len(LINKTYPES) + 1)]
        entries = sniffer.feed([Packet(content, now, len(content), linktype)])
        for entry in chain(entries, sniffer.advance(now + 1) if code & 128 else ()):
            json.dumps(entry.to_dict(1000), allow_nan=False, ensure_ascii=False).encode()
        assert sniffer.ledger.imbalances() == []
        assert sniffer.ledger.held_bytes <= SMALL.held_total + len(content)
    for entry in sniffer.close():
        entry.to_dict()
    ledger = sniffer.ledger
    assert ledger.imbalances() == []
    assert (ledger.pending_bytes, ledger.waiting, ledger.held_bytes, ledger.dissector_errors) == (0, 0, 0, 0)


def connections(data: bytes) -> None:
    """Real dialogues, whose segments the bytes choose: which, of what size, from where, with what flags."""
    if not data:
        return
    transcript = TRANSCRIPTS[data[0] % len(TRANSCRIPTS)]
    halves = [b"".join(said for sender, said in transcript.steps if sender is side) for side in (CLIENT, SERVER)]
    wire = Wire(v6=bool(data[0] & 64), numbers=(0xFFFFFF00, 5000))
    at, due = 1, [0, 0]
    packets = b""
    while at + 4 <= len(data) and len(packets) < 64 * KIB:
        code, move, size, time = data[at : at + 4]
        at += 4
        side = Side(code & 1)
        offset = due[side] + (move - 128 if move else 0)
        said = halves[side][max(0, offset) :][:size]
        flags = (0x18, 0x10, 0x18, 0x18, 0x11, 0x02, 0x04, 0x19)[code >> 1 & 7]
        one = segments([])[0]._replace(side=side, at=offset, data=said, flags=flags, acked=due[side.other])
        due[side] = max(due[side], offset + len(said))
        packets += operation(time & 135, wire.frame(one), 2)
    sniff(packets)


def captures() -> Iterator[list[Packet]]:
    for transcript in TRANSCRIPTS:
        udp = transcript.transport == "udp"
        yield datagrams(transcript.steps) if udp else PLAIN.packets(segments(transcript.steps, 80))


def of_packets() -> Iterator[bytes]:
    for packets in captures():
        yield b"".join(operation(2, packet.data, 2) for packet in packets)
    for linktype, data, _ in SHAPES.values():
        if linktype in LINKTYPES[:30]:
            yield operation((LINKTYPES.index(linktype) + 1) << 3, data, 2)


def of_files(ng: bool) -> Iterator[bytes]:
    for packets in captures():
        if ng:
            yield ng_section() + ng_interface() + b"".join(ng_packet(one.data, one.time_ns // 1000) for one in packets)
        else:
            yield pcap((one.time_ns, one.data) for one in packets)


def of_shapes() -> Iterator[bytes]:
    return (bytes([LINKTYPES.index(linktype), 0]) + data for linktype, data, _ in SHAPES.values())


def of_connections() -> Iterator[bytes]:
    for number in range(len(TRANSCRIPTS)):
        yield bytes([number]) + bytes([0, 0, 60, 2, 1, 0, 60, 2]) * 12


# Filters


def say(data: bytes) -> None:
    """Generated code and exact evaluation agree on any text that is a filter."""
    text = data.decode(errors="surrogateescape")
    try:
        made = compile(text, SCHEMA, now=1)
    except FilterError as error:
        assert len(error.excerpt.splitlines()) == 2
        return
    if made.tree is not None:
        agree(made, SCHEMA, SHOP)


def of_filters() -> Iterator[bytes]:
    texts = (*lines(TRUE), *lines(READS), *lines(FAILS), *ABSORBED, *STOPPED.values(), *REFUSED.values())
    return (text.encode() for text in texts if len(text) < 2 * KIB)


# By name: the target, and what it starts from.
TARGETS: dict[str, tuple[Target, Callable[[], Iterable[bytes]]]] = {
    **{
        f"{kind.protocol}-{kind.transport}": (
            lambda data, kind=kind: dissect(kind, data),  # type: ignore[misc]
            lambda kind=kind: dialogues(kind),  # type: ignore[misc]
        )
        for kind in DISSECTORS.values()
    },
    "grpc": (call, calls),
    "descriptor-set": (schemas, lambda: [descriptor_set()]),
    "ws-agreed": (lambda data: dissect(Agreed, data), lambda: dialogues(Agreed)),
    "pcap": (lambda data: parse(PcapParser, data), lambda: of_files(False)),
    "pcapng": (lambda data: parse(PcapngParser, data), lambda: of_files(True)),
    "decode": (decode, of_shapes),
    "sniffer": (sniff, of_packets),
    "connections": (connections, of_connections),
    "filter": (say, of_filters),
    "store-index": (stored.index, stored.of_indexes),
    "store-segment": (stored.segment, stored.of_segments),
    "store-names": (names.noted, names.of_noted),
    "hosts": (names.hosts, names.of_hosts),
    "frames": (cluster.message, cluster.messages),
    "worker-says": (cluster.at_hub, cluster.talks_of_workers),
    "hub-says": (cluster.at_worker, cluster.talks_of_hubs),
}
LONGEST = {"sniffer": 16 * KIB, "pcap": 8 * KIB, "pcapng": 8 * KIB, "decode": KIB, "descriptor-set": 16 * KIB}
