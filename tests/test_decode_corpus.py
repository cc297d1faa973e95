"""What the decoder finds in captures of others is what tshark found there: connections, bytes, packets, flags.

tshark's bytes are the sum of tcp.len, retransmissions included; its connections are compared by endpoints.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from truth import corpus

from pysniff.capture.files import open_capture
from pysniff.decode import Decoder
from pysniff.errors import ReadError
from pysniff.packet import FIN, RST, SYN, Block, Packet, Rejected, Segment

Ends = tuple[str, str]


class Evidence(NamedTuple):
    """A packet (from 1) and the bytes in it, in hex, that decide."""

    packet: int
    bytes: str


class Disputed(NamedTuple):
    """A connection where tshark counts something else, and why we do not."""

    path: str
    ends: Ends
    reason: str
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        return f"{self.path.rpartition('/')[2]} {self.ends[0]}"


ICMP_ERROR = "a SYN quoted in an ICMP error (type 3, code 1) was not sent here; tshark counts it"
DISPUTED = (
    Disputed(
        "pcap/gopacket/layers__testdata__linux_sll_oversized_addr.pcapng",
        ("10.209.8.148:21999", "192.168.145.147:51218"),
        "tshark counts two segments whose headers are impossible: 8 words in 20 bytes of TCP, and 0 words",
        (
            Evidence(87, "45000034 01c5 4000 4006 d35e c0a89193 0ad10894 c812 55ef 3bfb64f6 dd92152b 8110"),
            Evidence(95, "45000061 01c9 4000 4006 d32d c0a89193 0ad10894 c812 55ef 3bfb6503 dd921836 0018"),
        ),
    ),
    Disputed(
        "pcap/pcapplusplus/Tests__ExamplesTest__pcap_examples__tcp-reassembly.pcap",
        ("172.16.128.201:1060", "172.16.133.6:1731"),
        "a packet sampled by sFlow (UDP port 6343), where tshark counts the last of nine samples",
        (Evidence(66, "18c7 0504eb99 00000005 00000001 c0a89602"),),
    ),
    Disputed(
        "pcap/tcpflow/test8__image2.pcap",
        ("10.0.2.14:48554", "10.0.2.4:80"),
        ICMP_ERROR,
        (Evidence(24, "0a00020e 0a00020e 0301 11af 00000000 4500003c"),),
    ),
    Disputed(
        "pcap/tcpflow/test8__image2.pcap",
        ("10.0.2.14:48556", "10.0.2.4:80"),
        ICMP_ERROR,
        (Evidence(25, "0a00020e 0a00020e 0301 34d5 00000000 4500003c"),),
    ),
    Disputed(
        "pcap/wireshark-wiki/netlink-nflog.pcap",
        ("10.0.2.15:49760", "93.184.216.34:80"),
        "several netlink messages in one packet: each is a segment here, tshark counts the last of them",
        (
            Evidence(5, "80000000 0004 0000 00000000 00000000 0200002a"),
            Evidence(6, "68000000 0004 0000 00000000 00000000 0200002a"),
        ),
    ),
    Disputed(
        "pcap/wireshark/wireguard-ping-tcp-dsb.pcapng",
        ("10.10.0.1:49472", "178.21.112.251:443"),
        "inside WireGuard transport data (type 4), which tshark deciphers with the keys in the file",
        (Evidence(17, "04000000 c541fdbf 00000000 00000000"),),
    ),
)


class Totals:
    """Of one connection: payload bytes by sender, packets, flags."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.packets = self.syn = self.fin = self.rst = 0

    def as_tuple(self, ends: Ends) -> tuple[int, ...]:
        return (self.bytes[ends[0]], self.bytes[ends[1]], self.packets, self.syn, self.fin, self.rst)


Connections = defaultdict[Ends, Totals]


def pair(a: str, b: str) -> Ends:
    return (a, b) if a < b else (b, a)


