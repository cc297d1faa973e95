"""Every shape of packet gives its segment; what is broken says why."""

from __future__ import annotations

import struct

import pytest
from frames import (
    CLIENT4,
    SERVER4,
    ethernet,
    extension,
    ipv4,
    ipv6,
    snap,
    tcp,
    udp,
    vlan,
    wlan,
)  # fmt: skip
from shapes import (
    DONE,
    FRAME4,
    IP4,
    IP6,
    SHAPES,
    V4,
    V6,
    aggregate,
    in_gre,
    in_udp,
    netlink,
    netlink_message,
    radiotap,
)

from pysniff.decode import Decoder
from pysniff.limits import Limits
from pysniff.packet import Datagram, Packet, Rejected, Segment
from pysniff.sniffer import Sniffer

TOO_MANY = Rejected("malformed", "too many headers")


def decode(data: bytes, linktype: int = 1, wire_length: int = 0) -> Segment | Datagram | Rejected:
    (found,) = Decoder().decode(data, linktype, wire_length, 0)
    return found


def every(data: bytes, linktype: int, wire_length: int = 0) -> list[Segment | Datagram | Rejected]:
    return list(Decoder().decode(data, linktype, wire_length, 0))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_segment_is_found_in(shape: str) -> None:
    linktype, data, segment = SHAPES[shape]
    assert decode(data, linktype) == segment


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_snapshot_cut_is_missing_in(shape: str) -> None:
    linktype, data, segment = SHAPES[shape]
    assert decode(data[: data.rindex(b"hello") + 2], linktype, len(data)) == segment._replace(payload=b"he", missing=3)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_cut_at_any_byte_is_rejected_or_says_what_is_missing(shape: str) -> None:
    linktype, data, segment = SHAPES[shape]
    for size in range(len(data)):
        match decode(data[:size], linktype, len(data)):
            case Segment(payload=payload, missing=missing):
                assert len(payload) + missing == 5 and segment.payload.startswith(payload)
            case Datagram(payload=payload, missing=missing):
                assert data[:size].endswith(payload)  # of a tunnel, whose inside cannot be read
                assert not payload or missing == len(data) - size
            case Rejected(reason=reason):
                assert reason in ("malformed", "not_ip")


def test_padding_is_not_payload() -> None:
    syn = ipv4(tcp(b""))
    assert decode(ethernet(syn).ljust(60, b"\0")) == V4._replace(payload=b"")
    assert decode(ethernet(ipv6(tcp(b"")), 0x86DD) + bytes(6)) == V6._replace(payload=b"")
    assert decode(in_udp(4789, b"\x08" + bytes(7) + ethernet(syn).ljust(60, b"\0"))) == V4._replace(payload=b"")


def test_a_datagram_ends_where_udp_says() -> None:
    data = ethernet(ipv4(udp(b"ping", 53) + b"trailer", 17))
    assert decode(data) == Datagram(CLIENT4 + SERVER4 + struct.pack(">HH", 51022, 53), b"ping", 0)


def test_big_tcp_takes_the_length_of_the_wire() -> None:
    big = b"x" * 100_000
    assert decode(ethernet(ipv4(tcp(big), total=0))) == V4._replace(payload=big)
    assert decode(ethernet(ipv6(tcp(big), length=0), 0x86DD)) == V6._replace(payload=big)
    snapped = ethernet(ipv4(tcp(big), total=0))
    assert decode(snapped[:64], wire_length=len(snapped)) == V4._replace(payload=big[:10], missing=99_990)


def test_big_tcp_with_a_jumbo_option_takes_its_length() -> None:
    big = tcp(b"x" * 100_000)
    jumbo = b"\xc2\x04" + struct.pack(">I", 8 + len(big))
    data = ethernet(ipv6(extension(big, 6, options=jumbo), 0, length=0), 0x86DD)
    assert decode(data + b"padding") == V6._replace(payload=b"x" * 100_000)
    short = ipv6(extension(tcp(), 6, options=b"\xc2\x04\0\0\0\x21"), 0, length=0)
    assert decode(short, 101) == Rejected("malformed", "bad jumbo length")


