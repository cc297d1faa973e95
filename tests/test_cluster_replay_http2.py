"""Recorded calls of HTTP/2 and gRPC sent again, to h2 and grpcio on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent import futures
from random import Random
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from replay_servers import (
    Http2Server,
    calls,
    failing,
    pong,
    replayed,
    run,
)
from test_grpc import framed
from test_grpc_http2 import ITEM
from transcripts import h2 as h2_frame

from pysniff.cluster.replay import Replays
from pysniff.cluster.replay_target import Targets


def test_a_call_of_grpc_is_sent_as_it_was_and_its_answer_is_the_same() -> None:
    server = Http2Server(pong)
    found = replayed(server, calls(("/shop.Cart/Get", framed(ITEM, ITEM))))
    (head, body, trailers) = server.asked[0]
    assert head == [
        (":method", "POST"), (":scheme", "http"), (":authority", "shop"), (":path", "/shop.Cart/Get"),
        ("te", "trailers"), ("content-type", "application/grpc"), ("x-token", "abc"),
    ]  # fmt: skip
    assert (body, trailers) == (framed(ITEM, ITEM), [])
    assert (found["same"], found["differing"], found["failures"]) == (1, 0, [])


def test_a_status_in_trailers_and_messages_are_compared() -> None:
    def answer(fields: dict[str, str], body: bytes) -> Any:
        return [(":status", "200"), ("content-type", "application/grpc")], b"", [("grpc-status", "13")]

    found = replayed(Http2Server(answer), calls(("/shop.Cart/Get", framed(ITEM))))
    assert {one["what"]: (one["recorded"], one["replayed"]) for one in found["differences"]} == {
        "grpc-status": ("0", "13"),
        "size": ("9", "0"),
        "sha256": (hashlib.sha256(framed(b"pong")).hexdigest(), hashlib.sha256(b"").hexdigest()),
    }


def test_calls_share_one_connection_and_keep_to_the_targets_bounds() -> None:
    server = Http2Server(pong)
    found = replayed(server, calls(("/shop.Cart/Get", framed(ITEM))), count=300, rate=1000)
    assert (found["same"], server.connections) == (300, 1)
    assert server.most_at_once <= 10


def test_bodies_go_through_windows_both_ways() -> None:
    body = framed(bytes(range(256)) * 2048)
    what = calls(("/shop.Cart/Echo", framed(b"")))
    server = Http2Server(lambda fields, sent: ([(":status", "200")], sent, None))
    found = replayed(server, what._replace(calls=(what.calls[0]._replace(body=body),)), count=3)
    assert [sent == body for _, sent, _ in server.asked] == [True] * 3
    assert found["answered"] == 3
    sizes = [one for one in found["differences"] if one["what"] == "size"]
    assert [(one["replayed"], one["count"]) for one in sizes] == [(str(len(body)), 3)]


def test_the_calls_of_a_connection_go_over_one_and_in_order() -> None:
    server = Http2Server(pong)
    paths = [f"/shop.Cart/Call{number}" for number in range(5)]
    found = replayed(server, calls(*[(path, framed(ITEM)) for path in paths]), count=2)
    assert [dict(head)[":path"] for head, _, _ in server.asked] == paths * 2
    assert (found["same"], server.connections) == (10, 2)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"", b"\xff" * 100])
def test_a_target_that_speaks_no_http2_fails(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(24)
        writer.write(said)
        await writer.drain()

    found = failing(serve, calls(("/a.B/C", framed(b""))), count=2)
    assert found["failed"] == 2


def frames_of_anybody(random: Random) -> bytes:
    """Settings, then frames of all kinds, most of them wrong in some way."""
    said = h2_frame(4, 0, 0)
    for _ in range(random.randrange(1, 12)):
        body = random.choice(
            (b"\x88", b"\x88\x5f\x03abc", b"\0" * 4, b"\xff" * 8, random.randbytes(random.randrange(40)))
        )
        said += h2_frame(
            random.randrange(11), random.choice((0, 1, 4, 5, 8, 255)), random.choice((0, 1, 1, 1, 3)), body
        )
    return said + random.randbytes(random.choice((0, 0, 9, 30)))


def test_a_target_that_says_anything_in_frames_only_fails() -> None:
    random = Random(5)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(24)
        writer.write(frames_of_anybody(random))
        await writer.drain()
        writer.write_eof()
        await reader.read()

    found = failing(serve, calls(("/a.B/C", framed(b"x" * 100))), count=200)
    assert found["sent"] >= 100


def test_streams_that_are_reset_and_connections_that_end_fail_alone() -> None:
    turns = iter(("reset", "ok", "goaway", "ok", "close", "ok"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        talk.initiate_connection()
        while True:
            writer.write(talk.data_to_send())
            data = await reader.read(65_536)
            if not data:
                return
            for event in talk.receive_data(data):
                if not isinstance(event, h2.events.StreamEnded):
                    continue
                match next(turns):
                    case "reset":
                        talk.reset_stream(event.stream_id, 7)
                    case "goaway":
                        talk.close_connection(11, last_stream_id=0)
                    case "close":
                        return
                    case "ok":
                        talk.send_headers(event.stream_id, [(":status", "200")], end_stream=True)

    found = failing(serve, calls(("/a.B/C", framed(b""))), count=6)
    assert (found["answered"], found["failed"]) == (3, 3)
    assert {one["reason"] for one in found["failures"]} == {
        "the target reset the stream: REFUSED_STREAM",
        "the target ended the connection: ENHANCE_YOUR_CALM",
        "the target closed the connection",
    }


def test_a_real_grpc_server_answers_every_kind_of_call() -> None:
    """Unary, streams of either side and both; grpcio speaks."""
    heard: list[tuple[str, list[bytes]]] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            def unary(request: bytes, context: Any) -> bytes:
                heard.append((details.method, [request]))
                return b"pong"

            def streamed(requests: Any, context: Any) -> Any:
                for request in requests:
                    heard.append((details.method, [request]))
                    yield b"pong"

            if details.method.endswith("Stream"):
                return grpc.stream_stream_rpc_method_handler(streamed)
            if details.method.endswith("Get"):
                return grpc.unary_unary_rpc_method_handler(unary)
            return None

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        get = run(lambda: Replays(Targets([target])).run(calls(("/a.B/Get", framed(b"1"))), target, count=20, rate=500))
        several = calls(("/a.B/Stream", framed(b"1", b"2", b"3")), ("/a.B/Missing", framed(b"")))
        stream = run(lambda: Replays(Targets([target])).run(several, target))
    finally:
        server.stop(None).wait()
    assert (get["same"], get["answered"]) == (20, 20), get
    assert heard[20:] == [("/a.B/Stream", [b"1"]), ("/a.B/Stream", [b"2"]), ("/a.B/Stream", [b"3"])]
    assert {(one["id"], one["what"]) for one in stream["differences"]} >= {
        (several.calls[0].id, "size"),
        (several.calls[1].id, "grpc-status"),
    }
