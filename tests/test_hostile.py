"""Whatever comes, nothing raises, the ledger balances, memory and steps stay bounded, and every bound is counted."""

from __future__ import annotations

import dataclasses
import gc
import gzip
import itertools
import json
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
from dialogue import NOON, PLAIN, Sent, Wire, datagrams, segments
from frames import ethernet, extension, ipv4, ipv6, udp
from hpack import Encoder
from packets import ethernet_tcp, ethernet_udp
from test_contract import calls, memory
from test_schema import complaints
from tls_sealing import TLS13_CHOSEN, client_hello, record, server_hello
from transcripts import ANSWER, ASK, GET7, H2, OK200, TRANSCRIPTS, Transcript, c, dns, h2, s
from truth.corpus import captures, root

import pysniff
from pysniff.capture.files import open_capture
from pysniff.conversation import Conversation
from pysniff.entry import Entry
from pysniff.errors import FileError, ReadError
from pysniff.ledger import Ledger
from pysniff.limits import DEFAULT, KIB, MIB, SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.packet import ACK, PSH, SYN, Block, Packet
from pysniff.sniffer import Sniffer

absent = pytest.mark.skipif(root() is None, reason="needs the corpus: set PYSNIFF_CORPUS")
# Mutants of each public capture, and packets looked at in one; more of both in a long run.
MUTANTS = int(os.environ.get("PYSNIFF_MUTANTS", "1"))
PACKETS = 300 * MUTANTS
TINY = Limits(
    head_bytes=2 * KIB, line_bytes=512, body_bytes=4 * KIB, decoded_bytes=32 * KIB, pipeline=8, detect_bytes=512,
    detect_chunks=16, held_bytes=8 * KIB, held_segments=8, held_total=16 * KIB, fragments=4, fragment_bytes=8 * KIB,
    conversations=20, half_open=20, closed=20, idle=60 * SECOND, idle_udp=20 * SECOND, open_after=2 * SECOND,
    linger=5 * SECOND, waiting_bytes=8 * KIB, fields_bytes=KIB, table_bytes=256, streams=4, resync_bytes=KIB,
    held_open=64 * KIB, copies=8, copy_window=1_000_000, names=10, name_versions=3, names_bytes=4 * KIB,
    undecrypted_bytes=4 * KIB, undecrypted_total=4 * KIB, undecrypted_wait=2 * SECOND, bodies_total=8 * KIB,
)  # fmt: skip


def run(packets: Iterable[Packet], limits: Limits = DEFAULT, *, every: int = 1) -> tuple[list[Entry], Ledger]:
    """`every` so many packets the ledger is checked, and at the end."""
    sniffer = Sniffer(limits=limits)
    entries: list[Entry] = []
    packets = iter(packets)
    while batch := list(itertools.islice(packets, every)):
        entries += sniffer.feed(batch)
        assert sniffer.ledger.imbalances() == []
    entries += sniffer.close()
    ledger = sniffer.ledger
    assert ledger.imbalances() == []
    assert (ledger.pending_bytes, ledger.waiting, ledger.held_bytes, ledger.dissector_errors) == (0, 0, 0, 0)
    return entries, ledger


def written(entries: Iterable[Entry], limit: int = 1000) -> int:
    """Everything about every entry is said once; how many there were."""
    count = 0
    for count, entry in enumerate(entries, 1):  # noqa: B007
        record = entry.to_dict(limit)
        json.dumps(record, allow_nan=False, ensure_ascii=False).encode()
        assert entry.summary.isprintable() and entry.status.isprintable() and repr(entry).isprintable()
        assert entry.timestamp is not None
    return count


# Files


def hostile_files() -> list[Path]:
    folder = root()
    return sorted((folder.parent / "hostile").iterdir()) if folder else []


@absent
@pytest.mark.parametrize("path", hostile_files(), ids=lambda path: path.name[-60:])
@pytest.mark.parametrize("limits", [DEFAULT, TINY], ids=["as usual", "tiny"])
def test_hostile_file(path: Path, limits: Limits) -> None:
    try:
        with pysniff.read(path, limits=limits) as entries:
            try:
                written(entries)
            except ReadError:
                pass
            assert entries.ledger.imbalances() == []
            assert entries.ledger.dissector_errors == 0
    except FileError:
        pass


