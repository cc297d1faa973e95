"""A file beside a segment: mark, checksum, size and zlib; it is replaced at once, or not at all.

What was cut off or damaged is as if it were not there.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from pysniff.store.directory import PAGE, SegmentFiles, pages

_HEAD = struct.Struct("<8sII")  # mark, checksum of what follows, size of the rest when it is uncompressed
_SUMMED = 12


def packed(mark: bytes, body: bytes) -> bytes:
    """The bytes of a file; `mark`: 8 bytes."""
    rest = _HEAD.pack(mark, 0, len(body))[_SUMMED:] + zlib.compress(body, 6)
    return mark + zlib.crc32(rest).to_bytes(4, "little") + rest


def unpacked(mark: bytes, text: bytes, most: int) -> bytes | None:
    """What packed() was given, at most so many bytes; None for anything else."""
    if len(text) < _HEAD.size:
        return None
    found, checksum, size = _HEAD.unpack_from(text)
    if found != mark or size > most or zlib.crc32(memoryview(text)[_SUMMED:]) != checksum:
        return None
    try:
        body = zlib.decompressobj().decompress(memoryview(text)[_HEAD.size :], size + 1)
    except zlib.error:
        return None
    return body if len(body) == size else None


def write(path: Path, text: bytes) -> None:
    """Have the file be this; raise OSError, which leaves what there was."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as stream:
            stream.write(text)
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def put(files: SegmentFiles, path: Path, room: int, encode: Callable[[int], bytes]) -> None:
    """Write one where there is room for it, so that the limit of the store holds at every moment, and where the disk
    lets it. `encode` is told how many bytes there may be. None is left beside a segment that was dropped meanwhile."""
    if room < PAGE or not files.packets.exists():
        return
    try:
        write(path, encode(room // PAGE * PAGE))
    except OSError:
        return  # full, or gone: who misses it counts it
    if not files.packets.exists():
        path.unlink(missing_ok=True)


def disk_use(directory: Path, suffix: str) -> int:
    """Bytes of the files with this suffix in whole pages, of those that are being written too."""
    try:
        with os.scandir(directory) as every:
            return sum(pages(_size_of(entry)) for entry in every if suffix in entry.name)
    except OSError:
        return 0


def _size_of(entry: os.DirEntry[str]) -> int:
    """0 for one that was dropped, or put into its place, since."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0
