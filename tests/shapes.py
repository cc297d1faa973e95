"""Packets of every shape, each with the one segment that it holds; for tests."""

from __future__ import annotations

import struct

from frames import (
    CLIENT4,
    CLIENT6,
    SERVER4,
    SERVER6,
    attribute,
    ethernet,
    extension,
    gre,
    ipv4,
    ipv6,
    pppoe,
    snap,
    tcp,
    udp,
    vlan,
    wlan,
)

from pysniff.packet import Segment

PORTS = struct.pack(">HH", 51022, 80)
V4 = Segment(CLIENT4 + SERVER4 + PORTS, 1, 2, 0x18, b"hello", 0)
V6 = Segment(CLIENT6 + SERVER6 + PORTS, 1, 2, 0x18, b"hello", 0)
# The addresses outside of tunnels, which must not show.
OUTER = bytes(range(1, 9))
OUTER6 = bytes(range(1, 33))
IP4, IP6 = ipv4(tcp()), ipv6(tcp(), 6)
FRAME4 = ethernet(IP4)


def in_gre(number: int, inside: bytes, flags: int = 0, options: bytes = b"") -> bytes:
    return ethernet(ipv4(gre(inside, number, flags, options), 47, addresses=OUTER))


def in_udp(port: int, inside: bytes) -> bytes:
    return ethernet(ipv4(udp(inside, port), 17, addresses=OUTER))


def mpls(inside: bytes, labels: int = 1) -> bytes:
    return ethernet(b"\0\1\0\x40" * (labels - 1) + b"\0\1\1\x40" + inside, 0x8847)


def cooked(inside: bytes, number: int = 0x0800, hardware: int = 1) -> bytes:
    return struct.pack(">HHHQH", 0, hardware, 6, 0, number) + inside


def radiotap(inside: bytes, flags: int) -> bytes:
    """With a timer, which must be skipped to find the flags."""
    present = struct.pack("<III", 0x80000003, 0, 0)  # two words, and four bytes that align the timer
    return struct.pack("<BBH", 0, 0, 25) + present + struct.pack("<QB", 0, flags) + inside


def nflog(order: str) -> bytes:
    return b"\x02\0\0\0" + attribute(1, b"\0\0\0\1", order) + attribute(10, b"in\0", order) + attribute(9, IP4, order)


def netlink_message(subsystem: int, kind: int, packet: bytes, order: str = "<") -> bytes:
    message = b"\x02\0\0\0" + attribute(1, b"abc", order) + attribute(kind, packet, order)
    return struct.pack(order + "IHHII", 16 + len(message), subsystem << 8, 0, 0, 0) + message


DONE = struct.pack("<IHHIII", 20, 3, 0, 0, 0, 0)


def netlink(*messages: bytes) -> bytes:
    """Each begins at a multiple of four."""
    padded = b"".join(message + bytes(-len(message) % 4) for message in messages)
    return struct.pack(">HHHQH", 0, 824, 0, 0, 12) + padded


def aggregate(*units: bytes) -> bytes:
    """802.11 with an A-MSDU; each unit begins at a multiple of four."""
    subframes = [bytes(12) + struct.pack(">H", len(unit)) + unit for unit in units]
    padded = b"".join(frame + bytes(-len(frame) % 4) for frame in subframes[:-1]) + subframes[-1]
    return wlan(padded, control=b"\x88\x02", behind=b"\x80\0")