def beginning(path: Path, most: int) -> Iterator[Packet]:
    """Its first packets, as far as it is good."""
    try:
        with open_capture(path) as file:
            blocks = (item for item in file if isinstance(item, Block))
            yield from itertools.islice((packet for block in blocks for packet in block.packets()), most)
    except (FileError, ReadError):
        pass


def mutant(packets: list[Packet], random: Random) -> list[Packet]:
    """Bytes flipped, packets dropped, swapped, cut and repeated, and the clock set wrong now and then."""
    result: list[Packet] = []
    for packet in packets:
        dice = random.random()
        data = bytearray(packet.data)
        if dice < 0.15 and data:
            for _ in range(random.choice([1, 1, 3, 20])):
                # More often in the headers, which decide more.
                data[random.randrange(min(len(data), random.choice([60, 120, 1 << 16])))] ^= 1 << random.randrange(8)
        elif dice < 0.2:
            del data[random.randrange(len(data) + 1) :]
        elif dice < 0.23:
            continue
        time_ns = (
            random.choice([0, packet.time_ns + 10**18, packet.time_ns - 9 * SECOND]) if dice > 0.99 else packet.time_ns
        )
        result.append(packet._replace(data=bytes(data), time_ns=time_ns))
        if 0.23 < dice < 0.28:
            result.insert(random.randrange(len(result)), result[-1])
        if 0.28 < dice < 0.32:
            result.insert(random.randrange(len(result)), result.pop())
    return result


@absent
@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.path.removeprefix("pcap/"))
def test_mutants_of_a_capture(capture: object) -> None:
    path = capture.file  # type: ignore[attr-defined]
    packets = list(beginning(path, PACKETS))
    for number in range(MUTANTS):
        random = Random(f"{path.name} {number}")
        entries, _ = run(mutant(packets, random), random.choice([DEFAULT, TINY]), every=random.choice([10, 40]))
        written(entries)


@absent
def test_mutants_of_the_files_themselves() -> None:
    """Not the packets but the bytes around them: whatever is read before the damage is accounted for."""
    for capture in captures()[::8]:
        random = Random(capture.path)
        data = bytearray(capture.content[: 20 * KIB])
        for _ in range(5):
            data[random.randrange(len(data))] = random.randrange(256)
        command = os.memfd_create("capture")
        try:
            os.write(command, data)
            with pysniff.read(f"/proc/self/fd/{command}", limits=TINY) as entries:
                try:
                    written(entries)
                except ReadError:
                    pass
                assert entries.ledger.imbalances() == []
        except FileError:
            pass
        finally:
            os.close(command)


# Floods


def conversation(*steps: tuple[int, bytes], mss: int = 1400, port: int = 51022, start_ns: int = NOON) -> list[Packet]:
    wire = Wire(ports=(port, 80), start_ns=start_ns)
    return wire.packets(segments(Transcript("", "tcp", "", steps).steps, mss))  # type: ignore[arg-type]


