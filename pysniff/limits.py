"""Every bound, with its unit and the reason for its size.

A bound is enforced beside the code that grows, and what it drops is counted in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000_000_000  # nanoseconds, the unit of all time here
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one Sniffer. Bytes, nanoseconds or counts, as named."""

    # Messages
    head_bytes: int = 64 * KIB  # header block of one message; servers refuse more than 8-64 KiB
    line_bytes: int = 16 * KIB  # chunk-size lines and the like
    body_bytes: int = 8 * MIB  # kept of one body; size and hash go on
    bodies_total: int = 256 * MIB  # in all messages that were not given yet; the first 64 KiB of each are free
    held_open: int = 512 * MIB  # in all open conversations: heads, free parts of bodies, requests that wait; estimated
    decoded_bytes: int = 64 * MIB  # counted of one decompressed body: a bomb ends here
    fields_bytes: int = 256 * KIB  # of one decoded header block of HTTP/2, as RFC 9113 §6.5.2 counts: a bomb ends here
    table_bytes: int = 128 * KIB  # of one HPACK table; implementations use 4 to 64 KiB
    streams: int = 2_048  # open at once in one HTTP/2 connection; servers allow 100 to 1,000
    resync_bytes: int = 256 * KIB  # looked through for the start of an HTTP/2 frame: 16 frames of the usual size
    pipeline: int = 10_000  # requests waiting for answers in one conversation
    waiting_bytes: int = 32 * MIB  # of such requests, as far as they are kept
    detect_bytes: int = 8 * KIB  # first bytes of a half that decide its protocol
    detect_chunks: int = 4_096  # chunks looked at when joined in the middle: a message may start at any

    # TLS: records that wait for a secret, or for the other half
    undecrypted_bytes: int = MIB  # of one connection: what a fast one says in the time that a key needs
    undecrypted_total: int = 64 * MIB  # of all connections
    undecrypted_wait: int = 5 * SECOND  # a program writes its key log while it shakes hands

    # Reassembly
    held_bytes: int = 4 * MIB  # out-of-order bytes waiting in one half
    held_segments: int = 2_048  # and their number
    held_total: int = 256 * MIB  # in all halves together
    hole_wait: int = 10 * SECOND  # for a segment that is missing: longer than most retransmission timers
    hole_wait_acked: int = SECOND // 5  # when the receiver has acknowledged it: the capture lost it, or reordered it
    fragments: int = 4_096  # IP datagrams waiting for fragments
    fragment_bytes: int = 16 * MIB  # in all of them together
    fragment_wait: int = 30 * SECOND  # RFC 8200 gives 60 s, Linux waits 30 s
    copy_window: int = SECOND // 10  # between copies of a datagram on several interfaces; resolvers repeat after 1 s
    copies: int = 131_072  # datagrams remembered for that, about 150 bytes each
    layers: int = 48  # headers opened in one packet, tags and labels too; the deepest real ones have about 12

    # Conversations
    conversations: int = 65_536  # open at once
    half_open: int = 131_072  # SYNs remembered, about 200 bytes each
    closed: int = 32_768  # connections remembered after the end, so that late segments open nothing; 700 bytes each
    linger: int = 120 * SECOND  # how long those are: twice the maximum segment lifetime of most systems
    idle: int = 300 * SECOND  # a TCP conversation without packets is given up
    idle_udp: int = 60 * SECOND  # a UDP one
    open_after: int = 10 * SECOND  # an exchange still open is shown as such

    # Names (names.py)
    names: int = 65_536  # addresses that have one; a busy resolver's clients meet some thousands a day
    name_versions: int = 8  # of one address: names that share one take turns
    names_bytes: int = 32 * MIB  # of all of them: names are 30 characters, and may be 255


DEFAULT = Limits()
