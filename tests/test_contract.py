"""The law of dissector.py, over every dissector there is: ours, and the plugin of docs/dissector.md.

A protocol gets here with a row in transcripts.py.
"""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Step, Talk, cut, in_bytes, records
from transcripts import DISSECTORS, TCP, TRANSCRIPTS, Transcript

from pysniff.dissector import Dissector, Malformed, Match, Output
from pysniff.limits import KIB, Limits
from pysniff.message import CLIENT, SERVER, Message, Role, Side

SIDES = (CLIENT, SERVER)
GARBAGE = (
    bytes(600),
    b"A" * 600,
    b"\r\n" * 300,
    b"\xff" * 600,
    b"*9\r\n" * 150,
    b"HTTP/1.1 " * 70,
    random.Random(1).randbytes(600),
)
TINY = Limits(head_bytes=1024, line_bytes=256, body_bytes=4 * KIB, decoded_bytes=16 * KIB, pipeline=8, detect_bytes=512)

transcripts = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
streams = pytest.mark.parametrize("transcript", TCP, ids=str)
every_dissector = pytest.mark.parametrize(
    "dissector", DISSECTORS.values(), ids=lambda one: f"{one.protocol}/{one.transport}"
)


class Told(Talk):
    """A Talk that ends with a Switch, as the core's does, and checks every message that it gets."""

    def __init__(self, dissector: Dissector) -> None:
        super().__init__(dissector)
        self.seen = 0
        self.shown: list[tuple[int, int]] = []  # messages that have begun, as they were when they were last looked at
        self.ended: set[Side] = set()
        self.lost = [0, 0]

    def reached(self, side: Side) -> int:
        """Offset of the next byte of a half."""
        return self._fed[side] + self.lost[side]

    def feed(self, side: Side, data: bytes) -> None:
        if not self.switches and side not in self.ended:
            super().feed(side, data)

    def gap(self, side: Side, size: int) -> Talk:
        if self.switches or side in self.ended or self.malformed is not None:
            return self
        self.lost[side] += size
        return super().gap(side, size)

    def close(self, *sides: Side) -> Talk:
        """Nothing is pending once both halves have ended: an early answer may wait for the end of its request."""
        if self.switches or self.malformed is not None:
            return self
        for side in sides or SIDES:
            self._call(partial(self._close, side))
            self.ended.add(side)
        if len(self.ended) == 2 and self.malformed is None:
            assert [self.dissector.pending(side) for side in SIDES] == [0, 0]
        return self

    def _close(self, side: Side) -> Iterable[Output]:
        return self.dissector.close(side, self.now)

    def check(self) -> None:
        super().check()
        for message in self.messages[self.seen :]:
            assert message.position >= 0 and message.position + message.size <= self.reached(message.side)
            for limit in (1 << 20, 3, 0):
                json.dumps(message.to_dict(limit), allow_nan=False, ensure_ascii=False).encode()
            assert message.summary.isprintable() and message.status_text.isprintable()
            assert isinstance(message.ok, bool) and isinstance(message.version, str)
        self.seen = len(self.messages)
        if self.malformed is None:
            begun = list(self.dissector.open())
            places = [(shown.position, shown.size) for shown in begun]
            for shown in begun if places != self.shown else ():
                json.dumps([shown.to_dict(1 << 20), shown.summary], allow_nan=False)
                assert shown.position >= 0 and shown.position + shown.size <= self.reached(shown.side)
            self.shown = places


def told(transcript: Transcript, steps: Iterable[Step], limits: Limits | None = None) -> Told:
    talk = Told(transcript.dissector(limits) if limits else transcript.dissector())
    for side, data in steps:
        talk.feed(side, data)
    talk.close()
    check_positions(talk)
    return talk


def check_positions(talk: Talk) -> None:
    """Two messages of a half never begin at one place; those answered in order begin one after the other, but for the
    answer to a request that was still being sent: it comes right behind that."""
    for side in SIDES:
        of_side = [message for message in talk.messages if message.side is side]
        places = [message.position for message in of_side]
        if talk.dissector.transport == "tcp":
            assert len(set(places)) == len(places)
            # One that stands alone may end after another that began within it: a WebSocket message in fragments.
            answered = [message for message in of_side if message.role is not Role.ALONE]
            waited = [
                one
                for before, one in pairwise(talk.messages)
                if before.side is not one.side and one.role is Role.RESPONSE
            ]
            in_turn = [message for message in answered if message.key is None]
            for before, message in pairwise(in_turn):
                assert before.position < message.position or message in waited


def outcome(talk: Told) -> list[object]:
    """Equal for every way of cutting: messages, and how many bytes of each half were not decoded."""
    lost = [sum(one.size for one in talk.undecoded if one.side is side) for side in SIDES]
    return [*records(talk), lost, [switch.protocol for switch in talk.switches]]


