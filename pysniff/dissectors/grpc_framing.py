"""The messages inside a gRPC body: five bytes before each say whether it is compressed, and its length.

Source: grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"; PROTOCOL-WEB.md for trailers in the body, and base64.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

from mypy_extensions import mypyc_attr

from pysniff.body import Hole, Tally
from pysniff.limits import MIB
from pysniff.message import Fault

PREFIX = 5  # bytes before each message
MESSAGES = 1_000  # kept of one half, as the contract says
MESSAGE_BYTES = MIB  # of all of those together
COMPRESSED, TRAILERS = 0x01, 0x80  # in the first byte; trailers with gRPC-Web only
_GRPC, _GRPC_WEB = (0, COMPRESSED), (0, COMPRESSED, TRAILERS, TRAILERS | COMPRESSED)
_PLAIN = (b"\x00", b"\x01")
_NOWHERE = 1 << 62


class Frame(NamedTuple):
    """One message. `size`: as its prefix says. `data`: None where a part of it was lost."""

    compressed: bool
    size: int
    data: bytes | None


class Frames(NamedTuple):
    """What is in a body.

    `messages`: those that are kept. `whole`: how many came to their end. `trailers`: gRPC-Web's, with their `flags`.
    `cut`: of a message whose end did not come. `faults`: of the framing.
    """

    messages: list[Frame]
    whole: int
    trailers: bytes = b""
    flags: int = 0
    cut: Fault | None = None
    faults: tuple[Fault, ...] = ()


def split(content: bytes, *, web: bool = False, holes: Sequence[Hole] = ()) -> Frames:
    """The messages of a body; `web`: it may end with trailers."""
    known = _GRPC_WEB if web else _GRPC
    messages: list[Frame] = []
    size = len(content) - PREFIX
    if content[:1] in _PLAIN and size == int.from_bytes(content[1:PREFIX], "big") <= MESSAGE_BYTES and not holes:
        messages.append(Frame(content[0] == COMPRESSED, size, content[PREFIX:]))  # one message, as in most calls
        return Frames(messages, 1)
    count = at = passed = 0
    room = MESSAGE_BYTES
    end = len(content)
    next_hole = holes[0].at if holes else _NOWHERE
    while at < end or next_hole == at:
        start = at + PREFIX
        if next_hole < start:
            return Frames(messages, count, faults=(_lost(end - at),))
        if start > end:
            return Frames(messages, count, cut=_cut_prefix(end - at))
        flags = content[at]
        if flags not in known:
            return Frames(messages, count, faults=(_not_framed(flags, end - at),))
        size = int.from_bytes(content[at + 1 : start], "big")
        at = start + size
        whole = True
        if next_hole < at:
            at, passed = _across(start, size, holes, passed)
            next_hole = holes[passed].at if passed < len(holes) else _NOWHERE
            whole = False
            if at < start:
                return Frames(messages, count, faults=(_lost(end - start),))
        if at > end:
            return Frames(messages, count, cut=_cut(size, at - end))
        if flags >= TRAILERS:
            trailers = content[start:at] if whole else b""
            return Frames(messages, count, trailers, flags, faults=_behind(end - at))
        count += 1
        room -= size
        if room >= 0 and count <= MESSAGES:
            messages.append(Frame(flags == COMPRESSED, size, content[start:at] if whole else None))
        else:
            room = -1  # nor is a smaller one behind it
    return Frames(messages, count)


def _across(start: int, size: int, holes: Sequence[Hole], passed: int) -> tuple[int, int]:
    """Where a message with holes in it ends, and how many holes are behind then; -1 where nobody knows."""
    end = start + size
    while passed < len(holes) and holes[passed].at < end:
        hole = holes[passed]
        end -= hole.size
        passed += 1
        if not hole.size or end < hole.at:
            return -1, passed
    return end, passed


@mypyc_attr(native_class=False)
class MessageCounter(Tally):
    """Counts the messages of a body of any length, in constant memory; those whose end came."""

    __slots__ = ("_count", "_need", "_prefix", "_known", "_over")

    def __init__(self, *, web: bool = False) -> None:
        self._count = 0
        self._need = 0  # bytes of the message being passed over
        self._prefix = b""  # the beginning of a prefix
        self._known = _GRPC_WEB if web else _GRPC
        self._over = False  # nothing more can be told apart

    @property
    def count(self) -> int:
        return self._count

    def add(self, piece: bytes) -> None:
        at, end = 0, len(piece)
        if self._need:
            at = min(self._need, end)
            self._need -= at
            if self._need:
                return
            self._count += 1
        elif self._prefix:
            piece = self._prefix + piece
            end = len(piece)
        count = 0
        known = self._known
        while at + PREFIX <= end and not self._over:
            flags = piece[at]
            if flags not in known or flags >= TRAILERS:
                self._over = True
                break
            at += PREFIX + int.from_bytes(piece[at + 1 : at + PREFIX], "big")
            count += 1
        if at > end:
            count -= 1
            self._need = at - end
        self._count += count
        self._prefix = b"" if self._over else piece[at:end]

    def lost(self, size: int) -> None:
        if not self._need:
            self._over = True
        elif not 0 < size <= self._need:
            self._need = 0
            self._over = True
        else:
            self._need -= size
            self._count += not self._need


def from_base64(content: bytes) -> tuple[bytes, int]:
    """A body of gRPC-Web's text mode, and how many bytes at its end do not decode.

    It may be several pieces, each with padding of its own.
    """
    pieces = []
    done = 0
    for found in _PIECE.finditer(content):
        text = found[0]
        text = text[: len(text) // 4 * 4]
        try:
            pieces.append(binascii.a2b_base64(text, strict_mode=True) if text else b"")
        except binascii.Error:
            break
        if found.start() != done:
            break
        done += len(text)
        if len(text) != len(found[0]):
            break
    return b"".join(pieces), len(content) - done


_PIECE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def _cut(size: int, missing: int) -> Fault:
    return Fault("truncated", f"a message of {size} bytes ends early", missing)


def _cut_prefix(size: int) -> Fault:
    return Fault("truncated", "the length before a message is cut", PREFIX - size)


def _not_framed(flags: int, rest: int) -> Fault:
    return Fault("malformed", f"a message begins with 0x{flags:02x}", rest)


def _lost(rest: int) -> Fault:
    return Fault("gap", "messages behind lost bytes are not told apart", rest)


def _behind(rest: int) -> tuple[Fault, ...]:
    return (Fault("malformed", "bytes behind the trailers", rest),) if rest else ()
