"""Whether bytes are WebSocket frames whose handshake nobody saw."""

from __future__ import annotations

import codecs

from pysniff.dissector import Match
from pysniff.dissectors.websocket_header import TEXT, Header, begins, plausible, read
from pysniff.dissectors.websocket_payload import unmask
from pysniff.message import CLIENT, Side

# Characters of a client's text, and frames with different masks, that no other protocol sends by chance. Of random
# bytes one in 40 begins like a frame, and three in eight are a printable character.
_WORDS = 16
_MASKS = 6


def judge(data: bytes, side: Side) -> Match:
    """Judge the first bytes of one half: YES only for a client, whose text makes sense only without its mask."""
    position = words = 0
    masks: set[bytes] = set()
    while position < len(data):
        header = read(data, position, len(data))
        if header is None:
            return Match.UNSURE if begins(data, position, side) else Match.NO
        if not plausible(header, side, True):
            return Match.NO
        begin = position + header.size
        position = begin + header.length
        if side is CLIENT:
            words += _characters(header, data[begin:position])
            if position <= len(data):
                masks.add(header.mask)
            if words >= _WORDS or len(masks) >= _MASKS:
                return Match.YES
    return Match.UNSURE


def _characters(header: Header, payload: bytes) -> int:
    """Of a text that is neither compressed nor a fragment, and may be cut: how long it is, 0 where it is none."""
    if header.opcode != TEXT or header.bits != 0x80 or not any(header.mask):
        return 0
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(unmask(payload, header.mask))
    except UnicodeDecodeError:
        return 0
    return len(text) if "".join(text.split()).isprintable() else 0
