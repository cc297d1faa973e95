"""Handshake messages out of the contents of records: several in one, or one over many (RFC 8446 §5.1).

Only those that are looked at are kept; certificates and the like are counted through.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.dissector import Malformed
from pysniff.tls.numbers import (
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    HANDSHAKE_TYPES,
    SERVER_HELLO,
)

_KEPT = frozenset({CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS})


class Part(NamedTuple):
    """Of a message that is not all there: type, -1 for none; bytes to come; what is kept of it, or of its header."""

    kind: int
    left: int
    data: bytes


class Handshakes:
    """Of one half. `limit`: bytes of a message that is kept."""

    __slots__ = ("_limit", "_type", "_left", "_part")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._type = -1  # of the message that has begun
        self._left = 0  # bytes of it to come
        self._part = bytearray()  # of a header, or of a message that is kept

    @property
    def is_keeping(self) -> bool:
        """Whether a message has begun that may be one that is kept."""
        return bool(self._part) or (self._left > 0 and self._type in _KEPT)

    def reset(self) -> None:
        """What comes next begins a message."""
        self._type, self._left, self._part = -1, 0, bytearray()

    def part(self) -> Part:
        return Part(self._type if self._left else -1, self._left, bytes(self._part))

    def go_on(self, part: Part) -> None:
        """As it was when part() was asked. Raises Malformed for what that did not give."""
        if len(part.data) > (self._limit if part.kind in _KEPT else 3) or (
            part.left and part.kind not in HANDSHAKE_TYPES
        ):
            raise Malformed("no part of a handshake message")
        self._type, self._left, self._part = part.kind, part.left, bytearray(part.data)

    def feed(self, content: bytes | memoryview) -> list[tuple[int, bytes]]:
        """Type and body of messages; of those that are not kept the body is empty, and they are told when they begin.

        Raises Malformed for a type that there is not, and for a message that is kept and too long.
        """
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(content)
        while at < size:
            if not self._left:
                missing = 4 - len(self._part)
                self._part += content[at : at + missing]
                at += missing
                if len(self._part) < 4:
                    break
                self._begin(found)
                continue
            taken = min(self._left, size - at)
            self._left -= taken
            if self._type in _KEPT:
                self._part += content[at : at + taken]
                if not self._left:
                    found.append((self._type, bytes(self._part)))
                    self._part = bytearray()
            at += taken
        return found

    def _begin(self, found: list[tuple[int, bytes]]) -> None:
        """Its header is there."""
        self._type, self._left = self._part[0], int.from_bytes(self._part[1:], "big")
        self._part = bytearray()
        if self._type not in HANDSHAKE_TYPES:
            raise Malformed(f"no handshake message has the type {self._type}")
        if self._type not in _KEPT or not self._left:
            found.append((self._type, b""))
        elif self._left > self._limit:
            raise Malformed(f"handshake message exceeds {self._limit} bytes")
