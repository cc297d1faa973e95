"""IPv4, IPv6 and its extension headers, TCP and UDP.

dpkt reads IPv4, TCP and UDP headers, each given the header alone, so that it decodes nothing behind it.
Not dpkt.ip6: it raises on an extension header that is cut, knows neither mobility nor the jumbo option,
and forgets where the payload begins.
"""

from __future__ import annotations

from dpkt.dpkt import UnpackError
from dpkt.ip import IP
from dpkt.tcp import TCP
from dpkt.udp import UDP

from pysniff.layer import Fragment, Guess, Layer, Next, Space, Span, Unfit
from pysniff.packet import Datagram, Segment
from pysniff.tunnels import TUNNELS, TUNNELS_BY_SOURCE

HOP_BY_HOP = 0
# Linux makes segments of up to 512 KiB (GSO_MAX_SIZE): where a header gives no length and the wire has
# more than twice that, it is the wire length that is wrong.
BIG_TCP = 1 << 20


def ipv4(span: Span) -> Next | Fragment:
    try:
        head = IP(span.head(20, "IPv4"))
    except UnpackError:
        raise Unfit("malformed", "bad IP header length") from None
    header: int = head.hl * 4
    total: int = head.len
    protocol: int = head.p
    if head.v != 4:
        raise Unfit("malformed", "bad IP version")
    if header > span.left:
        raise Unfit("malformed", "bad IP header length")
    if total == 0:  # BIG TCP, and segmentation offload in general
        total = _unsaid(span)
    if total < header:
        raise Unfit("malformed", "bad IP length")
    addresses: bytes = head.src + head.dst
    inside = _within(span, header, total, addresses)
    if head.mf or head.offset:
        key = addresses + bytes((protocol,)) + head.id.to_bytes(2, "big")
        return Fragment(key, head.offset * 8, bool(head.mf), protocol, inside)
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
    try:
        head = TCP(span.head(20, "TCP"))
    except UnpackError:
        raise Unfit("malformed", "bad TCP header length") from None
    size: int = head.off * 4
    if size > span.left:
        raise Unfit("malformed", "bad TCP header length")
    payload, missing = span.after(size).cut()
    key = span.addresses + span.data[span.start : span.start + 4]
    return Segment(key, head.seq, head.ack, head.flags & 0xFF, payload, missing)


def udp(span: Span) -> Datagram | Guess:
    head = UDP(span.head(8, "UDP"))
    length: int = head.ulen
    if length == 0 and span.left > 0xFFFF:  # RFC 2675 §4: too long for the field
        length = span.left
    if length < 8 or length > span.left:
        raise Unfit("malformed", "bad UDP length")
    body = span.first(length).after(8)
    key = span.addresses + span.data[span.start : span.start + 4]
    datagram = Datagram(key, *body.cut())
    tunnel = TUNNELS.get(head.dport) or TUNNELS_BY_SOURCE.get(head.sport)
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
