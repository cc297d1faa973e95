"""Plain text in pcapng's custom blocks: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import random

import pytest

from pysniff.plain import PlainChunk
from pysniff.plain_block import decode, encode

KEY = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0xC0, 0, 0x01, 0xBB])
CHUNKS = [
    PlainChunk(1_700_000_000_123_456_789, KEY, 0, b"GET / HTTP/1.1\r\n\r\n", True, True, 4711, "OpenSSL"),
    PlainChunk(1, bytes(range(36)), 1 << 40, bytes(16_384), False, False, 1, "Go crypto/tls"),
    PlainChunk(2, KEY, 7, b"", False, None, 0, ""),
]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_chunk_comes_back_as_it_was(chunk: PlainChunk) -> None:
    for padding in range(4):
        assert decode(encode(chunk) + bytes(padding)) == chunk


@pytest.mark.parametrize("chunk", CHUNKS)
def test_what_is_cut_short_or_too_long_is_none(chunk: PlainChunk) -> None:
    content = encode(chunk)
    cuts = {*range(min(len(content), 120)), len(content) - 1}
    assert all(decode(content[:size]) is None for size in cuts)
    assert decode(content + bytes(4)) is None


def test_what_others_write_under_the_same_number_is_left_alone() -> None:
    assert decode(b"") is None
    assert decode(b"somebody else's notes about a packet, long enough to hold a chunk, or so it seems") is None


def test_a_later_version_is_left_alone() -> None:
    content = bytearray(encode(CHUNKS[0]))
    content[len(b"PySniff plain text")] = 2
    assert decode(bytes(content)) is None


def test_any_bytes_are_a_chunk_or_none() -> None:
    chance = random.Random(7)
    for _ in range(3_000):
        content = bytearray(encode(chance.choice((CHUNKS[0], CHUNKS[2]))))
        for _ in range(chance.randrange(1, 5)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        found = decode(bytes(content))
        assert found is None or (len(found.key) in (12, 36) and found.library.isprintable())


def test_what_cannot_be_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="key of 3"):
        encode(CHUNKS[0]._replace(key=b"abc"))
    with pytest.raises(ValueError, match="data of 65537"):
        encode(CHUNKS[0]._replace(data=bytes(65_537)))
