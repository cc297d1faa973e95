"""Frames of every kind: any for hypothesis, and one of each to break."""

from __future__ import annotations

from hypothesis import strategies as st

from pysniff.cluster.frames import (
    VERSION,
    Ask,
    Batch,
    Bye,
    Cancel,
    CaughtUp,
    Chunk,
    Credit,
    End,
    Error,
    Frame,
    Hello,
    Notice,
    Ping,
    Pong,
    Resume,
    Resumed,
    Value,
)

_LAST = (1 << 53) - 1
_ids = st.integers(1, _LAST)
_numbers = st.integers(0, _LAST)
_times = st.integers(-(1 << 63), (1 << 63) - 1)
_text = st.text(max_size=50)
_word = st.from_regex("[a-z]{1,32}", fullmatch=True)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text
)
JSON = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4))
_maps = st.dictionaries(_text, JSON | st.binary(max_size=20), max_size=4)


@st.composite
def _batches(draw: st.DrawFn) -> Batch:
    entries = draw(st.lists(st.binary(max_size=20), max_size=5))
    count = len(entries)
    times = draw(st.lists(_times, min_size=count, max_size=count))
    fingerprints = draw(st.lists(st.integers(0, (1 << 64) - 1), min_size=count, max_size=count))
    lengths = [len(one) for one in entries]
    return Batch(draw(_ids), draw(_ids), draw(_times), times, fingerprints, lengths, b"".join(entries))


@st.composite
def _chunks(draw: st.DrawFn) -> Chunk:
    packets = draw(st.lists(st.binary(max_size=20), max_size=5))
    times = draw(st.lists(_times, min_size=len(packets), max_size=len(packets)))
    return Chunk(draw(_ids), draw(_ids), times, [len(one) for one in packets], b"".join(packets))


_names = st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
_sessions = st.from_regex("[0-9a-f]{16}", fullmatch=True)
_codes = st.sampled_from(("filter", "option", "notfound", "busy", "capture", "internal", "unsupported", "gone"))
FRAMES_OF: dict[type[Frame], st.SearchStrategy[Frame]] = {
    Hello: st.builds(Hello, st.just(VERSION), st.sampled_from(("worker", "hub")), _names, _sessions, _text, _maps),
    Bye: st.builds(Bye, _word, _text),
    Ping: st.builds(Ping, _numbers),
    Pong: st.builds(Pong, _numbers),
    Ask: st.builds(Ask, _ids, _word, _maps, st.integers(1, 1 << 31)),
    Credit: st.builds(Credit, _ids, st.integers(0, 1 << 31), _numbers),
    Cancel: st.builds(Cancel, _ids),
    Resume: st.builds(Resume, _ids, _numbers, st.integers(0, 1 << 31)),
    Resumed: st.builds(Resumed, _ids),
    Batch: _batches(),
    Chunk: _chunks(),
    Value: st.builds(Value, _ids, _ids, _maps),
    CaughtUp: st.builds(CaughtUp, _ids, _ids),
    Notice: st.builds(Notice, _ids, _ids, st.sampled_from(("info", "warning", "error")), _text),
    End: st.builds(End, _ids, _ids, _maps),
    Error: st.builds(Error, _ids, _ids, _codes, _text, _text),
}
SAMPLES: tuple[Frame, ...] = (
    Hello(VERSION, "worker", "node-1", "0123456789abcdef", "pysniff 1", {"kernel": "6.1", "cpus": 4}),
    Bye("closing", "the worker ends"),
    Ping(1),
    Pong(1),
    Ask(1, "query", {"filter": "http", "start": None, "follow": True, "decode_as": {"tcp.port==1": "dns"}}, 1 << 20),
    Credit(1, 65_536, 3),
    Cancel(1),
    Resume(1, 3, 65_536),
    Resumed(1),
    Batch(1, 1, 1_700_000_000_000_000_000, [1, 2], [1 << 63, 3], [1, 4], b"\x80\x81\xa1a\x01"),
    Chunk(1, 2, [5], [12], b"\x01\x00\x00\x00\x04\x00\x00\x00abcd"),
    Value(1, 3, {"id": "local.1.2", "list": [1, 2.5, None, True, b"raw"]}),
    CaughtUp(1, 4),
    Notice(1, 5, "warning", "a segment is damaged"),
    End(1, 6, {"entries": 2}),
    Error(1, 6, "notfound", "no such entry", ""),
)  # fmt: skip
