"""The frames that worker and hub exchange: one binary WebSocket message each; docs/protocol.md describes every field.

A frame is a msgpack array: its name, then its fields in the order below. encode() gives nothing that decode()
would refuse, and decode() raises nothing but FrameError, in bounded time and memory, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, TypeAlias, cast, get_type_hints

from pysniff.cluster.fields import Blob, Form, Numbers, Rule, Table, Text, Whole
from pysniff.cluster.packed import FrameError, pack, unpack, unpack_map
from pysniff.limits import KIB, MIB

VERSION = 1
MESSAGE = 8 * MIB  # bytes of one frame; a batch is cut where it reaches some 256 KiB
# Less of what is remembered for as long as a process, or a request, lives; of requests there are many.
_LONGEST = {"Hello": 64 * KIB, "Ask": 256 * KIB}
_LAST = (1 << 53) - 1  # what every JSON reader can tell apart

Id: TypeAlias = Annotated[int, Whole(1, _LAST)]  # of a request; each is greater than the one before
Seq: TypeAlias = Annotated[int, Whole(1, _LAST)]  # 1, 2, 3 in one answer
Bytes: TypeAlias = Annotated[int, Whole(0, 1 << 31)]
Map: TypeAlias = Annotated[dict[str, object], Table()]
Word: TypeAlias = Annotated[str, Form("[a-z]{1,32}")]
Said: TypeAlias = Annotated[str, Text(4 * KIB)]
Severity: TypeAlias = Annotated[str, Form("info|warning|error")]
ErrorCode: TypeAlias = Annotated[str, Form("filter|option|notfound|busy|capture|internal|unsupported|gone")]


class VersionError(FrameError):
    """A Hello of another version of the protocol: the only thing that is read of it."""


class Hello(NamedTuple):
    """The first frame of both sides: who I am. `session` names the life of this process."""

    version: Annotated[int, Whole(0, _LAST)]
    role: Annotated[str, Form("worker|hub")]
    name: Annotated[str, Form("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")]
    session: Annotated[str, Form("[0-9a-f]{16}")]
    software: Annotated[str, Text(128)]
    info: Map


class Bye(NamedTuple):
    """The connection ends, and why."""

    code: Word
    message: Said


class Ping(NamedTuple):
    number: Annotated[int, Whole(0, _LAST)]


class Pong(NamedTuple):
    number: Annotated[int, Whole(0, _LAST)]


class Ask(NamedTuple):
    """Hub to worker: `what` with `params`; the answer may take `credit` bytes until more is granted."""

    id: Id
    what: Word
    params: Map
    credit: Annotated[int, Whole(1, 1 << 31)]


class Credit(NamedTuple):
    """Hub to worker: `size` bytes more; frames up to `seq` have come (0: none), need not be kept."""

    id: Id
    size: Bytes
    seq: Annotated[int, Whole(0, _LAST)]


class Cancel(NamedTuple):
    """Hub to worker: stop. Worker to hub: it has stopped, nothing comes any more."""

    id: Id


class Resume(NamedTuple):
    """Hub to worker, after a new connection: go on behind `seq`, with `credit` bytes."""

    id: Id
    seq: Annotated[int, Whole(0, _LAST)]
    credit: Bytes


class Resumed(NamedTuple):
    """Worker to hub: it goes on."""

    id: Id


class Batch(NamedTuple):
    """Entry summaries in order of completion, each a msgpack map; `lengths` cut `entries` into them."""

    id: Id
    seq: Seq
    until: Annotated[int, Whole(-(1 << 63), (1 << 63) - 1)]
    times: Annotated[list[int], Numbers("q")]
    fingerprints: Annotated[list[int], Numbers("Q")]
    lengths: Annotated[list[int], Numbers("I")]
    entries: Annotated[bytes, Blob()]


class Chunk(NamedTuple):
    """Packets in order of time; `lengths` cut `data` into them, each with its link type and length on the wire."""

    id: Id
    seq: Seq
    times: Annotated[list[int], Numbers("q")]
    lengths: Annotated[list[int], Numbers("I")]
    data: Annotated[bytes, Blob()]


class Value(NamedTuple):
    """One structured answer."""

    id: Id
    seq: Seq
    value: Map


class CaughtUp(NamedTuple):
    """History is told; what follows is new."""

    id: Id
    seq: Seq


class Notice(NamedTuple):
    """For people to read; the answer goes on."""

    id: Id
    seq: Seq
    severity: Severity
    text: Said


class End(NamedTuple):
    """The last frame of an answer."""

    id: Id
    seq: Seq
    figures: Map


class Error(NamedTuple):
    """The last frame of an answer that failed."""

    id: Id
    seq: Seq
    code: ErrorCode
    message: Said
    hint: Said


Answer: TypeAlias = Batch | Chunk | Value | CaughtUp | Notice | End | Error
Frame: TypeAlias = Hello | Bye | Ping | Pong | Ask | Credit | Cancel | Resume | Resumed | Answer
ANSWERS = (Batch, Chunk, Value, CaughtUp, Notice, End, Error)
FRAMES = (Hello, Bye, Ping, Pong, Ask, Credit, Cancel, Resume, Resumed, *ANSWERS)
Role: TypeAlias = Literal["worker", "hub"]


def _rules(kind: type) -> tuple[Rule, ...]:
    return tuple(hint.__metadata__[0] for hint in get_type_hints(kind, include_extras=True).values())


_KINDS: dict[object, tuple[type, tuple[Rule, ...]]] = {kind.__name__: (kind, _rules(kind)) for kind in FRAMES}
_ANSWERING = tuple(pack(kind.__name__) for kind in ANSWERS)
# An answer's last frame by the bytes behind its array's head.
_LASTS = {pack(kind.__name__): bytes([0x91 + len(_rules(kind))]) for kind in (End, Error)}


def is_answer(data: bytes) -> bool:
    """Whether a message begins as a frame of an answer does: all that is looked at where frames are passed on."""
    return data[:1] > b"\x8f" and data.startswith(_ANSWERING, 1)


def encode(frame: Frame) -> bytes:
    """The frame's message; raise FrameError where a field cannot be sent, or it is longer than MESSAGE."""
    name = type(frame).__name__
    _, rules = _KINDS[name]
    _agree(frame)
    data = pack([name, *(rule.pack(value) for rule, value in zip(rules, frame, strict=True))])
    _fits(name, data)
    return data


