"""Packets in packets: GRE, ERSPAN, MPLS and its pseudo wires, NSH, and tunnels over UDP.

Nothing in UDP says that it is a tunnel but a port, which anybody may use: those functions return None
where the header is not theirs, and what they return is a guess that the inside has to bear out.
Own code: dpkt has none of these but GRE and MPLS; its GRE takes the flag of version 1 for an acknowledgment
in version 0 and decodes all it holds, its MPLS labels sit inside its Ethernet class.
"""

from __future__ import annotations

from collections.abc import Callable

from pysniff.layer import ETHERNET, IPV4, IPV6, MPLS, Layer, Next, Span, Unfit, by_version, ethertype, link
from pysniff.link import ETHERTYPE_NAMES, TAGS, ppp

BRIDGED, ERSPAN, ERSPAN3, WCCP, PPP = 0x6558, 0x88BE, 0x22EB, 0x883E, 0x880B
CHECKSUM, ROUTING, KEY, SEQUENCE, ACKNOWLEDGED = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080  # RFC 1701, 2637
FORWARDED = {IPV4, IPV6, MPLS, 0x8848, *TAGS, *ETHERTYPE_NAMES}  # types that a frame plausibly has

SHORTEST = 46  # payload of the shortest Ethernet frame: what is longer was not padded

_PAST_END = 0xFFFF  # a header size that no packet has


def gre(span: Span) -> Next:
    head = span.head(4, "GRE")
    flags, number = head[0] << 8 | head[1], head[2] << 8 | head[3]
    if flags & 7 == 1:
        return _pptp(span, flags, number)
    if flags & 7:
        raise Unfit("other_ip", "gre", sane=False)
    size = 4 + (4 if flags & (CHECKSUM | ROUTING) else 0) + (4 if flags & KEY else 0) + (4 if flags & SEQUENCE else 0)
    span.head(size, "GRE")
    inside = span.after(size)
    if flags & ROUTING:
        inside = _unrouted(inside)
    if number == ERSPAN and not flags & SEQUENCE:  # type I has no header of its own
        return link(ETHERNET, inside)
    if number in (ERSPAN, ERSPAN3):
        return _erspan(inside)
    if number == BRIDGED:
        return link(ETHERNET, inside)
    if number == WCCP:  # draft-wilson-wrec-wccp-v2: a redirect header of four bytes, but not in version 1
        return by_version(inside if inside.head(1, "WCCP")[0] >> 4 == 4 else inside.after(4))
    if number < 0x0600:  # keep-alives and the like
        raise Unfit("other_ip", "gre")
    return ethertype(number, inside)


def _unrouted(span: Span) -> Span:
    """Behind the source route entries (RFC 1701): the last one has no family and no length."""
    while True:
        head = span.head(4, "GRE route")
        span = span.after(4 + head[3])
        if not head[3]:
            return span


def _pptp(span: Span, flags: int, number: int) -> Next:
    """RFC 2637 §4.1: the key holds the payload's length and the call."""
    if number != PPP:
        raise Unfit("other_ip", "gre", sane=False)
    head = span.head(8, "PPTP")
    size = 8 + (4 if flags & SEQUENCE else 0) + (4 if flags & ACKNOWLEDGED else 0)
    length = head[4] << 8 | head[5]
    if not length or not flags & SEQUENCE:
        raise Unfit("other_ip", "gre")  # an acknowledgment alone
    return ppp(span.after(size).first(length))


def _erspan(span: Span) -> Next:
    """draft-foschiano-erspan: type II has version 1 and 8 bytes, type III version 2 and 12, or 20."""
    version = span.head(8, "ERSPAN")[0] >> 4
    if version == 1:
        return link(ETHERNET, span.after(8))
    if version != 2:
        raise Unfit("malformed", "bad ERSPAN version")
    head = span.head(12, "ERSPAN")
    inside = span.after(20 if head[11] & 1 else 12)  # O: a platform-specific subheader
    return by_version(inside) if head[10] >> 2 & 0x1F == 2 else link(ETHERNET, inside)  # FT: frame type


