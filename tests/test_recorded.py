"""Our own traffic, recorded as it happens: entries say what the programs' own logs say, one to one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recorded.recording import recording
from recorded.said import Log, Said, differences
from recorded.scenes import SCENES, Stage

import pysniff

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("tcpdump", "nginx", "curl")]


class Played(NamedTuple):
    entries: list[Any]
    stages: dict[str, Stage]
    broke: dict[str, BaseException]  # scenes that did not play to their end


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All scenes one after the other, in one recording."""
    folder = tmp_path_factory.mktemp("recorded")
    stages: dict[str, Stage] = {}
    broke: dict[str, BaseException] = {}
    with recording(folder / "all.pcap"):
        for name, scene in SCENES.items():
            (folder / name).mkdir()
            stages[name] = Stage(folder / name)
            try:
                scene(stages[name])
            except Exception as error:
                broke[name] = error
    yield Played(list(pysniff.read(folder / "all.pcap")), stages, broke)


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
