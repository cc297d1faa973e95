"""What addresses are called in entries: by answers of DNS, by files, by captures; and never otherwise later."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest
from names_talk import CART, GET, OK, SHOP, answer, at, call, entries, some_traffic
from packets import ethernet, ethernet_udp, udp
from transcripts import a_record, dns, framed
from wire import MILLISECOND, Wire

import pysniff
from pysniff.entry import Entry
from pysniff.errors import FileError
from pysniff.hosts import Hosts
from pysniff.limits import SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.names import Learnt, Lesson, Names, is_nameable
from pysniff.packet import Block
from pysniff.sniffer import Sniffer


def servers(found: list[Entry]) -> list[str]:
    """What the servers of the calls are called."""
    return [entry.dst.name for entry in found if entry.protocol == "http"]


def test_an_answer_of_dns_names_the_address_from_then_on() -> None:
    packets = [*call(0, 50_001), answer(100, b"Shop.Example", SHOP), *call(200, 50_002)]
    found = entries(packets)
    assert servers(found) == ["", "shop.example"]
    shown = [entry.to_dict()["dst"] for entry in found if entry.protocol == "http"]
    assert shown == [{"ip": "10.0.0.2", "port": 80, "name": name} for name in ("", "shop.example")]
    assert {entry.src.name for entry in found} == {""}


def test_a_conversation_keeps_the_name_that_was_newest_when_it_began() -> None:
    wire = Wire("10.0.0.1", "10.0.0.2", 50_001, now=SECOND + 100 * MILLISECOND)
    packets = [answer(0, b"shop.example", SHOP), *wire.handshake(), wire.send(CLIENT, GET), wire.send(SERVER, OK)]
    packets += [answer(200, b"cart.example", SHOP), *call(300, 50_002)]
    wire.now = SECOND + 400 * MILLISECOND
    packets += [wire.send(CLIENT, GET), wire.send(SERVER, OK)]
    assert servers(entries(packets)) == ["shop.example", "cart.example", "shop.example"]


def test_a_conversation_that_nobody_could_name_has_the_first_name_that_comes() -> None:
    wire = Wire("10.0.0.1", "10.0.0.2", 50_001)
    sniffer = Sniffer()
    before = sniffer.feed([*wire.handshake(), wire.send(CLIENT, GET), wire.send(SERVER, OK)])
    sniffer.feed([answer(100, b"shop.example", SHOP), answer(101, b"cart.example", SHOP)])
    wire.now = SECOND + 200 * MILLISECOND
    after = sniffer.feed([wire.send(CLIENT, GET), wire.send(SERVER, OK)])
    assert servers(after) == ["shop.example"]
    assert servers(before) == [""], "an entry never changes"
    assert before[0].to_dict()["dst"]["name"] == ""


def test_clients_have_names_too_and_either_end_may_speak_first() -> None:
    packets = [answer(0, b"shop.example", SHOP, bytes([10, 0, 0, 1]))]
    wire = Wire("10.0.0.1", "10.0.0.2", 50_001, now=2 * SECOND)
    packets += [wire.send(SERVER, OK), wire.send(CLIENT, GET), wire.send(SERVER, OK)]
    ends = [(entry.src, entry.dst) for entry in entries(packets) if entry.protocol == "http"]
    assert {(src.port, src.name) for src, _ in ends} == {(50_001, "shop.example")}
    assert {(dst.port, dst.name) for _, dst in ends} == {(80, "shop.example")}


def test_the_name_is_the_one_that_was_asked_for_whatever_aliases_stand_between() -> None:
    alias = b"\x03cdn\x03net\0"
    records = (
        struct.pack("!HHIH", 5, 1, 60, len(alias)) + alias,
        struct.pack("!HHIH", 1, 1, 60, 4) + SHOP,
    )
    message = dns(7, b"www.shop.example", 1, 0x8180, records)
    place = message.index(alias)
    cut = message.rindex(b"\xc0\x0c")  # the address belongs to the alias
    message = message[:cut] + (0xC000 | place).to_bytes(2, "big") + message[cut + 2 :]
    packets = [at(0, ethernet_udp("10.9.9.9", "10.0.0.1", 53, 40_000, message)), *call(100, 50_001)]
    assert servers(entries(packets)) == ["www.shop.example"]


def test_names_come_over_tcp_and_for_ipv6_too() -> None:
    wire = Wire("10.0.0.1", "10.9.9.9", 40_000, 53)
    six = bytes.fromhex("fd00000000000000000000000000000a")
    aaaa = struct.pack("!HHIH", 28, 1, 60, 16) + six
    told = framed(dns(7, b"shop.example", 28, 0x8180, (aaaa,)))
    packets = [*wire.handshake(), wire.send(CLIENT, framed(dns(7, b"shop.example", 28)))]
    packets += [wire.send(SERVER, told[:20]), wire.send(SERVER, told[20:])]
    packets += call(500, 50_001, "10.0.0.2")
    ask = ethernet(udp("fd00::1", "fd00::a", 50_002, 53, dns(9, b"a.example")))
    assert entries([*packets, at(600, ask)])[-1].dst == pysniff.Endpoint("fd00::a", 53, "shop.example")


@pytest.mark.parametrize("flags", [0x0100, 0x8183, 0xA180], ids=["a query", "NXDOMAIN", "another operation"])
def test_only_an_answer_names(flags: int) -> None:
    assert servers(entries([answer(0, b"shop.example", SHOP, flags=flags), *call(100, 50_001)])) == [""]


def test_what_is_no_machine_of_others_is_never_named() -> None:
    """Filters answer with such addresses for what they block."""
    for text in ("00000000", "7f000001", "e00000fb", "ffffffff", "00" * 16, "00" * 15 + "01", "ff02" + "00" * 14, ""):
        assert not is_nameable(bytes.fromhex(text)), text
    sniffer = Sniffer()
    sniffer.feed([answer(0, b"ads.example", bytes([127, 0, 0, 1]), bytes(4), SHOP)])
    assert [lesson.address for lesson in sniffer.names] == [SHOP]


@pytest.mark.parametrize("seed", range(6))
def test_names_do_not_depend_on_how_packets_are_batched_or_when_entries_are_looked_at(seed: int) -> None:
    packets = some_traffic(seed)
    sniffer, at_once = Sniffer(), []
    for packet in packets:
        at_once += [entry.to_dict() for entry in sniffer.feed([packet])]
    at_once += [entry.to_dict() for entry in sniffer.close()]
    later = entries(packets)
    assert [entry.to_dict() for entry in later] == at_once
    assert len({str(entry["dst"]) for entry in at_once}) > 6
    random, sniffer, blocks = Random(seed), Sniffer(), []
    rest = list(packets)
    while rest:
        size = random.randrange(1, 9)
        some, rest = rest[:size], rest[size:]
        data = b"".join(packet.data for packet in some)
        records, place = [], 0
        for packet in some:
            records.append((packet.time_ns, place, place + len(packet.data), packet.wire_length))
            place += len(packet.data)
        blocks += sniffer.feed_block(Block(data + bytes(Block.PADDING), records, some[0].linktype, ""))
    assert [entry.to_dict() for entry in blocks + sniffer.close()] == at_once


# Sources and what comes first


class Known:
    """A source that says one name for everything, from a time on."""

    def __init__(self, name: str, since: int = 0) -> None:
        self.name = name
        self.since = since

    def name_at(self, address: bytes, time_ns: int) -> str:
        return self.name if time_ns >= self.since else ""


def test_sources_are_asked_in_their_order_and_dns_comes_last() -> None:
    packets = [answer(0, b"shop.example", SHOP), *call(100, 50_001), *call(300, 50_002), *call(500, 50_003, "10.0.0.3")]
    names = Names(Hosts.parse("10.0.0.3 filed"), Known("pod", SECOND + 200 * MILLISECOND))
    found = [entry for entry in entries(packets, names=names) if entry.protocol == "http"]
    assert servers(found) == ["shop.example", "pod", "filed"]
    assert [entry.resolved for entry in found] == [("", "shop.example"), ("", "shop.example"), ("", "")]


def test_nothing_is_learnt_where_nobody_wants_it() -> None:
    packets = [answer(0, b"shop.example", SHOP), *call(100, 50_001)]
    assert servers(entries(packets, names=Names(dns=False))) == [""]


def test_filters_see_names() -> None:
    names = Names(Hosts.parse("10.0.0.2 front"))
    found = entries([answer(0, b"shop.example", SHOP), *call(9, 50_001)], names=names)
    for text in (
        'dst.name == "front"', 'dst.dns == "shop.example" && src.dns == ""', 'dns_resolutions == ["shop.example"]'
    ):  # fmt: skip
        assert servers([one for one in found if pysniff.compile(text).matches(one)]) == ["front"], text


# Bounds


def test_a_flood_of_names_is_bounded_and_counted() -> None:
    learnt = Learnt(limits=Limits(names=100, name_versions=3))
    for number in range(1000):
        learnt.learn(bytes([10, 0, number >> 8, number & 255]), f"n{number}", number)
    assert len(learnt) == 100 and learnt.forgotten == 900
    for number in range(10):
        learnt.learn(SHOP, f"shop{number}", number)
    assert [one.name for one in learnt if one.address == SHOP] == ["shop7", "shop8", "shop9"]
    assert learnt.name_at(SHOP, 8) == "shop8" and learnt.name_at(SHOP, 6) == ""


def test_long_names_are_bounded_in_bytes() -> None:
    learnt = Learnt(limits=Limits(names_bytes=100_000))
    for number in range(1000):
        learnt.learn(bytes([10, 0, number >> 8, number & 255]), "n" * 200 + str(number), 0)
    assert 200 < len(learnt) < 500
    assert not learnt.learn(SHOP, "n" * 256, 0) and not learnt.learn(SHOP, "", 0)


def test_what_was_forgotten_stays_in_the_entries_that_have_it() -> None:
    sniffer = Sniffer(limits=Limits(names=2))
    found = sniffer.feed([answer(0, b"shop.example", SHOP), *call(100, 50_001)])
    sniffer.feed([answer(200 + n, b"x.example", bytes([10, 7, 0, n])) for n in range(9)])
    assert servers(found) == ["shop.example"]
    assert sniffer.ledger.names_forgotten == 8
    assert servers(sniffer.feed(call(300, 50_002))) == [""]


def test_an_answer_with_thousands_of_addresses_and_odd_names_is_taken() -> None:
    records = tuple(a_record(bytes([10, 8, n >> 8, n & 255])) for n in range(3000))
    message = dns(7, b"sh\x1b[31mop.example", 1, 0x8180, records)
    wire = Wire("10.0.0.1", "10.9.9.9", 40_000, 53)
    sniffer = Sniffer()
    data = framed(message)
    sniffer.feed([*wire.handshake(), wire.send(CLIENT, framed(dns(7, b"a.example")))])
    sniffer.feed([wire.send(SERVER, data[begin : begin + 1400]) for begin in range(0, len(data), 1400)])
    assert len(sniffer.names) == 3000
    assert next(iter(sniffer.names)).name.isprintable()


def test_the_table_goes_from_one_to_another() -> None:
    one, other = Learnt(), Learnt()
    for number, name in enumerate(("a", "b", "a")):
        one.learn(SHOP, name, number)
    one.learn(CART, "c", 9)
    for lesson in one:
        other.learn(lesson.address, lesson.name, lesson.time_ns)
    assert list(other) == list(one) and Lesson(9, CART, "c") in list(one)


# Files


HOSTS = (
    "# shops\n127.0.0.1 localhost\n10.0.0.7\tshop cart # both\n10.1.0.0/16 batch\n10.1.2.0/24 nightly\nfd00::7 six\n"
)
YAML = "10.0.0.7: shop\n10.1.0.0/16: batch\n'10.1.2.0/24': nightly\nfd00::7: six\n127.0.0.1: localhost\n"


@pytest.mark.parametrize("text", [HOSTS, YAML, "﻿" + HOSTS.replace("\n", "\r\n")], ids=["hosts", "yaml", "windows"])
def test_files_name_addresses_and_networks_the_longest_prefix_first(text: str, tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text(text)
    hosts = Hosts.read(path)
    for address, name in (
        ("0a000007", "shop"), ("0a010001", "batch"), ("0a010203", "nightly"), ("0a020001", ""),
        ("7f000001", "localhost"), ("fd000000000000000000000000000007", "six"), ("0000" * 7 + "0007", ""),
    ):  # fmt: skip
        assert hosts.name_at(bytes.fromhex(address), 0) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.7 shop\n10.0.0.300 cart\n", "names:2: '10.0.0.300' is no address"),
        ("10.0.0.7 shop\n\n10.0.0.8\n", "names:3: '' is no name"),
        ("10.0.0.7: shop\nshop: 10.0.0.7\n", "names:2: 'shop' is no address"),
        ("10.0.0.7: [a, b]\n", "names:1: not an address and its name"),
        ("10.0.0.7: a\n  b: {\n", "names:2: "),
        ("shop 10.0.0.7\n", "names:1: 'shop' is no address"),
        ("- a\n- b\n", "names:1: neither lines of names nor a mapping"),
        ("10.0.0.7 sh\x1bop\n", "names:1: 'sh\\x1bop' is no name"),
        ("10.0.0.7 " + "n" * 256, "names:1: "),
        ("a: " + "[" * 20_000, "names"),
        ("%", "names:1"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(FileError) as caught:
        Hosts.parse(text)
    assert str(caught.value).startswith(words), str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "binary", b"10.0.0.7 shop\n\xff\xfe"), (tmp_path / "large", b"#" * (17 << 20))):
        path.write_bytes(content)
        with pytest.raises(FileError):
            Hosts.read(path)
    with pytest.raises(FileError):
        Hosts.read(tmp_path / "missing")
    assert len(Hosts.parse("")) == 0


# Captures


def name_resolution(*records: tuple[bytes, bytes]) -> bytes:
    body = b""
    for address, names in records:
        value = address + names
        body += struct.pack("<HH", 1 if len(address) == 4 else 2, len(value)) + value + bytes(-len(value) % 4)
    body += bytes(4)
    total = len(body) + 12
    return struct.pack("<II", 4, total) + body + struct.pack("<I", total)


def test_name_resolution_blocks_of_a_capture_name_what_comes_after_them(tmp_path: Path) -> None:
    from pysniff.capture.writer import Writer

    path = tmp_path / "calls.pcapng"
    for number, packets in enumerate((call(0, 50_001), call(500, 50_002))):
        with Writer(str(tmp_path / f"{number}.pcapng")) as writer:
            for packet in packets:
                writer.write(Block.of(packet))
    first, second = ((tmp_path / f"{number}.pcapng").read_bytes() for number in (0, 1))
    path.write_bytes(first + name_resolution((SHOP, b"shop\0alias\0"), (CART, b"")) + second)
    with pysniff.read(path) as found:
        assert servers(list(found)) == ["", "shop"]
    with pysniff.read(path, names=Names(captures=False)) as found:
        assert servers(list(found)) == ["", ""]
    (tmp_path / "hosts").write_text("10.0.0.2 filed\n")
    with pysniff.read(path, names=tmp_path / "hosts") as found:
        assert servers(list(found)) == ["filed", "filed"]


def test_damaged_name_resolution_blocks_name_nothing(tmp_path: Path) -> None:
    from pysniff.capture.pcapng import PcapngParser
    from pysniff.capture.writer import Writer

    path = tmp_path / "one.pcapng"
    with Writer(str(path)) as writer:
        for packet in call(0, 50_001):
            writer.write(Block.of(packet))
    good = name_resolution((SHOP, b"shop\0"), (bytes(16), b"six\0"))
    random = Random(1)
    for _ in range(300):
        body = bytearray(good[8:-4])
        for _ in range(random.randrange(1, 5)):
            body[random.randrange(len(body))] = random.randrange(256)
        parser = PcapngParser()
        assert sum(len(block) for block in parser.feed(path.read_bytes() + good[:8] + body + good[-4:]))
        assert all(len(address) in (4, 16) for address, _ in parser.names)
