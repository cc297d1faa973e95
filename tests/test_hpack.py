"""HPACK against the hpack package, and from the middle."""

from __future__ import annotations

from random import Random

import hpack

from pysniff.dissectors.hpack import STATIC, Decoder

NAMES = (
    "accept", "content-type", "x-request-id", "x-trace", "user-agent", "cookie", "set-cookie", "date", "etag",
    "grpc-timeout", "grpc-status", "te", ":path", ":status", ":authority",
)  # fmt: skip
WORDS = (
    "",
    "a",
    "200",
    "application/grpc",
    "/shop.Cart/Add",
    "Sun, 22 Nov 2026 01:57:52 GMT",
    "ü",
    "\x00\x7f",
    "x" * 300,
)


def blocks(random: Random, encoder: hpack.Encoder, decoder: hpack.Decoder | None, count: int):  # type: ignore[no-untyped-def]
    """Header blocks with what is in them; now and then the tables are resized."""
    for _ in range(count):
        if random.random() < 0.02:
            encoder.header_table_size = random.choice((0, 64, 100, 500, 4096, 4096, 4096))
        lines = []
        for _ in range(random.randrange(12)):
            name = random.choice(NAMES)
            value = random.choice(WORDS) if random.random() < 0.7 else f"{random.getrandbits(60):x}"
            lines.append((name, value, random.random() < 0.1))
        fields = [hpack.NeverIndexedHeaderTuple(n, v) if s else hpack.HeaderTuple(n, v) for n, v, s in lines]
        yield encoder.encode(fields, huffman=random.random() < 0.5), [(n, v) for n, v, _ in lines]


def test_static_table_is_that_of_the_rfc() -> None:
    from hpack.table import HeaderTable

    assert [(name.encode(), value.encode()) for name, value in STATIC[1:]] == list(HeaderTable.STATIC_TABLE)


def test_a_hundred_thousand_blocks_are_as_they_were_encoded() -> None:
    """In 100 connections with table resizes; what the hpack package decodes is what was encoded."""
    for seed in range(100):
        random = Random(seed)
        decoder = Decoder()
        oracle = hpack.Decoder()
        for number, (block, lines) in enumerate(blocks(random, hpack.Encoder(), None, 1_000)):
            found = decoder.decode(block)
            assert found == lines
            if number < 50:
                assert oracle.decode(block) == lines
