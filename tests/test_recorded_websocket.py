"""WebSocket between two implementations, recorded as it happens: entries say what both programs' logs say."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from recorded.nodejs import needs_packages
from recorded.recording import recording
from recorded.websocket_plan import NAMES, WEBSOCKETS, WS, Line, Plan, lines, plan, play, server

import pysniff
from pysniff.message import CLIENT

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("tcpdump", "node"), needs_packages]

PAIRS = [(caller, callee) for caller in (WEBSOCKETS, WS) for callee in (WEBSOCKETS, WS)]
TITLES = [f"{NAMES[caller]} to {NAMES[callee]}" for caller, callee in PAIRS]


class Played(NamedTuple):
    """Connections between two programs. `entries`: of WebSocket; `upgrades`: of HTTP."""

    plan: Plan
    client: list[Line]
    server: list[Line]
    entries: list[Any]
    upgrades: list[Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """All four pairs, one after the other, in one recording."""
    folder = tmp_path_factory.mktemp("websocket")
    ports: dict[str, list[int]] = {}
    with recording(folder / "all.pcap"):
        for title, (caller, callee) in zip(TITLES, PAIRS, strict=True):
            to_play = folder / f"{title}.plan"
            to_play.write_text(json.dumps(plan(title)))
            with server(callee, to_play, folder / f"{title}.server") as ports[title]:
                play(caller, to_play, folder / f"{title}.client", ports[title])
    every = list({entry.id: entry for entry in pysniff.read(folder / "all.pcap")}.values())
    return {
        title: Played(
            plan(title),
            lines(folder / f"{title}.client"),
            lines(folder / f"{title}.server"),
            [entry for entry in every if entry.dst.port in ports[title] and entry.protocol == "ws"],
            [entry for entry in every if entry.dst.port in ports[title] and entry.protocol != "ws"],
        )
        for title in TITLES
    }


def line(entry: Any) -> Line:
    """The entry as its receiver's log has it."""
    message = entry.request or entry.response
    content = message.reason.encode() if message.opcode == "close" else message.payload
    side = "server" if message.side is CLIENT else "client"
    return Line(entry.src.port, side, False, message.opcode, len(content), sha256(content).hexdigest(), message.code)


def by_connection(found: list[Line], side: str, sent: bool) -> dict[int, list[Line]]:
    grouped: dict[int, list[Line]] = {}
    for one in found:
        if one.side == side and one.sent == sent:
            grouped.setdefault(one.client, []).append(one)
    return grouped


def different(ours: list[Line], logged: list[Line]) -> str:
    """Where the two part, "" where they do not.

    Nobody hears what comes behind a close frame; and who cuts the connection off may not hear the last controls.
    """
    closed = next((at for at, one in enumerate(ours, 1) if one.opcode == "close"), 0)
    ours = ours[:closed] if closed else ours
    while not closed and len(ours) > len(logged) and ours[-1].opcode in ("ping", "pong"):
        ours = ours[:-1]
    if ours == logged:
        return ""
    place = next((at for at, pair in enumerate(zip(ours, logged, strict=False)) if pair[0] != pair[1]), -1)
    return f"{len(ours)} entries, {len(logged)} logged; {place}: {ours[place]}, said {logged[place]}"


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("side", ["client", "server"])
def test_entries_are_what_the_receiver_heard(title: str, side: str, played: dict[str, Played]) -> None:
    """Every message, ping, pong and close in its order: opcode, size, content."""
    pair = played[title]
    logged = by_connection(pair.client if side == "client" else pair.server, side, sent=False)
    entries = by_connection([line(entry) for entry in pair.entries], side, sent=False)
    assert len(logged) == len(pair.plan["dialogues"])
    assert {client: different(ours, logged[client]) for client, ours in entries.items()} == dict.fromkeys(logged, "")


def pings(found: list[Line]) -> list[str]:
    return sorted(one.sha256 for one in found if one.opcode == "ping")


@pytest.mark.parametrize("title", TITLES)
def test_entries_are_what_the_sender_said(title: str, played: dict[str, Played]) -> None:
    pair = played[title]
    for side, other, log in (("client", "server", pair.client), ("server", "client", pair.server)):
        said = by_connection(log, side, sent=True)
        entries = by_connection([line(entry) for entry in pair.entries], other, sent=False)
        for client, sent in said.items():
            ours = [one._replace(side=side, sent=True) for one in entries[client]]
            data = [one for one in ours if one.opcode in ("text", "binary")]
            assert data == [one for one in sent if one.opcode != "ping"]
            # Where fragments wait for a thread to compress them, a ping that was said later goes first.
            assert pings(ours) == pings(sent)


@pytest.mark.parametrize("title", TITLES)
def test_nothing_is_odd(title: str, played: dict[str, Played]) -> None:
    pair = played[title]
    assert [(entry, entry.faults) for entry in pair.entries if entry.faults] == []
    assert {(entry.protocol, entry.status) for entry in pair.upgrades} == {("http", "101")}
    assert len(pair.upgrades) == len(pair.plan["dialogues"])


def test_there_is_some_of_everything(played: dict[str, Played]) -> None:
    """Compressed with and without, in fragments and whole, from either program; every opcode and way to close."""
    messages = [entry.request or entry.response for pair in played.values() for entry in pair.entries]
    assert len(messages) > 2_000
    assert {message.opcode for message in messages} == {"text", "binary", "close", "ping", "pong"}
    assert {message.code for message in messages if message.opcode == "close"} == {None, 1000, 1001, 4999}
    for title in TITLES:
        kinds = {
            (message.compressed, message.frames > 1, message.side)
            for message in [entry.request or entry.response for entry in played[title].entries]
            if message.opcode in ("text", "binary")
        }
        assert len(kinds) == 8
