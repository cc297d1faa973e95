"""Plain text that a process sent or received through TLS, read where it is plain: in the process."""

from __future__ import annotations

from typing import NamedTuple


class PlainChunk(NamedTuple):
    """Bytes that one end of a TCP connection said to the other, as a process wrote or read them.

    `time_ns`: when. `key`: as Segment.key has it, from who sent these bytes to who received them, whichever of the two
    was looked at: 4 + 4 + 2 + 2 bytes, or 16 + 16 + 2 + 2.

    `offset`: bytes of plain text that the process had sent (or received) this way on this connection before these, as
    far as it was watched: where a chunk's offset is beyond the end of the last one's, bytes were lost in between; where
    it is before, they came twice, and the first ones stand. What a call moved and nobody could copy counts too.

    `data`: empty where nothing more comes this way: the process closed the connection, or shut it down.

    `watched_from_start`: offset 0 is the first byte that TLS carried this way; otherwise the connection was joined in
    the middle. `sender_is_client`: None where nobody knows.

    `reader`: who looked: any number that differs for the two ends of a connection inside one machine. Both tell the
    same bytes: the connection is read by whoever told the first of them.

    `library`: what encrypts it, in a word for people: OpenSSL, BoringSSL, Go; "" where nobody knows.
    """

    time_ns: int
    key: bytes
    offset: int
    data: bytes
    watched_from_start: bool = False
    sender_is_client: bool | None = None
    reader: int = 0
    library: str = ""
