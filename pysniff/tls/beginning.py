"""Whether the first bytes of a conversation are TLS."""

from __future__ import annotations

from pysniff.dissector import Match
from pysniff.message import CLIENT, SERVER, Side
from pysniff.tls.numbers import ALERT, APPLICATION_DATA, CLIENT_HELLO, HANDSHAKE, SERVER_HELLO

_LONGEST = 16_384 + 2_048
# The shortest record with application data: a tag of 8 bytes and a content type.
_SHORTEST = 9


def judge(client: bytes, server: bytes) -> Match:
    """As Dissector.match().

    Who sent application data cannot be seen: where one half alone begins with it, that counts as the client's.
    """
    verdicts = _half(client, CLIENT), _half(server, SERVER)
    if Match.NO in verdicts:
        return Match.NO
    if Match.YES in verdicts or (client[:1] == b"\x17" and not server and _is_sealed(client)):
        return Match.YES
    return Match.UNSURE


def _half(data: bytes, side: Side) -> Match:
    """YES for a hello; UNSURE for what the other half decides."""
    kind = data[:1]
    if not kind:
        return Match.UNSURE
    if data[1:2] not in (b"", b"\3") or (len(data) > 2 and data[2] > 4):
        return Match.NO
    size = int.from_bytes(data[3:5], "big")
    if kind[0] == HANDSHAKE:
        return _hello(data, size, side)
    if kind[0] == ALERT:  # what a server may say to a ClientHello
        return Match.NO if len(data) >= 5 and size != 2 else Match.UNSURE
    if kind[0] == APPLICATION_DATA:
        return Match.NO if len(data) >= 5 and not _SHORTEST <= size <= _LONGEST else Match.UNSURE
    return Match.NO


def _hello(data: bytes, size: int, side: Side) -> Match:
    if len(data) >= 5 and not 4 <= size <= _LONGEST:
        return Match.NO
    if len(data) > 5 and data[5] != (SERVER_HELLO if side is SERVER else CLIENT_HELLO):
        return Match.NO
    if len(data) < 11:
        return Match.UNSURE
    # Version, random, lengths: 38 bytes at least; 64 KiB is more than any has.
    long_enough = data[6] == 0 and int.from_bytes(data[7:9], "big") >= 38
    return Match.YES if long_enough and data[9] == 3 and data[10] <= 4 else Match.NO


def _is_sealed(data: bytes) -> bool:
    """A record of application data, and the header of the next one where it is there."""
    if len(data) < 5 or data[2] not in (1, 2, 3):
        return False
    following = data[5 + int.from_bytes(data[3:5], "big") :]
    return following[:1] in (b"", b"\x15", b"\x16", b"\x17") and following[1:2] in (b"", b"\3")
