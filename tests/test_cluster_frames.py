"""Frames: what one side packs the other reads; whatever else arrives is a FrameError, soon and in little memory."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from pathlib import Path
from typing import cast

import pytest
from frame_strategies import FRAMES_OF, JSON, SAMPLES
from hypothesis import given
from hypothesis import strategies as st
from msgpack import packb, unpackb

from pysniff.cluster import packed
from pysniff.cluster.frames import (
    ANSWERS,
    FRAMES,
    MESSAGE,
    VERSION,
    Ask,
    Batch,
    Bye,
    Chunk,
    Credit,
    End,
    Error,
    Frame,
    Hello,
    Notice,
    Value,
    VersionError,
    decode,
    encode,
    is_answer,
    is_last,
    pieces,
    summaries,
)
from pysniff.cluster.packed import FrameError
from pysniff.limits import KIB

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize("kind", FRAMES)
def test_what_is_sent_arrives(kind: type[Frame]) -> None:
    @given(FRAMES_OF[kind])
    def arrives(frame: Frame) -> None:
        assert decode(encode(frame)) == frame

    arrives()


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_message_is_an_array_of_name_and_fields(frame: Frame) -> None:
    name, *fields = unpackb(encode(frame))
    assert name == type(frame).__name__
    assert len(fields) == len(frame)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = decode(data)
    except FrameError:
        return
    assert decode(encode(frame)) == frame


@given(st.sampled_from(SAMPLES), st.data())
def test_a_frame_with_other_bytes_in_it_is_a_frame_or_refused(frame: Frame, data: st.DataObject) -> None:
    message = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
    try:
        again = decode(bytes(message))
    except FrameError:
        return
    assert decode(encode(again)) == again


@given(st.sampled_from(SAMPLES), st.data())
def test_a_field_of_any_other_value_is_that_field_or_refused(frame: Frame, data: st.DataObject) -> None:
    array = unpackb(encode(frame))
    array[data.draw(st.integers(0, len(array) - 1))] = data.draw(JSON | st.binary(max_size=20))
    try:
        again = decode(packb(array))
    except FrameError:
        return
    assert decode(encode(again)) == again


@given(st.sampled_from(SAMPLES), st.data())
def test_every_frame_that_is_cut_off_or_goes_on_is_refused(frame: Frame, data: st.DataObject) -> None:
    message = encode(frame)
    with pytest.raises(FrameError):
        decode(message[: data.draw(st.integers(0, len(message) - 1))])
    with pytest.raises(FrameError):
        decode(message + data.draw(st.binary(min_size=1, max_size=9)))


def nested(depth: int, head: bytes) -> bytes:
    return head * depth


HOSTILE = {
    "a million nested arrays": nested(1_000_000, b"\x91"),
    "a million nested maps": nested(1_000_000, b"\x81\xa0"),
    "nested arrays of four billion": nested(1_000, b"\xdd\xff\xff\xff\xff"),
    "nested arrays as long as the message": nested(32, b"\xdd\x00\x03\xff\xff") + b"\xc0" * 262_144,
    "nested arrays that are all at the limit": nested(30, b"\xdd\x00\x00\x20\x00") + b"\xc0" * 9_000,
    "eight million empty maps": b"\xdd\x00\x7f\xff\xf0" + b"\x80" * 0x7FFFF0,
    "text of four billion": b"\xdb\xff\xff\xff\xff",
    "bytes of four billion": b"\xc6\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "an extension of four billion": b"\xc9\xff\xff\xff\xff\x01",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "what is never used": b"\xc1",
    "nothing": b"",
    "a value of eight megabytes": b"\x93\xa5Value\x01" + b"\xc6\x00\x7f\xff\x00" + bytes(0x7FFF00),
    "a message beyond the limit": b"\xc6\x00\x80\x00\x00" + bytes(MESSAGE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_meant_to_hurt_is_refused_in_little_memory(name: str) -> None:
    message = HOSTILE[name]
    tracemalloc.start()
    try:
        before = time.thread_time()
        with pytest.raises(FrameError):
            decode(message)
        spent = time.thread_time() - before
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(message) + 1_000_000
    assert spent < 2  # of CPU, tracing included; some of these take a minute where lengths are believed


def test_a_value_of_as_many_values_as_allowed_arrives() -> None:
    frame = Value(1, 1, {"all": list(range(packed.VALUES - 8))})
    assert decode(encode(frame)) == frame
    with pytest.raises(FrameError, match="values"):
        encode(Value(1, 1, {"all": list(range(packed.VALUES))}))


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_values_as_deep_as_allowed_arrive() -> None:
    frame = Value(1, 1, {"deep": deep(packed.DEPTH - 2)})
    assert decode(encode(frame)) == frame
    for levels in (packed.DEPTH - 1, 100_000):
        with pytest.raises(FrameError):
            encode(Value(1, 1, {"deep": deep(levels)}))


@given(JSON)
def test_what_passes_is_what_msgpack_reads(value: object) -> None:
    data = packb(value)
    assert packed.unpack(data) == value == packed.unpack(packed.pack(value))


@pytest.mark.parametrize("data", [b"\x81\x01\x02", b"\x81\xc4\x01a\x02", b"\x81\x90\x01", b"\x81\xc0\x01"])
def test_keys_are_text(data: bytes) -> None:
    with pytest.raises(FrameError, match="key"):
        packed.unpack(data)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_those_that_json_can_write(number: float) -> None:
    with pytest.raises(FrameError, match="finite"):
        encode(Value(1, 1, {"a": [number]}))
    with pytest.raises(FrameError, match="finite"):
        packed.unpack(packb({"a": number}, use_single_float=True))


def test_what_was_on_the_wire_can_be_sent_whatever_it_was() -> None:
    """A lone surrogate is no UTF-8, and 70 bits are no integer of msgpack."""
    frame = decode(encode(Value(1, 1, {"text": "a\ud800b", "number": 1 << 70})))
    assert isinstance(frame, Value)
    assert frame.value == {"text": "a?b", "number": str(1 << 70)}
    json.dumps(frame.value).encode()


@pytest.mark.parametrize(
    ("frame", "most"),
    [
        (Hello(VERSION, "hub", "n", "0" * 16, "", {"": b""}), 64 * KIB),
        (Ask(1, "query", {"": b""}, 1), 256 * KIB),
        (Value(1, 1, {"": b""}), MESSAGE),
    ],
)
def test_frames_are_as_long_as_allowed_and_no_longer(frame: Frame, most: int) -> None:
    name, *fields = unpackb(encode(frame))
    at = next(index for index, value in enumerate(fields) if isinstance(value, dict))

    def message(size: int) -> bytes:
        fields[at] = {"": bytes(size)}
        return cast(bytes, packb([name, *fields]))

    fits = 2 * (most - 1000) - len(message(most - 1000)) + 1000
    assert len(message(fits)) == most
    frame = decode(message(fits))
    assert encode(frame) == message(fits)
    with pytest.raises(FrameError, match="bytes"):
        decode(message(fits + 1))
    longer = {**frame._asdict(), frame._fields[at]: {"": bytes(fits + 1)}}
    with pytest.raises(FrameError, match="bytes"):
        encode(type(frame)(**longer))


def test_long_texts_are_cut() -> None:
    frame = decode(encode(Notice(1, 1, "info", "x" * 100_000)))
    assert isinstance(frame, Notice)
    assert frame.text == "x" * 4096


def test_another_versions_hello_is_told_apart_whatever_it_holds() -> None:
    for fields in (
        [2],
        [2, "worker", "n", 5],
        [0, None],
        ["1"],
        [VERSION + 1, *Hello(1, "hub", "n", "0" * 16, "", {})],
    ):
        with pytest.raises(VersionError):
            decode(packb(["Hello", *fields]))
    with pytest.raises(FrameError) as caught:
        decode(packb(["Hello", VERSION]))
    assert not isinstance(caught.value, VersionError)


NONSENSE = [
    Batch(1, 1, 0, [1], [1, 2], [3], b"abc"),
    Batch(1, 1, 0, [1], [1], [4], b"abc"),
    Batch(1, 1, 0, [1], [1], [2], b"abc"),
    Batch(1, 1, 0, [], [], [], b"abc"),
    Chunk(1, 1, [1, 2], [3], b"abc"),
    Chunk(1, 1, [1, 2], [3, 1 << 31], b"abc"),
    Ask(0, "query", {}, 1),
    Ask(1, "query", {}, 0),
    Ask(1, "Query", {}, 1),
    Ask(1, "", {}, 1),
    Ask(1 << 53, "query", {}, 1),
    Credit(1, -1, 0),
    Error(1, 1, "else", "", ""),
    Notice(1, 1, "fatal", ""),
    Hello(VERSION, "client", "n", "0" * 16, "", {}),
    Hello(VERSION, "hub", "a/b", "0" * 16, "", {}),
    Hello(VERSION, "hub", "n\n", "0" * 16, "", {}),
    Hello(VERSION, "hub", "n", "0" * 15, "", {}),
    Bye("two words", ""),
    Value(True, 1, {}),
]
SIZES = {"times": 8, "fingerprints": 8, "lengths": 4}


@pytest.mark.parametrize("frame", NONSENSE, ids=repr)
def test_fields_that_make_no_sense_are_neither_sent_nor_read(frame: Frame) -> None:
    with pytest.raises(FrameError):
        encode(frame)
    fields = [
        b"".join(number.to_bytes(SIZES[name], "little") for number in value) if name in SIZES else value
        for name, value in frame._asdict().items()
    ]
    with pytest.raises(FrameError):
        decode(packb([type(frame).__name__, *fields]))


@pytest.mark.parametrize(
    "frame",
    [
        Batch(1, 1, 0, [1 << 63], [1], [3], b"abc"),
        Batch(1, 1, 0, [1], [-1], [3], b"abc"),
        Batch(1, 1, 0, [1], [1.5], [3], b"abc"),  # type: ignore[list-item]
        Batch(1, 1, 0, [1], [1], [1 << 32], b"abc"),
        Batch(1, 1, 0, [1], [1], [3], "abc"),  # type: ignore[arg-type]
        Value(1, 1, []),  # type: ignore[arg-type]
        Value(1, 1, {"a": {1, 2}}),
        Notice(1, 1, "info", None),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_no_field_can_hold_is_not_sent(frame: Frame) -> None:
    with pytest.raises(FrameError):
        encode(frame)


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_the_last_frame_of_an_answer_is_known_without_decoding(frame: Frame) -> None:
    assert is_last(encode(frame)) == isinstance(frame, End | Error)
    assert is_answer(encode(frame)) == isinstance(frame, ANSWERS)
    assert not is_answer(encode(frame)[1:])


def test_a_batch_holds_its_entries_as_they_were_packed() -> None:
    entries = [packed.pack_map({"id": "a", "n": 1}), packed.pack_map({"id": "b"})]
    frame = decode(encode(Batch(1, 1, 0, [5, 6], [7, 8], [len(one) for one in entries], b"".join(entries))))
    assert isinstance(frame, Batch)
    assert list(pieces(frame)) == entries
    assert list(summaries(frame)) == [{"id": "a", "n": 1}, {"id": "b"}]
    with pytest.raises(FrameError):
        list(summaries(Batch(1, 1, 0, [1], [1], [1], b"\x01")))


@pytest.mark.parametrize("kind", FRAMES)
def test_the_page_describes_every_field_of_a_frame(kind: type[Frame]) -> None:
    section = re.search(rf"^### {kind.__name__}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"docs/protocol.md has no {kind.__name__}"
    table = re.search(r"^\| field \| type \| \|\n(.*?)(?=\n\n)", section[1] + "\n\n", re.MULTILINE | re.DOTALL)
    assert table
    assert re.findall(r"^\| (\w+) \|", table[1], re.MULTILINE) == list(kind._fields)


def test_the_page_describes_no_other_frames() -> None:
    part = PAGE[PAGE.index("### Hello") : PAGE.index("## Requests")]
    assert re.findall(r"^### (\w+)$", part, re.MULTILINE) == [kind.__name__ for kind in FRAMES]
