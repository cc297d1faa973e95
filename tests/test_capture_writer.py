"""What is written reads back the same, here and in tshark."""

from __future__ import annotations

import errno
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import ethernet_tcp

from pysniff.capture.files import open_capture
from pysniff.capture.pcapng import PcapngParser
from pysniff.capture.writer import Writer
from pysniff.errors import WriteError
from pysniff.packet import Block, Packet

TIME = 1_700_000_000_123_456_789
FRAME = ethernet_tcp(payload=b"hello")


def blocks(*packets: Packet) -> list[Block]:
    return [Block.of(packet) for packet in packets]


def packets_of(path: Path) -> list[Packet]:
    return [packet for block in open_capture(path) if isinstance(block, Block) for packet in block.packets()]


@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng", "x"])
def test_packets_read_back_with_nanoseconds_and_wire_length(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with Writer(path) as writer:
        for block in blocks(Packet(FRAME, TIME, 9000), Packet(FRAME[:61], TIME + 1, 61)):
            writer.write(block)
        assert writer.packets == 2
    assert [packet[:4] for packet in packets_of(path)] == [(FRAME, TIME, 9000, 1), (FRAME[:61], TIME + 1, 61, 1)]
    with open_capture(path) as capture:
        assert sum(len(block) for block in capture if isinstance(block, Block)) == 2
        assert capture.format == ("pcap" if name == "x.pcap" else "pcapng")


_packet = st.builds(
    Packet,
    st.binary(max_size=50),
    st.integers(0, 2**63 - 1),
    st.integers(50, 2**32 - 1),
    st.sampled_from([1, 101, 113]),
    st.sampled_from(["lo", "eth0", "ünder"]),
)


@given(st.lists(_packet, max_size=12))
def test_pcapng_keeps_everything_of_any_packet(packets: list[Packet]) -> None:
    out = io.BytesIO()
    writer = Writer(out)
    for block in blocks(*packets):
        writer.write(block)
    writer.close()
    parser = PcapngParser()
    read = [packet for block in parser.feed(out.getvalue()) for packet in block.packets()]
    parser.end()
    assert read == packets


def test_pcap_takes_one_link_type_and_says_the_way_out(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.pcap")
    writer.write(Block.of(Packet(FRAME, TIME, 100)))
    with pytest.raises(WriteError, match=r"\.pcapng"):
        writer.write(Block.of(Packet(FRAME, TIME, 100, linktype=101)))
    writer.close()
    assert len(packets_of(tmp_path / "x.pcap")) == 1


@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng"])
def test_a_file_without_packets_is_a_capture(tmp_path: Path, name: str) -> None:
    writer = Writer(tmp_path / name)
    writer.close()
    writer.close()
    assert packets_of(tmp_path / name) == []


def test_each_write_leaves_whole_packets_behind(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.pcapng")
    for count in (1, 2):
        writer.write(Block.of(Packet(FRAME, TIME, len(FRAME))))
        assert len(packets_of(tmp_path / "x.pcapng")) == count
    writer.close()


def test_what_cannot_be_written_is_a_write_error(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "folder.pcap", "a\0b"):
        with pytest.raises(WriteError):
            Writer(target).close()


def test_an_old_file_stays_until_there_is_a_packet(tmp_path: Path) -> None:
    path = tmp_path / "keep.pcap"
    path.write_bytes(b"precious")
    with pytest.raises(RuntimeError), Writer(path):
        raise RuntimeError("no such interface")
    assert path.read_bytes() == b"precious"
    Writer(path).close()
    assert len(path.read_bytes()) == 24


class _Failing(io.BytesIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _: object) -> int:
        raise OSError(self.number, "told so")


def test_a_full_disk_is_a_write_error_and_a_closed_pipe_is_not() -> None:
    with pytest.raises(WriteError, match="told so"):
        Writer(_Failing(errno.ENOSPC)).close()
    with pytest.raises(BrokenPipeError):
        Writer(_Failing(errno.EPIPE)).close()


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng"])
def test_tshark_reads_what_we_write(tmp_path: Path, name: str) -> None:
    with Writer(tmp_path / name) as writer:
        for block in blocks(Packet(FRAME, TIME, len(FRAME), interface="eth7"), Packet(FRAME[:57], TIME + 1, 1500)):
            writer.write(block)
    command = ["tshark", "-r", str(tmp_path / name), "-T", "fields"]
    for field in ("frame.time_epoch", "frame.cap_len", "frame.len", "frame.interface_name", "tcp.len"):
        command += ["-e", field]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    assert [row[:3] for row in rows] == [
        ["1700000000.123456789", str(len(FRAME)), str(len(FRAME))],
        ["1700000000.123456790", "57", "1500"],
    ]
    assert rows[0][4] == "5"
    if name == "x.pcapng":
        assert rows[0][3] == "eth7"
