"""Hostile files of names: what a user gives, and what stands beside a segment, with checksums put right."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from pysniff.errors import FileError
from pysniff.hosts import Hosts
from pysniff.names import Lesson
from pysniff.store import naming
from pysniff.store.naming import Naming, Told


def hosts(data: bytes) -> None:
    """A table, or one error in one line."""
    try:
        found = Hosts.parse(data.decode("utf-8", "replace"))
    except FileError as error:
        assert "\n" not in str(error)
    else:
        assert all(len(found.name_at(address, 0)) <= 255 for address in (bytes(4), b"\x0a\0\0\x07", bytes(16)))


def of_hosts() -> Iterator[bytes]:
    yield b"# ours\n10.0.0.7 shop cart\n10.0.0.0/8 office\nfd00::7 six\n"
    yield b"10.0.0.7: shop\n'10.1.0.0/16': batch\nfd00::7: six\n"
    yield b'{"10.0.0.7": "shop"}'


def noted(data: bytes) -> None:
    """`data` is what a file has inside: lessons, or nothing."""
    rest = len(data).to_bytes(4, "little") + zlib.compress(data)
    found = naming.decoded(naming.MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest)
    if found is not None:
        assert naming.decoded(naming.encoded(found, naming.ALL)[0]) == found


def of_noted() -> Iterator[bytes]:
    lessons = [Lesson(number, bytes([10, 0, 0, number]), f"name{number}") for number in range(4)]
    for told in ([Told(7, 9, lessons[0])], None):
        text, _ = naming.encoded(Naming(lessons, told), naming.ALL)
        yield zlib.decompress(text[16:])
