"""Packets and captures written by hand, for tests: bytes in, no state but what the caller passes."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

from pysniff.packet import ACK

CLIENT_MAC, SERVER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(src: str, dst: str, protocol: int, payload: bytes, *, ttl: int = 64, ident: int = 0) -> bytes:
    """An IPv4 or IPv6 packet, by what the addresses are."""
    source, target = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + source.packed + target.packed + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, 0x4000, ttl, protocol, 0)
    header += source.packed + target.packed
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def _with_checksum(src: str, dst: str, protocol: int, segment: bytes, at: int) -> bytes:
    """Put the checksum over pseudo header and segment at offset `at`."""
    pseudo = ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed
    pseudo += struct.pack("!II", len(segment), protocol)
    # RFC 768: a sum of 0 is sent as all ones; for TCP the two mean the same.
    value = checksum(pseudo + segment) or 0xFFFF
    return segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]


def tcp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    payload: bytes = b"",
    *,
    seq: int = 0,
    ack: int = 0,
    flags: int = ACK,
    window: int = 65535,
    options: bytes = b"",
) -> bytes:
    """A TCP segment in its IP packet. `options` is padded to four bytes."""
    options += bytes(-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    header = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, 0)
    return ip(src, dst, 6, _with_checksum(src, dst, 6, header + options + payload, 16))


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes = b"") -> bytes:
    """A UDP datagram in its IP packet."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ip(src, dst, 17, _with_checksum(src, dst, 17, datagram, 6))


def ethernet(packet: bytes, *, vlan: int | Iterable[int] = ()) -> bytes:
    """An IP packet in its frame; `vlan`: a tag, or several, the outer first."""
    tags = [vlan] if isinstance(vlan, int) else list(vlan)
    frame = SERVER_MAC + CLIENT_MAC
    for tag in tags:
        frame += struct.pack("!HH", VLAN, tag)
    return frame + struct.pack("!H", IPV6 if packet[0] >> 4 == 6 else IPV4) + packet


def ethernet_tcp(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    sport: int = 51000,
    dport: int = 80,
    payload: bytes = b"",
    *,
    seq: int = 0,
    ack: int = 0,
    flags: int = ACK,
    vlan: int | Iterable[int] = (),
) -> bytes:
    return ethernet(tcp(src, dst, sport, dport, payload, seq=seq, ack=ack, flags=flags), vlan=vlan)


def ethernet_udp(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    sport: int = 51000,
    dport: int = 53,
    payload: bytes = b"",
    *,
    vlan: int | Iterable[int] = (),
) -> bytes:
    return ethernet(udp(src, dst, sport, dport, payload), vlan=vlan)


def pcap_header(*, order: str = "<", nano: bool = False, linktype: int = 1, snaplen: int = 262_144) -> bytes:
    return struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, linktype)


def pcap_record(packet: bytes, time_ns: int = 0, *, order: str = "<", nano: bool = False, wire: int = 0) -> bytes:
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    fraction = fraction if nano else fraction // 1000
    return struct.pack(order + "IIII", seconds, fraction, len(packet), wire or len(packet)) + packet


def pcap(packets: Iterable[tuple[int, bytes]], *, order: str = "<", nano: bool = False, linktype: int = 1) -> bytes:
    """A whole file of (time_ns, packet)."""
    records = (pcap_record(packet, time_ns, order=order, nano=nano) for time_ns, packet in packets)
    return pcap_header(order=order, nano=nano, linktype=linktype) + b"".join(records)


def ng_block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def ng_option(code: int, value: bytes, *, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def ng_section(*, order: str = "<", major: int = 1) -> bytes:
    return ng_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1), order=order)


def ng_interface(linktype: int = 1, options: bytes = b"", *, snaplen: int = 0, order: str = "<") -> bytes:
    return ng_block(1, struct.pack(order + "HHI", linktype, 0, snaplen) + options, order=order)


def ng_packet(packet: bytes, ticks: int = 0, interface: int = 0, *, order: str = "<", wire: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), wire or len(packet))
    return ng_block(6, head + packet, order=order)
