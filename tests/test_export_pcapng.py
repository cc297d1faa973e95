"""Packets leave with their comments, and every reader finds both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import ethernet_tcp

from pysniff.capture.pcapng import PcapngParser
from pysniff.export.pcapng import CommentedPackets
from pysniff.packet import Packet

TIME = 1_700_000_000_123_456_789
FRAME = ethernet_tcp(payload=b"hello")


def written(*pairs: tuple[Packet, str]) -> bytes:
    out = CommentedPackets()
    return out.begin() + b"".join([out.packet(packet, comment) for packet, comment in pairs])


def read(data: bytes) -> list[Packet]:
    parser = PcapngParser()
    packets = [packet for block in parser.feed(data) for packet in block.packets()]
    parser.end()
    return packets


_packet = st.builds(
    Packet,
    st.binary(max_size=50),
    st.integers(0, 2**63 - 1),
    st.integers(50, 2**32 - 1),
    st.sampled_from([1, 101, 113]),
    st.sampled_from(["lo", "eth0", "ünder"]),
)


@given(st.lists(st.tuples(_packet, st.text(max_size=9)), max_size=12))
def test_a_comment_changes_nothing_about_its_packet(pairs: list[tuple[Packet, str]]) -> None:
    assert read(written(*pairs)) == [packet for packet, _ in pairs]


def shown(path: Path, *fields: str) -> list[list[str]]:
    """What tshark says of every packet."""
    command = ["tshark", "-r", str(path), "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.needs("tshark")
def test_tshark_reads_packets_interfaces_nanoseconds_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(
        written(
            (Packet(FRAME, TIME, len(FRAME), interface="eth7"), "GET /cart -> 200"),
            (Packet(FRAME[:57], TIME + 1, 1500, interface="lo"), ""),
            (Packet(FRAME[14:], TIME + 2, len(FRAME) - 14, linktype=101, interface="eth7"), "Grüße, €"),
        )
    )
    fields = ("frame.time_epoch", "frame.cap_len", "frame.len", "frame.interface_name", "tcp.len", "frame.comment")
    size = len(FRAME)
    assert shown(path, *fields) == [
        ["1700000000.123456789", str(size), str(size), "eth7", "5", "GET /cart -> 200"],
        ["1700000000.123456790", "57", "1500", "lo", "5", ""],
        ["1700000000.123456791", str(size - 14), str(size - 14), "eth7", "5", "Grüße, €"],
    ]


@pytest.mark.needs("tshark")
def test_a_comment_that_does_not_fit_is_cut_where_a_character_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(written((Packet(FRAME, TIME, len(FRAME)), "a" + "é" * 40_000), (Packet(FRAME, TIME, 100), "b")))
    assert [row[0] for row in shown(path, "frame.comment")] == ["a" + "é" * 32_767, "b"]
