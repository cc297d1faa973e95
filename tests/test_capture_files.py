"""Reading captures: every format and order, cut anywhere, damaged anyhow."""

from __future__ import annotations

import csv
import gzip
import os
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import (
    ethernet_tcp,
    ng_block,
    ng_interface,
    ng_option,
    ng_packet,
    ng_section,
    pcap,
    pcap_header,
    pcap_record,
)

from pysniff.capture import Idle
from pysniff.capture import pcapng as pcapng_module
from pysniff.capture.files import merge, open_capture
from pysniff.capture.pcap import PcapParser
from pysniff.capture.pcapng import PcapngParser
from pysniff.errors import FileError, PysniffError, ReadError
from pysniff.packet import Block, Packet

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
FRAMES = [ethernet_tcp(payload=b"x" * size, seq=size) for size in (0, 1, 5, 300, 1460)]
TIMED = [(START + number * 1_000_000, frame) for number, frame in enumerate(FRAMES)]


def ng(order: str = "<") -> bytes:
    packets = (ng_packet(frame, time // 1000, order=order) for time, frame in TIMED)
    return ng_section(order=order) + ng_interface(order=order) + b"".join(packets)


def parsed(data: bytes, *cuts: int) -> tuple[list[Packet], str]:
    """The packets, and the error that ended them, of bytes fed in pieces."""
    parser = PcapngParser() if data[:4] == pcapng_module.MAGIC else PcapParser()
    found: list[Packet] = []
    try:
        for start, end in zip((0, *sorted(cuts)), (*sorted(cuts), len(data)), strict=True):
            for block in parser.feed(data[start:end]):
                assert len(block.data) >= block.records[-1][2] + Block.PADDING
                found += block.packets()
        parser.end()
    except PysniffError as error:
        return found, str(error)
    return found, ""


def read(path: Path) -> tuple[list[Packet], str]:
    found: list[Packet] = []
    try:
        with open_capture(path) as capture:
            for block in capture:
                assert isinstance(block, Block)
                found += block.packets()
    except PysniffError as error:
        return found, f"{type(error).__name__} {error}"
    return found, ""


def seen(packets: list[Packet]) -> list[tuple[int, bytes]]:
    return [(packet.time_ns, packet.data) for packet in packets]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_reads_in_both_orders_and_units(order: str, nano: bool) -> None:
    packets, error = parsed(pcap(TIMED, order=order, nano=nano))
    assert (seen(packets), error) == (TIMED, "")


def test_nanoseconds_survive() -> None:
    timed = [(START + 123_456_789, FRAMES[0])]
    assert seen(parsed(pcap(timed, nano=True))[0]) == timed


def test_upper_bits_of_the_link_type_are_about_the_frame_check_sequence() -> None:
    assert parsed(pcap(TIMED, linktype=0x44000001))[0][0].linktype == 1


def test_kuznetzov_pcap_has_longer_record_headers() -> None:
    header = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    record = pcap_record(FRAMES[3], START)
    packets, error = parsed(header + record[:16] + bytes(8) + record[16:])
    assert (seen(packets), error) == ([(START, FRAMES[3])], "")


def test_lengths_of_old_pcap_stand_the_other_way_round() -> None:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 2, 0, 0, 96, 1)
    packets, _ = parsed(header + struct.pack("<IIII", 1, 0, 1500, 96) + bytes(96))
    assert (len(packets[0].data), packets[0].wire_length) == (96, 1500)


def test_wire_length_is_never_below_the_captured_one() -> None:
    packets, _ = parsed(pcap_header() + pcap_record(FRAMES[3], wire=10))
    assert packets[0].wire_length == len(FRAMES[3])


@given(data=st.sampled_from([pcap(TIMED), ng(), ng(">")]), cuts=st.lists(st.integers(0, 2300), max_size=8))
def test_pieces_read_as_the_whole(data: bytes, cuts: list[int]) -> None:
    assert parsed(data, *(min(cut, len(data)) for cut in cuts)) == parsed(data)


@pytest.mark.parametrize("data", [pcap(TIMED), ng()])
def test_a_cut_file_yields_what_is_whole_and_says_that_it_is_cut(data: bytes) -> None:
    for end in range(len(data)):
        packets, error = parsed(data[:end])
        assert seen(packets) == TIMED[: len(packets)]
        # Exactly between two records nobody can tell.
        assert error or seen(parsed(data[:end] + b"\0")[0]) == seen(packets)
    assert "cut short" in parsed(data[:-1])[1]
    assert len(parsed(data[:-1])[0]) == len(TIMED) - 1


def test_a_corrupt_length_ends_the_reading_after_what_was_good() -> None:
    packets, error = parsed(pcap(TIMED) + struct.pack("<IIII", 1, 1, 0x7FFFFFFF, 9) + bytes(100))
    assert seen(packets) == TIMED
    assert "damaged" in error


@settings(deadline=None)
@given(
    data=st.sampled_from([pcap(TIMED), ng()]),
    flips=st.lists(st.tuples(st.integers(0, 2200), st.integers(0, 255)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 2200), max_size=3),
)
def test_damage_raises_nothing_but_ours_however_it_is_cut(
    data: bytes, flips: list[tuple[int, int]], cuts: list[int]
) -> None:
    damaged = bytearray(data)
    for at, value in flips:
        damaged[at % len(damaged)] = value
    assert parsed(bytes(damaged), *(min(cut, len(data)) for cut in cuts)) == parsed(bytes(damaged))


@given(st.binary(max_size=400))
def test_noise_behind_a_header_raises_nothing_but_ours(noise: bytes) -> None:
    for header in (pcap_header(), ng_section() + ng_interface(), ng_section(), b"\x0a\x0d\x0d\x0a"):
        for packet in parsed(header + noise)[0]:
            assert 0 <= packet.time_ns < 1 << 63
            assert packet.wire_length >= len(packet.data)


@pytest.mark.parametrize(
    ("resolution", "ticks", "nanoseconds"),
    [
        (None, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (b"\x09", 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (b"\x03", 1_700_000_000_123, 1_700_000_000_123_000_000),
        (b"\x0c", 1_700_000_123_456_789_012, 1_700_000_123_456_789),
        (b"\x8a", 1_700_000_000 * 1024 + 512, 1_700_000_000_500_000_000),
        (b"\x00", 1 << 63, (1 << 63) - 1),
    ],
)
def test_pcapng_times_become_nanoseconds(resolution: bytes | None, ticks: int, nanoseconds: int) -> None:
    options = ng_option(9, resolution) if resolution else b""
    packets, error = parsed(ng_section() + ng_interface(1, options) + ng_packet(FRAMES[0], ticks))
    assert ([packet.time_ns for packet in packets], error) == ([nanoseconds], "")


@pytest.mark.parametrize("offset", [3600, -3600])
def test_time_offset_is_in_seconds(offset: int) -> None:
    options = ng_option(14, struct.pack("<q", offset))
    packets, _ = parsed(ng_section() + ng_interface(1, options) + ng_packet(FRAMES[0], 1_700_000_000_000_000))
    assert packets[0].time_ns == START + offset * SECOND


def test_a_block_ends_where_the_interface_changes() -> None:
    data = ng_section() + ng_interface(1, ng_option(2, b"eth0")) + ng_interface(101)
    data += b"".join(ng_packet(b"abcd", number, interface) for number, interface in enumerate((0, 0, 1, 1, 0)))
    blocks = list(PcapngParser().feed(data))
    assert [(len(block), block.linktype, block.interface) for block in blocks] == [
        (2, 1, "eth0"),
        (2, 101, "1"),
        (1, 1, "eth0"),
    ]


def test_a_new_section_forgets_interfaces_and_may_change_the_byte_order() -> None:
    first = ng_section() + ng_interface(1) + ng_packet(b"one", 1)
    second = ng_section(order=">") + ng_interface(113, order=">") + ng_packet(b"two", 2, order=">")
    packets, error = parsed(first + second)
    assert ([(packet.data, packet.linktype) for packet in packets], error) == ([(b"one", 1), (b"two", 113)], "")
    assert "nobody described" in parsed(first + ng_section() + ng_packet(b"lost"))[1]


def test_simple_and_obsolete_packet_blocks_are_read() -> None:
    simple = ng_block(3, struct.pack("<I", 100) + b"s" * 60)
    obsolete = ng_block(2, struct.pack("<HHIIII", 0, 0, 0, 7_000, 4, 90) + b"olds")
    packets, error = parsed(ng_section() + ng_interface(snaplen=60) + obsolete + simple)
    assert error == ""
    assert [(p.time_ns, p.data, p.wire_length) for p in packets] == [
        (7_000_000, b"olds", 90),
        (7_000_000, b"s" * 60, 100),
    ]


def test_blocks_of_no_use_are_skipped_and_counted() -> None:
    unknown = ng_block(0x0BAD, b"custom") + ng_block(7, bytes(8))
    parser = PcapngParser()
    data = ng_section() + ng_interface() + unknown + ng_packet(b"on")
    packets = [packet for start in range(0, len(data), 7) for block in parser.feed(data[start : start + 7])
               for packet in block.packets()]  # fmt: skip
    assert [packet.data for packet in packets] == [b"on"]
    assert parser.skipped == {0x0BAD: 1, 7: 1}


def test_a_huge_unknown_block_is_passed_without_being_held() -> None:
    parser = PcapngParser()
    size = 1 << 30
    assert list(parser.feed(ng_section() + struct.pack("<II", 0x0BAD, size) + bytes(1000))) == []
    held = sum(map(len, parser._rest))
    assert held == 0


def test_a_length_that_is_no_multiple_of_four_has_its_padding_anyway() -> None:
    block = ng_packet(b"abcde", 5)
    odd = block[:4] + struct.pack("<I", len(block) - 3) + block[8:]
    packets, error = parsed(ng_section() + ng_interface() + odd + ng_packet(b"next", 6))
    assert ([packet.data for packet in packets], error) == ([b"abcde", b"next"], "")


def test_secrets_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcapng_module, "SECRETS_BYTES", 100)
    secrets = ng_block(10, struct.pack("<II", 0x544C534B, 9) + b"CLIENT_R1")
    parser = PcapngParser()
    assert list(parser.feed(ng_section() + secrets * 3)) == []
    assert parser.secrets == [(0x544C534B, b"CLIENT_R1")] * 2
    assert parser.secrets_dropped == 9


def test_drops_are_those_of_the_last_statistics_of_each_section() -> None:
    def statistics(received: int, dropped: int) -> bytes:
        options = ng_option(4, struct.pack("<Q", received)) + ng_option(5, struct.pack("<Q", dropped))
        return ng_block(5, struct.pack("<III", 0, 0, 0) + options)

    section = ng_section() + ng_interface()
    parser = PcapngParser()
    assert list(parser.feed(section + statistics(10, 1) + statistics(20, 3) + section + statistics(5, 2))) == []
    assert (parser.received, parser.dropped) == (25, 5)


@pytest.mark.parametrize("plain", [pcap(TIMED), ng()])
def test_compression_is_told_from_the_content(tmp_path: Path, plain: bytes) -> None:
    half = len(plain) // 2
    forms = [
        plain,
        gzip.compress(plain),
        gzip.compress(plain[:half]) + gzip.compress(plain[half:]) + bytes(512),
        zstd.compress(plain),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(plain[:half]) + zstd.compress(plain[half:]),
    ]
    for form in forms:
        path = tmp_path / "misnamed.txt"
        path.write_bytes(form)
        packets, error = read(path)
        assert (seen(packets), error) == (TIMED, "")


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_cut_compression_yields_what_was_good(tmp_path: Path, compress: object) -> None:
    many = [(START + number, os.urandom(700)) for number in range(1000)]
    packed = compress(pcap(many, nano=True))  # type: ignore[operator]
    path = tmp_path / "cut"
    path.write_bytes(packed[: len(packed) // 2])
    packets, error = read(path)
    assert seen(packets) == many[: len(packets)]
    assert len(packets) > 250
    assert error.startswith("ReadError") and "cut short" in error


def test_damaged_compression_yields_what_was_good(tmp_path: Path) -> None:
    path = tmp_path / "damaged.gz"
    path.write_bytes(gzip.compress(pcap(TIMED)) + b"trailing rubbish")
    packets, error = read(path)
    assert seen(packets) == TIMED
    assert error.startswith("ReadError") and "damaged" in error


def test_a_bomb_is_streamed_in_bounded_steps() -> None:
    from pysniff.capture.compression import STEP, Gunzip, Unzstd

    for unpacker, packed in ((Gunzip(), gzip.compress(bytes(1 << 26))), (Unzstd(), zstd.compress(bytes(1 << 26)))):
        sizes = [len(step) for step in unpacker.feed(packed)]
        assert sum(sizes) == 1 << 26
        assert max(sizes) <= STEP
        assert list(unpacker.end()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xfd7zXZ\0\0\0", "xz"),
        (b"PK\x03\x04....", "zip"),
        (b"hello, world\n", "text"),
        (b"\x01\x02\x03\x04\x05", "01 02 03 04"),
        (b"ab", "text"),
        (gzip.compress(b"hello", mtime=0), "gzip of text"),
        (gzip.compress(b"", mtime=0), "gzip of nothing"),
        (b"\xd4\xc3\xb2\xa1\x07\x00", "ends inside its header"),
        (pcap_header()[:4] + b"\x09" + pcap_header()[5:], "version 9"),
        (ng_section(major=2), "version 2"),
    ],
)
def test_what_is_no_capture_is_refused_at_once_by_what_it_looks_like(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(FileError, match=words) as caught:
        open_capture(path)
    assert str(path) in str(caught.value)


def test_what_cannot_be_opened_is_a_file_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", "a\0b"):
        with pytest.raises(FileError):
            open_capture(path)


def test_a_capture_without_packets_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "none.pcap"
    path.write_bytes(pcap([]))
    assert read(path) == ([], "")


def test_format_size_and_position_are_known(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(ng()))
    with open_capture(path) as capture:
        assert (capture.format, capture.size, capture.position) == ("gzip pcapng", path.stat().st_size, 0)
        assert sum(len(block) for block in capture if isinstance(block, Block)) == len(TIMED)
        assert capture.position == capture.size


def test_a_pipe_yields_what_is_there_without_waiting_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(os, "isatty", lambda _: False)
    monkeypatch.setattr(os, "dup", lambda _: reader)
    capture = open_capture("-")
    items = iter(capture)
    assert next(items) == Idle(0)
    data = pcap(TIMED)
    os.write(writer, data[: len(data) - 1])
    block = next(items)
    assert isinstance(block, Block)
    assert len(block) == len(TIMED) - 1
    # A recording keeps its own time however long nothing comes.
    assert next(items) == Idle(TIMED[-2][0])
    os.write(writer, data[-1:])
    last = next(items)
    assert isinstance(last, Block)
    assert next(last.packets()).data == FRAMES[-1]
    os.close(writer)
    assert list(items) == []


def test_time_goes_on_while_a_live_pipe_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    from pysniff.capture import clock

    wall = START
    monkeypatch.setattr("time.time_ns", lambda: wall)
    ours = clock.PacketClock()
    assert ours.now() == 0
    ours.saw(START - SECOND)  # it took a second to get here
    wall += 30 * SECOND
    assert ours.now() == START + 28 * SECOND
    ours.saw(START - 100 * SECOND)  # too old to be live
    assert ours.now() == START - SECOND


def test_a_growing_file_is_followed_until_closed(tmp_path: Path) -> None:
    path = tmp_path / "grows.pcap"
    data = pcap(TIMED)
    path.write_bytes(b"")
    capture = open_capture(path, follow=True)
    items = iter(capture)
    assert next(items) == Idle(0)
    with path.open("ab") as file:
        file.write(data[:-1])
        file.flush()
        assert len(_next_block(items)) == len(TIMED) - 1
        file.write(data[-1:])
        file.flush()
        assert next(_next_block(items).packets()).data == FRAMES[-1]
    capture.close()
    assert list(items) == []


def _next_block(items: object) -> Block:
    for item in items:  # type: ignore[attr-defined]
        if isinstance(item, Block):
            return item
    raise AssertionError("ended")


@pytest.mark.parametrize("how", ["replaced", "truncated"])
def test_a_followed_file_that_begins_anew_is_read_anew_with_a_notice(tmp_path: Path, how: str) -> None:
    path = tmp_path / "rotates.pcap"
    path.write_bytes(pcap(TIMED))
    capture = open_capture(path, follow=True)
    items = iter(capture)
    assert len(_next_block(items)) == len(TIMED)
    if how == "replaced":
        (tmp_path / "new").write_bytes(ng())
        (tmp_path / "new").rename(path)
    else:
        path.write_bytes(pcap(TIMED[:2]))
    assert len(_next_block(items)) == (len(TIMED) if how == "replaced" else 2)
    assert how in capture.notices[0]
    capture.close()


def test_close_from_another_thread_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(os, "isatty", lambda _: False)
    monkeypatch.setattr(os, "dup", lambda _: reader)
    capture = open_capture("-")
    threading.Timer(0.05, capture.close).start()
    assert all(item == Idle(0) for item in capture)
    os.close(writer)


def _blocks(*times: int, interface: str = "") -> list[Block]:
    return [Block(b"p" * 10 + bytes(96), [(time, 0, 10, 10) for time in times], 1, interface)]


def _times(merged: object) -> list[tuple[int, str]]:
    return [(record[0], block.interface) for block in merged for record in block.records]  # type: ignore[attr-defined]


def test_merge_orders_by_time_and_cuts_blocks() -> None:
    merged = list(merge([_blocks(1, 2, 5, 6, interface="a"), _blocks(3, 5, 7, interface="b")]))
    assert _times(merged) == [(1, "a"), (2, "a"), (3, "b"), (5, "a"), (5, "b"), (6, "a"), (7, "b")]


def test_merge_hands_whole_blocks_on_where_nothing_overlaps() -> None:
    first, second = _blocks(1, 2), _blocks(3, 4)
    assert list(merge([second, first])) == [first[0], second[0]]


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=4))
def test_merge_keeps_every_packet_and_the_order_of_each_source(times: list[list[int]]) -> None:
    sources = [_blocks(*each, interface=str(number)) for number, each in enumerate(times)]
    merged = _times(merge(sources))
    for number, each in enumerate(times):
        assert [time for time, name in merged if name == str(number)] == each
    if all(each == sorted(each) for each in times):
        assert merged == sorted(merged)


def test_merge_raises_what_broke_off_after_the_others() -> None:
    def broken() -> object:
        yield from _blocks(1)
        raise ReadError("cut")

    merged = merge([broken(), _blocks(2, 3)])  # type: ignore[list-item]
    assert _times([next(merged), next(merged)]) == [(1, ""), (2, ""), (3, "")]
    with pytest.raises(ReadError):
        next(merged)


def test_merge_waits_for_nobody_and_is_idle_only_when_all_are() -> None:
    one: list[Block | Idle] = [Idle(5), Idle(6), *_blocks(7), Idle(8)]
    other: list[Block | Idle] = [Idle(1), Idle(3), Idle(4), Idle(9)]
    merged = [item if isinstance(item, Idle) else item.records[0][0] for item in merge([one, other])]
    assert merged == [Idle(3), 7, Idle(9)]


# tshark stops at a length that we can read past, so the truth ends too early.
COUNTED_MORE = {
    "pcap/wireshark-wiki/Development__PcapNg__pcap-ng_Wi-Fi_Bluetooth_USB_Cooked_timestamps_issue_1.ntar": 413,
}


def test_packet_counts_of_the_public_corpus(corpus: Path) -> None:
    root = corpus / "public"
    wrong = []
    with (root / "index.csv").open() as index:
        for row in csv.DictReader(index):
            expected = COUNTED_MORE.get(row["path"], int(row["packets"]))
            packets, error = read(root / row["path"])
            # tshark, too, ended with an error where we do.
            if len(packets) != expected or (error and "tshark exit" not in row["notes"]):
                wrong.append((row["path"], len(packets), expected, error))
    assert wrong == []


def test_hostile_files_raise_nothing_but_file_and_read_errors(corpus: Path) -> None:
    files = [path for path in sorted((corpus / "hostile").iterdir()) if path.suffix != ".csv"]
    assert files
    for path in files:
        _, error = read(path)
        assert error.startswith(("FileError", "ReadError")) or error == "", path
