"""What the index keeps of a conversation in one segment: a row, of which numpy compares a column at a time.

A row says enough to go on in its segment when everything before it is gone: the name, and where in its halves it is.
"""

from __future__ import annotations

import struct

import numpy as np

# The ends are a and b; a sent the first packet. Nothing here says who is the client until `client` does.
ROW = np.dtype(
    [
        ("name", "V8"),  # Flow.name, from the first payload on
        ("transport", "u1"),  # 6 or 17
        ("size", "u1"),  # bytes of an address: 4 or 16
        ("lead", "u1"),  # who sent the first payload: UNKNOWN, A or B
        ("client", "u1"),  # the same of the client
        ("protocol", "u1"),  # what its first bytes here promise: index of the protocols' table, 0 for unknown
        ("marks", "u1"),
        ("address_a", "V16"),  # behind an IPv4 address there are 12 zero bytes
        ("address_b", "V16"),
        ("port_a", "<u2"),
        ("port_b", "<u2"),
        ("base_a", "<u4"),  # sequence number of the first byte
        ("base_b", "<u4"),
        ("seq", "<u4"),  # Flow.seq
        ("first", "<i8"),  # Flow.first
        ("offset_a", "<i8"),  # bytes of the half before this segment
        ("offset_b", "<i8"),
        ("until_a", "<i8"),  # and with it
        ("until_b", "<i8"),
        ("begin", "<i8"),  # time of the first packet here
        ("end", "<i8"),  # of the last
        ("bytes", "<u8"),  # captured, of the packets here
        ("packets", "<u4"),
        ("cut_packets_a", "<u4"),  # left out, for nobody recognised the conversation
        ("cut_packets_b", "<u4"),
        ("cut_bytes_a", "<u8"),  # their payload
        ("cut_bytes_b", "<u8"),
        ("cut_end_a", "<i8"),  # time of the last of them
        ("cut_end_b", "<i8"),
    ]
)

# Makes one of its values; numpy takes three times as long for a row of many types.
PACK = struct.Struct("<8s6B16s16sHHIII7qQIIIQQqq").pack

UNKNOWN, A, B = 0, 1, 2
# Marks: the sequence number of the first byte is known; the conversation was there before its first packet here;
# and so was its first payload; no SYN was seen, so it may be the rest of an earlier one; it ended; all of it is kept;
# what it promises may have turned into something else.
BASE_A, BASE_B, OLD, BEGUN, JOINED, ENDED, KEPT, UNSURE = 1, 2, 4, 8, 16, 32, 64, 128

# Values of a packet's flow that are no row.
SHARED_FLOW = 0xFFFFFFFE
NO_FLOW = 0xFFFFFFFF


_ENDS = ["transport", "size", "address_a", "address_b", "port_a", "port_b"]


def key_of(row: np.void) -> bytes:
    """Segment.key of packets from a."""
    size = int(row["size"])
    addresses: bytes = row["address_a"].tobytes()[:size] + row["address_b"].tobytes()[:size]
    return addresses + int(row["port_a"]).to_bytes(2, "big") + int(row["port_b"]).to_bytes(2, "big")
