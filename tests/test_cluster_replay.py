"""Recorded calls sent again over HTTP/1, to servers on loopback: what arrives there, and what is said of answers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any

import pytest
from pages import shown_json
from replay_servers import (
    GET,
    OK,
    Http1Server,
    failing,
    listening,
    recorded,
    recording,
    replayed,
    run,
)

from pysniff.cluster import replay, replay_http1, replay_lines
from pysniff.cluster.replay import Busy, Replays
from pysniff.cluster.replay_target import Targets
from pysniff.errors import OptionError
from pysniff.limits import MIB


def test_a_call_is_sent_as_it_was_and_its_answer_is_the_same() -> None:
    server = Http1Server(lambda head, body: OK)
    found = replayed(server, recording(recorded((GET, OK))))
    assert server.asked == [(GET, b"")]
    told = {name: found[name] for name in ("calls", "sent", "answered", "failed", "same", "differing", "not_compared")}
    assert told == {
        "calls": 1, "sent": 1, "answered": 1, "failed": 0, "same": 1, "differing": 0, "not_compared": 0,
    }  # fmt: skip
    assert found["statuses"] == {"200": 1}
    assert found["differences"] == found["failures"] == found["left_out"] == []
    assert found["recorded_elapsed_time"] == {"p50": 1000, "p90": 1000, "p99": 1000}
    assert found["elapsed_time"]["p50"] > 0
    assert (found["address"], found["ended_early"]) == ("127.0.0.1", "")


def test_where_answers_differ_is_told_with_both_values() -> None:
    bodies = iter((b"no", b"no", b"ok"))

    def answer(head: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n" + next(bodies)

    found = replayed(Http1Server(answer), recording(recorded((GET, OK))), count=3)
    assert (found["answered"], found["same"], found["differing"]) == (3, 0, 3)
    told = {one["what"]: (one["recorded"], one["replayed"], one["count"]) for one in found["differences"]}
    assert told == {
        "status": ("200", "500", 3),
        "content-type": ("text/plain", "text/html", 3),
        "sha256": (hashlib.sha256(b"ok").hexdigest(), hashlib.sha256(b"no").hexdigest(), 2),
    }


def test_differences_are_bounded() -> None:
    numbers = iter(range(1000))

    def answer(head: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/%d\r\nContent-Length: 2\r\n\r\nok" % next(numbers)

    found = replayed(Http1Server(answer), recording(recorded((GET, OK))), count=150)
    assert (len(found["differences"]), found["differences_left_out"], found["differing"]) == (100, 50, 150)


def test_framing_is_made_anew_and_hop_by_hop_fields_are_left_out() -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
        b"Content-Length: 3\r\nExpect: 100-continue\r\nA: b\r\n\r\nabc"
    )
    server = Http1Server(lambda head, body: OK)
    replayed(server, recording(recorded((head, OK))))
    assert server.asked == [(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nA: b\r\n\r\n", b"abc")]


def test_a_body_in_chunks_is_sent_in_chunks_with_its_trailers() -> None:
    request = b"POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: END\r\n\r\n"
    server = Http1Server(lambda head, body: OK)
    replayed(server, recording(recorded((request, OK))))
    head = b"POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.asked == [(head, b"5\r\nabcde\r\n0\r\nX: END\r\n\r\n")]


def test_a_long_body_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    request = b"PUT /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    server = Http1Server(lambda head, body: OK)
    assert replayed(server, recording(recorded((request, OK))))["same"] == 1
    assert server.asked[0][1] == body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["chunked", "until close", "interim", "no content"],
)
def test_answers_of_every_framing_are_read(answer: bytes) -> None:
    server = Http1Server(lambda head, body: answer)
    found = replayed(server, recording(recorded((GET, answer))), count=3)
    assert (found["same"], found["answered"]) == (3, 3), found


def test_an_answer_to_head_has_no_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
    found = replayed(
        Http1Server(lambda head, body: answer), recording(recorded((b"HEAD / HTTP/1.1\r\n\r\n", answer))), count=2
    )
    assert (found["same"], found["failed"]) == (2, 0)


def test_one_connection_serves_calls_in_a_row_until_the_target_ends_it() -> None:
    server = Http1Server(lambda head, body: OK)
    replayed(server, recording(recorded((GET, OK))), count=50)
    assert (server.connections, len(server.asked)) == (1, 50)
    closing = Http1Server(lambda head, body: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    found = replayed(closing, recording(recorded((GET, OK))), count=5)
    assert (closing.connections, found["answered"]) == (5, 5)


def test_a_connection_is_replayed_in_order_with_its_spacing() -> None:
    calls = [(b"GET /%d HTTP/1.1\r\n\r\n" % number, OK) for number in range(3)]
    server = Http1Server(lambda head, body: OK)
    found = replayed(server, recording(recorded(*calls, wait=200)), count=2)
    assert [head.split()[1] for head, _ in server.asked] == [b"/0", b"/1", b"/2"] * 2
    assert (found["sent"], found["same"], found["calls"], server.connections) == (6, 6, 3, 2)
    assert found["seconds"] >= 2 * 0.4


def test_a_rate_spaces_calls_and_waits_for_no_answer() -> None:
    waiting = 0
    several = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        while await reader.readuntil(b"\r\n\r\n"):
            waiting += 1
            if waiting == 5:
                several.set()
            await several.wait()
            writer.write(OK)

    async def work() -> dict[str, Any]:
        async with listening(serve) as target:
            what = recording(recorded((GET, OK)))
            return await Replays(Targets([target])).run(what, target, count=20, rate=100)

    found = run(work)
    assert (found["same"], found["sent"]) == (20, 20)
    assert found["seconds"] >= 0.19


def test_what_could_not_be_sent_is_told_beside_what_was() -> None:
    calls = recorded((GET, OK), (b"GET /a b HTTP/1.1\r\n\r\n", OK))
    found = replayed(Http1Server(lambda head, body: OK), recording(calls))
    assert (found["same"], found["left_out"]) == (
        1,
        [{"id": calls[1].id, "reason": "its target was not seen, or is odd"}],
    )


# Targets that misbehave


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "the target closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broken"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP/1"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "another protocol"),
        (b"\0" * 100_000, "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000, "no HTTP/1"),
    ],
    ids=["silence", "cut", "bad chunk", "ssh", "switch", "zeros", "long head"],
)
def test_an_answer_that_is_none_fails(said: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    found = failing(serve, count=2)
    assert found["failed"] == 2
    assert found["failures"][0]["count"] == 2
    assert reason in found["failures"][0]["reason"]


def test_a_target_that_is_not_there_fails_soon_however_often_it_is_asked() -> None:
    async def work() -> dict[str, Any]:
        async with listening(Http1Server(lambda head, body: OK).serve) as target:
            pass  # nobody listens there any more
        return await Replays(Targets([target])).run(recording(recorded((GET, OK))), target, count=5000)

    found = run(work)
    assert (found["sent"], found["answered"], found["address"]) == (100, 0, "")
    assert found["ended_early"] == "100 calls in a row had no answer"
    assert [one["count"] for one in found["failures"]] == [100]


def test_a_name_without_address_sends_nothing() -> None:
    name = "no-such-host.invalid:80"
    found = run(lambda: Replays(Targets([name])).run(recording(recorded((GET, OK))), name))
    assert (found["sent"], found["address"]) == (0, "")
    assert "no address" in found["ended_early"]


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_http1, "ANSWER", 1_000_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    assert "longer than" in failing(serve)["failures"][0]["reason"]


def test_a_target_that_does_not_answer_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_lines, "ANSWER", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert "no whole answer" in failing(serve, count=3)["failures"][0]["reason"]


def test_a_run_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SECONDS", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()  # and nothing to the second call

    found = failing(serve, count=100)
    assert (found["ended_early"], found["answered"], found["failed"]) == ("after 0.3 s", 1, 1)


def test_who_cancels_leaves_nothing_open() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.read(1000):
                asked.set()
        finally:
            connections -= 1
            if not connections:
                gone.set()

    async def work() -> None:
        async with listening(serve) as target:
            replays = Replays(Targets([target]))
            what = recording(recorded((GET, OK)))
            tasks = [asyncio.create_task(replays.run(what, target, count=10, rate=1000)) for _ in range(2)]
            await asked.wait()
            with pytest.raises(Busy):
                await replays.run(what, target)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
            await gone.wait()
            with pytest.raises(OptionError):  # and not Busy
                await replays.run(what, target, count=0)

    run(work)


def test_the_page_shows_what_comes_back() -> None:
    shown = shown_json("replay.md")
    found = replayed(Http1Server(lambda head, body: OK.replace(b"200", b"503")), recording(recorded((GET, OK))))
    assert list(shown) == list(found)
    assert list(shown["differences"][0]) == list(found["differences"][0])
    assert list(shown["elapsed_time"]) == list(found["elapsed_time"])


def test_a_bomb_in_an_answer_holds_up_nobody() -> None:
    """Every answer is 64 MiB once decoded; meanwhile the hub's loop goes round."""
    bomb = gzip.compress(bytes(64 * MIB), 9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def work() -> tuple[dict[str, Any], int]:
        rounds = 0

        async def go_round() -> None:
            nonlocal rounds
            while True:
                await asyncio.sleep(0.005)
                rounds += 1

        async with listening(Http1Server(lambda _, body: head + bomb).serve) as target:
            going = asyncio.create_task(go_round())
            found = await Replays(Targets([target])).run(recording(recorded((GET, OK))), target, count=3)
            going.cancel()
        return found, rounds

    found, rounds = run(work)
    assert (found["answered"], {one["replayed"] for one in found["differences"] if one["what"] == "size"}) == (
        3,
        {str(64 * MIB)},
    )
    assert rounds > 30