def decode(data: bytes) -> Frame:
    """The frame of a message; raise FrameError for anything else, VersionError for another version's Hello."""
    _fits("", data)
    array = unpack(data)
    if not isinstance(array, list) or not array or not isinstance(array[0], str):
        raise FrameError("not a frame")
    name = array[0]
    if name not in _KINDS:
        raise FrameError(f"no frame is called {name[:32]!r}")
    if name == "Hello" and array[1:] and array[1] != VERSION:
        raise VersionError(f"this is version {VERSION} of the protocol, the other side has {str(array[1])[:16]}")
    _fits(name, data)
    kind, rules = _KINDS[name]
    if len(array) != len(rules) + 1:
        raise FrameError(f"{name} with {len(array) - 1} fields, it has {len(rules)}")
    frame = cast(Frame, kind(*map(_read, rules, array[1:])))
    _agree(frame)
    return frame


def _fits(name: str, data: bytes) -> None:
    longest = _LONGEST.get(name, MESSAGE)
    if len(data) > longest:
        raise FrameError(f"{name or 'a message'} of {len(data)} bytes, {longest} are allowed")


def _read(rule: Rule, value: object) -> object:
    return rule.read(value)


def _agree(frame: Frame) -> None:
    """The fields of a batch tell of the same number of entries, which fill it exactly."""
    if isinstance(frame, Batch):
        agree = len(frame.times) == len(frame.fingerprints) == len(frame.lengths)
        content = frame.entries
    elif isinstance(frame, Chunk):
        agree = len(frame.times) == len(frame.lengths)
        content = frame.data
    else:
        return
    if not agree or sum(frame.lengths) != len(content):
        raise FrameError("numbers and lengths of what it holds disagree")


def is_last(data: bytes) -> bool:
    """Whether an encoded frame is an End or Error; looks at its first bytes alone."""
    return any(data.startswith(head + name) for name, head in _LASTS.items())


def pieces(frame: Batch | Chunk) -> Iterator[bytes]:
    """The entries or packets of a frame, each as it is."""
    content = frame.entries if isinstance(frame, Batch) else frame.data
    at = 0
    for length in frame.lengths:
        yield content[at : at + length]
        at += length


def summaries(batch: Batch) -> Iterator[dict[str, object]]:
    """The entries of a batch; raise FrameError at one that is no map."""
    return map(unpack_map, pieces(batch))
