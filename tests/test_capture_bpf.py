"""Capture filters over packets from files say what the kernel would have said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pcapy
import pytest
from packets import ethernet, ethernet_tcp, ethernet_udp, ip, pcap, tcp

from pysniff.capture import bpf
from pysniff.errors import FilterError
from pysniff.packet import Block

PACKETS = [
    ethernet_tcp(dport=80, payload=b"GET / HTTP/1.1\r\n\r\n"),
    ethernet_tcp(sport=80, dport=4000, payload=b"x" * 1200),
    ethernet_udp(dport=53, payload=b"query"),
    ethernet_tcp("fe80::1", "fe80::2", dport=80),
    ethernet_tcp(dport=80, vlan=7),
    ethernet(ip("10.0.0.1", "10.0.0.9", 1, bytes(8))),
    b"\0" * 20,
    b"",
]

FILTERS = [
    "",
    "tcp port 80",
    "udp",
    "ip6",
    "vlan and tcp port 80",
    "host 10.0.0.9",
    "net 10.0.0.0/24 and not udp",
    "greater 1000",
    "len <= 60",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ip[2:2] - ((ip[0] & 15) << 2) > 100",
    "icmp or len > 500 and tcp",
    "len * 2 - 10 > ip[8] % 50 + 100 / 3",
]


def block(packets: list[bytes], wire: int = 0) -> Block:
    data = b"".join(packets)
    records, at = [], 0
    for packet in packets:
        records.append((0, at, at + len(packet), max(wire, len(packet))))
        at += len(packet)
    return Block(data + bytes(Block.PADDING), records, 1)


@pytest.mark.needs("tcpdump")
@pytest.mark.parametrize("text", FILTERS)
def test_filters_agree_with_tcpdump(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap((0, packet) for packet in PACKETS))
    command = ["tcpdump", "-r", str(tmp_path / "in.pcap"), "-w", str(tmp_path / "out.pcap"), text]
    subprocess.run(command, check=True, capture_output=True)
    matching = [packet for packet in PACKETS if bpf.compile(text, 1).matches(packet, len(packet))]
    assert pcap((0, packet) for packet in matching)[24:] == (tmp_path / "out.pcap").read_bytes()[24:]


@pytest.mark.parametrize("text", FILTERS)
def test_our_machine_for_cut_packets_is_libpcaps(text: str) -> None:
    program = bpf.compile(text, 1)
    code = pcapy.compile(1, 262144, text, 0, 0).get_bpf()
    for packet in PACKETS:
        assert (bpf._run(code, packet, len(packet)) != 0) == program.matches(packet, len(packet))


def test_a_cut_packet_has_its_true_length() -> None:
    program = bpf.compile("greater 1000", 1)
    assert not program.matches(PACKETS[0], len(PACKETS[0]))
    assert program.matches(PACKETS[0], 1500)
    assert program.filtered(block(PACKETS, wire=1500))[1] == 0


def test_filtered_shares_the_buffer_and_counts_what_it_drops() -> None:
    given = block(PACKETS)
    kept, dropped = bpf.compile("tcp port 80", 1).filtered(given)
    assert kept.data is given.data
    assert ([packet.data for packet in kept.packets()], dropped) == ([PACKETS[0], PACKETS[1], PACKETS[3]], 5)


def test_other_link_types_have_their_own_offsets() -> None:
    packet = tcp("10.0.0.1", "10.0.0.2", 1, 80)
    assert bpf.compile("tcp port 80", 101).matches(packet, len(packet))
    assert bpf.compile("tcp port 80", 113).matches(bytes(14) + b"\x08\0" + packet, 100)


@pytest.mark.parametrize("text", ["tcp prot 80", "host", "tcp and udp", "a\0b", "ether host 1", "(" * 5000, "\udcff"])
def test_a_wrong_filter_is_a_filter_error_with_libpcaps_words(text: str) -> None:
    with pytest.raises(FilterError, match="filter"):
        bpf.compile(text, 1)
    with pytest.raises(FilterError, match="syntax error"):
        bpf.compile("tcp prot 80", 1)
