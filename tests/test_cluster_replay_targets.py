"""A recorded call goes nowhere but to a target that was named, whatever it says itself; and how much may be sent."""

from __future__ import annotations

from typing import Any

import pytest
from replay_servers import (
    GET,
    OK,
    Http1Server,
    Http2Server,
    calls,
    listening,
    pong,
    recorded,
    recording,
    run,
)
from test_grpc import framed
from wire import Watched

from pysniff.cluster import replay
from pysniff.cluster.replay import Replays
from pysniff.cluster.replay_target import Targets
from pysniff.errors import OptionError

HOSTILE = [
    b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
    b"GET //127.0.0.1:%d/ HTTP/1.1\r\nHost: user@127.0.0.1:%d\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nForwarded: host=127.0.0.1:%d\r\nAlt-Svc: h2=\":%d\"\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:%d\r\nX-Forwarded-Host: 127.0.0.1:%d\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("request_", HOSTILE)
def test_nothing_in_a_call_or_an_answer_says_where_it_goes(request_: bytes) -> None:
    async def work() -> tuple[dict[str, Any], list[bytes], int]:
        secret = Http1Server(lambda head, body: OK)
        async with listening(secret.serve) as elsewhere:
            port = int(elsewhere.rpartition(":")[2])
            sent = request_ % ((port,) * request_.count(b"%d"))
            moved = (
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://%b/\r\nContent-Length: 0\r\nRefresh: 0; url=http://%b/"
                b'\r\nAlt-Svc: http/1.1=":%d"\r\n\r\n' % (elsewhere.encode(), elsewhere.encode(), port)
            )
            server = Http1Server(lambda head, body: moved)
            async with listening(server.serve) as target:
                found = await Replays(Targets([target])).run(recording(recorded((sent, moved))), target)
        assert [head for head, _ in server.asked] == [sent]
        return found, [head for head, _ in secret.asked], secret.connections

    found, heard, connections = run(work)
    assert (found["same"], found["statuses"]) == (1, {"307": 1})
    assert (heard, connections) == ([], 0)


def test_nothing_in_http2_says_where_a_call_goes() -> None:
    async def work() -> tuple[dict[str, Any], int]:
        secret = Http2Server(pong)
        async with listening(secret.serve) as elsewhere:
            what = calls(("/a.B/C", framed(b"")))
            call = what.calls[0]._replace(authority=elsewhere.encode(), scheme=b"https", target=b"http://x/")
            server = Http2Server(pong)
            async with listening(server.serve) as target:
                found = await Replays(Targets([target])).run(what._replace(calls=(call,)), target)
            assert dict(server.asked[0][0])[":authority"] == elsewhere
        return found, secret.connections

    found, connections = run(work)
    assert (found["same"], connections) == (1, 0)


def test_only_a_target_that_was_named_is_sent_to_and_in_its_very_words() -> None:
    async def work() -> tuple[int, list[str]]:
        server = Http1Server(lambda head, body: OK)
        async with listening(server.serve) as named:
            port = named.rpartition(":")[2]
            replays = Replays(Targets([named]))
            refused = []
            for target in (
                f"localhost:{port}", f"127.1:{port}", f"2130706433:{port}", f"0x7f.1:{port}", f"[::1]:{port}",
                f"[::ffff:127.0.0.1]:{port}", f"::ffff:127.0.0.1:{port}", f"http://{named}", f"http://{named}/",
                f"user@{named}", f"{named}/", f" {named}", f"{named} ", f"{named}\n", f"127.0.0.1.:{port}", f"0:{port}",
                f"127.0.0.1:0{port}", f"127.0.0.1:+{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 65536}", "",
                "169.254.169.254:80", f"{named}@169.254.169.254:80", f"{named},127.0.0.1:1", f"{named}#", f"{named}?",
                f"\uff11\uff12\uff17.0.0.1:{port}", f"{named}\0", f"unix:{named}",
            ):  # fmt: skip
                try:
                    await replays.run(recording(recorded((GET, OK))), target)
                except OptionError:
                    refused.append(target)
                else:
                    raise AssertionError(target)
        return server.connections, refused

    connections, refused = run(work)
    assert (connections, len(refused)) == (0, 29)


def test_a_hub_without_targets_replays_nothing() -> None:
    with pytest.raises(OptionError, match="replays nothing"):
        run(lambda: Replays(Targets()).run(recording(recorded((GET, OK))), "127.0.0.1:80"))


def test_a_name_is_looked_up_once_a_run_whatever_it_means_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[dict[str, Any], int, int]:
        first = Http1Server(lambda head, body: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        second = Http1Server(lambda head, body: OK)
        async with listening(first.serve) as named:
            port = int(named.rpartition(":")[2])
            async with listening(second.serve, "127.0.0.2") as _:
                answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])

                async def looked_up(target: Any) -> list[str]:
                    return next(answers)

                monkeypatch.setattr(replay, "addresses", looked_up)
                name = f"rebinding.test:{port}"
                found = await Replays(Targets([name])).run(recording(recorded((GET, OK))), name, count=5)
        return found, first.connections, second.connections

    found, first, second = run(work)
    assert (found["address"], found["answered"]) == ("127.0.0.1", 5)
    assert (first, second) == (5, 0)


def test_ipv6_is_a_target_too() -> None:
    async def work() -> dict[str, Any]:
        server = Http1Server(lambda head, body: OK)
        async with listening(server.serve, "::1") as target:
            assert target.startswith("[::1]:")
            return await Replays(Targets([target])).run(recording(recorded((GET, OK))), target)

    found = run(work)
    assert (found["same"], found["address"]) == (1, "::1")


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"count": -1},
        {"count": 10_001},
        {"rate": 0},
        {"rate": -1.0},
        {"rate": 1001},
        {"rate": float("nan")},
        {"rate": float("inf")},
    ],
    ids=str,
)
def test_count_and_rate_are_bounded(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        run(lambda: Replays(Targets(["127.0.0.1:1"])).run(recording(recorded((GET, OK))), "127.0.0.1:1", **options))


def test_nothing_to_send_says_why() -> None:
    redis = Watched(dport=6379).client(b"*1\r\n$4\r\nPING\r\n").server(b"+PONG\r\n").bye().close().seen
    with pytest.raises(OptionError, match="redis is not replayed"):
        run(lambda: Replays(Targets(["127.0.0.1:1"])).run(recording(redis), "127.0.0.1:1"))


def test_a_recording_counts_with_all_its_calls() -> None:
    two = recording(recorded((GET, OK), (GET, OK)))
    with pytest.raises(OptionError, match="from 1 to 5000"):
        run(lambda: Replays(Targets(["127.0.0.1:1"])).run(two, "127.0.0.1:1", count=5001))
