"""1,000 gRPC calls between two implementations, recorded as they happen: entries say what both programs' logs say."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from recorded.grpc_calls import dialogues, differences
from recorded.grpc_plan import GRPC_JS, GRPCIO, NAMES, Call, Line, lines, play, server
from recorded.nodejs import needs_packages
from recorded.recording import recording

import pysniff

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("tcpdump", "node"), needs_packages]

PAIRS = [(caller, callee) for caller in (GRPCIO, GRPC_JS) for callee in (GRPCIO, GRPC_JS)]
TITLES = [f"{NAMES[caller]} to {NAMES[callee]}" for caller, callee in PAIRS]


class Played(NamedTuple):
    """Calls between two programs, by the number that they carry in a field of their own."""

    calls: dict[str, Call]
    client: dict[str, Line]
    server: dict[str, Line]
    entries: list[Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """All four pairs, one after the other, in one recording."""
    folder = tmp_path_factory.mktemp("grpc")
    ports = {}
    with recording(folder / "all.pcap"):
        for title, (caller, callee) in zip(TITLES, PAIRS, strict=True):
            with server(callee, folder / f"{title}.server") as port:
                play(caller, port, dialogues(title), folder / f"{title}.client")
            ports[title] = port
    every = {entry.id: entry for entry in pysniff.read(folder / "all.pcap")}  # the last revision of each
    return {
        title: Played(
            {call.call: call for dialogue in dialogues(title) for call in dialogue.calls},
            {line.call: line for line in lines(folder / f"{title}.client")},
            {line.call: line for line in lines(folder / f"{title}.server")},
            [entry for entry in every.values() if entry.dst.port == port],
        )
        for title, port in ports.items()
    }


def number_of(entry: Any) -> str:
    return str(entry.request.header("x-call")) if entry.request is not None else ""


def test_there_are_1000_calls(played: dict[str, Played]) -> None:
    assert sum(len(pair.client) for pair in played.values()) == 1_000
    for pair in played.values():
        assert pair.client.keys() == pair.calls.keys()


@pytest.mark.parametrize("title", TITLES)
def test_entries_are_the_calls(title: str, played: dict[str, Played]) -> None:
    pair = played[title]
    assert sorted(map(number_of, pair.entries), key=int) == sorted(pair.calls, key=int)


@pytest.mark.parametrize("title", TITLES)
def test_entries_say_what_the_logs_say(title: str, played: dict[str, Played]) -> None:
    pair = played[title]
    wrong = []
    for entry in pair.entries:
        number = number_of(entry)
        found = differences(entry, pair.calls[number], pair.client[number], pair.server.get(number))
        wrong += [f"{number} {pair.calls[number].path}: {text}" for text in found]
    assert wrong == []


@pytest.mark.parametrize("title", TITLES)
def test_the_calls_are_of_all_kinds(title: str, played: dict[str, Played]) -> None:
    """What the logs cannot say: that what we mean to record is in the recording."""
    answers = [entry.response for entry in played[title].entries if entry.response is not None]
    requests = [entry.request for entry in played[title].entries]
    assert {answer.grpc_status for answer in answers} >= set(range(17))
    assert {method.grpc_method for method in requests} >= {"Unary", "Client", "Server", "Bidi"}
    codings = {request.header("grpc-encoding") for request in requests if any(m.compressed for m in request.messages)}
    assert codings == {"gzip", "deflate"}
    trailers_only = [answer for answer in answers if answer.header("grpc-status")]
    assert len(trailers_only) > 20
    assert len([answer for answer in answers if "%" in answer.header("grpc-message")]) > 5
    cancelled = [
        entry for entry in played[title].entries if entry.response is None or entry.response.grpc_status is None
    ]
    assert len(cancelled) >= 24


def test_a_call_that_differs_is_seen(played: dict[str, Played]) -> None:
    pair = played[TITLES[0]]
    entry = next(entry for entry in pair.entries if entry.ok and entry.response.messages)
    number = number_of(entry)
    call, client = pair.calls[number], pair.client[number]
    for change in ({"status": 5}, {"received": [1]}, {"sent_sha256": ""}, {"message": "other"}, {"path": "/a/b"}):
        assert len(differences(entry, call, Line(**{**vars(client), **change}), None)) >= 1
