"""What of an HTTP/2 connection it takes to read on where everything before is gone, as bytes and back."""

from __future__ import annotations

from typing import NamedTuple

from pysniff.dissector import Malformed
from pysniff.dissectors.hpack import Field, Identity, Table, Unknown
from pysniff.dissectors.http2_frames import HEADER, HEADERS, PUSH_PROMISE, STREAM, USUAL
from pysniff.dissectors.http2_half import GAP, MIDSTREAM
from pysniff.limits import KIB, Limits
from pysniff.message import Fault
from pysniff.state_bytes import Reader, Writer

# Bytes of a state: two tables of 16 KiB with long strings, and a header block that is not all there, fit.
MOST = 128 * KIB
_VERSION = 1
_LARGEST = (1 << 24) - 1  # of a frame's payload
_COUNT = 1 << 56  # insertions
_LOSSES = ("", MIDSTREAM, GAP)
_FAULTS = 16
_KNOWN, _NAMED, _UNKNOWN = range(3)  # of a field: all, the value, nothing


class Begun(NamedTuple):
    """A header block that goes on, as http2_blocks.Block has it; `position`: bytes before here. `data`: its pieces."""

    kind: int
    stream: int
    flags: int
    promised: int
    length: int
    size: int
    position: int
    data: bytes


class HalfState(NamedTuple):
    """`held`: of a frame that is not all there, which takes `need` bytes to read. `left`: bytes still to come of a
    payload; `is_stray`: they belong to nothing that can be shown. `earlier`: streams of which more may come.

    The others are those of Framing.
    """

    table: Table
    fresh: bool
    joined: bool
    held: bytes
    block: Begun | None
    need: int
    left: int
    is_stray: bool
    most: int
    loss: str
    resumed: tuple[Fault, ...]
    earlier: tuple[int, ...]


class State(NamedTuple):
    """`seen`: Streams.seen."""

    client: HalfState
    server: HalfState
    seen: tuple[int, int, int, int]


def written(state: State) -> bytes:
    out = Writer()
    out.number(_VERSION)
    for half in (state.client, state.server):
        _write_half(out, half)
    for stream in state.seen:
        out.number(stream)
    return bytes(out.text)


def read(text: bytes, limits: Limits) -> State:
    """Raise Malformed for bytes that written() did not give."""
    source = Reader(text)
    if source.number(_VERSION) != _VERSION:
        raise Malformed("a state of another version")
    client, server = _read_half(source, limits), _read_half(source, limits)
    seen = (source.number(STREAM), source.number(STREAM), source.number(STREAM), source.number(STREAM))
    source.end()
    return State(client, server, seen)


def _write_half(out: Writer, half: HalfState) -> None:
    _write_table(out, half.table)
    for flag in (half.fresh, half.joined, half.is_stray):
        out.number(flag)
    out.data(half.held)
    out.number(half.block is not None)
    if half.block is not None:
        for number in half.block[:-1]:
            out.number(number)
        out.data(half.block.data)
    for number in (half.need, half.left, half.most, _LOSSES.index(half.loss), len(half.resumed)):
        out.number(number)
    for fault in half.resumed:
        out.string(fault.kind)
        out.string(fault.message)
        out.number(fault.bytes)
    out.number(len(half.earlier))
    for stream in half.earlier:
        out.number(stream)


def _read_half(source: Reader, limits: Limits) -> HalfState:
    table = _read_table(source, limits)
    fresh, joined, is_stray = source.flag(), source.flag(), source.flag()
    held = source.data(limits.head_bytes + HEADER)
    block = _read_block(source, limits) if source.flag() else None
    need, left = source.number(_LARGEST + HEADER), source.number(_LARGEST)
    most, loss = source.number(_LARGEST), _LOSSES[source.number(len(_LOSSES) - 1)]
    if most < USUAL or (left and (held or block is not None)):
        raise Malformed("not a state of a half")
    strings = range(source.number(_FAULTS))
    resumed = tuple([Fault(source.string(), source.string(), source.number(_COUNT)) for _ in strings])
    earlier = tuple([source.number(STREAM) for _ in range(source.number(4 * limits.streams))])
    return HalfState(table, fresh, joined, held, block, need, left, is_stray, most, loss, resumed, earlier)


def _read_block(source: Reader, limits: Limits) -> Begun:
    kind, stream, flags, promised = (
        source.number(0xFF),
        source.number(STREAM),
        source.number(0xFF),
        source.number(STREAM),
    )
    length, size, position = source.number(_COUNT), source.number(_COUNT), source.number(_COUNT)
    data = source.data(limits.head_bytes)
    if (
        kind not in (HEADERS, PUSH_PROMISE)
        or not HEADER <= size <= position
        or len(data) != length <= limits.head_bytes
    ):
        raise Malformed("not a header block")
    return Begun(kind, stream, flags, promised, length, size, position, data)


def _write_table(out: Writer, table: Table) -> None:
    for flag in (table.exact, table.whole, table.allowed is not None):
        out.number(flag)
    for number in (table.allowed or 0, table.capacity, table.epoch, table.inserted, len(table.fields)):
        out.number(number)
    for field, size in zip(table.fields, table.sizes, strict=True):
        _write_field(out, field)
        out.number(size)
    out.number(len(table.odd))
    for name, size in table.odd:
        out.string(name)
        out.number(size)


def _read_table(source: Reader, limits: Limits) -> Table:
    exact, whole, known = source.flag(), source.flag(), source.flag()
    allowed, capacity = source.number(0xFFFFFFFF), source.number(limits.table_bytes)
    epoch, inserted = source.number(_COUNT), source.number(_COUNT)
    entries = [(_read_field(source), source.number(capacity)) for _ in range(source.number(capacity))]
    odd = [(source.string(), source.number(capacity)) for _ in range(source.number(len(entries)))]
    if any(isinstance(field, Unknown) for field, _ in entries) and whole:
        raise Malformed("a table that is whole and is not")
    state = (capacity, exact, whole, allowed if known else None, epoch, inserted)
    return Table(tuple([field for field, _ in entries]), tuple([size for _, size in entries]), tuple(odd), *state)


def _write_field(out: Writer, field: Field) -> None:
    if not isinstance(field, Unknown):
        out.number(_KNOWN)
        out.string(field[0])
    else:
        out.number(_NAMED if field.value is None else _UNKNOWN)
        out.number(field.name.epoch)
        out.number(field.name.number >= 0)
        out.number(abs(field.name.number))
        if field.value is not None:
            return
    out.string(field[1])


def _read_field(source: Reader) -> Field:
    kind = source.number(_UNKNOWN)
    if kind == _KNOWN:
        return source.string(), source.string()
    epoch, is_later, number = source.number(_COUNT), source.flag(), source.number(_COUNT)
    name = Identity(epoch, number if is_later else -number)
    return Unknown.of(name) if kind == _UNKNOWN else Unknown.of(name, source.string())