ASKED = c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def peak(call: Callable[[], None]) -> int:
    """Most bytes allocated at once while it ran."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_decompression_bomb_ends_at_its_limit(coding: str) -> None:
    import brotli

    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports import zstd

    zeros = bytes(32 * MIB)
    pack = {"gzip": gzip.compress, "deflate": deflated, "br": brotli.compress, "zstd": zstd.compress}[coding]
    bomb = pack(zeros)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    packets = conversation(ASKED, s(head + bomb))
    limits = dataclasses.replace(DEFAULT, decoded_bytes=MIB, body_bytes=128 * KIB)

    def once() -> None:
        (entry,) = run(packets, limits, every=100)[0]
        record = entry.to_dict(1000)["response"]["body"]
        assert record["truncated"] and record["size"] <= 2 * MIB
        assert len(entry.response.body.content) <= 128 * KIB

    assert peak(once) < 8 * MIB


def endless(head: bytes, more: bytes, size: int) -> Iterator[Packet]:
    """An answer that goes on and on; the packets are made one by one."""
    wire, at = PLAIN, 0
    yield from wire.packets(segments([ASKED], fin=False))
    piece = more * (1400 // len(more))
    for number, data in enumerate(itertools.chain([head], itertools.repeat(piece, size // len(piece)))):
        frame = wire.frame(Sent(SERVER, at, data, PSH | ACK, len(ASKED[1])))
        at += len(data)
        yield Packet(frame, NOON + (number + 9) * 1000, len(frame))


TWO_GIB = b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (TWO_GIB, b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x", mtime=0), bytes(7)),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"5;", b"a=b;"),
        (CHUNKED + b"0\r\n", b"Trailer: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=lambda value: value[-24:].decode("latin-1").encode("unicode_escape").decode() or "nothing",
)
def test_an_answer_without_end_takes_bounded_memory(head: bytes, more: bytes) -> None:
    sniffer = Sniffer(limits=TINY)
    for packet in itertools.islice(endless(head, more, MIB), 20):
        sniffer.feed([packet])

    def rest() -> None:
        for packet in itertools.islice(endless(head, more, MIB), 20, None):
            sniffer.feed([packet])

    assert memory(rest) < 128 * KIB
    sniffer.close()
    assert sniffer.ledger.imbalances() == []


def alive() -> int:
    gc.collect()
    return sum(isinstance(one, Conversation) for one in gc.get_objects())


def handshake(port: int, at: int) -> Packet:
    frame = ethernet_tcp(f"10.{port >> 16 & 255}.7.7", "10.0.0.9", port & 0xFFFF, 80, seq=port, flags=SYN)
    return Packet(frame, at, len(frame))


@pytest.mark.parametrize("step", [0, 1_000, -1_000])
def test_a_flood_of_half_open_connections(step: int) -> None:
    """Whether the clock goes on, stands still or runs backwards."""
    limits = dataclasses.replace(TINY, half_open=500)
    sniffer = Sniffer(limits=limits)
    sniffer.feed(handshake(number, NOON) for number in range(1000))

    def flood() -> None:
        sniffer.feed(handshake(number, NOON + number * step) for number in range(1000, 20_000))

    assert memory(flood) < 192 * KIB
    ledger = sniffer.ledger
    assert (ledger.half_open, ledger.half_open_evicted, ledger.half_open_waiting) == (20_000, 19_500, 500)
    assert ledger.imbalances() == []


def short(number: int, at: int, whole: bool) -> list[Packet]:
    """A connection with one call: all of it, or until the answer would come."""
    steps = [ASKED, s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")] if whole else [ASKED]
    return Wire(ports=(1024 + number, 80), start_ns=at, step_ns=0).packets(segments(steps, fin=whole))


@pytest.mark.parametrize("step", [0, 1_000, 100_000_000, -1_000])
@pytest.mark.parametrize("whole", [True, False], ids=["finished", "idle"])
def test_a_flood_of_connections(whole: bool, step: int) -> None:
    limits = dataclasses.replace(TINY, conversations=50, closed=50)
    sniffer = Sniffer(limits=limits)
    known = alive()
    sizes = []
    for number in range(3_000):
        sniffer.feed(short(number, NOON + number * step, whole))
        if number % 1000 == 999:
            assert sniffer.ledger.imbalances() == []
            sizes.append(alive() - known)
    assert sniffer.ledger.conversations_open <= 50
    # Those that are open, those that ended a moment ago, and a few whose deadline is still to come.
    assert max(sizes) <= 400, sizes
    sniffer.close()
    assert sniffer.ledger.imbalances() == []


def test_a_flood_of_udp_flows() -> None:
    limits = dataclasses.replace(TINY, conversations=50)
    sniffer = Sniffer(limits=limits)
    known = alive()
    for number in range(3_000):
        frame = ethernet_udp("10.0.0.7", "10.0.0.9", 1024 + number, 53, dns(number, b"a.example"))
        sniffer.feed([Packet(frame, NOON, len(frame))])
    ledger = sniffer.ledger
    assert (ledger.conversations_open, ledger.ended) == (50, {"evicted": 2_950})
    assert ledger.imbalances() == []
    assert alive() - known <= 400


def test_a_hundred_thousand_pipelined_requests() -> None:
    requests = ASKED[1] * 100_000
    entries, ledger = run(conversation(c(requests)), every=500)
    assert (ledger.requests, ledger.unanswered, len(entries)) == (100_000, 100_000, 100_000)
    assert ledger.entry_bytes == len(requests)


def test_redis_arrays_in_arrays() -> None:
    entries, ledger = run(conversation(c(b"*1\r\n$4\r\nPING\r\n"), s(b"*1\r\n" * 50_000)), every=20)
    assert written(entries) == 2
    assert sum(ledger.undecoded.values()) + ledger.unrecognised_bytes + ledger.skipped_bytes > 190_000


@pytest.mark.parametrize(
    "name",
    [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\x01a\xc0\x0c", b"\xc0\xff", b"\xc0", b"\x3f" + b"a" * 63 + b"\xc0\x0c"],
    ids=lambda name: name[:4].hex(),
)
def test_dns_names_that_point_at_themselves(name: bytes) -> None:
    loop = ASK[:12] + name + b"\0\x01\0\x01"
    entries, _ = run(datagrams([c(ASK), s(loop), s(ANSWER), c(loop)]))
    assert [line for entry in entries for line in complaints(entry.to_dict())] == []


def test_many_compressed_names_take_few_steps() -> None:
    """Each name is a chain of pointers to the one before: 16 KiB would make millions of hops."""

    def answer(count: int) -> bytes:
        head = ASK[:4] + b"\0\1" + count.to_bytes(2, "big") + bytes(4)
        chain = b"\x01a" * 60 + b"\0" + b"\0\1\0\1"
        for number in range(count):
            before = 12 if number == 0 else 12 + len(b"\x01a" * 60) + 5 + (number - 1) * 12
            chain += (0xC000 | before).to_bytes(2, "big") + b"\0\1\0\1" + bytes(4) + b"\0\0"
        return head[:2] + b"\x81\x80" + head[4:] + chain

    steps = [calls(lambda: written(run(datagrams([c(ASK), s(answer(count))]))[0])) for count in (250, 1000)]  # noqa: B023
    assert steps[1] < 6 * steps[0]


# Segments


def test_tiny_segments_out_of_order_take_few_steps() -> None:
    body = b"x" * 8000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    asked = len(ASKED[1])

    def backwards(count: int) -> list[Packet]:
        sent = segments([ASKED], fin=False)
        sent.append(Sent(SERVER, 0, head, PSH | ACK, asked))
        sent += [Sent(SERVER, len(head) + at, b"x", PSH | ACK, asked) for at in range(count, 0, -1)]
        return PLAIN.packets(sent)

    limits = dataclasses.replace(DEFAULT, held_segments=10_000)
    steps = []
    for count in (300, 1200):
        packets = backwards(count)
        steps.append(calls(lambda: run(packets, limits, every=1000)))  # noqa: B023
    assert steps[1] < 6 * steps[0]


def test_a_repetition_with_other_bytes_is_flagged() -> None:
    sent = segments([ASKED, s(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")])
    index = max(index for index, one in enumerate(sent) if one.data and one.side is SERVER)
    end = sent[index].at + len(sent[index].data)
    sent.insert(index, Sent(SERVER, end - 4, b"evil", PSH | ACK, len(ASKED[1])))
    (entry,), ledger = run(PLAIN.packets(sent))
    assert entry.response.body.raw == b"evil"  # the first one stands
    assert [fault.kind for fault in entry.faults] == ["overlap"]
    assert ledger.conflicts == 1


@pytest.mark.parametrize("jump", [74 * 365 * 86_400 * SECOND, -NOON, -3600 * SECOND, 10**20])
def test_the_clock_jumps(jump: int) -> None:
    """The way there is not made in steps of a second, and what comes later is still understood."""
    one, two = conversation(ASKED), conversation(ASKED, s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), port=4)
    there = [packet._replace(time_ns=packet.time_ns + jump) for packet in two]
    three = conversation(ASKED, s(b"HTTP/1.1 204 OK\r\n\r\n"), port=5)
    entries: list[Entry] = []

    def through() -> None:
        entries.extend(run([*one, *there, *three])[0])

    assert calls(through) < 60_000
    assert {entry.status for entry in entries if entry.response} == {"200", "204"}
    assert written(entries) >= 3


# Every bound


def lost(pieces: list[tuple[int, bytes]]) -> list[Packet]:
    """The server's half: a beginning of an answer, and pieces of it at these offsets."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"
    sent = [*segments([ASKED], fin=False), Sent(SERVER, 0, head, PSH | ACK, len(ASKED[1]))]
    sent += [Sent(SERVER, len(head) + at, data, PSH | ACK, len(ASKED[1])) for at, data in pieces]
    return PLAIN.packets(sent)


