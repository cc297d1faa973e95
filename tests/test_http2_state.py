"""An HTTP/2 connection is read on from a state as if nothing before it were gone, at any packet; no state does harm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
from http2_talk import END_HEADERS, HEADERS, calls
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded.nodejs import needs_packages
from talk import Talk
from transcripts import BUY, GET7, GET7_AGAIN, H2, OK200, TCP, Transcript, h2
from wire import Wire, kinds

from pysniff.dissector import Malformed
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.http2_state import MOST
from pysniff.entry import Entry
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Packet
from pysniff.resumption import Resumption
from pysniff.sniffer import Sniffer

HTTP2 = [one for one in TCP if one.protocol == "http2"]


def begins(entry: Entry) -> int:
    message = entry.request if entry.request is not None else entry.response
    assert message is not None
    return int(message.first)


def closed(entries: Sequence[Entry]) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries if entry.state == "closed"}


def read(packets: Sequence[Packet], states: Sequence[Resumption] = ()) -> tuple[dict[str, Entry], Sniffer]:
    sniffer = Sniffer()
    for state in states:
        sniffer.resume(state)
    found = []
    for packet in packets:
        found += sniffer.feed([packet])
    found += sniffer.close()
    assert sniffer.ledger.imbalances() == []
    return closed(found), sniffer


def states_at(packets: Sequence[Packet], places: Sequence[int]) -> dict[int, list[Resumption]]:
    """After so many packets each."""
    sniffer, found, done = Sniffer(), {}, 0
    for place in places:
        sniffer.feed(packets[done:place])
        found[place], done = sniffer.remember(), place
    return found


def gone_on_at(packets: Sequence[Packet], places: Sequence[int]) -> int:
    """Calls that begin behind each of these places are what they are for who read everything; how many states there
    were."""
    whole, _ = read(packets)
    count = 0
    for place, states in states_at(packets, places).items():
        if not states:
            continue
        count += 1
        rest, sniffer = read(packets[place:], states)
        assert sniffer.ledger.resumed_blind == 0
        later = {id: entry.to_dict() for id, entry in whole.items() if begins(entry) > packets[place - 1].time_ns}
        assert {id: rest[id].to_dict() for id in later if id in rest} == later, place
    return count


def cut(one: Transcript, size: int) -> list[Packet]:
    wire = Wire()
    pieces = [(side, data[at : at + size]) for side, data in one.steps for at in range(0, len(data), size)]
    return [*wire.handshake(), *[wire.send(side, piece) for side, piece in pieces], *wire.farewell()]


@pytest.mark.parametrize("size", [1, 7, 1460])
@pytest.mark.parametrize("one", HTTP2, ids=str)
def test_transcripts_go_on_at_every_packet(one: Transcript, size: int) -> None:
    packets = cut(one, size)
    places = range(4, len(packets), 1 if size > 1 else 5)
    assert gone_on_at(packets, places) > len(places) * 0.6


@pytest.mark.parametrize("seed", range(6))
def test_connections_of_many_calls_go_on_at_any_packet(seed: int) -> None:
    packets = [*chain.from_iterable(calls(Wire(), Random(seed), 60))]
    places = sorted(Random(seed).sample(range(8, len(packets) - 3), 25))
    assert gone_on_at(packets, places) >= 20  # there is none within a block that goes on


@pytest.mark.needs_root
@pytest.mark.needs("tcpdump", "node", "nginx", "nghttpd", "h2load")
@needs_packages
def test_recorded_connections_go_on_at_any_packet(tmp_path: Path) -> None:
    from recorded.http2_connections import record

    count = 0
    for name, packets in record(tmp_path):
        places = sorted(Random(name).sample(range(12, len(packets) - 4), 4))
        count += gone_on_at(packets, places)
    assert count > 380


@pytest.mark.parametrize("seed", range(3))
def test_joined_in_the_middle_it_goes_on_with_the_same_placeholders(seed: int) -> None:
    packets = [*chain.from_iterable(calls(Wire(), Random(seed), 60))][40:]
    whole, _ = read(packets)
    named = blind = 0
    for place, states in states_at(packets, range(30, len(packets) - 5, 37)).items():
        rest, sniffer = read(packets[place:], states)
        blind += sniffer.ledger.resumed_blind
        for id, entry in whole.items():
            if states and begins(entry) > packets[place - 1].time_ns:
                told: Any = rest[id].request or rest[id].response
                known: Any = entry.request or entry.response
                assert [field for field in told.headers if "inferred" not in kinds(entry)] == [
                    field for field in known.headers if "inferred" not in kinds(entry)
                ]
                named += 1
    assert named
    assert blind  # its tables had holes, until the encoder emptied them


def test_a_call_across_the_boundary_is_an_answer_that_nobody_asked_for() -> None:
    wire = Wire()
    before = [*wire.handshake(), wire.send(CLIENT, H2 + h2(HEADERS, 5, 1, GET7) + h2(HEADERS, 4, 3, BUY))]
    before.append(wire.send(SERVER, h2(4, 0, 0) + h2(HEADERS, END_HEADERS, 1, OK200) + h2(0, 0, 1, b"[1,")))
    after = [
        wire.send(CLIENT, h2(0, 1, 3, b"2 apples")),
        wire.send(SERVER, h2(0, 1, 1, b"2]")),
        wire.send(SERVER, h2(HEADERS, 5, 3, b"\xbf\xbe\x88")),  # server: h and so on, from the table
    ]
    (state,) = states_at([*before, *after], [len(before)])[len(before)]
    found, sniffer = read(after, [state])
    assert [(entry.request is not None, kinds(entry)) for entry in found.values()] == [
        (False, ["unrequested", "midstream", "midstream"]),
        (True, ["midstream"]),
    ]
    assert sniffer.ledger.to_dict()["undecoded"] == {}


def test_what_had_come_of_a_frame_is_in_its_message() -> None:
    wire = Wire()
    data = H2 + h2(HEADERS, 5, 1, GET7)
    before = [*wire.handshake(), wire.send(CLIENT, data[:-9])]
    after = [wire.send(CLIENT, data[-9:])]
    (state,) = states_at([*before, *after], [len(before)])[len(before)]
    whole, _ = read([*before, *after])
    rest, sniffer = read(after, [state])
    assert [*rest] == [*whole]
    (mine,), (known,) = rest.values(), whole.values()
    assert mine.request is not None and known.request is not None
    assert (mine.summary, mine.request.size) == (known.summary, known.request.size)
    assert mine.time_ns == after[0].time_ns  # the store has nothing older
    assert sniffer.ledger.recalled_bytes == len(h2(HEADERS, 5, 1, GET7)) - 9


def test_a_packet_lost_right_behind_the_boundary_is_a_gap() -> None:
    wire = Wire()
    before = [*wire.handshake(), wire.send(CLIENT, H2 + h2(HEADERS, 5, 1, GET7)), wire.send(SERVER, h2(4, 0, 0))]
    lost = wire.send(CLIENT, h2(HEADERS, 5, 3, BUY))
    after = [wire.send(CLIENT, h2(HEADERS, 5, 5, GET7_AGAIN)), wire.send(SERVER, h2(HEADERS, 5, 5, OK200))]
    (state,) = states_at([*before, lost, *after], [len(before)])[len(before)]
    found, sniffer = read(after, [state])
    assert sniffer.ledger.gap_dissected > 0
    assert all("gap" in kinds(entry) for entry in found.values())


# Hostile states


def some_state() -> bytes:
    packets = [*chain.from_iterable(calls(Wire(), Random(1), 30))]
    for state in reversed(states_at(packets, range(50, 90)).values()):
        if state:
            return state[0].state
    raise AssertionError("no state")


STATE = some_state()


def recalled(state: bytes) -> Talk | None:
    """A talk that goes on from a state, None where that is refused."""
    talk = Talk(Http2())
    try:
        talk.dissector.recall(state)
    except Malformed:
        return None
    for side in (CLIENT, SERVER):
        talk._fed[side] = talk.dissector.pending(side)
    return talk


def test_a_state_is_refused_that_is_cut_or_longer() -> None:
    assert recalled(STATE) is not None
    for size in range(len(STATE)):
        assert recalled(STATE[:size]) is None
    assert recalled(STATE + b"\0") is None


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    assert recalled(noise) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(STATE) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.data())
def test_whatever_a_state_says_the_connection_is_read(changes: list[tuple[int, int]], data: st.DataObject) -> None:
    state = bytearray(STATE)
    for place, byte in changes:
        state[place] = byte
    talk = recalled(bytes(state))
    if talk is None:
        return
    for _ in range(3):
        side = data.draw(st.sampled_from((CLIENT, SERVER)))
        known = st.sampled_from((h2(HEADERS, 5, 301, GET7_AGAIN), h2(HEADERS, 4, 1, OK200), h2(0, 1, 1, b"x" * 20)))
        talk.feed(side, data.draw(st.one_of(known, st.binary(max_size=60))))
        list(talk.dissector.open())
    talk.close()


def test_a_table_that_would_take_much_memory_is_refused() -> None:
    talk = Talk(Http2())
    talk.client(H2)
    assert talk.dissector.remember() is not None
    for stream in range(1, 2 * 50_000, 2):  # more open ones than a state holds
        talk.dissector.streams.client.earlier.add(stream)  # type: ignore[attr-defined]
    assert talk.dissector.remember() is None
    assert MOST < 1 << 18


def test_a_state_of_another_protocol_is_joined_in_the_middle() -> None:
    wire = Wire()
    before = [*wire.handshake(), wire.send(CLIENT, H2 + h2(HEADERS, 5, 1, GET7)), wire.send(SERVER, h2(4, 0, 0))]
    after = [wire.send(CLIENT, h2(HEADERS, 5, 3, GET7_AGAIN)), wire.send(SERVER, h2(HEADERS, 5, 3, OK200))]
    (state,) = states_at([*before, *after], [len(before)])[len(before)]
    for spoilt in (state._replace(state=b"?"), state._replace(protocol="redis"), state._replace(protocol="?")):
        _, sniffer = read(after, [spoilt])
        assert sniffer.ledger.dissector_errors == 0
        assert sniffer.ledger.resumed_blind == (spoilt.protocol == "http2")
        assert sniffer.ledger.recalled_bytes == 0
