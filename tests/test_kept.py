"""However many messages arrive at once, what is kept of them before they are given has a bound, and cutting is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from zlib import DEFLATED, Z_SYNC_FLUSH, compressobj

import pytest
from handshake import agreed
from hpack import Encoder
from talk import Talk
from transcripts import H2, h2
from wire import Watched

from pysniff.dissector import Context, Dissector
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.redis import Redis
from pysniff.dissectors.websocket import WebSocket
from pysniff.dissectors.websocket_messages import WebSocketMessage
from pysniff.kept import FREE, Kept
from pysniff.limits import KIB, MIB, Limits
from pysniff.sniffer import Sniffer

LIMITS = Limits(bodies_total=2 * MIB, body_bytes=MIB)
SIZE = MIB - 5 * KIB
PIECE = 32 * KIB
CONTENT = Random(5).randbytes(SIZE)
PIECES = [CONTENT[start : start + PIECE] for start in range(0, SIZE, PIECE)]
GET = b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE


def downloads(sniffer: Sniffer, count: int) -> list[Watched]:
    return [Watched(sniffer, sport=20_000 + number).client(GET).server(HEAD) for number in range(count)]


def test_many_long_answers_at_once_keep_no_more_than_all_may() -> None:
    sniffer = Sniffer(limits=LIMITS)
    talks = downloads(sniffer, 20)
    for piece in PIECES:
        for talk in talks:
            talk.server(piece)
    bodies = [talk.entries[0].response.body for talk in talks]
    kept = [len(body.raw) for body in bodies]
    assert sum(kept) <= LIMITS.bodies_total + len(talks) * FREE
    assert sum(kept) > LIMITS.bodies_total / 2
    assert min(kept) >= FREE
    cut = [body for body in bodies if body.truncated]
    assert sniffer.ledger.bodies_cut == len(cut) > 0
    assert {(body.size, body.sha256) for body in bodies} == {(SIZE, hashlib.sha256(CONTENT).hexdigest())}


def test_what_is_given_makes_room() -> None:
    sniffer = Sniffer(limits=LIMITS)
    kept = []
    for talk in downloads(sniffer, 20):  # one after another, and the caller holds them all
        talk.server(*PIECES)
        kept.append(talk.entries[0])
    assert [entry.response.body.raw == CONTENT for entry in kept] == [True] * 20
    assert sniffer.ledger.bodies_cut == 0


def test_what_is_broken_off_makes_room() -> None:
    sniffer = Sniffer(limits=LIMITS)
    for talk in downloads(sniffer, 20):
        talk.server(*PIECES[:-1]).reset()
        assert talk.entries[0].response.body.raw == b"".join(PIECES[:-1])
    assert sniffer.ledger.bodies_cut == 0


def test_long_requests_that_wait_for_their_answers_count() -> None:
    sniffer = Sniffer(limits=LIMITS)
    talks = [Watched(sniffer, sport=20_000 + number) for number in range(20)]
    for talk in talks:
        talk.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE, *PIECES)
    for talk in talks:
        talk.server(b"HTTP/1.1 204 No Content\r\n\r\n")
    kept = [len(talk.entries[0].request.body.raw) for talk in talks]
    assert LIMITS.bodies_total / 2 < sum(kept) <= LIMITS.bodies_total + len(talks) * FREE
    assert sniffer.ledger.bodies_cut == sum(size < SIZE for size in kept) > 0
    downloads(sniffer, 1)[0].server(*PIECES)
    assert sniffer.ledger.bodies_cut == sum(size < SIZE for size in kept)


def http2_pieces() -> list[bytes]:
    block = Encoder().encode([(":status", "200")])
    frames = [CONTENT[start : start + 16 * KIB] for start in range(0, SIZE, 16 * KIB)]
    return [h2(4, 0, 0), h2(1, 4, 1, block), *(h2(0, 0, 1, frame) for frame in frames), h2(0, 1, 1, b"")]


def ask_http2(talk: Talk) -> None:
    fields = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
    talk.client(H2, h2(1, 5, 1, Encoder().encode(fields)))


def ask_redis(talk: Talk) -> None:
    talk.client(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")


def fragments(pieces: list[bytes], first: int) -> list[bytes]:
    heads = [first, *[0] * (len(pieces) - 2), 0x80]
    return [
        bytes([head, 127]) + len(piece).to_bytes(8, "big") + piece for head, piece in zip(heads, pieces, strict=True)
    ]


def bomb() -> list[bytes]:
    """A thousand times smaller than what comes out."""
    deflate = compressobj(9, DEFLATED, -15)
    packed = deflate.compress(bytes(SIZE)) + deflate.flush(Z_SYNC_FLUSH)
    return [packed[: len(packed) // 2], packed[len(packed) // 2 : -4]]


@pytest.mark.parametrize(
    ("dissector", "context", "ask", "pieces"),
    [
        pytest.param(Http2, Context(), ask_http2, http2_pieces(), id="http2"),
        pytest.param(Redis, Context(), ask_redis, [b"$%d\r\n" % SIZE, *PIECES, b"\r\n"], id="redis"),
        pytest.param(Redis, Context(), ask_redis, [b"*9999\r\n", *[b"$9\r\ncatalogue\r\n"] * 9_999], id="redis-items"),
        pytest.param(WebSocket, agreed(""), None, fragments(PIECES, 2), id="websocket"),
        pytest.param(WebSocket, agreed(), None, fragments(bomb(), 0x42), id="permessage-deflate"),
    ],
)
def test_every_protocol_has_its_share_while_a_message_arrives(
    dissector: type[Dissector], context: Context, ask: Callable[[Talk], None] | None, pieces: list[bytes]
) -> None:
    kept = Kept(LIMITS)
    talks = [Talk(dissector(LIMITS), replace(context, kept=kept)) for _ in range(20)]
    for talk in talks:
        if ask is not None:
            ask(talk)
        talk.server(*pieces[:-1])
    assert 0 < kept.cut <= 20
    assert not kept.take(LIMITS.bodies_total // 2)
    for talk in talks:
        talk.server(pieces[-1])
    given = [talk.messages[-1] for talk in talks]
    for message in given:  # as the core does
        message.share = None
    assert kept.take(LIMITS.bodies_total)


def test_one_message_alone_is_kept_whole() -> None:
    kept = Kept(LIMITS)
    talk = Talk(WebSocket(LIMITS), replace(agreed(), kept=kept)).server(*fragments(bomb(), 0x42))
    message = talk.messages[0]
    assert isinstance(message, WebSocketMessage)
    assert message.payload == bytes(SIZE)
    assert kept.cut == 0
