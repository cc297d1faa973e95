"""Link layers: Ethernet and its tags, Linux cooked, BSD loopback, raw IP, PPP, LLC.

A frame's padding ends here where a length says so, else in IP: it is never payload.
dpkt reads the headers that it reads alone. Not dpkt.ethernet, .llc, .ppp, .loopback: each decodes all that
it holds as well, layer in layer, without bound (RecursionError), and loses what the snapshot cut.
"""

from __future__ import annotations

from pysniff.layer import (
    ETHERNET,
    IPV4,
    IPV6,
    MPLS,
    WLAN,
    Layer,
    Next,
    Span,
    Unfit,
    by_version,
    ethertype,
    link,
)

# ARPHRD_ numbers of Linux (if_arp.h) with which the protocol field does not say what follows (LINKTYPE_LINUX_SLL).
ARPHRD_RADIOTAP = 803
ARPHRD_IEEE80211 = 801  # only where the protocol field says nothing
ARPHRD_NETLINK = 824
COOKED_LLC = 4  # ETH_P_802_2 in the protocol field of a cooked header
COOKED_NOVELL = 1  # ETH_P_802_3

# AF_INET6 is 10 on Linux, 23 on Windows, 24, 28, 30 on NetBSD, FreeBSD, Darwin; AF_INET is 2 everywhere.
FAMILIES = {2: IPV4, 10: IPV6, 23: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}

PPP_PROTOCOLS = {0x0021: IPV4, 0x0057: IPV6, 0x0281: MPLS, 0x0283: MPLS}
PPP_NAMES = {
    0x002D: "vj compressed", 0x003D: "ppp multilink", 0x00FD: "ppp compressed", 0x8021: "ipcp", 0x8057: "ipv6cp",
    0x80FD: "ccp", 0xC021: "lcp", 0xC023: "pap", 0xC025: "lqr", 0xC223: "chap", 0x0207: "cdp",
}  # fmt: skip
SAPS = {0x42: "stp", 0xE0: "ipx", 0xF0: "netbios", 0xFE: "osi", 0xFF: "ipx"}


def ethernet(span: Span) -> Next:
    head = span.head(14, "Ethernet")
    return typed(head[12] << 8 | head[13], span.after(14))


def typed(number: int, span: Span) -> Next:
    """What follows a type-or-length field (IEEE 802.3 §3.2.6): up to 1500 it is the length of an LLC frame."""
    if number >= 0x0600:
        return ethertype(number, span)
    if number > 1500:
        raise Unfit("malformed", "bad Ethernet type")
    return llc(span.first(number))


def llc(span: Span) -> Next:
    """IEEE 802.2, and SNAP (RFC 1042) behind it."""
    head = span.head(3, "LLC")
    if head[:2] == b"\xff\xff":
        raise Unfit("not_ip", "ipx")
    if head == b"\x06\x06\x03":  # RFC 948: IP has a SAP of its own
        return ethertype(IPV4, span.after(3))
    if head != b"\xaa\xaa\x03":
        raise Unfit("not_ip", SAPS.get(head[0], "llc"))
    snap = span.head(8, "SNAP")
    oui, number = snap[3:6], snap[6] << 8 | snap[7]
    if oui in (b"\x00\x00\x00", b"\x00\x00\xf8") and number >= 0x0600:  # 00-00-F8: IEEE 802.1H tunnel
        return ethertype(number, span.after(8))
    if oui == b"\x00\x80\xc2" and number == 0x0007:  # RFC 2684: bridged Ethernet without its checksum
        return link(ETHERNET, span.after(8))
    raise Unfit("not_ip", "cdp" if oui == b"\x00\x00\x0c" else "snap")


def vlan(span: Span) -> Next:
    head = span.head(4, "VLAN")
    return typed(head[2] << 8 | head[3], span.after(4))


def frer(span: Span) -> Next:
    """IEEE 802.1CB R-TAG and IEC 62439-3 HSR: a sequence number in front of the type."""
    head = span.head(6, "redundancy tag")
    return typed(head[4] << 8 | head[5], span.after(6))


def provider_backbone(span: Span) -> Next:
    """IEEE 802.1ah: the customer's whole frame behind four bytes of tag."""
    span.head(4, "I-TAG")
    return link(ETHERNET, span.after(4))


def pppoe(span: Span) -> Next:
    """RFC 2516, session stage."""
    from dpkt.dpkt import UnpackError
    from dpkt.pppoe import PPPoE

    try:
        head = PPPoE(span.head(6, "PPPoE"))
    except UnpackError:
        raise Unfit("malformed", "bad PPPoE") from None
    if head.v != 1 or head.type != 1:
        raise Unfit("malformed", "bad PPPoE")
    if head.code:
        raise Unfit("not_ip", "pppoe discovery")
    length: int = head.len
    return ppp(span.after(6).first(length))


def ppp(span: Span) -> Next:
    """RFC 1661, with or without the two bytes of HDLC address and control (RFC 1662)."""
    head = span.head(1, "PPP")
    if head[0] == 0xFF:
        if span.head(2, "PPP")[1] != 3:
            raise Unfit("malformed", "bad PPP")
        span = span.after(2)
        head = span.head(1, "PPP")
    if head[0] & 1:  # RFC 1661 §6.5: a compressed protocol field is one odd byte
        return _ppp_protocol(head[0], span.after(1))
    head = span.head(2, "PPP")
    return _ppp_protocol(head[0] << 8 | head[1], span.after(2))


