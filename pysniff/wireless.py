"""802.11 data frames that are not encrypted, and the headers that capture programs put in front of them.

Own code: dpkt.radiotap escapes with IndexError on a header that is cut, dpkt.ieee80211 reads neither
the fourth address nor HT control, and guesses at what follows.
"""

from __future__ import annotations

from pysniff.layer import ETHERNET, WLAN, Layer, Next, Part, Several, Span, Unfit, link
from pysniff.link import llc

MANAGEMENT, CONTROL, DATA = 0, 1, 2
KINDS = {MANAGEMENT: "wlan management", CONTROL: "wlan control", 3: "wlan extension"}
BOTH_DS, MORE_FRAGMENTS, PROTECTED, ORDER = 0x03, 0x04, 0x40, 0x80  # flags, the second byte
SUBFRAME = 14  # header of an MSDU in an aggregate: two addresses and a length
QOS, NO_DATA = 0x8, 0x4  # bits of the subtype of a data frame


def wlan(span: Span) -> Next | Several:
    """IEEE 802.11 §9.3.2.1, a data frame with all its payload."""
    return _data_frame(span)


def centrino(span: Span) -> Next:
    """802.11 frames as some Windows drivers show them, in Ethernet of type 0x2452."""
    return link(WLAN, span)


def _data_frame(span: Span, *, padded: bool = False) -> Next | Several:
    control, flags = span.head(2, "802.11")
    kind, subtype = control >> 2 & 3, control >> 4
    if control & 3:
        raise Unfit("malformed", "bad 802.11 version")
    if kind != DATA:
        raise Unfit("not_ip", KINDS[kind])
    if subtype & NO_DATA:
        raise Unfit("not_ip", "wlan null")
    head = span.head(24, "802.11")
    if flags & MORE_FRAGMENTS or head[22] & 0x0F:
        raise Unfit("not_ip", "wlan fragment")
    size = 24 + (6 if flags & BOTH_DS == BOTH_DS else 0)
    aggregate = False
    if subtype & QOS:
        aggregate = bool(span.after(size).head(2, "802.11 QoS")[0] & 0x80)
        size += 2 + (4 if flags & ORDER else 0)  # §9.2.4.6: +HTC
    if padded:
        size = (size + 3) & ~3
    span = span.after(size)
    if flags & PROTECTED:
        span = _deciphered(span)
    return _aggregate(span) if aggregate else llc(span)


def _deciphered(span: Span) -> Span:
    """What a driver has deciphered already, leaving the flag and the IV (bit 5: the long one): SNAP shows."""
    iv = span.first(8).cut()[0]
    span = span.after(8 if len(iv) > 3 and iv[3] & 0x20 else 4)
    if span.first(6).cut()[0] != b"\xaa\xaa\x03\x00\x00\x00":
        raise Unfit("not_ip", "wlan protected")
    return span


def _aggregate(span: Span) -> Several:
    """The MSDUs of an A-MSDU (§9.3.2.2.2), each padded to a multiple of four but the last."""
    parts: list[Part] = []
    while not parts or span.left >= SUBFRAME:  # what is less is a checksum
        parts.append(Part(_msdu, span))
        head = span.first(SUBFRAME).cut()[0]
        if len(head) < SUBFRAME:
            break
        span = span.after(SUBFRAME + (head[12] << 8 | head[13]) + 3 & ~3)
    return Several(tuple(parts))


def _msdu(span: Span) -> Next:
    head = span.head(SUBFRAME, "A-MSDU")
    return llc(span.after(SUBFRAME).first(head[12] << 8 | head[13]))


def radiotap(span: Span) -> Next | Several:
    """radiotap.org: little-endian; only the flags matter here, which say what surrounds the frame."""
    head = span.head(8, "radiotap")
    size = int.from_bytes(head[2:4], "little")
    if head[0] or size < 8:
        raise Unfit("malformed", "bad radiotap")
    flags = _radiotap_flags(span.head(size, "radiotap"))
    span = span.after(size)
    if flags & 0x10:  # the frame check sequence is at the end
        span = span.first(max(0, span.left - 4))
    return _data_frame(span, padded=bool(flags & 0x20))


def _radiotap_flags(head: bytes) -> int:
    """The flags field, 0 where there is none: the second one, behind a timer aligned to eight."""
    at, present = 4, int.from_bytes(head[4:8], "little")
    word = present
    while word & 0x80000000:
        at += 4
        if at + 4 > len(head):
            raise Unfit("malformed", "bad radiotap")
        word = int.from_bytes(head[at : at + 4], "little")
    at += 4
    if not present & 2:
        return 0
    if present & 1:
        at = (at + 7 & ~7) + 8
    return head[at] if at < len(head) else 0


def ppi(span: Span) -> Next:
    """LINKTYPE_PPI: a header that says its length and the link type behind it."""
    head = span.head(8, "PPI")
    size = int.from_bytes(head[2:4], "little")
    if head[0] or size < 8:
        raise Unfit("malformed", "bad PPI")
    number = int.from_bytes(head[4:8], "little")
    if number not in (ETHERNET, WLAN):
        raise Unfit("not_ip", "ppi", sane=False)
    return link(number, span.after(size))


def prism(span: Span) -> Next:
    """LINKTYPE_IEEE802_11_PRISM, or AVS's header that the same link type also carries."""
    head = span.head(8, "Prism")
    if head[:3] == b"\x80\x21\x10":  # AVS: big-endian, version in the low bits of the magic
        size = int.from_bytes(head[4:8], "big")
    else:
        size = min(int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
    if not 8 <= size <= 1024:
        raise Unfit("malformed", "bad Prism")
    return link(WLAN, span.after(size))


LINKS: dict[int, Layer] = {105: wlan, 119: prism, 127: radiotap, 163: prism, 192: ppi}
IN_ETHERNET: dict[int, Layer] = {0x2452: centrino}
