"""Stepping over frames comes to the state that reading everything comes to, wherever it begins and ends; whatever is
not plain is refused."""

from __future__ import annotations

from itertools import chain
from random import Random

import pytest
from hpack import Encoder
from http2_talk import DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, RST_STREAM, SETTINGS, calls
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import H2, h2
from wire import Wire

from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.http2_skim import Skim, Unusual
from pysniff.limits import DEFAULT
from pysniff.message import CLIENT, SERVER, Side

Said = tuple[Side, bytes]
HEAD = 54  # bytes before the payload: Ethernet, IPv4, TCP
UNUSUAL = "unusual"


def said(seed: int, count: int) -> list[Said]:
    """What both sides of a connection say, a packet each."""
    packets = chain.from_iterable([*calls(Wire(), Random(seed), count)][:-1])
    sides = [(CLIENT if packet.data[26:30] == b"\x0a\0\0\1" else SERVER, packet.data[HEAD:]) for packet in packets]
    return [(side, data) for side, data in sides if data]


def compared(talk: list[Said], places: list[int]) -> list[bytes | str]:
    """After so many packets each: the state, if stepping over frames came to it, else UNUSUAL."""
    full = Http2()
    skim: Skim | None = Skim(DEFAULT, {})
    found: list[bytes | str] = []
    for begin, end in zip([0, *places], [*places, len(talk)], strict=True):
        for side, data in talk[begin:end]:
            list(full.feed(side, data, 0))
        state = full.remember()
        halves = [b"".join([data for each, data in talk[begin:end] if each is side]) for side in (CLIENT, SERVER)]
        skimmed = state_of(skim, *halves) if skim is not None else UNUSUAL
        if skimmed != UNUSUAL:
            assert skimmed == state
        found.append(skimmed)
        if skimmed == UNUSUAL:
            skim = begun_from(state)
    return found


def state_of(skim: Skim, client: bytes, server: bytes) -> bytes | str:
    try:
        skim.read(client, server)
        return skim.state()
    except Unusual:
        return UNUSUAL


def begun_from(state: bytes | None) -> Skim | None:
    try:
        return Skim(DEFAULT, {}, state) if state else None
    except Unusual:
        return None


@pytest.mark.parametrize("seed", range(20))
def test_it_comes_to_the_same_state_wherever_segments_end(seed: int) -> None:
    """A tenth of the header blocks go on in CONTINUATION frames, which are refused: what is between them counts."""
    talk = said(seed, 60)
    places = sorted(Random(seed).sample(range(len(talk)), len(talk) // 3))
    found = compared(talk, places)
    assert sum(one != UNUSUAL for one in found) > len(found) // 3


SETTLED = h2(SETTINGS, 0, 0)
BLOCK = Encoder().encode([(":method", "POST"), (":path", "/x"), (":scheme", "http"), ("x-new", "one")])
REQUEST = h2(HEADERS, END_HEADERS, 1, BLOCK)
BEGUN = [(CLIENT, H2 + REQUEST), (SERVER, SETTLED)]


@pytest.mark.parametrize(
    "what",
    [
        h2(DATA, END_STREAM, 1, b"abc"),
        h2(DATA, PADDED, 1, b"\2abc\0\0"),
        h2(DATA, END_STREAM, 1, b"abc")[:-1],
        h2(DATA, 0, 1, b"abc")[:5],
        h2(HEADERS, END_HEADERS | END_STREAM, 3, b"\x83\xbe"),
        h2(HEADERS, END_HEADERS, 3, b"\x83\xbe")[:-1],
        h2(RST_STREAM, 0, 1, b"\0\0\0\x08"),
        h2(SETTINGS, 0, 0, b"\0\1\0\0\x10\0\0\5\0\1\0\0"),
        h2(0x10, 0, 0, b"u=1"),
        h2(HEADERS, END_HEADERS, 3, b"\x00\1a\1b"),
    ],
)
def test_frames_that_it_knows(what: bytes) -> None:
    found = compared([*BEGUN, (CLIENT, what), (CLIENT, h2(6, 0, 0, bytes(8)))], [2, 3])
    assert UNUSUAL not in found[:2]


@pytest.mark.parametrize(
    "what",
    [
        h2(DATA, PADDED, 1, b"\7abc"),
        h2(DATA, 0, 0, b"abc"),
        h2(DATA, 0, 1, bytes(16_385)),
        h2(HEADERS, 0, 3, b"\x83"),
        h2(HEADERS, END_HEADERS, 2, b"\x83"),
        h2(HEADERS, END_HEADERS, 3, b"\xff\x7f"),
        h2(HEADERS, END_HEADERS, 3, b"\xf0"),
        h2(HEADERS, END_HEADERS, 3, b"\x3f\xff\xff\x7f"),
        h2(HEADERS, END_HEADERS, 3, b"\x00\5a"),
        h2(5, END_HEADERS, 1, b"\0\0\0\2\x82"),
        h2(7, 0, 0, bytes(8)),
        h2(RST_STREAM, 0, 2, bytes(4)),
    ],
)
def test_what_is_not_plain_is_refused(what: bytes) -> None:
    assert compared([*BEGUN, (CLIENT, what)], [2])[1] == UNUSUAL


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([CLIENT, SERVER]), st.integers(0, 9), st.integers(0, 255))
def test_whatever_stands_in_a_frame(payload: bytes, side: Side, kind: int, flags: int) -> None:
    compared([*BEGUN, (side, h2(kind, flags, 1, payload))], [2])


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([CLIENT, SERVER]))
def test_whatever_the_bytes(data: bytes, side: Side) -> None:
    compared([*BEGUN, (side, data)], [2])
    compared([(side, data)], [])
