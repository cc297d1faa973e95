"""Writes packets as pcap or pcapng, in nanoseconds, as any tool reads them."""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from pathlib import Path
from typing import BinaryIO

from pysniff.capture.pcap import LONGEST
from pysniff.errors import WriteError
from pysniff.packet import Block
from pysniff.writing import write_whole

_NANOSECOND_MAGIC = 0xA1B23C4D
_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF


class Writer:
    """`target`: a path (".pcap" writes pcap, everything else pcapng), "-" for stdout, or a binary stream.

    A file is opened with the first packet, or by close(): a capture that fails before that leaves an old file alone.
    `private`: only its owner can read it.
    Each write() leaves whole packets behind for whoever follows the file. Raises WriteError; a reader that closed
    its end of a pipe is a BrokenPipeError as everywhere.
    """

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, *, private: bool = False) -> None:
        self._path = ""
        self._private = private
        self._stream: BinaryIO | None = None
        if not isinstance(target, (str, os.PathLike)):
            self._stream = target
            self.label = str(getattr(target, "name", "output"))
        elif (path := os.fspath(target)) == "-":
            if sys.stdout is None:
                raise WriteError("standard output is closed")
            self._stream = sys.stdout.buffer
            self.label = "standard output"
        else:
            self._path = self.label = path
            if "\0" not in path and not Path(path).parent.is_dir():
                raise WriteError(f"{path}: {Path(path).parent} is no directory")
        self._format: _Pcap | _Pcapng = _Pcap() if self.label.endswith(".pcap") else _Pcapng()
        self._begun = False
        self._closed = False
        self.packets = 0

    def write(self, block: Block) -> None:
        self._begin()
        self._put(self._format.block(block))
        self.packets += len(block.records)

    def close(self) -> None:
        """Write what is left and close what was opened here; again does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._begin()
            self._put(self._format.end())
        finally:
            self._close_owned()

    def abandon(self) -> None:
        """Close without opening what no packet was written to."""
        if self._begun:
            self.close()
        self._closed = True

    def _begin(self) -> None:
        if self._begun:
            return
        if self._stream is None:
            try:
                self._stream = open(self._path, "wb", opener=_private if self._private else None)  # noqa: SIM115 - close()
            except (OSError, ValueError) as error:
                raise WriteError(f"{self._path}: {getattr(error, 'strerror', None) or error}") from None
        self._begun = True
        self._put(self._format.header())

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _put(self, data: bytes) -> None:
        if not data:
            return
        assert self._stream is not None
        try:
            write_whole(self._stream, data)
            self._stream.flush()
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise WriteError(f"{self.label}: {error.strerror or error}") from None

    def _close_owned(self) -> None:
        if not self._path or self._stream is None:
            return
        try:
            self._stream.close()
        except OSError as error:
            raise WriteError(f"{self.label}: {error.strerror or error}") from None


def _private(path: str, flags: int) -> int:
    """Open a file for its owner alone, also where others could read what it was."""
    fd = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.fchmod(fd, 0o600)
    return fd


class _Pcap:
    """One link type for all; the header waits for the first packet, which says which."""

    def __init__(self) -> None:
        self._linktype = -1

    def header(self) -> bytes:
        return b""

    def block(self, block: Block) -> bytes:
        parts: list[bytes] = []
        if self._linktype < 0:
            parts.append(self._begin(block.linktype))
        elif block.linktype != self._linktype:
            raise WriteError(
                f"a .pcap file holds one link type, and after {self._linktype} comes {block.linktype}",
                hint="name the file .pcapng",
            )
        data, pack = block.data, struct.Struct("<IIII").pack
        for time_ns, start, end, wire_length in block.records:
            seconds, fraction = divmod(max(time_ns, 0), 1_000_000_000)
            parts.append(pack(min(seconds, _U32), fraction, end - start, min(wire_length, _U32)))
            parts.append(data[start:end])
        return b"".join(parts)

    def end(self) -> bytes:
        return self._begin(1) if self._linktype < 0 else b""

    def _begin(self, linktype: int) -> bytes:
        self._linktype = linktype
        return struct.pack("<IHHiIII", _NANOSECOND_MAGIC, 2, 4, 0, 0, LONGEST, linktype)


class _Pcapng:
    """One interface description for each link type and interface, before its first packet."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}

    def header(self) -> bytes:
        return section_block()

    def block(self, block: Block) -> bytes:
        parts: list[bytes] = []
        key = (block.linktype, block.interface)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            parts.append(interface_block(block.linktype, block.interface))
        data, pack, pack_total = block.data, struct.Struct("<IIIIIII").pack, struct.Struct("<I").pack
        for time_ns, start, end, wire_length in block.records:
            size = end - start
            padding = -size & 3
            total = 32 + size + padding
            ticks = min(max(time_ns, 0), _U64)
            parts.append(pack(6, total, number, ticks >> 32, ticks & _U32, size, min(wire_length, _U32)))
            parts.append(data[start:end])
            parts.append(bytes(padding) + pack_total(total))
        return b"".join(parts)

    def end(self) -> bytes:
        return b""


def section_block() -> bytes:
    """The head of a pcapng file."""
    options = _option(4, b"PySniff") + _option(0, b"")  # shb_userappl
    return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def interface_block(linktype: int, interface: str) -> bytes:
    """An interface whose packets have times in nanoseconds."""
    options = _option(9, b"\x09")  # if_tsresol
    if interface:
        options = _option(2, interface.encode("utf-8", "replace")[:1024]) + options
    return _block(1, struct.pack("<HHI", linktype, 0, 0) + options + _option(0, b""))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3)


def _block(kind: int, body: bytes) -> bytes:
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + total + body + total