def later(packets: list[Packet], seconds: float) -> list[Packet]:
    """And a packet of somebody else, later."""
    return [*packets, Packet(b"", packets[-1].time_ns + int(seconds * SECOND), 0)]


def answer(head: bytes, body: bytes = b"") -> list[Packet]:
    return conversation(ASKED, s(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body))


def fragments(count: int) -> list[Packet]:
    frames = [ethernet(ipv4(bytes(8 * KIB // 8), 17, ident=number, more=True)) for number in range(count)]
    return [Packet(frame, NOON + number, len(frame)) for number, frame in enumerate(frames)]


def nested(count: int) -> list[Packet]:
    inner = udp(b"x", 9)
    for _ in range(count):
        inner = extension(inner, 17 if _ == 0 else 60)
    frame = ethernet(ipv6(inner, 60), 0x86DD)
    return [Packet(frame, NOON, len(frame))]


def named(addresses: int, names: int) -> list[Packet]:
    """Answers of DNS that give each address so many names, one after the other."""
    told = itertools.product(range(names), range(addresses))
    records = [
        (b"name-%d.test" % name, struct.pack("!HHIH4B", 1, 1, 60, 4, 10, 0, 1, address)) for name, address in told
    ]
    answers = [dns(7, name, 1, 0x8180, (record,)) for name, record in records]
    return [packet for answer in answers for packet in datagrams([s(answer)])]


def unheard(pause: int = 0) -> list[Packet]:
    """A client of TLS says what only the answer to its hello explains; `pause`: so many seconds within that."""
    sealed = record(23, bytes(6000))
    hello = record(22, client_hello(bytes(32))) + record(20, b"\1") + sealed
    packets = conversation(c(hello), c(sealed), s(record(22, server_hello(bytes(32), TLS13_CHOSEN)) + sealed))
    half = packets[len(packets) // 2].time_ns
    return [packet._replace(time_ns=packet.time_ns + (packet.time_ns > half) * pause * SECOND) for packet in packets]


def kinds(entries: list[Entry]) -> set[str]:
    return {fault.kind for entry in entries for fault in entry.faults}


def words(entries: list[Entry]) -> set[str]:
    return {fault.message for entry in entries for fault in entry.faults}


ZEROS = gzip.compress(bytes(500_000), mtime=0)
Counted = Callable[[list[Entry], Ledger], object]
# For each bound: packets that reach it, and where one sees that.
BOUNDS: dict[str, tuple[Callable[[], list[Packet]], Counted]] = {
    "head_bytes": (lambda: answer(b"A: " + b"b" * 400 + b"\r\nC: " + b"d" * 2000), lambda _, ledger: ledger.undecoded),
    "line_bytes": (
        lambda: answer(b"Transfer-Encoding: chunked", b"5;" + b"x" * 600 + b"\r\nhello\r\n0\r\n\r\n"),
        lambda entries, _: "malformed" in kinds(entries),
    ),
    "body_bytes": (
        lambda: answer(b"Content-Length: 9000", b"x" * 9000),
        lambda entries, _: entries[0].to_dict()["response"]["body"]["truncated"],
    ),
    "decoded_bytes": (
        lambda: answer(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(ZEROS), ZEROS),
        lambda entries, _: entries[0].to_dict()["response"]["body"]["truncated"],
    ),
    "pipeline": (lambda: conversation(c(ASKED[1] * 20)), lambda _, ledger: ledger.unanswered == 20),
    "waiting_bytes": (
        lambda: conversation(
            c((b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000) * 2),
            s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 2),
        ),
        lambda _, ledger: ledger.unrequested == 1,
    ),
    "detect_bytes": (lambda: conversation(c(b"?" * 600)), lambda _, ledger: ledger.unrecognised == 1),
    "detect_chunks": (
        lambda: conversation(*[c(b"?")] * 30)[3:],
        lambda _, ledger: ledger.unrecognised == 1 and ledger.skipped_bytes,
    ),
    "held_bytes": (lambda: lost([(9, b"x" * 9000)]), lambda _, ledger: ledger.gap_bytes == 9),
    "held_segments": (
        lambda: lost([(9 + 2 * at, b"x") for at in range(20)]),
        lambda _, ledger: ledger.gap_bytes == 9 + 19,
    ),
    "held_total": (
        lambda: [packet for port in range(4) for packet in moved(lost([(9, b"x" * 6000)]), port)],
        lambda _, ledger: ledger.gap_bytes == 4 * 9,
    ),
    "hole_wait": (
        lambda: later(lost([(9, b"x")]), 10),
        lambda entries, ledger: ledger.gap_bytes == 9 and "gap" in kinds(entries),
    ),
    "hole_wait_acked": (
        lambda: later([*lost([(9, b"x")]), *acknowledged(60)], 0.3),
        lambda entries, ledger: ledger.gap_bytes == 9 and "gap" in kinds(entries),
    ),
    "fragments": (lambda: fragments(9), lambda _, ledger: ledger.fragments_evicted == 5),
    "fragment_bytes": (lambda: fragments(9), lambda _, ledger: ledger.fragments_evicted),
    "fragment_wait": (
        lambda: [*fragments(1), *[one._replace(time_ns=NOON + 40 * SECOND) for one in fragments(2)]],
        lambda _, ledger: ledger.fragments_expired == 1,
    ),
    "copies": (
        lambda: [
            packet._replace(interface="veth") for packet in datagrams([c(ASK[:-1] + bytes([n])) for n in range(30)])
        ],
        lambda _, ledger: ledger.copies_forgotten == 24,
    ),
    "copy_window": (
        lambda: [
            packet._replace(interface=name, time_ns=NOON + at)
            for at, name in ((0, "veth"), (50_000_000, "eth0"))
            for packet in datagrams([c(ASK)])
        ],
        lambda _, ledger: ledger.udp_copies == 0 and ledger.udp_packets == 2,
    ),
    "layers": (lambda: nested(60), lambda _, ledger: ledger.malformed),
    "conversations": (
        lambda: [packet for number in range(30) for packet in short(number, NOON, False)],
        lambda _, ledger: ledger.ended["evicted"] == 10,
    ),
    "half_open": (
        lambda: [handshake(number, NOON) for number in range(30)],
        lambda _, ledger: ledger.half_open_evicted == 10,
    ),
    "closed": (
        lambda: [packet for number in range(30) for packet in short(number, NOON, True)],
        lambda _, ledger: ledger.ended["finished"] == 30,
    ),
    "linger": (
        lambda: [
            *short(1, NOON, True),
            *[one._replace(time_ns=NOON + 7 * SECOND) for one in short(1, NOON, True)[3:4]],
        ],
        lambda _, ledger: ledger.conversations == 2,
    ),
    "idle": (lambda: later(short(1, NOON, False), 200), lambda _, ledger: ledger.ended == {"idle": 1}),
    "idle_udp": (lambda: later(datagrams([c(ASK)]), 100), lambda _, ledger: ledger.ended == {"idle": 1}),
    "fields_bytes": (
        lambda: conversation(c(H2 + h2(1, 5, 1, MANY[0])), s(h2(4, 0, 0) + h2(1, 5, 1, OK200))),
        lambda entries, _: "truncated" in kinds(entries),
    ),
    "table_bytes": (
        lambda: conversation(c(H2 + h2(1, 5, 1, MANY[0]) + h2(1, 5, 3, MANY[1])), s(h2(4, 0, 0))),
        lambda entries, _: "malformed" in kinds(entries),
    ),
    "streams": (
        lambda: conversation(c(H2 + b"".join(h2(1, 5, 1 + 2 * number, GET7) for number in range(30)))),
        lambda entries, _: sum("more streams" in fault.message for entry in entries for fault in entry.faults) == 26,
    ),
    "resync_bytes": (
        lambda: conversation(c(H2 + h2(1, 5, 1, GET7)), c(b"\xff" * 3000)),
        lambda _, ledger: ledger.undecoded["no frame was found"],
    ),
    "bodies_total": (
        lambda: conversation(
            c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            s(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)),
        ),
        lambda _, ledger: ledger.bodies_cut == 1,
    ),
    "held_open": (
        lambda: conversation(c(ASKED[1] * 300)),
        lambda entries, ledger: ledger.ended["too much held"] and any("given up" in text for text in words(entries)),
    ),
    "names": (lambda: named(30, 1), lambda _, ledger: ledger.names_forgotten == 20),
    "name_versions": (lambda: named(1, 30), lambda _, ledger: ledger.names_forgotten == 27),
    # 11 characters each and 200 bytes beside them: 19 of 30 fit.
    "names_bytes": (lambda: named(30, 1), lambda _, ledger: ledger.names_forgotten == 11),
    # Whose keys nobody knows: what is said before the server is heard waits for it, or is given up.
    "undecrypted_bytes": (lambda: unheard(), lambda _, ledger: ledger.undecoded["encrypted, handshake not seen"]),
    "undecrypted_total": (lambda: unheard(), lambda _, ledger: ledger.undecoded["encrypted, handshake not seen"]),
    "undecrypted_wait": (lambda: unheard(3), lambda _, ledger: ledger.undecoded["encrypted, handshake not seen"]),
    "open_after": (lambda: later(short(1, NOON, False), 3), lambda _, ledger: ledger.open_entries == 1),
}


def twice() -> tuple[bytes, bytes]:
    """Two header blocks of one encoder: many fields, and the same again from its table."""
    fields = [(":method", "GET"), (":path", "/"), *[(f"name-{number}", "v" * 9) for number in range(200)]]
    encoder = Encoder()
    return encoder.encode(fields), encoder.encode(fields[-50:])


MANY: tuple[bytes, bytes] = twice()


def moved(packets: list[Packet], port: int) -> list[Packet]:
    """From another client."""
    address = bytes([10, 0, 1, port])
    mine = bytes([10, 0, 0, 7])
    return [packet._replace(data=packet.data.replace(mine, address, 1)) for packet in packets]


def acknowledged(offset: int) -> list[Packet]:
    frame = PLAIN.frame(Sent(CLIENT, len(ASKED[1]), b"", ACK, offset))
    return [Packet(frame, NOON + 50_000_000, len(frame))]


def test_every_bound_is_in_the_table() -> None:
    assert set(BOUNDS) == {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_counted_where_it_drops_something(name: str) -> None:
    make, counted = BOUNDS[name]
    limits = TINY if name in ("idle", "idle_udp", "open_after", "detect_chunks", "fragments", "pipeline") else DEFAULT
    small = dataclasses.replace(limits, **{name: getattr(TINY, name)})
    entries, ledger = run(make(), small)
    assert counted(entries, ledger), ledger.to_dict()


def test_every_transcript_survives_tiny_limits() -> None:
    for transcript in TRANSCRIPTS:
        udp = transcript.transport == "udp"
        packets = datagrams(transcript.steps) if udp else PLAIN.packets(segments(transcript.steps, 30))
        written(run(packets, dataclasses.replace(TINY, head_bytes=40, line_bytes=8, body_bytes=4, detect_bytes=20))[0])
