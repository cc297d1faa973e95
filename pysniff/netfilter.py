"""Packets that the Linux firewall handed out: NFLOG, and netlink as nlmon shows it. dpkt has neither.

Attributes are TLVs in the byte order of the machine that captured, which the capture does not say.
"""

from __future__ import annotations

from typing import Literal

from pysniff.layer import Layer, Next, Span, Unfit, by_version

PAYLOADS = {3: 10, 4: 9}  # subsystem -> attribute with the packet: NFQA_PAYLOAD, NFULA_PAYLOAD
ULOG = 4
ATTRIBUTES = 64  # looked at in one message; the kernel writes about twenty
NETFILTER = 12  # netlink family, where a cooked header has its protocol


def nflog(span: Span) -> Next:
    """LINKTYPE_NFLOG: family, version 0, group, attributes."""
    head = span.head(4, "NFLOG")
    if head[1]:
        raise Unfit("malformed", "bad NFLOG")
    return _payload(span.after(4), PAYLOADS[ULOG])


def netlink(span: Span) -> Next:
    """LINKTYPE_NETLINK: a cooked header, then messages, of which the first is read: a packet is one segment here."""
    head = span.head(16, "netlink")
    if head[14] << 8 | head[15] != NETFILTER:
        raise Unfit("not_ip", "netlink")
    span = span.after(16)
    message = span.head(20, "netlink")
    order = _order(message[:4], span.left)
    kind = int.from_bytes(message[4:6], order)
    if kind >> 8 not in PAYLOADS or kind & 0xFF:
        raise Unfit("not_ip", "netlink")
    return _payload(span.first(int.from_bytes(message[:4], order)).after(20), PAYLOADS[kind >> 8])


def _order(length: bytes, left: int) -> Literal["little", "big"]:
    return "little" if int.from_bytes(length, "little") <= left else "big"


def _payload(span: Span, wanted: int) -> Next:
    order = _order(span.head(2, "netlink attribute"), span.left)
    for _ in range(ATTRIBUTES):
        head = span.head(4, "netlink attribute")
        length, kind = int.from_bytes(head[:2], order), int.from_bytes(head[2:], order) & 0x3FFF
        if not 4 <= length <= span.left:
            raise Unfit("malformed", "bad netlink attribute")
        if kind == wanted:
            return by_version(span.first(length).after(4))
        span = span.after(length + 3 & ~3)
        if not span.left:
            break
    raise Unfit("not_ip", "netlink")


NETLINKS: dict[int, Layer] = {239: nflog, 253: netlink}