def mpls(span: Span) -> Next:
    """RFC 3032. Nothing says what is behind the last label: IP, or a frame with or without a control word."""
    head = span.head(4, "MPLS")
    span = span.after(4)
    if not head[2] & 1:
        return ethertype(MPLS, span)
    first = span.head(1, "MPLS payload")[0] >> 4
    if _fits_ip(span):
        return by_version(span)
    # RFC 4385 §3: a control word begins with four zeros, but so do the addresses of many makers.
    worded = first == 0 and _plausible_frame(span.after(4))
    if worded and (span.head(4, "control word") == bytes(4) or not _plausible_frame(span)):
        return link(ETHERNET, span.after(4))
    if _plausible_frame(span):
        return link(ETHERNET, span)
    if first in (4, 6):
        return by_version(span)  # broken IP is likelier than a frame of an unknown type
    raise Unfit("not_ip", "mpls", sane=False)


def _fits_ip(span: Span) -> bool:
    """Whether there is an IP packet of just this length; a short one may have been padded."""
    head = _peek(span, 6)
    if not head or head[0] >> 4 not in (4, 6) or (head[0] >> 4 == 4 and head[0] & 15 < 5):
        return False
    length = _ip_length(head)
    return length == span.left or 20 <= length < span.left <= SHORTEST


def _ip_length(head: bytes) -> int:
    return head[2] << 8 | head[3] if head[0] >> 4 == 4 else 40 + (head[4] << 8 | head[5])


def _plausible_frame(span: Span) -> bool:
    head = _peek(span, 14)
    if not head:
        return False
    number, left = head[12] << 8 | head[13], span.left - 14
    return number in FORWARDED or (3 <= number <= 1500 and (number == left or number < left <= SHORTEST))


def etherip(span: Span) -> Next:
    """RFC 3378."""
    if span.head(2, "EtherIP") != b"\x30\x00":
        raise Unfit("malformed", "bad EtherIP")
    return link(ETHERNET, span.after(2))


def bridged(span: Span) -> Next:
    """A frame and nothing else: RFC 8986's protocol 143, and type 0x6558."""
    return link(ETHERNET, span)


def service_header(span: Span) -> Next:
    """NSH, RFC 8300."""
    head = span.head(8, "NSH")
    size = (head[1] & 0x3F) * 4
    if head[0] >> 6 or size < 8:
        raise Unfit("malformed", "bad NSH")
    return _next_protocol(head[3], span.after(size))


def _next_protocol(number: int, span: Span) -> Next:
    """The numbers that NSH and VXLAN-GPE share."""
    types = {1: IPV4, 2: IPV6, 4: 0x894F, 5: MPLS}
    if number == 3:
        return link(ETHERNET, span)
    if number not in types:
        raise Unfit("not_ip", "nsh", sane=False)
    return ethertype(types[number], span)


# Over UDP ---------------------------------------------------------------------------------------------


def _peek(span: Span, size: int) -> bytes:
    """The first bytes, or none where they are not all there."""
    stop = span.start + size
    return span.data[span.start : stop] if stop <= min(span.end, len(span.data)) else b""


def _guessed(span: Span, size: int) -> Span:
    return Span(span.data, span.start + size, span.end, span.addresses, strict=True)


def vxlan(span: Span) -> Next | None:
    """RFC 7348; a set I flag, and nothing reserved but what the group policy draft uses."""
    head = _peek(span, 8)
    if not head or head[0] & 0x7F != 0x08 or head[7]:
        return None
    return link(ETHERNET, _guessed(span, 8))