def endpoints(key: bytes) -> tuple[str, str]:
    """Source and destination of a segment's key, as truth.py writes them."""
    size = (len(key) - 4) // 2
    ports = key[2 * size :]
    return (
        f"{ip_address(key[:size])}:{int.from_bytes(ports[:2], 'big')}",
        f"{ip_address(key[size : 2 * size])}:{int.from_bytes(ports[2:], 'big')}",
    )


def packets(capture: corpus.Capture) -> Iterator[Packet]:
    """All there are; of a file that breaks off, those before."""
    try:
        for block in open_capture(capture.file):
            if isinstance(block, Block):
                yield from block.packets()
    except ReadError:
        return


def decoded(capture: corpus.Capture) -> Connections:
    decoder = Decoder()
    found: Connections = defaultdict(Totals)
    for packet in packets(capture):
        every = decoder.decode(packet.data, packet.linktype, packet.wire_length, packet.time_ns)
        for segment in every:
            if not isinstance(segment, Segment):
                continue
            source, destination = endpoints(segment.key)
            totals = found[pair(source, destination)]
            totals.bytes[source] += len(segment.payload) + segment.missing
            totals.packets += 1
            totals.syn += bool(segment.flags & SYN)
            totals.fin += bool(segment.flags & FIN)
            totals.rst += bool(segment.flags & RST)
    return found


def recorded(capture: corpus.Capture) -> Connections:
    found: Connections = defaultdict(Totals)
    for record in capture.of("tcp"):
        a, b = (canonical(record[end]) for end in "ab")
        totals = found[pair(a, b)]
        totals.bytes[a] += record["bytes_ab"]
        totals.bytes[b] += record["bytes_ba"]
        totals.packets += record["packets"]
        totals.syn += record["syn"]
        totals.fin += record["fin"]
        totals.rst += record["rst"]
    return found


def canonical(endpoint: str) -> str:
    address, _, port = endpoint.rpartition(":")
    return f"{ip_address(address)}:{port}"


def differences(capture: corpus.Capture) -> dict[Ends, str]:
    ours, theirs = decoded(capture), recorded(capture)
    return {
        ends: f"(bytes, bytes, packets, syn, fin, rst) ours {mine}, tshark {other}"
        for ends in sorted({*ours, *theirs})
        if (mine := ours[ends].as_tuple(ends)) != (other := theirs[ends].as_tuple(ends))
    }


@pytest.mark.usefixtures("corpus")
def test_connections_are_those_that_tshark_found() -> None:
    disputed = {(case.path, case.ends) for case in DISPUTED}
    found = {
        (capture.path, ends): difference
        for capture in corpus.captures()
        for ends, difference in differences(capture).items()
    }
    assert {where: found[where] for where in found.keys() - disputed} == {}
    assert disputed - found.keys() == set(), "named, and no difference"


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("case", DISPUTED, ids=str)
def test_the_bytes_decide(case: Disputed) -> None:
    capture = next(capture for capture in corpus.captures() if capture.path == case.path)
    data = [packet.data for packet in packets(capture)]
    for evidence in case.evidence:
        assert bytes.fromhex(evidence.bytes) in data[evidence.packet - 1]


@pytest.mark.usefixtures("corpus")
def test_what_is_not_tcp_or_udp_has_a_name() -> None:
    """A detail that nobody can place would hide a layer that we lack."""
    rejected: Counter[Rejected] = Counter()
    total = 0
    for capture in corpus.captures():
        decoder = Decoder()
        for packet in packets(capture):
            results = decoder.decode(packet.data, packet.linktype, packet.wire_length, packet.time_ns)
            total += len(results)
            rejected.update(result for result in results if isinstance(result, Rejected))
    vague = {Rejected("not_ip", detail) for detail in ("unknown type", "cooked", "loopback", "ppp", "llc")}
    assert sum(count for result, count in rejected.items() if result in vague) < total / 2000
    assert sum(count for result, count in rejected.items() if result.reason == "malformed") < total / 2000
