"""Packets that the Linux firewall handed out: NFLOG, and netlink as nlmon shows it. dpkt has neither.

The kernel puts several log messages into one netlink packet (NFULNL_CFG_QTHRESH), each with a packet of its own.
Attributes are TLVs in the byte order of the machine that captured, which the capture does not say.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pysniff.layer import Layer, Next, Part, Several, Span, Unfit, by_version

ByteOrder = Literal["little", "big"]

PAYLOADS = {3: 10, 4: 9}  # subsystem -> attribute with the packet: NFQA_PAYLOAD, NFULA_PAYLOAD
ULOG = 4
ATTRIBUTES = 64  # looked at in one message; the kernel writes about twenty
NETFILTER = 12  # netlink family, where a cooked header has its protocol
HEADER = 16  # bytes of a message's header; netfilter has four more before the attributes
DONE = 3  # NLMSG_DONE: ends several messages, and says nothing


def nflog(span: Span) -> Next:
    """LINKTYPE_NFLOG: family, version 0, group, attributes."""
    head = span.head(4, "NFLOG")
    if head[1]:
        raise Unfit("malformed", "bad NFLOG")
    return _payload(span.after(4), PAYLOADS[ULOG])


def netlink(span: Span) -> Several:
    """LINKTYPE_NETLINK: a cooked header, then messages, each of which begins at a multiple of four (RFC 3549 §2.2)."""
    head = span.head(16, "netlink")
    if head[14] << 8 | head[15] != NETFILTER:
        raise Unfit("not_ip", "netlink")
    span = span.after(16)
    order = _order(span.head(4, "netlink"), span.left)
    layer = partial(_message, order=order)
    parts: list[Part] = []
    while not parts or span.left >= HEADER:
        head = span.first(HEADER).cut()[0]
        if parts and int.from_bytes(head[4:6], order) == DONE:
            break
        parts.append(Part(layer, span))  # where its header is cut, the layer says so
        length = int.from_bytes(head[:4], order)
        if len(head) < HEADER or length < HEADER:
            break
        span = span.after(length + 3 & ~3)
    return Several(tuple(parts))


def _message(span: Span, order: ByteOrder) -> Next:
    head = span.head(HEADER, "netlink")
    length, kind = int.from_bytes(head[:4], order), int.from_bytes(head[4:6], order)
    if kind >> 8 not in PAYLOADS or kind & 0xFF:
        raise Unfit("not_ip", "netlink")
    return _payload(span.first(length).after(HEADER + 4), PAYLOADS[kind >> 8])


def _order(length: bytes, left: int) -> ByteOrder:
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