def vxlan_gpe(span: Span) -> Next | None:
    """draft-ietf-nvo3-vxlan-gpe: a P flag, and the protocol in the fourth byte."""
    head = _peek(span, 8)
    if not head or head[0] & 0xCC != 0x0C or not 1 <= head[3] <= 5:
        return None
    return _next_protocol(head[3], _guessed(span, 8))


def geneve(span: Span) -> Next | None:
    """RFC 8926."""
    head = _peek(span, 8)
    if not head or head[0] >> 6 or head[7] or head[1] & 0x3F:
        return None
    inside = _guessed(span, 8 + (head[0] & 0x3F) * 4)
    number = head[2] << 8 | head[3]
    return link(ETHERNET, inside) if number == BRIDGED else ethertype(number, inside)


def gtp(span: Span) -> Next | None:
    """3GPP TS 29.281: user data (message 255) of GTP version 1, through its extension headers."""
    head = _peek(span, 8)
    if not head or head[0] & 0xF0 != 0x30 or head[1] != 0xFF:
        return None
    if int.from_bytes(head[2:4], "big") != span.left - 8:
        return None
    size = 8
    if head[0] & 7:
        size, following = 12, _peek(span, 12)[11:]
        while head[0] & 4 and following != b"\x00":  # E: extension headers, each ends with the next one's type
            length = (_peek(span.after(size), 1) or b"\x00")[0] * 4
            following = _peek(span.after(size), length)[-1:]
            if not following:
                return None
            size += length
    return _whole_ip(_guessed(span, size))


def l2tp(span: Span) -> Next | None:
    """RFC 2661 §3.1, data messages; version 3 has no telling header."""
    head = _peek(span, 2)
    if not head or head[0] & 0x80 or head[1] & 0x0F != 2 or head[0] & 0x34 or head[1] & 0xF0:
        return None
    size = 6 + (2 if head[0] & 0x40 else 0) + (4 if head[0] & 0x08 else 0)
    if head[0] & 0x40 and int.from_bytes(_peek(span, 4)[2:], "big") != span.left:
        return None
    if head[0] & 0x02:  # an offset before the payload
        offset = _peek(span, size + 2)[size:]
        size += 2 + int.from_bytes(offset, "big") if offset else _PAST_END
    return ethertype(PPP, _guessed(span, size)) if _peek(span, size + 1) else None


def teredo(span: Span) -> Next | None:
    """RFC 4380 §5.1.1: an authentication and an origin indication may stand before IPv6."""
    size = 0
    head = _peek(span, 4)
    if head[:2] == b"\x00\x01":
        size = 4 + head[2] + head[3] + 9
    if _peek(span.after(size), 2) == b"\x00\x00":
        size += 8
    return _whole_ip(_guessed(span, size), version=6)


def labelled(span: Span) -> Next | None:
    """MPLS in UDP, RFC 7510."""
    return ethertype(MPLS, _guessed(span, 0)) if _peek(span, 4) else None


def _whole_ip(span: Span, version: int = 0) -> Next | None:
    """IP whose own length is exactly what there is, else None."""
    head = _peek(span, 6)
    found = head[0] >> 4 if head else 0
    if found not in (4, 6) or (version and found != version):
        return None
    return by_version(span) if _ip_length(head) == span.left else None


Tunnel = Callable[[Span], Next | None]

TUNNELS: dict[int, Tunnel] = {
    1701: l2tp, 2152: gtp, 3544: teredo, 4789: vxlan, 4790: vxlan_gpe, 6081: geneve, 6635: labelled, 8472: vxlan,
}  # fmt: skip
# Those whose answers come from the well-known port; the others take a random source port for each flow.
TUNNELS_BY_SOURCE: dict[int, Tunnel] = {1701: l2tp, 2152: gtp, 3544: teredo}

IN_IP: dict[int, Layer] = {47: gre, 97: etherip, 137: mpls, 143: bridged}
IN_ETHERNET: dict[int, Layer] = {BRIDGED: bridged, MPLS: mpls, 0x8848: mpls, 0x894F: service_header}