# What is on the wire: link type, bytes, the segment that it holds.
SHAPES: dict[str, tuple[int, bytes, Segment]] = {
    "ethernet": (1, ethernet(IP4), V4),
    "ethernet, ipv6": (1, ethernet(IP6, 0x86DD), V6),
    "ipv4 options": (1, ethernet(ipv4(tcp(), options=b"\x94\x04\0\0" + b"\x01" * 36)), V4),
    "tcp options": (1, ethernet(ipv4(tcp(options=b"\x01" * 40))), V4),
    "vlan": (1, ethernet(vlan(IP4), 0x8100), V4),
    "qinq": (1, ethernet(vlan(vlan(IP6, 0x86DD), 0x8100), 0x88A8), V6),
    "old qinq": (1, ethernet(vlan(vlan(IP4), 0x8100), 0x9100), V4),
    "802.1ah": (1, ethernet(bytes(4) + FRAME4, 0x88E7), V4),
    "802.1cb": (1, ethernet(bytes(4) + b"\x08\0" + IP4, 0xF1C1), V4),
    "snap": (1, ethernet(snap(IP4), 8 + len(IP4)), V4),
    "snap in vlan": (1, ethernet(vlan(snap(IP4), 8 + len(IP4)), 0x8100), V4),
    "ip's own sap": (1, ethernet(b"\x06\x06\x03" + IP4, 3 + len(IP4)), V4),
    "pppoe": (1, ethernet(pppoe(b"\0\x21" + IP4), 0x8864), V4),
    "pppoe, compressed": (1, ethernet(pppoe(b"\x57" + IP6), 0x8864), V6),
    "pppoe in vlan": (1, ethernet(vlan(pppoe(b"\0\x21" + IP4), 0x8864), 0x8100), V4),
    "cooked": (113, cooked(IP4), V4),
    "cooked, vlan": (113, cooked(vlan(IP6, 0x86DD), 0x8100), V6),
    "cooked, llc": (113, cooked(snap(IP4), 4), V4),
    "cooked, radiotap": (113, cooked(radiotap(wlan(snap(IP4)), 0), 0, 803), V4),
    "cooked, 802.11": (113, cooked(wlan(snap(IP4)), 0, 801), V4),
    "cooked, 802.11 that is already ip": (113, cooked(IP4, 0x0800, 801), V4),
    "cooked 2": (276, struct.pack(">HHIHBBQ", 0x86DD, 0, 1, 1, 0, 6, 0) + IP6, V6),
    "null, little-endian": (0, b"\x02\0\0\0" + IP4, V4),
    "null, big-endian": (0, b"\0\0\0\x02" + IP4, V4),
    **{f"null, family {family}": (0, struct.pack("<I", family) + IP6, V6) for family in (10, 23, 24, 28, 30)},
    "null, ethernet type": (0, b"\x0f\0\x08\0" + IP4, V4),
    "null, ethernet type, ipv6": (0, b"\x0f\0\x86\xdd" + IP6, V6),
    "loop": (108, b"\0\0\0\x1c" + IP6, V6),
    **{f"raw {number}": (number, IP4, V4) for number in (12, 14, 101, 228)},
    **{f"raw {number}, ipv6": (number, IP6, V6) for number in (12, 14, 101, 229)},
    "ppp": (9, b"\0\x21" + IP4, V4),
    "ppp, hdlc": (9, b"\xff\x03\0\x57" + IP6, V6),
    "ppp hdlc": (50, b"\xff\x03\0\x21" + IP4, V4),
    "cisco hdlc": (50, b"\x0f\0\x08\0" + IP4, V4),
    "c_hdlc": (104, b"\x0f\0\x86\xdd" + IP6, V6),
    "ppp with direction": (204, b"\x01\xff\x03\0\x21" + IP4, V4),
    "pppd": (166, b"\x01\x03\0\x21" + IP4, V4),
    "ppp ether": (51, pppoe(b"\0\x21" + IP4), V4),
    "802.11": (105, wlan(snap(IP4)), V4),
    "802.11, four addresses": (105, wlan(snap(IP4), control=b"\x08\x03", behind=bytes(6)), V4),
    "802.11, qos": (105, wlan(snap(IP6, 0x86DD), control=b"\x88\x02", behind=bytes(2)), V6),
    "802.11, qos and ht": (105, wlan(snap(IP4), control=b"\x88\x82", behind=bytes(6)), V4),
    "802.11, a-msdu": (105, aggregate(snap(IP4)), V4),
    "802.11, deciphered wep": (105, wlan(bytes(4) + snap(IP4), control=b"\x08\x41"), V4),
    "802.11, deciphered ccmp": (105, wlan(b"\0\0\0\x20" + bytes(4) + snap(IP4), control=b"\x08\x41"), V4),
    "centrino": (1, ethernet(wlan(snap(IP4)), 0x2452), V4),
    "radiotap": (127, radiotap(wlan(snap(IP4)), 0), V4),
    "radiotap, padded, fcs": (
        127, radiotap(wlan(b"\0\0" + snap(IP4), control=b"\x88\x01", behind=bytes(2)) + b"FCS!", 0x30), V4,
    ),
    "ppi": (192, struct.pack("<BBHI", 0, 0, 12, 105) + bytes(4) + wlan(snap(IP4)), V4),
    "prism": (119, struct.pack("<II", 0x44, 144) + bytes(136) + wlan(snap(IP4)), V4),
    "avs": (163, struct.pack(">II", 0x80211001, 64) + bytes(56) + wlan(snap(IP4)), V4),
    "nflog": (239, nflog("<"), V4),
    "nflog, big-endian": (239, nflog(">"), V4),
    "netlink, log": (253, netlink(netlink_message(4, 9, IP4)), V4),
    "netlink, queue": (253, netlink(netlink_message(3, 10, IP4)), V4),
    "hop-by-hop": (1, ethernet(ipv6(extension(tcp(), 6), 0), 0x86DD), V6),
    "all extension headers": (
        101,
        ipv6(extension(extension(extension(extension(tcp(), 6), 135), 60), 43, options=b"\x01\x0c" + bytes(12)), 0),
        V6,
    ),
    "authentication header": (101, ipv6(b"\x06\x04" + bytes(22) + tcp(), 51), V6),
    "authentication header, ipv4": (101, ipv4(b"\x06\x04" + bytes(22) + tcp(), 51), V4),
    "atomic fragment": (101, ipv6(b"\x06" + bytes(7) + tcp(), 44), V6),
    "ip in ip": (1, ethernet(ipv4(IP4, 4, addresses=OUTER)), V4),
    "6in4": (1, ethernet(ipv4(IP6, 41, addresses=OUTER)), V6),
    "4in6": (1, ethernet(ipv6(IP4, 4, addresses=OUTER6), 0x86DD), V4),
    "6in6, options": (1, ethernet(ipv6(extension(IP6, 41), 60, addresses=OUTER6), 0x86DD), V6),
    "srv6 ethernet": (1, ethernet(ipv6(FRAME4, 143, addresses=OUTER6), 0x86DD), V4),
    "etherip": (1, ethernet(ipv4(b"\x30\0" + FRAME4, 97, addresses=OUTER)), V4),
    "gre": (1, in_gre(0x0800, IP4), V4),
    "gre, all options": (1, in_gre(0x86DD, IP6, 0xB000, bytes(12)), V6),
    "gre, routing": (1, in_gre(0x0800, IP4, 0x4000, bytes(4) + b"\x08\0\0\x04abcd" + bytes(4)), V4),
    "gre, bridging": (1, in_gre(0x6558, FRAME4, 0x2000, bytes(4)), V4),
    "gre, mpls": (1, in_gre(0x8847, b"\0\1\1\x40" + IP4), V4),
    "wccp": (1, in_gre(0x883E, IP4), V4),
    "wccp 2": (1, in_gre(0x883E, bytes(4) + IP4), V4),
    "pptp": (1, in_gre(0x880B, b"\xff\x03\0\x21" + IP4, 0x3081, struct.pack(">HHII", 4 + len(IP4), 9, 1, 1)), V4),
    "erspan 1": (1, in_gre(0x88BE, FRAME4), V4),
    "erspan 2": (1, in_gre(0x88BE, b"\x10\x64\x08\x01\0\0\0\0" + FRAME4, 0x1000, bytes(4)), V4),
    "erspan 3": (1, in_gre(0x22EB, b"\x20\x64" + bytes(10) + FRAME4, 0x1000, bytes(4)), V4),
    "erspan 3, subheader": (
        1, in_gre(0x22EB, b"\x20\x64" + bytes(9) + b"\x01" + bytes(8) + FRAME4, 0x1000, bytes(4)), V4,
    ),
    "erspan 3, ip": (1, in_gre(0x22EB, b"\x20\x64" + bytes(8) + b"\x08\0" + IP4, 0x1000, bytes(4)), V4),
    "mpls": (1, mpls(IP4), V4),
    "mpls, three labels": (1, mpls(IP6, 3), V6),
    "mpls, ethernet": (1, mpls(FRAME4), V4),
    "mpls, ethernet, address begins with 4": (1, mpls(b"\x4e" + FRAME4[1:]), V4),
    "mpls, ethernet, address begins with 6": (1, mpls(b"\x6e" + FRAME4[1:]), V4),
    "mpls, control word": (1, mpls(bytes(4) + FRAME4), V4),
    "mpls, control word with sequence": (1, mpls(b"\0\0\0\x05" + FRAME4), V4),
    "mpls in ip": (1, ethernet(ipv4(b"\0\1\1\x40" + IP4, 137, addresses=OUTER)), V4),
    "nsh": (1, ethernet(b"\0\x02\x01\x03" + bytes(4) + FRAME4, 0x894F), V4),
    "vxlan": (1, in_udp(4789, b"\x08\0\0\0\0\0\x07\0" + FRAME4), V4),
    "vxlan, linux port": (1, in_udp(8472, b"\x08\0\0\0\0\0\x07\0" + ethernet(vlan(IP6, 0x86DD), 0x8100)), V6),
    "vxlan gpe": (1, in_udp(4790, b"\x0c\0\0\x01\0\0\x07\0" + IP4), V4),
    "geneve": (1, in_udp(6081, b"\x02\0\x65\x58\0\0\x07\0" + bytes(8) + FRAME4), V4),
    "geneve, ip": (1, in_udp(6081, b"\0\0\x86\xdd\0\0\x07\0" + IP6), V6),
    "gtp": (1, in_udp(2152, b"\x30\xff" + struct.pack(">H", len(IP4)) + bytes(4) + IP4), V4),
    "gtp, extension header": (
        1,
        in_udp(2152, b"\x34\xff" + struct.pack(">H", 8 + len(IP4)) + bytes(4) + b"\0\0\0\x85" + b"\x01\0\0\0" + IP4),
        V4,
    ),
    "l2tp": (1, in_udp(1701, b"\x40\x02" + struct.pack(">H", 12 + len(IP4)) + bytes(4) + b"\xff\x03\0\x21" + IP4), V4),
    "teredo": (1, in_udp(3544, IP6), V6),
    "teredo, authentication and origin": (1, in_udp(3544, b"\0\x01\0\0" + bytes(9) + b"\0\0" + bytes(6) + IP6), V6),
    "mpls in udp": (1, in_udp(6635, b"\0\1\1\x40" + IP4), V4),
    "vxlan in vxlan": (
        1, in_udp(4789, b"\x08" + bytes(7) + in_udp(4789, b"\x08" + bytes(7) + FRAME4)), V4,
    ),
}  # fmt: skip