def _ppp_protocol(number: int, span: Span) -> Next:
    following = PPP_PROTOCOLS.get(number)
    if following is None:
        raise Unfit("not_ip", PPP_NAMES.get(number, "ppp"), sane=number in PPP_NAMES)
    return ethertype(following, span)


def hdlc(span: Span) -> Next:
    """PPP in HDLC framing, or Cisco's HDLC, told apart by the address byte (LINKTYPE_PPP_HDLC, C_HDLC)."""
    head = span.head(4, "HDLC")
    if head[0] in (0x0F, 0x8F):
        return typed(head[2] << 8 | head[3], span.after(4))
    return ppp(span)


def ppp_directed(span: Span) -> Next:
    """A byte for the direction in front of PPP (LINKTYPE_PPP_WITH_DIR, LINKTYPE_PPP_PPPD)."""
    head = span.head(2, "PPP")
    # pppd puts the direction in place of the address byte 0xFF: the control byte 3 is still behind it.
    return ppp(span.after(2 if head[1] == 3 else 1))


def cooked(span: Span) -> Next:
    """LINKTYPE_LINUX_SLL."""
    from dpkt.dpkt import UnpackError
    from dpkt.sll import SLL

    try:
        head = SLL(span.head(16, "cooked header"))
    except UnpackError:
        raise Unfit("malformed", "bad cooked header") from None
    return _cooked(head.hrd, head.ethtype, span.after(16))


def cooked2(span: Span) -> Next:
    """LINKTYPE_LINUX_SLL2."""
    from dpkt.dpkt import UnpackError
    from dpkt.sll2 import SLL2

    try:
        head = SLL2(span.head(20, "cooked header"))
    except UnpackError:
        raise Unfit("malformed", "bad cooked header") from None
    return _cooked(head.hrd, head.ethtype, span.after(20))


def _cooked(hardware: int, protocol: int, span: Span) -> Next:
    if hardware == ARPHRD_RADIOTAP:
        return link(127, span)
    if hardware == ARPHRD_NETLINK:
        raise Unfit("not_ip", "netlink")
    if protocol == COOKED_LLC:
        return llc(span)
    if protocol == COOKED_NOVELL:
        raise Unfit("not_ip", "ipx")
    if protocol < 0x0600:
        if hardware == ARPHRD_IEEE80211:
            return link(WLAN, span)
        raise Unfit("not_ip", "cooked", sane=False)
    return ethertype(protocol, span)


def loopback(span: Span) -> Next:
    """LINKTYPE_NULL in the byte order of whoever captured, and LINKTYPE_LOOP.

    There are captures with an Ethernet type in the last two bytes; tshark reads those as well.
    """
    head = span.head(4, "loopback")
    following = FAMILIES.get(int.from_bytes(head, "little")) or FAMILIES.get(int.from_bytes(head, "big"))
    if following is not None:
        return ethertype(following, span.after(4))
    if int.from_bytes(head[2:], "big") in (IPV4, IPV6):
        return by_version(span.after(4))
    raise Unfit("not_ip", "loopback", sane=False)


def only_ipv4(span: Span) -> Next:
    return ethertype(IPV4, span)


def only_ipv6(span: Span) -> Next:
    return ethertype(IPV6, span)


LINKS: dict[int, Layer] = {
    0: loopback, 1: ethernet, 9: ppp, 12: by_version, 14: by_version, 50: hdlc, 51: pppoe, 101: by_version,
    104: hdlc, 108: loopback, 113: cooked, 166: ppp_directed, 204: ppp_directed, 228: only_ipv4, 229: only_ipv6,
    276: cooked2,
}  # fmt: skip

TAGS: dict[int, Layer] = {
    0x8100: vlan, 0x8864: pppoe, 0x880B: ppp, 0x88A8: vlan, 0x88E7: provider_backbone,
    0x892F: frer, 0x9100: vlan, 0x9200: vlan, 0xF1C1: frer,
}  # fmt: skip

# Types that are no IP and known by name; a type that is not here is "unknown type" in the ledger,
# so that a hostile capture cannot fill it with 64 K lines.
ETHERTYPE_NAMES = {
    0x0806: "arp", 0x22F0: "avtp", 0x22F3: "trill", 0x6002: "mop", 0x6003: "decnet", 0x8035: "rarp",
    0x809B: "appletalk", 0x80F3: "aarp", 0x8137: "ipx", 0x8808: "pause", 0x8809: "slow protocols", 0x8863: "pppoed",
    0x887B: "homeplug", 0x888E: "eapol", 0x8892: "profinet", 0x8899: "realtek", 0x88A2: "aoe", 0x88A4: "ethercat",
    0x88B8: "goose", 0x88CA: "tipc", 0x88CC: "lldp", 0x88D9: "lltd", 0x88E1: "homeplug", 0x88E5: "macsec",
    0x88F7: "ptp", 0x8902: "cfm", 0x8906: "fcoe", 0x8914: "fip", 0x891D: "tte", 0x893A: "ieee1905",
    0x9000: "loop", 0x9003: "slow protocols",
}  # fmt: skip
