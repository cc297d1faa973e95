"""Undoes content codings piece by piece, with a cap on what comes out of every stage.

Blocks of about BLOCK bytes leave, so that a bomb costs one block of memory and stops at the cap.
"""

from __future__ import annotations

import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

BLOCK = 64 * 1024  # bytes, in and out: zlib copies what it has not consumed, so what goes in is small too
CODINGS = 4  # stages of one body; real ones have one, odd ones two
MEMBERS = 1_024  # gzip members or zstd frames of one body: each allocates a window
ZSTD_WINDOW_LOG = 23  # RFC 9659: a zstd window in HTTP is at most 8 MiB

GZIP, DEFLATE, BROTLI, ZSTD = "gzip", "deflate", "br", "zstd"
_NAMES = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE, "br": BROTLI, "zstd": ZSTD}


class BadCoding(Exception):
    """The bytes are not of the coding that was declared, or ask for more than the bounds allow."""


class Bomb(BadCoding):
    """More came out than is counted of one body."""


def codings(header: str) -> list[str] | None:
    """The codings of a Content-Encoding value in the order they were applied; None where one is unknown.

    RFC 9110 §8.4: a list, case-insensitive, x-gzip is gzip, identity is nothing.
    """
    names: list[str] = []
    for token in header.lower().split(",", CODINGS + 1):
        name = token.strip()
        if not name or name == "identity":
            continue
        known = _NAMES.get(name)
        if known is None or len(names) == CODINGS:
            return None
        names.append(known)
    return names


class Stage(ABC):
    """One coding. feed() yields blocks of about BLOCK bytes and raises BadCoding."""

    def __init__(self) -> None:
        self.done = False

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes."""


class _Inflate(Stage):
    """gzip with all its members (RFC 1952 §2.2), and deflate with or without its zlib wrapper."""

    def __init__(self, gzip: bool) -> None:
        super().__init__()
        self._gzip = gzip
        self._members = 0
        self._start = b""
        self._inflate = zlib.decompressobj(31) if gzip else None

    def _begin(self, data: bytes) -> bytes:
        """Tell zlib-wrapped from raw deflate by its first two bytes (RFC 1950 §2.2): many servers send raw."""
        data = self._start + data
        if len(data) < 2:
            self._start = data
            return b""
        self._start = b""
        wrapped = data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0
        self._inflate = zlib.decompressobj(15 if wrapped else -15)
        return data

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            data = self._begin(data)
        for start in range(0, len(data), BLOCK):
            yield from self._feed(data[start : start + BLOCK])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.done and not self._next_member(data):
                return
            inflate = self._inflate
            assert inflate is not None
            before = inflate.copy()
            try:
                block = inflate.decompress(data, BLOCK)
            except zlib.error as error:
                yield from _salvage(before, data)
                raise BadCoding(str(error)) from None
            self.done = inflate.eof
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if block:
                yield block
            if not block and not data:
                return
            if not data and len(block) == BLOCK and not inflate.eof:
                yield from self._drain()
                return

    def _drain(self) -> Iterator[bytes]:
        """What zlib still holds after it took all input and filled one block."""
        inflate = self._inflate
        assert inflate is not None
        try:
            while block := inflate.decompress(b"", BLOCK):
                yield block
        except zlib.error as error:
            raise BadCoding(str(error)) from None
        self.done = inflate.eof

    def _next_member(self, data: bytes) -> bool:
        # Zeros or rubbish behind the end are padding (gzip(1) ignores them too).
        if not self._gzip or data[0] != 0x1F:
            return False
        self._members += 1
        if self._members >= MEMBERS:
            raise BadCoding(f"more than {MEMBERS} gzip members")
        self._inflate = zlib.decompressobj(31)
        self.done = False
        return True


def _salvage(inflate: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What decodes before the error: zlib throws away the output of the call that fails."""
    for step in (256, 1):
        for start in range(0, len(data), step):
            before = inflate.copy()
            piece = data[start : start + step]
            try:
                block = inflate.decompress(piece, BLOCK)
            except zlib.error:
                inflate, data = before, piece
                break
            if block:
                yield block
            # The failed call had the same limit, so nothing is left behind here.


class _Brotli(Stage):
    def __init__(self) -> None:
        super().__init__()
        import brotli

        self._error: type[Exception] = brotli.error
        self._brotli = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), BLOCK):
            if self.done:
                return
            yield from self._feed(data[start : start + BLOCK])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        brotli = self._brotli
        try:
            # A short block does not mean that this was all: only an empty one does.
            while block := brotli.process(data, output_buffer_limit=BLOCK):
                yield block
                data = b""
        except self._error as error:
            raise BadCoding(str(error)) from None
        self.done = bool(brotli.is_finished())


class _Zstd(Stage):
    """Frames one after the other, as RFC 8878 §3.1 allows."""

    def __init__(self) -> None:
        super().__init__()
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._module = zstd
        self._options = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG}
        self._zstd = zstd.ZstdDecompressor(options=self._options)
        self._frames = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), BLOCK):
            yield from self._feed(data[start : start + BLOCK])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self.done:
                if not data:
                    return
                self._next_frame()
            try:
                block = self._zstd.decompress(data, BLOCK)
            except self._module.ZstdError as error:
                raise BadCoding(str(error)) from None
            if block:
                yield block
            self.done = self._zstd.eof
            data = self._zstd.unused_data if self.done else b""
            if not self.done and self._zstd.needs_input:
                return

    def _next_frame(self) -> None:
        self._frames += 1
        if self._frames >= MEMBERS:
            raise BadCoding(f"more than {MEMBERS} zstd frames")
        self._zstd = self._module.ZstdDecompressor(options=self._options)
        self.done = False


def stage(name: str) -> Stage:
    """The decoder of one coding; raise BadCoding where its library is not installed."""
    if name in (GZIP, DEFLATE):
        return _Inflate(name == GZIP)
    try:
        return _Brotli() if name == BROTLI else _Zstd()
    except ImportError:
        raise BadCoding(f"no decoder for {name} installed") from None


class Chain:
    """All codings of one body, undone in reverse; no stage gives more than `most` bytes."""

    def __init__(self, names: list[str], most: int) -> None:
        self._stages = [stage(name) for name in reversed(names)]
        self._out = [0] * len(names)
        self._most = most

    @property
    def done(self) -> bool:
        return all(each.done for each in self._stages)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Blocks of the body; raise BadCoding, Bomb among them, where no more can come."""
        return self._feed(0, data)

    def _feed(self, index: int, data: bytes) -> Iterator[bytes]:
        last = index + 1 == len(self._stages)
        for block in self._stages[index].feed(data):
            room = self._most - self._out[index]
            self._out[index] += len(block)
            if last:
                yield block[:room]
            else:
                yield from self._feed(index + 1, block[:room])
            if len(block) > room:
                raise Bomb(f"more than {self._most} bytes come out")
