"""Bytes that are written are written, whatever kind of stream takes them."""

from __future__ import annotations

from io import RawIOBase
from typing import IO


def write_whole(stream: IO[bytes], data: bytes) -> None:
    """With PYTHONUNBUFFERED standard output is the file itself, which takes a part of it when a signal comes."""
    if not isinstance(stream, RawIOBase):
        stream.write(data)
        return
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) or 0 :]
