"""Whose the bytes of a half of HTTP/2 are, frame by frame: nothing is decoded but the frames' headers."""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.dissectors.http2_frames import HEADER, STREAM, unpack
from pysniff.message import Parts


class FrameParts(Parts):
    """From a frame's first byte on, as the position of every message is."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._stream = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, int]]:
        at = 0
        while at < len(data):
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
                at += size
                yield self._stream, size
                continue
            missing = HEADER - len(self._header)
            self._header += data[at : at + missing]
            at += missing
            if len(self._header) == HEADER:
                word, _, stream = unpack(self._header, 0)
                self._stream, self._left, self._header = stream & STREAM, word >> 8, b""
                yield self._stream, HEADER
