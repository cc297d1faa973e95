"""The secrets beside a segment: NNNNNNNN.keylog, a key log as any tool reads it, of the connections that have packets
there, and of no others.

Comments say of the secrets behind them whose they are:
`# stream=5f3a9c0012ab34cd source=kernel last=1795262400000000000`
is a connection by its Flow.name, where they came from, and when it was last heard of, in nanoseconds. It only grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pysniff.secrets import Secret

HEAD = b"# secrets of TLS connections (pysniff --store-secrets): keep this file as safe as what was encrypted\n"
_COMMENT = re.compile(rb"# stream=([0-9a-f]{16}) source=([a-z]{1,16}) last=(\d{1,19})")
_LINE = re.compile(rb"([A-Z][A-Z0-9_]{0,63}) ([0-9a-f]{64}) ((?:[0-9a-f]{2}){1,256})")
# What decrypts nothing in a connection is not kept.
_USELESS = "EXPORTER"


class Kept(NamedTuple):
    """A secret, and whose it is; fields as of the module."""

    stream: str
    source: str
    last: int
    secret: Secret


def lines(every: Iterable[Kept]) -> bytes:
    """What a file has of these; nothing of what cannot stand in one."""
    found: list[bytes] = []
    said = b""
    for stream, source, last, secret in every:
        line = b"%s %s %s" % (
            secret.label.encode("ascii", "replace"), secret.random.hex().encode(), secret.value.hex().encode()
        )  # fmt: skip
        comment = f"# stream={stream} source={source} last={max(last, 0)}".encode("ascii", "replace")
        if _LINE.fullmatch(line) is None or _COMMENT.fullmatch(comment) is None:
            continue
        if comment != said:
            found.append(comment)
            said = comment
        found.append(line)
    return b"".join(line + b"\n" for line in found)


def parsed(text: bytes) -> Iterator[Kept]:
    """What a file says; lines that are none of its kind are stepped over."""
    stream, source, last = "", "keylog", 0
    for line in text.split(b"\n"):
        if line.startswith(b"#"):
            if comment := _COMMENT.fullmatch(line):
                stream, source, last = comment[1].decode(), comment[2].decode(), int(comment[3])
        elif found := _LINE.fullmatch(line):
            label, random, value = found.groups()
            yield Kept(stream, source, last, Secret(label.decode(), bytes.fromhex(random.decode()), _bytes(value)))


def is_useful(secret: Secret) -> bool:
    """Whether packets may need it."""
    return _USELESS not in secret.label and len(secret.random) == 32 and 0 < len(secret.value) <= 256


def _bytes(text: bytes) -> bytes:
    return bytes.fromhex(text.decode())
