"""Writes packets layer by layer, for tests; no checksums, since nothing here verifies them.

Each function returns its header in front of `payload`, with the lengths right unless told otherwise.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

CLIENT4, SERVER4 = ip_address("10.0.0.7").packed, ip_address("10.0.0.9").packed
CLIENT6, SERVER6 = ip_address("fd00::7").packed, ip_address("fd00::9").packed
MACS = bytes.fromhex("020000000009020000000007")


def tcp(
    payload: bytes = b"hello", sport: int = 51022, dport: int = 80, *, options: bytes = b"", words: int = 0
) -> bytes:
    """`words`: the data offset, if not what the options make it."""
    words = words or 5 + len(options) // 4
    return struct.pack(">HHIIBBHHH", sport, dport, 1, 2, words << 4, 0x18, 64, 0, 0) + options + payload


def udp(payload: bytes, dport: int, sport: int = 51022, *, length: int | None = None) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload


def ipv4(
    payload: bytes, protocol: int = 6, *, options: bytes = b"", total: int | None = None,
    ident: int = 1, offset: int = 0, more: bool = False, addresses: bytes = CLIENT4 + SERVER4,
) -> bytes:  # fmt: skip
    """`offset` in bytes."""
    size = 20 + len(options)
    length = size + len(payload) if total is None else total
    place = offset // 8 | (0x2000 if more else 0)
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, length, ident, place, 64, protocol, 0)
    return head + addresses + options + payload


def ipv6(
    payload: bytes, following: int = 6, *, length: int | None = None, addresses: bytes = CLIENT6 + SERVER6
) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">IHBB", 0x60000000, size, following, 64) + addresses + payload


def extension(payload: bytes, following: int, *, options: bytes = b"\x01\x04\0\0\0\0") -> bytes:
    """An IPv6 extension header; six bytes of options, or fourteen, and so on."""
    return bytes((following, (len(options) + 2) // 8 - 1)) + options + payload


def fragment6(payload: bytes, following: int, offset: int, more: bool, ident: int = 1) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | more, ident) + payload


def ethernet(payload: bytes, number: int = 0x0800) -> bytes:
    return MACS + struct.pack(">H", number) + payload


def vlan(payload: bytes, number: int = 0x0800, tag: int = 7) -> bytes:
    """What follows the type of a VLAN tag."""
    return struct.pack(">HH", tag, number) + payload


def snap(payload: bytes, number: int = 0x0800) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", number) + payload


def pppoe(payload: bytes) -> bytes:
    return struct.pack(">BBHH", 0x11, 0, 1, len(payload)) + payload


def gre(payload: bytes, number: int = 0x0800, flags: int = 0, options: bytes = b"") -> bytes:
    return struct.pack(">HH", flags, number) + options + payload


def wlan(payload: bytes, *, control: bytes = b"\x08\x01", behind: bytes = b"") -> bytes:
    """An 802.11 data frame; `behind` the three addresses: a fourth one, QoS."""
    return control + bytes(2) + MACS + bytes(6) + bytes(2) + behind + payload


def attribute(kind: int, payload: bytes, order: str = "<") -> bytes:
    """A netlink attribute, padded to four bytes."""
    return struct.pack(f"{order}HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)
