"""What a conversation remembers that carries another one, as bytes and back: its dissector's state, the inner one's.

The bytes come from files: nothing of them is believed.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.dissector import Malformed
from pysniff.state_bytes import Reader, Writer

# Places of the bytes that the inner dissector holds: they may have come in so many pieces.
PIECES = 64
_PLACE = 1 << 62
_VERSION = 1

# Of each half, how far back a piece begins, and where on the wire.
Behind = tuple[tuple[int, int], ...]


class Within(NamedTuple):
    """`protocol`, `state`: of Conversation.remember(), "" where nobody knows; `behind`: of each sender."""

    protocol: str
    state: bytes
    behind: tuple[Behind, Behind]


UNKNOWN = Within("", b"", ((), ()))


def written(state: bytes, within: Within | None) -> bytes:
    out = Writer()
    out.number(_VERSION)
    out.data(state)
    out.number(within is not None)
    if within is not None:
        out.string(within.protocol)
        out.data(within.state)
        for behind in within.behind:
            out.number(len(behind))
            for back, place in behind:
                out.number(back)
                out.number(place)
    return bytes(out.text)


def read(text: bytes) -> tuple[bytes, Within | None]:
    """Raise Malformed for bytes that written() did not give."""
    source = Reader(text)
    if source.number(_VERSION) != _VERSION:
        raise Malformed("a state of another version")
    state = source.data(len(text))
    within = None
    if source.flag():
        protocol, inner = source.string(), source.data(len(text))
        within = Within(protocol, inner, (_behind(source), _behind(source)))
    source.end()
    return state, within


def bare(text: bytes) -> bytes:
    """The same without what was carried; nothing where it cannot be read."""
    try:
        return written(read(text)[0], UNKNOWN)
    except Malformed:
        return b""


def _behind(source: Reader) -> Behind:
    found: list[tuple[int, int]] = []
    for _ in range(source.number(PIECES)):
        back, place = source.number(_PLACE), source.number(_PLACE)
        if found and back >= found[-1][0]:
            raise Malformed("pieces that are in no order")
        found.append((back, place))
    return tuple(found)
