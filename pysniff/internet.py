"""IPv4, IPv6 and its extension headers, TCP and UDP.

Own code, one unpacking a header: nearly all the packets that come here are IP in a tag or a tunnel.
"""

from __future__ import annotations

from struct import Struct

from pysniff.layer import Fragment, Guess, Layer, Next, Space, Span, Unfit
from pysniff.packet import Datagram, Segment
from pysniff.tunnels import TUNNELS, TUNNELS_BY_SOURCE

# Version and header length, total length, identification, flags and fragment offset, protocol, addresses.
_IPV4 = Struct("!BxHHHxBxx8s")
# The key's ports, sequence and acknowledgment number, data offset, flags.
_TCP = Struct("!4sIIBB6x")
_UDP = Struct("!4sHxx")  # the key's ports, length
MORE_FRAGMENTS, OFFSET = 0x2000, 0x1FFF

HOP_BY_HOP = 0
# Linux makes segments of up to 512 KiB (GSO_MAX_SIZE): where a header gives no length and the wire has
# more than twice that, it is the wire length that is wrong.
BIG_TCP = 1 << 20


def ipv4(span: Span) -> Next | Fragment:
    first, total, ident, place, protocol, addresses = _IPV4.unpack(span.head(20, "IPv4"))
    if first >> 4 != 4:
        raise Unfit("malformed", "bad IP version")
    header = (first & 0x0F) * 4
    if not 20 <= header <= span.left:
        raise Unfit("malformed", "bad IP header length")
    if total == 0:  # BIG TCP, and segmentation offload in general
        total = _unsaid(span)
    if total < header:
        raise Unfit("malformed", "bad IP length")
    inside = _within(span, header, total, addresses)
    if place & (MORE_FRAGMENTS | OFFSET):
        key = addresses + bytes((protocol,)) + ident.to_bytes(2, "big")
        return Fragment(key, (place & OFFSET) * 8, bool(place & MORE_FRAGMENTS), protocol, inside)
    return Next(Space.PROTOCOL, protocol, inside)


def ipv6(span: Span) -> Next:
    head = span.head(40, "IPv6")
    if head[0] >> 4 != 6:
        raise Unfit("malformed", "bad IP version")
    total = 40 + (head[4] << 8 | head[5])
    protocol = head[6]
    if total == 40 and span.left > 40:
        total = 40 + _jumbo(span.after(40)) if protocol == HOP_BY_HOP else _unsaid(span)
    return Next(Space.PROTOCOL, protocol, _within(span, 40, total, head[8:40]))


def _unsaid(span: Span) -> int:
    """The length of an IP packet whose header says 0: all there is on the wire."""
    if span.left > BIG_TCP:
        raise Unfit("malformed", "bad IP length")
    return span.left


def _jumbo(span: Span) -> int:
    """The payload length in a hop-by-hop header (RFC 2675 §2), else all there is."""
    size = (span.head(2, "hop-by-hop")[1] + 1) * 8
    options = span.head(size, "hop-by-hop")
    at = 2
    while at + 1 < size:
        kind, length = options[at], options[at + 1]
        if kind == 0xC2 and length == 4 and at + 6 <= size:
            jumbo = int.from_bytes(options[at + 2 : at + 6], "big")
            if not 65_536 <= jumbo <= BIG_TCP:  # RFC 2675 §3: a shorter one is an error
                raise Unfit("malformed", "bad jumbo length")
            return jumbo
        at += 1 if kind == 0 else 2 + length
    return _unsaid(span)


def _within(span: Span, header: int, total: int, addresses: bytes) -> Span:
    """The payload of an IP packet, which ends where its length says: behind it is padding.

    A length beyond the end on the wire is a flipped bit, or something cut the packet before the capture did
    (mirror ports, ERSPAN). What is there counts; taking the rest for `missing` would let one bad length
    swallow the segments that follow. Where we only guess that this is IP, it refutes the guess.
    """
    if span.strict and total > span.left:
        raise Unfit("malformed", "bad IP length")
    return Span(span.data, span.start + header, min(span.end, span.start + total), addresses, span.strict)


def extension(span: Span) -> Next:
    """RFC 8200 §4: hop-by-hop, routing, destination options, mobility, HIP, shim6 differ only in what they hold."""
    head = span.head(2, "extension header")
    size = (head[1] + 1) * 8
    span.head(size, "extension header")
    return Next(Space.PROTOCOL, head[0], span.after(size))


def authentication(span: Span) -> Next:
    """RFC 4302: in words of four, less two; the same in IPv4."""
    head = span.head(12, "AH")
    size = (head[1] + 2) * 4
    span.head(size, "AH")
    return Next(Space.PROTOCOL, head[0], span.after(size))


def fragment(span: Span) -> Next | Fragment:
    head = span.head(8, "fragment header")
    place = head[2] << 8 | head[3]
    if not place & 0xFFF9:  # RFC 6946: an atomic fragment stands alone
        return Next(Space.PROTOCOL, head[0], span.after(8))
    return Fragment(span.addresses + head[4:8], place & 0xFFF8, bool(place & 1), head[0], span.after(8))


def tcp(span: Span) -> Segment:
    ports, seq, ack, offset, flags = _TCP.unpack(span.head(20, "TCP"))
    size = (offset >> 4) * 4
    if not 20 <= size <= span.left:
        raise Unfit("malformed", "bad TCP header length")
    return Segment(span.addresses + ports, seq, ack, flags, *span.after(size).cut())


def udp(span: Span) -> Datagram | Guess:
    ports, length = _UDP.unpack(span.head(8, "UDP"))
    if length == 0 and span.left > 0xFFFF:  # RFC 2675 §4: too long for the field
        length = span.left
    if length < 8 or length > span.left:
        raise Unfit("malformed", "bad UDP length")
    body = span.first(length).after(8)
    datagram = Datagram(span.addresses + ports, *body.cut())
    tunnel = TUNNELS.get(ports[2] << 8 | ports[3]) or TUNNELS_BY_SOURCE.get(ports[0] << 8 | ports[1])
    inside = tunnel(body) if tunnel is not None else None
    return datagram if inside is None else Guess(datagram, inside)


PROTOCOLS: dict[int, Layer] = {
    4: ipv4, 6: tcp, 17: udp, 41: ipv6, 43: extension, 44: fragment, 51: authentication, 60: extension, 94: ipv4,
    HOP_BY_HOP: extension, 135: extension, 139: extension, 140: extension,
}  # fmt: skip

# The rest are counted by their number.
PROTOCOL_NAMES = {
    1: "icmp", 2: "igmp", 8: "egp", 9: "igp", 33: "dccp", 46: "rsvp", 50: "esp", 58: "icmpv6", 59: "no next header",
    88: "eigrp", 89: "ospf", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 124: "isis", 132: "sctp",
    136: "udplite",
}  # fmt: skip
