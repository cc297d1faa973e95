"""The payload of a WebSocket message: unmasked (RFC 6455 §5.3) and put together."""

from __future__ import annotations

from pysniff.kept import Kept, Share

_SHORT = 2_048  # bytes up to which one XOR of two long numbers is faster than four translations
_JOIN = 1_024  # pieces put together at a time: a small bytes object weighs more than it holds
_TABLES = [bytes([byte ^ key for byte in range(256)]) for key in range(256)]


def unmask(data: bytes, mask: bytes, phase: int = 0) -> bytes:
    """`data` without its mask, which may be b""; `phase`: how many bytes of the payload come before it."""
    size = len(data)
    if not mask or not size:
        return data
    if phase & 3:
        mask = mask[phase & 3 :] + mask[: phase & 3]
    if size < _SHORT:
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
        return (int.from_bytes(data, "little") ^ key).to_bytes(size, "little")
    plain = bytearray(size)
    for start in range(4):
        plain[start::4] = data[start::4].translate(_TABLES[mask[start]])
    return bytes(plain)


class Payload:
    """Collects the payload of one message as it arrives, in frames with a mask each; keeps at most `most` bytes.

    `size`: bytes seen, kept or not.
    """

    __slots__ = ("size", "_share", "_room", "_plain", "_pieces", "_mask", "_phase")

    def __init__(self, kept: Kept, most: int) -> None:
        self.size = 0
        self._share = Share(kept, most)
        self._room = self._share.room(0)
        self._plain = bytearray()
        self._pieces: list[bytes] = []  # of this frame, masked
        self._mask = b""
        self._phase = 0  # of the first of them

    def frame(self, mask: bytes) -> None:
        """Another frame begins."""
        self._settle()
        self._mask = mask
        self._phase = 0

    def add(self, piece: bytes) -> None:
        size = len(piece)
        if size > self._room:
            self._room = self._share.room(self.size + size) - self.size
        self.size += size
        if self._room > 0:
            self._pieces.append(piece if size <= self._room else piece[: self._room])
            self._room -= size
            if len(self._pieces) == _JOIN:
                self._settle()

    def skip(self, size: int) -> None:
        """So many bytes of this frame were lost."""
        self._settle()
        self._phase += size

    def content(self) -> tuple[bytes, bytes]:
        """What is kept of it so far, and the mask that still lies on it: where it is one frame, nobody needs it yet."""
        if not self._plain and not self._phase:
            return b"".join(self._pieces), self._mask
        self._settle()
        return bytes(self._plain), b""

    def _settle(self) -> None:
        if self._pieces:
            masked = b"".join(self._pieces)
            self._pieces.clear()
            self._plain += unmask(masked, self._mask, self._phase)
            self._phase += len(masked)
