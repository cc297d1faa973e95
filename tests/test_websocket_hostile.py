"""WebSocket from those who mean harm: bombs, lengths, frames without end; bounded, and said."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest
import test_contract
from handshake import BEHIND, DEFLATE, agreed
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Talk, cut, records
from test_contract import TINY, calls
from transcripts import MASK, SALT, Transcript, deflated, ws

from pysniff.dissectors.websocket import WebSocket
from pysniff.dissectors.websocket_header import find
from pysniff.limits import DEFAULT, KIB, MIB, Limits
from pysniff.message import CLIENT, SERVER, Side


def talk(extensions: str = DEFLATE, limits: Limits = DEFAULT) -> Talk:
    return Talk(WebSocket(limits), agreed(extensions))


def bomb(size: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(bytes(size)) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]


def long(head: int, size: int, payload: bytes = b"") -> bytes:
    """A frame of the server whose payload is said to be so long."""
    return bytes([head, 127]) + size.to_bytes(8, "big") + payload


def peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_ends_at_the_bound_and_says_so() -> None:
    limits = Limits(body_bytes=MIB, decoded_bytes=4 * MIB)
    told = talk(limits=limits)
    sent = ws(0xC1, bomb(60 * MIB)[: 60 * KIB])
    assert peak(lambda: told.server(sent)) < 4 * MIB
    (message,) = told.messages
    record = message.to_dict(100)
    assert (record["size"], record["truncated"], len(record["text"])) == (4 * MIB, True, 100)
    assert [fault.kind for fault in message.every_fault] == ["truncated"]


def test_what_comes_after_a_bomb_is_not_read_as_if_nothing_had_happened() -> None:
    told = talk(limits=Limits(body_bytes=MIB, decoded_bytes=MIB))
    first, second = deflated(bytes(2 * MIB), bytes(300))
    told.server(ws(0xC2, first), ws(0xC2, second))
    assert [fault.kind for fault in told.messages[1].every_fault] == ["midstream"]


def test_bombs_in_a_row_cost_no_more_memory_than_one() -> None:
    limits = Limits(body_bytes=64 * KIB, decoded_bytes=MIB)
    one = ws(0xC2, bomb(8 * MIB))

    def bombs() -> None:
        told = talk(limits=limits)
        for _ in range(20):
            told.server(one)
            told.messages.clear()

    assert peak(bombs) < 2 * MIB


@pytest.mark.parametrize("fragment", [b"x", b"", b"x" * 100])
def test_fragments_without_end_are_counted_not_kept(fragment: bytes) -> None:
    told = talk("", Limits(body_bytes=4 * KIB))
    told.server(ws(0x02, b""))
    piece = ws(0x00, fragment) * 1_000

    def flood() -> None:
        for _ in range(50):
            told.server(piece)

    assert peak(flood) < 128 * KIB
    (shown,) = told.dissector.open()
    assert shown.to_dict(9)["encoded_size"] == 50_000 * len(fragment)
    assert told.server(ws(0x80, b"")).messages[0].to_dict(9)["frames"] == 50_002


def test_a_payload_of_2_to_the_62_bytes_is_counted_and_skipped() -> None:
    told = talk("", Limits(body_bytes=4 * KIB))
    told.server(long(0x82, 1 << 62))

    def flood() -> None:
        for _ in range(100):
            told.server(bytes(10_000))

    assert peak(flood) < 64 * KIB
    (shown,) = told.dissector.open()
    assert shown.to_dict(0)["encoded_size"] == 1_000_000
    (message,) = told.close().messages
    assert [fault.kind for fault in message.faults] == ["truncated"]


def test_a_length_with_its_first_bit_set_ends_it() -> None:
    """RFC 6455 §5.2: the most significant bit must be 0."""
    told = talk("").server(ws(0x81, b"good") + long(0x82, 1 << 63))
    assert told.malformed is not None
    assert [message.summary for message in told.messages] == ["text good"]


def test_bytes_that_are_no_frames_end_it_soon() -> None:
    told = talk("").server(ws(0x81, b"good") + b"\x7f\x00" * 20)
    assert told.malformed == "no WebSocket frames"


def test_last_blocks_without_end_are_given_up() -> None:
    """Each asks for a new decoder."""
    told = talk().server(ws(0xC1, b"\x03\x00" * 30), ws(0xC1, b"\x03\x00" * 10_000))
    few, many = told.messages
    assert (few.every_fault, few.to_dict(9)["size"]) == ((), 0)
    assert [fault.message for fault in many.every_fault] == ["permessage-deflate: more than 64 last blocks"]
    assert many.to_dict(9)["size"] == 20_000


def test_a_message_whose_compression_is_broken_is_shown_as_it_was_sent() -> None:
    told = talk().server(ws(0xC1, b"\xff\xff\xff"), ws(0xC1, deflated(b"good again")[0]))
    bad, good = told.messages
    assert [fault.kind for fault in bad.every_fault] == ["malformed"]
    assert bad.to_dict(9)["base64"] == "////"
    assert (good.summary, good.every_fault) == ("text good again", ())


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_broken_compression_is_the_same_however_it_is_cut(size: int) -> None:
    first, second = deflated(b"some words to repeat", b"some words to repeat, and more")
    sent = ws(0xC1, first) + ws(0xC1, first[:5] + b"\xff\xff" + first[5:]) + ws(0xC1, second) + ws(0xC1, bomb(40 * KIB))
    whole = talk(limits=TINY).server(sent).close()
    pieces = talk(limits=TINY).server(*[sent[at : at + size] for at in range(0, len(sent), size)]).close()
    assert records(pieces) == records(whole)


@pytest.mark.parametrize(
    "pattern",
    [b"\x81", b"\x82\x7e\xff\xff", b"\x89\x00", b"\x82\x7f\0\0\0\0\x10\0\0\0", b"\x01\x7d", b"\x82\x10\xff", bytes(7)],
)
def test_searching_for_frames_after_a_loss_is_linear(pattern: bytes) -> None:
    def steps(size: int) -> int:
        told = talk("")
        told.feed(SERVER, ws(0x82, bytes(100))[:50])
        told.gap(SERVER, 1000)
        data = b"\xff" + pattern * (size // len(pattern))
        return calls(lambda: told.server(*[data[at : at + 100] for at in range(0, len(data), 100)]))

    assert steps(40_000) < 5 * steps(10_000) + 2000


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(1, 400), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_where_frames_begin_again_does_not_depend_on_how_bytes_arrive(rest: bytes, lost: int, sizes: list[int]) -> None:
    """Random bytes behind a gap, then frames."""
    after = rest + b"".join(ws(0x82, bytes([n]) * n) for n in range(40, 50))

    def found(pieces: Iterable[bytes]) -> list[tuple[object, ...]]:
        told = talk("")
        told.feed(SERVER, ws(0x82, bytes(100))[:50])
        told.gap(SERVER, lost)
        return records(told.server(*pieces).close())

    pieces: list[bytes] = []
    at = 0
    while at < len(after):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(after[at : at + size])
        at += size
    assert found(pieces) == found([after])


def test_a_place_is_not_waited_for_without_end() -> None:
    """A header that promises more than is looked through is no evidence of frames."""
    promise = b"\x82\x7f" + (1 << 30).to_bytes(8, "big")
    data = promise + bytes(99) + ws(0x81, b"one") + ws(0x81, b"two")
    assert find(data, SERVER, False, 1 << 12, False)[:2] == (0, False)
    assert find(data + b"\xff" * 5000, SERVER, False, 1 << 12, False)[:2] == (len(promise) + 99, True)


def test_a_gap_in_a_compressed_message_keeps_what_came_before_it() -> None:
    words = b"one two three four five six seven eight nine ten eleven twelve"
    frame = ws(0xC1, deflated(words)[0], MASK)
    told = talk()
    told.feed(CLIENT, frame[:40])
    told.gap(CLIENT, 10)
    told.feed(CLIENT, frame[50:] + ws(0x81, b"next", SALT))
    cut, after = told.messages
    assert words.decode().startswith(cut.summary.removeprefix("text "))
    assert len(cut.summary) > 20
    assert [(fault.kind, fault.bytes) for fault in cut.every_fault] == [("gap", 10)]
    assert after.every_fault == ()


def test_gaps_of_any_sizes_in_one_message_are_one_fault() -> None:
    told = talk("")
    told.server(long(0x82, 1 << 40))
    for size in range(1, 1_001):
        told.server(b"x")
        told.gap(SERVER, size)
    (shown,) = told.dissector.open()
    assert [(fault.kind, fault.bytes) for fault in shown.faults] == [("gap", 500_500)]


PROMISES = [
    test_contract.test_whole,
    test_contract.test_byte_by_byte_is_the_same,
    test_contract.test_cut_in_two_anywhere_is_the_same,
    test_contract.test_joined_in_the_middle,
    test_contract.test_closed_anywhere,
]


@pytest.mark.parametrize("transcript", BEHIND, ids=str)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: str(promise.__name__))
def test_the_law_holds_behind_a_handshake_too(promise: Callable[[Transcript], None], transcript: Transcript) -> None:
    promise(transcript)


@pytest.mark.parametrize("transcript", BEHIND, ids=str)
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_gap_anywhere_behind_a_handshake_leaves_nothing_wrong_without_a_fault(
    transcript: Transcript, side: Side
) -> None:
    test_contract.test_a_gap_anywhere_leaves_nothing_wrong_without_a_fault(transcript, side)
    test_contract.test_four_times_the_bytes_take_about_four_times_the_steps(transcript, side)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(BEHIND),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5),
    st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_bytes_changed_behind_a_handshake(
    transcript: Transcript, changes: list[tuple[int, int]], sizes: list[int]
) -> None:
    steps = [(side, bytearray(data)) for side, data in transcript.steps]
    for at, value in changes:
        _, data = steps[at % len(steps)]
        data[at % len(data)] = value
    changed = [(side, bytes(data)) for side, data in steps]
    whole = test_contract.told(transcript, changed)
    assert test_contract.outcome(test_contract.told(transcript, cut(changed, sizes))) == test_contract.outcome(whole)
