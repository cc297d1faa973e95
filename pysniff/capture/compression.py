"""Undoes gzip and zstd, in bounded steps: a bomb streams through and is never held.

What was good leaves before the error does.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from pysniff.errors import ReadError
from pysniff.limits import KIB

STEP = 256 * KIB  # of output

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"


class Unpacker(Protocol):
    name: str

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the bytes unpack to, at most STEP at a time; raise ReadError where they are damaged."""

    def end(self) -> Iterator[bytes]:
        """Yield what is left; raise ReadError where the compressed data ends too early."""


def _damaged(name: str, reason: object) -> ReadError:
    return ReadError(f"the {name} data is damaged: {reason}", hint="everything before was read")


def _cut(name: str) -> ReadError:
    return ReadError(f"the {name} data was cut short", hint="everything before was read")


class Gunzip:
    """RFC 1952: members one after another; zeros behind them are padding."""

    name = "gzip"

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if not self._begun:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._begun = True
            try:
                out = self._member.decompress(data, STEP)
            except zlib.error as error:
                raise _damaged("gzip", error) from None
            if out:
                yield out
            if self._member.eof:
                data = self._member.unused_data
                self._member = zlib.decompressobj(wbits=31)
                self._begun = False
            else:
                data = self._member.unconsumed_tail
                # A full step may have left output inside although the input is used up.
                if not data and len(out) < STEP:
                    return

    def end(self) -> Iterator[bytes]:
        if self._begun:
            raise _cut("gzip")
        return iter(())


def _zstd() -> Any:
    """The module, which few captures need."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


class Unzstd:
    """RFC 8878: frames one after another, skippable ones too; windows up to zstd's own default bound of 128 MiB."""

    name = "zstd"

    def __init__(self) -> None:
        self._zstd = _zstd()
        self._frame = self._zstd.ZstdDecompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or (self._begun and not self._frame.needs_input):
            self._begun = True
            try:
                out = self._frame.decompress(data, STEP)
            except self._zstd.ZstdError as error:
                raise _damaged("zstd", error) from None
            if out:
                yield out
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data
                self._frame = self._zstd.ZstdDecompressor()
                self._begun = False

    def end(self) -> Iterator[bytes]:
        if self._begun:
            raise _cut("zstd")
        return iter(())
