"""Which packets begin a TLS handshake, and with which client random: what secrets are kept for is known by that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pysniff.store.columns import TCP, Columns

# RFC 8446 §5.1, §4.1.2: type and version of the record, its length, type of the message, its length, its version.
_BEFORE = 11
_RANDOM = 32


def client_randoms(columns: Columns) -> Iterator[tuple[int, bytes]]:
    """The place in the block of each packet whose payload begins with a ClientHello, and its random."""
    enough = (columns.kind == TCP) & (columns.length >= _BEFORE + _RANDOM)
    plain = np.flatnonzero(enough & (columns.body >= 0))
    if len(plain):
        octets = np.frombuffer(columns.block.data, np.uint8)
        body = columns.body[plain]
        plain = plain[(octets[body] == 22) & (octets[body + 1] == 3) & (octets[body + 5] == 1)]
    for place in (*plain.tolist(), *np.flatnonzero(enough & (columns.body < 0)).tolist()):
        payload = columns.payload(place)
        random = payload[_BEFORE : _BEFORE + _RANDOM]
        if payload[:2] == b"\x16\x03" and payload[5:6] == b"\x01" and len(random) == _RANDOM:
            yield place, random
