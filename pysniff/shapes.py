"""The packets that nearly all traffic consists of, each taken apart by one unpacking.

IPv4 without options and IPv6 without extension headers, over Ethernet, cooked, loopback and raw links, with TCP
or UDP behind. decode.py takes everything else, and says why where these are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from pysniff.packet import Block, Datagram
from pysniff.tunnels import TUNNELS

# Behind the link header. IPv4: total length, one word of fragment field, TTL and protocol, then
# the key (addresses and ports: 12 bytes in a row), TCP sequence (UDP: length and checksum) and
# acknowledgement number, data offset, flags.
_IPV4 = "2xH2xI2x12sIIBB"
# IPv6: payload length, next header, the key (36 bytes in a row), and the same TCP fields.
_IPV6 = "4xHBx36sIIBB"


class Shape(NamedTuple):
    """`ip`: where the IP header begins; `type4`, `types6`: what the link header says of IPv4 and IPv6.

    The first byte of the IP header tells which unpacking fits: 0x45, or 0x6 and any four bits.
    """

    unpack4: Callable[..., tuple[int | bytes, int, int, bytes, int, int, int, int]]
    unpack6: Callable[..., tuple[int | bytes, int, int, bytes, int, int, int, int]]
    ip: int
    type4: int | bytes | None
    types6: frozenset[int | bytes]


def _shape(link: str, ip: int, type4: int | bytes | None, *types6: int | bytes) -> Shape:
    return Shape(
        Struct(f"!{link}{_IPV4}").unpack_from,
        Struct(f"!{link}{_IPV6}").unpack_from,
        ip,
        type4,
        frozenset(types6),
    )


_RAW = _shape("0s", 0, b"", b"")  # nothing before the IP header
_SHAPES = {
    1: _shape("12xH", 14, 0x0800, 0x86DD),  # Ethernet
    113: _shape("14xH", 16, 0x0800, 0x86DD),  # Linux cooked v1
    276: _shape("H18x", 20, 0x0800, 0x86DD),  # Linux cooked v2
    # BSD loopback: the address family in the byte order of the host, here little-endian; AF_INET6 differs by system.
    0: _shape("H2x", 4, 0x0200, 0x1800, 0x1C00, 0x1E00, 0x0A00),
    12: _RAW,
    14: _RAW,
    101: _RAW,
    228: _RAW,
    229: _RAW,
}
_NONE = _shape("0s", 0, None)


def shape_of(linktype: int) -> Shape:
    """How to take packets of a link type apart; matches nothing where there is no common shape."""
    return _SHAPES.get(linktype, _NONE)


def plain_datagram(block: Block, start: int, end: int) -> Datagram | None:
    """The UDP datagram of one packet, where it has a common shape and cannot be a tunnel."""
    data = block.data
    unpack4, unpack6, ip, type4, types6 = shape_of(block.linktype)
    first = data[start + ip]
    if first == 0x45:
        kind, size, word, key, lengths, _, _, _ = unpack4(data, start)
        if word & 0x3FFF00FF != 17 or kind != type4:
            return None
        body, size = start + ip + 28, size - 20
    elif first & 0xF0 == 0x60:
        kind, size, protocol, key, lengths, _, _, _ = unpack6(data, start)
        if protocol != 17 or kind not in types6:
            return None
        body = start + ip + 48
    else:
        return None
    length = lengths >> 16
    if not 8 <= length <= size or body - 8 + length > end or key[-2:] in _TUNNELS or key[-4:-2] in _TUNNELS:
        return None
    return Datagram(key, data[body : body - 8 + length], 0)


def interface_of(block: Block, start: int) -> str | bytes:
    """What tells the interface of a packet from others: of a capture on "any", Linux cooked v2, its number there."""
    if block.linktype == _COOKED2:
        return block.data[start + 4 : start + 8]
    return block.interface


_COOKED2 = 276  # LINKTYPE_LINUX_SLL2
_TUNNELS = frozenset(port.to_bytes(2, "big") for port in TUNNELS)


def _payload_offsets(headers: int) -> list[int]:
    """By the byte that holds the TCP data offset: where the payload begins, far away for an impossible one."""
    return [headers + (byte >> 4) * 4 if byte >> 4 >= 5 else 1 << 40 for byte in range(256)]


# By the bytes of link and IP headers together.
PAYLOAD = {
    size: _payload_offsets(size)
    for ip in {shape.ip for shape in [*_SHAPES.values(), _NONE]}
    for size in (ip + 20, ip + 40)
}

# The longest unpacking reads this far beyond the start of a packet.
assert max(Struct(f"!20x{_IPV6}").size, Struct(f"!20x{_IPV4}").size) <= Block.PADDING
