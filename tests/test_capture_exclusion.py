"""What the cluster's own filter leaves out: TCP from and to its ends, in VXLAN too, and nothing else."""

from __future__ import annotations

import pytest
from packets import ethernet, ethernet_tcp, ethernet_udp, ip, tcp

from pysniff.capture import bpf
from pysniff.capture.exclusion import Endpoint, addresses_of, without

HUB = ("10.0.0.1", 8898)
WORKER = ("10.0.0.2", 8897)


def lets_in(packet: bytes, text: str = "", endpoints: tuple[Endpoint, ...] = (HUB, WORKER)) -> bool:
    return bpf.compile(without(text, endpoints), 1).matches(packet, len(packet))


def vxlan(inner: bytes, port: int = 4789) -> bytes:
    return ethernet_udp(
        src="192.168.0.1", dst="192.168.0.2", sport=40_000, dport=port, payload=b"\x08" + bytes(7) + inner
    )


@pytest.mark.parametrize(
    ("src", "sport", "dst", "dport", "own"),
    [
        ("10.0.0.9", 50_000, "10.0.0.1", 8898, True),
        ("10.0.0.1", 8898, "10.0.0.9", 50_000, True),
        ("10.0.0.1", 50_000, "10.0.0.2", 8897, True),
        ("10.0.0.9", 50_000, "10.0.0.1", 8897, False),  # the address of one and the port of the other
        ("10.0.0.9", 8898, "10.0.0.1", 50_000, False),  # address and port of two ends
        ("10.0.0.1", 50_000, "10.0.0.9", 8898, False),
        ("10.0.0.9", 50_000, "10.0.0.8", 8898, False),
    ],
)
def test_an_address_and_a_port_are_of_the_same_end(src: str, sport: int, dst: str, dport: int, own: bool) -> None:
    packet = ethernet_tcp(src=src, dst=dst, sport=sport, dport=dport)
    assert lets_in(packet) is not own
    assert lets_in(vxlan(packet)) is not own
    assert lets_in(vxlan(packet, 8472)) is not own
    assert lets_in(vxlan(packet, 4790))


def test_other_transports_and_packets_are_let_in() -> None:
    assert lets_in(ethernet_udp(src="10.0.0.9", dst="10.0.0.1", sport=50_000, dport=8898, payload=b"x"))
    for payload in (b"", b"\x08" + bytes(7), b"x" * 61, b"x" * 200):
        assert lets_in(ethernet_udp(src="10.0.0.9", dst="10.0.0.1", sport=50_000, dport=4789, payload=payload))
    assert lets_in(bytes(12) + b"\x08\x06" + bytes(28))
    assert lets_in(ethernet(ip("10.0.0.9", "10.0.0.1", 1, b"ping")))


def test_the_filter_that_was_asked_for_stays() -> None:
    own = ethernet_tcp(src="10.0.0.9", dst="10.0.0.1", sport=50_000, dport=8898)
    other = ethernet_tcp(src="10.0.0.9", dst="10.0.0.1", sport=50_000, dport=80)
    udp = ethernet_udp(src="10.0.0.9", dst="10.0.0.1", sport=50_000, dport=80, payload=b"x")
    text = "tcp port 8898 or tcp port 80"
    assert [lets_in(packet, text) for packet in (own, other, udp)] == [False, True, False]
    assert [lets_in(packet, text, ()) for packet in (own, other, udp)] == [True, True, False]
    assert without("  ", ()).strip() == ""


def test_ipv6_is_left_out_as_well() -> None:
    own = ethernet(tcp("fd00::9", "fd00::1", 50_000, 8898))
    other = ethernet(tcp("fd00::9", "fd00::2", 50_000, 8898))
    assert [lets_in(packet, endpoints=(("fd00::1", 8898),)) for packet in (own, other)] == [False, True]


def test_ends_are_understood_or_left_out() -> None:
    given = [
        ("::ffff:10.0.0.1", 1), ("fe80::1%eth0", 2), ("0.0.0.0", 3), ("nonsense", 4), ("10.0.0.1", 0),
        ("10.0.0.1", 70_000), ("10.0.0.1", 1), ("10.0.0.1) or tcp", 5),
    ]  # fmt: skip
    assert addresses_of(given, lambda: ["127.0.0.1", "::1"]) == [
        ("10.0.0.1", 1), ("fe80::1", 2), ("127.0.0.1", 3), ("::1", 3),
    ]  # fmt: skip