def test_every_dissector_has_a_transcript() -> None:
    assert {(one.protocol, one.transport) for one in TRANSCRIPTS} == set(DISSECTORS)


@transcripts
def test_whole(transcript: Transcript) -> None:
    talk = told(transcript, transcript.steps)
    assert talk.malformed is None
    assert {message.side for message in talk.messages} == {CLIENT, SERVER}


@streams
def test_byte_by_byte_is_the_same(transcript: Transcript) -> None:
    assert outcome(told(transcript, in_bytes(transcript.steps))) == outcome(told(transcript, transcript.steps))


@streams
def test_cut_in_two_anywhere_is_the_same(transcript: Transcript) -> None:
    whole = outcome(told(transcript, transcript.steps))
    for index, (side, data) in enumerate(transcript.steps):
        before, after = transcript.steps[:index], transcript.steps[index + 1 :]
        for at in range(1, len(data)):
            assert outcome(told(transcript, [*before, (side, data[:at]), (side, data[at:]), *after])) == whole, (
                index,
                at,
            )


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(TCP), st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_cut_at_random_is_the_same(transcript: Transcript, sizes: list[int]) -> None:
    assert outcome(told(transcript, cut(transcript.steps, sizes))) == outcome(told(transcript, transcript.steps))


def with_gap(transcript: Transcript, side: Side, start: int, size: int, piece: int) -> Told:
    """`size` bytes of one half are lost from `start` on; what is left comes in pieces."""
    talk = Told(transcript.dissector())
    at = 0
    told_of_it = False
    for sender, data in cut(transcript.steps, [piece]):
        if sender is not side:
            talk.feed(sender, data)
            continue
        begin, end = at, at + len(data)
        at = end
        if begin < start:
            talk.feed(side, data[: start - begin])
        if end > start and not told_of_it:
            told_of_it = True
            talk.gap(side, size)
        rest = data[max(0, start + size - begin) :]
        if rest and end > start + size:
            talk.feed(side, rest)
    talk.close()
    check_positions(talk)
    return talk


def half_of(transcript: Transcript, side: Side) -> bytes:
    return b"".join(data for sender, data in transcript.steps if sender is side)


def contents(talk: Told) -> set[str]:
    return {content(message) for message in talk.messages}


def content(message: Message) -> str:
    record = message.to_dict(1 << 20)
    return json.dumps([message.side, message.role.value, message.position, message.summary, record])


@streams
@pytest.mark.parametrize("side", SIDES, ids=["client", "server"])
def test_a_gap_anywhere_leaves_nothing_wrong_without_a_fault(transcript: Transcript, side: Side) -> None:
    whole = contents(told(transcript, transcript.steps))
    total = len(half_of(transcript, side))
    step = 1 + total // 300
    for start in range(0, total, step):
        for size in (1, 2, 7, 40, total):
            if start + size > total:
                continue
            for piece in (1 << 16, 11):
                talk = with_gap(transcript, side, start, size, piece)
                found = [message for message in talk.messages if message.side is side and not message.faults]
                wrong = [message for message in found if content(message) not in whole]
                assert not wrong, (start, size, piece, wrong[0].summary, wrong[0].to_dict(100))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(TCP), st.sampled_from(SIDES), st.integers(0, 400), st.integers(0, 400), st.integers(1, 60))
def test_a_gap_at_random_keeps_the_law(transcript: Transcript, side: Side, start: int, size: int, piece: int) -> None:
    with_gap(transcript, side, start, size, piece)


@transcripts
@pytest.mark.parametrize("side", SIDES, ids=["client", "server"])
def test_one_half_missing(transcript: Transcript, side: Side) -> None:
    talk = told(transcript, [step for step in transcript.steps if step[0] is side])
    assert all(message.side is side for message in talk.messages)


@transcripts
def test_joined_in_the_middle(transcript: Transcript) -> None:
    """At every byte of every step, told as the core does: both halves have a gap of unknown size before them."""
    for index, (side, data) in enumerate(transcript.steps):
        for at in range(0, len(data), 3) if transcript.transport == "tcp" else (0,):
            talk = Told(transcript.dissector())
            if transcript.transport == "tcp":
                for each in SIDES:
                    talk.gap(each, 0)
            talk.feed(side, data[at:])
            for sender, more in transcript.steps[index + 1 :]:
                talk.feed(sender, more)
            talk.close()
            check_positions(talk)


