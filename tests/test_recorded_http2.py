"""HTTP/2 between many programs, recorded as it happens: entries say what the programs' own logs say, one to one."""

from __future__ import annotations

from typing import Any

import pytest
from recorded.http2_said import differences
from recorded.http2_scenes import SCENES
from recorded.playing import Played, play
from recorded.said import Said

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs("tcpdump", "nginx", "curl", "nghttp", "nghttpd", "nghttpx", "h2load"),
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(SCENES, tmp_path_factory.mktemp("http2"))


def of(played: Played, port: int, version: str = "2") -> list[Any]:
    return [entry for entry in played.entries if entry.dst.port == port and entry.version == version]


@pytest.mark.parametrize("name", SCENES)
def test_entries_say_what_the_logs_say(name: str, played: Played) -> None:
    if name in played.broke:
        raise played.broke[name]
    assert played.stages[name].scenes
    for port, logs in played.stages[name].scenes:
        for log in logs:
            assert log
            assert differences(of(played, port), log) == []


def test_an_upgrade_is_an_exchange_of_http_1(played: Played) -> None:
    """And stream 1 is another, with the same request."""
    ports = [port for port, _ in played.stages["upgrade"].scenes]
    found = [entry for port in ports for entry in of(played, port, "1.1")]
    assert [(entry.request.url, entry.response.status) for entry in found] == [
        ("/page", 101),
        ("/hints", 101),
        ("/trailers", 101),
    ]
    streams = {entry.request.url: entry.request.stream_id for entry in of(played, ports[0])}
    assert (streams["/page"], streams["/hints"]) == (1, 1)


def test_what_was_pushed_is_an_exchange_of_its_own(played: Played) -> None:
    for port, _ in played.stages["push"].scenes[:3]:
        pushed = [entry for entry in of(played, port) if entry.request.stream_id % 2 == 0]
        assert len(pushed) == 2
        assert {entry.completeness for entry in pushed} == {"complete"}


def test_nothing_else_is_seen(played: Played) -> None:
    """No bytes of these connections are left to an unknown protocol."""
    ports = {port for stage in played.stages.values() for port, _ in stage.scenes}
    unknown = [entry for entry in played.entries if entry.dst.port in ports and entry.protocol != "http"]
    assert [entry for entry in unknown if entry.request is not None and entry.request.to_dict(0)["bytes"]] == []


def test_what_a_log_does_not_say_is_seen(played: Played) -> None:
    port, (log, _) = played.stages["informational"].scenes[0]
    calls = of(played, port)
    assert differences(calls, log) == []
    assert differences(calls[1:], log) != []
    assert differences(calls, log[1:]) != []
    for change in (
        {"status": 500},
        {"sha256": ""},
        {"headers": [("a", "b")]},
        {"interim": [100]},
        {"trailers": [("a", "b")]},
    ):
        wrong = Said(**{**vars(log[0]), **change})
        assert len(differences(calls, [wrong, *log[1:]])) == 1
