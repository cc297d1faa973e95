"""Our own traffic, recorded as it happens: entries say what the programs' own logs say, one to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded.playing import Played, play
from recorded.said import Log, Said, differences
from recorded.scenes import SCENES

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("tcpdump", "nginx", "curl")]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(SCENES, tmp_path_factory.mktemp("recorded"))


@pytest.mark.parametrize("name", SCENES)
def test_entries_say_what_the_logs_say(name: str, played: Played) -> None:
    if name in played.broke:
        raise played.broke[name]
    assert played.stages[name].scenes
    for port, logs in played.stages[name].scenes:
        calls = [entry for entry in played.entries if entry.protocol == "http" and entry.dst.port == port]
        for log in logs:
            assert log
            assert differences(calls, log) == []


def test_what_follows_an_upgrade_is_bytes(played: Played) -> None:
    ((port, _),) = played.stages["upgrade"].scenes
    others = [entry for entry in played.entries if entry.protocol != "http" and entry.dst.port == port]
    said = [entry for entry in others if entry.request is not None and entry.response is not None]
    assert [
        (entry.protocol, entry.request.to_dict(0)["bytes"], entry.response.to_dict(0)["bytes"]) for entry in said
    ] == [("tcp", 522, 522)]


def test_what_a_log_does_not_say_is_seen(tmp_path: Path, played: Played) -> None:
    port, (server, _) = played.stages["codings"].scenes[0]
    calls = [entry for entry in played.entries if entry.protocol == "http" and entry.dst.port == port]
    log = Log(tmp_path / "log.jsonl")
    for line in server:
        log.add(line)
    assert log.lines() == server
    assert differences(calls[1:], server) != []
    assert differences(calls, [*server, Said(1)]) != []
    for wrong in (Said(0, status=500), Said(0, sha256=""), Said(0, headers=[("a", "b")]), Said(0, interim=[100])):
        wrong.client = server[2].client
        assert len(differences(calls, [*server[:2], wrong, *server[3:]])) == 1