@transcripts
def test_closed_anywhere(transcript: Transcript) -> None:
    """Either half first, at any byte; the other one goes on."""
    steps = in_bytes(transcript.steps) if transcript.transport == "tcp" else list(transcript.steps)
    for at in range(0, len(steps) + 1, 1 + len(steps) // 200):
        for side in SIDES:
            talk = Told(transcript.dissector())
            for sender, data in steps[:at]:
                talk.feed(sender, data)
            talk.close(side)
            for sender, data in steps[at : at + 40]:
                if sender is not side:
                    talk.feed(sender, data)
            talk.close(side.other)


@transcripts
@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_after_any_step(transcript: Transcript, garbage: bytes) -> None:
    for at in range(len(transcript.steps) + 1):
        for side in SIDES:
            steps = [*transcript.steps[:at], (side, garbage), *transcript.steps[at:]]
            told(transcript, steps)
            told(transcript, steps, TINY)


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from(TRANSCRIPTS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5),
    st.lists(st.integers(1, 90), min_size=1, max_size=6),
    st.sampled_from([None, TINY]),
)
def test_bytes_changed(
    transcript: Transcript, changes: list[tuple[int, int]], sizes: list[int], limits: Limits | None
) -> None:
    steps = [(side, bytearray(data)) for side, data in transcript.steps]
    for at, value in changes:
        _, data = steps[at % len(steps)]
        data[at % len(data)] = value
    changed = [(side, bytes(data)) for side, data in steps]
    whole = told(transcript, changed, limits)
    if transcript.transport == "tcp":
        pieces = told(transcript, cut(changed, sizes), limits)
        if limits is None:
            assert outcome(pieces) == outcome(whole)


@every_dissector
def test_match_says_yes_one_way_round_only(dissector: type[Dissector]) -> None:
    """Of every dialogue, from each of its bytes on; and never to what is another protocol's."""
    for transcript in TRANSCRIPTS:
        client, server = half_of(transcript, CLIENT), half_of(transcript, SERVER)
        if transcript.transport != dissector.transport:
            continue
        for size in [*range(80), 200, 2000]:
            for one, other in ((client[:size], server[:size]), (client[:size], b""), (b"", server[:size])):
                verdict = dissector.match(one, other)
                assert isinstance(verdict, Match)
                if verdict is Match.YES:
                    assert transcript.protocol == dissector.protocol, (transcript, size)
                    assert dissector.match(other, one) is not Match.YES
                    assert dissector.transport == "udp" or Match.NO not in grown(dissector, one, other)


def grown(dissector: type[Dissector], client: bytes, server: bytes) -> set[Match]:
    """What it said of the same halves when they were shorter: never NO, or it would not have been asked again."""
    return {
        dissector.match(client[:size], server[: size if server else 0])
        for size in range(1, max(len(client), len(server)))
    }


def feed_all(dissector: Dissector, side: Side, data: bytes, piece: int) -> None:
    try:
        for at in range(0, len(data), piece):
            for _ in dissector.feed(side, data[at : at + piece], at):
                pass
    except Malformed:
        pass


ENDLESS = (*GARBAGE, b"GET / HTTP/1.1\r\n", b"X: y\r\n", b"$1\r\n", b"*1\r\n", b"\0\x20" + bytes(32), b"SAY ")


@transcripts
def test_memory_stays_bounded_whatever_comes_without_end(transcript: Transcript) -> None:
    """A megabyte of each kind behind each beginning; the limits are a few KiB."""
    for at in range(len(transcript.steps)):
        side = transcript.steps[at][0]
        for garbage in ENDLESS[at % 3 :: 3]:
            dissector = transcript.dissector(TINY)
            for sender, data in transcript.steps[:at]:
                feed_all(dissector, sender, data, 1 << 16)
            rest = transcript.steps[at][1]
            feed_all(dissector, side, rest[: len(rest) // 2], 1 << 16)
            flood = garbage * (256 * KIB // len(garbage))
            assert memory(lambda: feed_all(dissector, side, flood, 1400)) < 96 * KIB, (at, garbage[:20])  # noqa: B023


def memory(call: Callable[[], None]) -> int:
    """Bytes allocated while it ran and not released."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def calls(run: Callable[[], object]) -> int:
    """Python functions entered and C functions called."""
    count = 0

    def seen(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


@streams
@pytest.mark.parametrize("side", SIDES, ids=["client", "server"])
def test_four_times_the_bytes_take_about_four_times_the_steps(transcript: Transcript, side: Side) -> None:
    """The half over and over, byte by byte, while the other one is silent; and without end what it begins with."""
    half = half_of(transcript, side)
    for repeated in (half, half[: len(half) // 2], half[:1], half[-5:]):
        steps = []
        for size in (1500, 6000):
            data = (repeated * (size // len(repeated) + 1))[:size]
            dissector = transcript.dissector()
            steps.append(calls(lambda: feed_all(dissector, side, data, 1)))  # noqa: B023
        assert steps[1] < 6 * steps[0] + 1000, (repeated[:20], steps)