def test_a_length_that_only_a_wrong_wire_length_bears_out_is_refused() -> None:
    assert decode(ethernet(ipv4(tcp(), total=0)), wire_length=1 << 31) == Rejected("malformed", "bad IP length")


def test_ip_longer_than_its_frame_counts_what_is_there() -> None:
    assert decode(ethernet(ipv4(tcp(), total=9000))) == V4
    assert decode(ethernet(ipv6(tcp(), length=9000), 0x86DD)) == V6


BROKEN = {
    "nothing": (1, b"", "short Ethernet"),
    "header longer than the packet": (101, b"\x4f" + ipv4(tcp(b""))[1:], "bad IP header length"),
    "header shorter than it can be": (101, b"\x44" + IP4[1:], "bad IP header length"),
    "total length shorter than the header": (101, ipv4(tcp(), total=19), "bad IP length"),
    "version 5": (228, b"\x55" + IP4[1:], "bad IP version"),
    "version 5, raw": (101, b"\x55" + IP4[1:], "bad IP version"),
    "data offset 4": (101, ipv4(tcp(words=4)), "bad TCP header length"),
    "data offset beyond the end": (101, ipv4(tcp(words=15)), "bad TCP header length"),
    "tcp of 19 bytes": (101, ipv4(tcp(b"")[:19]), "short TCP"),
    "udp length 7": (101, ipv4(udp(b"", 53, length=7), 17), "bad UDP length"),
    "udp length 0": (101, ipv4(udp(b"", 53, length=0), 17), "bad UDP length"),
    "udp longer than ip": (101, ipv4(udp(b"", 53, length=9), 17), "bad UDP length"),
    "extension header beyond the end": (101, ipv6(extension(b"", 6)[:-1], 0), "short extension header"),
    "ethernet type between length and type": (1, ethernet(IP4, 1501), "bad Ethernet type"),
    "endless vlan tags": (1, ethernet(vlan(b"", 0x8100) * 100, 0x8100), "too many headers"),
    "endless ip in ip": (101, b"".join(ipv4(bytes(2000 - 20 * n), 4)[:20] for n in range(99)), "too many headers"),
    "endless mpls labels": (1, ethernet(b"\0\1\0\x40" * 100, 0x8847), "too many headers"),
    "radiotap that never ends": (127, b"\0\0\x0c\0" + b"\xff" * 8, "bad radiotap"),
    "netlink attribute without length": (239, b"\x02\0\0\0" + bytes(8), "bad netlink attribute"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_it_is_malformed_to_have(case: str) -> None:
    linktype, data, detail = BROKEN[case]
    assert decode(data, linktype) == Rejected("malformed", detail)


OTHERS = {
    "arp": (1, ethernet(bytes(28), 0x0806), Rejected("not_ip", "arp")),
    "lldp": (1, ethernet(b"\x02\x07", 0x88CC), Rejected("not_ip", "lldp")),
    "pppoe discovery": (1, ethernet(b"\x11\x09" + bytes(4), 0x8863), Rejected("not_ip", "pppoed")),
    "spanning tree": (1, ethernet(b"\x42\x42\x03" + bytes(35), 38), Rejected("not_ip", "stp")),
    "lcp": (9, b"\xff\x03\xc0\x21\x01\x01\0\x04", Rejected("not_ip", "lcp")),
    "a type nobody knows": (1, ethernet(IP4, 0x7777), Rejected("not_ip", "unknown type")),
    "a link type nobody knows": (999, IP4, Rejected("not_ip", "link type 999")),
    "beacon": (105, b"\x80\0" + bytes(40), Rejected("not_ip", "wlan management")),
    "block ack": (105, b"\x94\0" + bytes(8), Rejected("not_ip", "wlan control")),
    "encrypted 802.11": (
        105, wlan(b"\0\0\0\x20" + bytes(60), control=b"\x08\x41"), Rejected("not_ip", "wlan protected"),
    ),
    "icmp": (101, ipv4(b"\x08\0" + bytes(30), 1), Rejected("other_ip", "icmp")),
    "icmpv6": (101, ipv6(b"\x80\0" + bytes(30), 58), Rejected("other_ip", "icmpv6")),
    "sctp": (101, ipv4(bytes(12), 132), Rejected("other_ip", "sctp")),
    "esp": (101, ipv6(bytes(40), 50), Rejected("other_ip", "esp")),
    "ospf": (101, ipv4(bytes(24), 89), Rejected("other_ip", "ospf")),
    "protocol 200": (101, ipv4(bytes(24), 200), Rejected("other_ip", "200")),
    "gre keep-alive": (1, in_gre(0, b""), Rejected("other_ip", "gre")),
    "pptp acknowledgment": (1, in_gre(0x880B, b"", 0x2081, bytes(8)), Rejected("other_ip", "gre")),
    "arp in vxlan": (1, in_udp(4789, b"\x08" + bytes(7) + ethernet(bytes(28), 0x0806)), Rejected("not_ip", "arp")),
    "icmp in gtp": (1, in_udp(2152, b"\x30\xff\0\x1c" + bytes(4) + ipv4(bytes(8), 1)), Rejected("other_ip", "icmp")),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_counted_by_name_is(case: str) -> None:
    linktype, data, rejected = OTHERS[case]
    assert decode(data, linktype) == rejected


NOT_TUNNELS = {
    "vxlan without its flag": (4789, bytes(8) + FRAME4),
    "vxlan with an unknown type": (4789, b"\x08" + bytes(7) + ethernet(IP4, 0x7777)),
    "vxlan with ip too long": (4789, b"\x08" + bytes(7) + ethernet(ipv4(tcp(), total=99))),
    "vxlan with tcp too long": (4789, b"\x08" + bytes(7) + ethernet(ipv4(tcp(words=15)))),
    "vxlan with half a frame": (4789, b"\x08" + bytes(7) + FRAME4[:13]),
    "geneve of version 1": (6081, b"\x40\0\x65\x58" + bytes(4) + FRAME4),
    "gtp with a wrong length": (2152, b"\x30\xff\0\x01" + bytes(4) + IP4),
    "gtp that is no user data": (2152, b"\x32\x01\0\x04" + bytes(8)),
    "gtp with endless extensions": (2152, b"\x34\xff\0\x08" + bytes(7) + b"\x85\0\0\0\x85"),
    "l2tp control": (1701, b"\xc8\x02\0\x0c" + bytes(8)),
    "teredo with ipv4": (3544, IP4),
    "teredo with a trailer": (3544, IP6 + b"x"),
    "a query to port 4789": (4789, b"\x08\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\0\0\x01\0\x01"),
    "nothing": (4789, b""),
}


@pytest.mark.parametrize("case", NOT_TUNNELS)
def test_a_datagram_on_a_tunnels_port_stays_one_with(case: str) -> None:
    port, payload = NOT_TUNNELS[case]
    key = bytes(range(1, 9)) + struct.pack(">HH", 51022, port)
    assert decode(in_udp(port, payload)) == Datagram(key, payload, 0)


def test_tunnels_and_failed_guesses_are_counted() -> None:
    decoder = Decoder()
    decoder.decode(in_udp(4789, b"\x08" + bytes(7) + FRAME4), 1, 0, 0)
    decoder.decode(in_udp(4789, b"\x08" + bytes(7) + FRAME4[:13]), 1, 0, 0)
    decoder.decode(in_udp(4789, b"no tunnel at all"), 1, 0, 0)
    assert (decoder.tunnelled, decoder.not_tunnelled) == (1, 1)


def test_headers_in_one_packet_are_bounded() -> None:
    decoder = Decoder(Limits(layers=4))
    assert decoder.decode(ethernet(vlan(IP4), 0x8100), 1, 0, 0) == (V4,)
    assert decoder.decode(ethernet(vlan(vlan(IP4), 0x8100), 0x8100), 1, 0, 0) == (TOO_MANY,)


def test_every_message_in_a_packet_comes_out_in_order() -> None:
    log, queue = netlink_message(4, 9, IP4), netlink_message(3, 10, IP6)
    other = netlink_message(1, 9, b"")
    assert every(netlink(log, other, queue, DONE), 253) == [V4, Rejected("not_ip", "netlink"), V6]
    assert every(netlink(*[netlink_message(4, 9, packet, ">") for packet in (IP4, IP6)]), 253) == [V4, V6]
    assert every(aggregate(snap(IP4), snap(IP6, 0x86DD), snap(IP4)), 105) == [V4, V6, V4]
    assert every(radiotap(aggregate(snap(IP4), snap(IP4)) + b"FCS!", 0x10), 127) == [V4, V4]


def test_a_broken_message_leaves_those_beside_it_alone() -> None:
    log, short = netlink_message(4, 9, IP4), struct.pack("<IHHII", 15, 4 << 8, 0, 0, 0)
    assert every(netlink(log, short, log), 253) == [V4, Rejected("malformed", "short netlink attribute")]
    assert every(aggregate(snap(IP4), b"\xaa\xaa", snap(IP4)), 105) == [V4, Rejected("malformed", "short LLC"), V4]


@pytest.mark.parametrize("shape", ["netlink", "aggregate"])
def test_of_several_messages_a_snapshot_cuts_only_the_last(shape: str) -> None:
    log = netlink_message(4, 9, IP4)
    data, linktype = (netlink(log, log), 253) if shape == "netlink" else (aggregate(snap(IP4), snap(IP4)), 105)
    first = data.index(b"hello") + 5
    for size in range(first, len(data)):
        whole, *rest = every(data[:size], linktype, len(data))
        assert whole == V4
        (last,) = rest
        assert isinstance(last, Rejected) or (last == V4) or (isinstance(last, Segment) and last.missing)


def test_messages_in_a_packet_are_bounded_by_its_bytes() -> None:
    assert len(every(aggregate(*[b""] * 5_000), 105)) == 5_000
    assert len(every(aggregate(b"") + bytes(60_000), 105)) <= 1 + 60_000 // 14
    assert len(every(netlink(bytes(60_000)), 253)) == 1


def test_what_one_message_opens_is_not_taken_from_the_next() -> None:
    nested = netlink_message(4, 9, b"".join(ipv4(bytes(2000 - 20 * n), 4)[:20] for n in range(99)))
    assert every(netlink(nested, netlink_message(4, 9, IP4)), 253) == [TOO_MANY, V4]


def test_the_ledger_counts_every_message_in_a_packet() -> None:
    sniffer = Sniffer()
    messages = [netlink_message(4, 9, packet) for packet in (IP4, ipv4(udp(b"ping", 9), 17), b"")]
    sniffer.feed([Packet(data, 0, len(data), 253) for data in (netlink(*messages), netlink(messages[0]))])
    sniffer.close()
    ledger = sniffer.ledger
    assert (ledger.packets, ledger.inner_packets) == (2, 2)
    assert (ledger.tcp_packets, ledger.udp_packets, ledger.total("malformed")) == (2, 1, 1)
    assert ledger.imbalances() == []


@pytest.mark.parametrize("size", [0, 3, 20])
def test_a_packet_too_short_for_any_shape_is_no_segment(size: int) -> None:
    sniffer = Sniffer()
    sniffer.feed([Packet(FRAME4[:size], 0, len(FRAME4), 1)])
    sniffer.close()
    ledger = sniffer.ledger
    assert (ledger.tcp_packets, ledger.total("malformed")) == (0, 1)
    assert ledger.imbalances() == []
