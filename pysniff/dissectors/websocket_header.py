"""Headers of WebSocket frames (RFC 6455 §5.2), and where frames begin again after bytes were lost."""

from __future__ import annotations

import re
from typing import NamedTuple

from pysniff.message import CLIENT, Side

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
OPCODES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
CONTROL = 8  # opcodes from here on
LONGEST = 14  # bytes of a header
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
_CONTROL_BYTES = 125  # of a control frame's payload (§5.5)
# After a loss: payloads longer than this are not believed, for eight random bytes nearly always say more.
_LENGTH = 1 << 40
# Frames in a row that are believed to be some.
_CHAIN = 2


class Header(NamedTuple):
    """`bits`: FIN and RSV1-3. `size`: of the header. `length`: of the payload. `mask`: four bytes, or none."""

    bits: int
    opcode: int
    size: int
    length: int
    mask: bytes

    @property
    def fin(self) -> bool:
        return self.bits & FIN != 0


def read(data: bytes, at: int, end: int) -> Header | None:
    """The header that begins at `at`, None where it is not all there before `end`."""
    if end < at + 2:
        return None
    first, second = data[at], data[at + 1]
    length = second & 127
    size = 2
    if length > _CONTROL_BYTES:
        size = 4 if length == 126 else 10
        if end < at + size:
            return None
        length = int.from_bytes(data[at + 2 : at + size], "big")
    mask = b""
    if second & 128:
        size += 4
        if end < at + size:
            return None
        mask = data[at + size - 4 : at + size]
    return Header(first & 0xF0, first & 0x0F, size, length, mask)


def foreign(header: Header, rsv1: bool) -> str:
    """Why no endpoint sends this frame (RFC 6455 §5.2, §5.5), in words; "" where all is well.

    `rsv1`: an extension that uses this bit may be in use.
    """
    bits, opcode = header.bits, header.opcode
    if opcode not in OPCODES:
        return f"reserved opcode {opcode:#x}"
    if bits & (RSV2 | RSV3) or (bits & RSV1 and not (rsv1 and opcode in (TEXT, BINARY))):
        return "reserved bits are set"
    if opcode >= CONTROL and (not bits & FIN or header.length > _CONTROL_BYTES):
        return "a control frame in fragments, or longer than 125 bytes"
    return ""


def careless(header: Header, side: Side) -> str:
    """What a sloppy endpoint does and RFC 6455 §5.1 and §5.2 forbid, in words; "" where all is well."""
    length = header.length
    if bool(header.mask) != (side is CLIENT):
        return "a frame of the client without mask" if side is CLIENT else "a frame of the server with a mask"
    coded = header.size - len(header.mask)
    if length >> 63 or (coded == 4 and length < 126) or (coded == 10 and length < 1 << 16):
        return "a length in more bytes than it needs"
    return ""


# First two bytes of frames of the client, and of the server.
_BEGINNINGS = tuple(
    re.compile(b"[\x00-\x02\x41\x42\x80-\x82\x88-\x8a\xc1\xc2](?:[%s]|\\Z)" % second)
    for second in (rb"\x80-\xff", rb"\x00-\x7f")
)


def plausible(header: Header, side: Side, rsv1: bool) -> bool:
    """Whether this is a frame where it need not be one."""
    if not header.bits and not header.opcode and not header.length:
        return False  # zeros look like this, and a fragment in the middle has no reason to be empty
    return not (foreign(header, rsv1) or careless(header, side)) and header.length < _LENGTH


def in_turn(header: Header, begun: bool | None) -> bool:
    """Whether a message may begin, or go on, here (RFC 6455 §5.4). `begun`: one is to go on; None: nobody knows."""
    return header.opcode >= CONTROL or begun is None or begun == (header.opcode == CONTINUATION)


def begins(data: bytes, at: int, side: Side) -> bool:
    """Whether a plausible frame may begin here, of which perhaps only the first byte has come."""
    return _BEGINNINGS[side].match(data, at) is not None


class Found(NamedTuple):
    """`sure`: frames begin at `start`. Else none does before it, and there must be `enough` bytes to say more."""

    start: int
    sure: bool
    enough: int = 0


def find(data: bytes, side: Side, rsv1: bool, most: int, ended: bool) -> Found:
    """Where frames begin in bytes that may begin anywhere.

    A place is believed where two frames begin one behind the other within `most` bytes, or one ends where the
    half has `ended`. What is found does not depend on how many bytes are there at a time.
    """
    position = 0
    while found := _BEGINNINGS[side].search(data, position):
        start = position = found.start()
        end = min(len(data), start + most)
        begun: bool | None = None
        for _ in range(_CHAIN):
            header = read(data, position, end)
            if header is None:
                if end < start + most and not ended:
                    # The next header's first two bytes, or what is missing of it.
                    return Found(start, False, min(max(position + 2, end + 1), start + most))
                break
            if not plausible(header, side, rsv1) or not in_turn(header, begun):
                break
            if header.opcode < CONTROL:
                begun = not header.fin
            position += header.size + header.length
            if ended and position == end:
                return Found(start, True)
        else:
            return Found(start, True)
        position = start + 1
    return Found(len(data), False)
