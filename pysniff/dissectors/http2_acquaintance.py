"""What connections seen from their start taught about the programs at their ends: which fields they insert, and when.

Kept by server and direction in Context.memory, so the next connection that is joined in the middle can be laid beside
them: where the numbers of two tables differ by a constant, one names the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pysniff.dissectors.hpack import Field, Marked
from pysniff.dissectors.http2_orders import Kind, Names, fits
from pysniff.message import Side

# Bounds: of the servers known, of the connections kept for each and direction, of what is kept of a connection.
SERVERS = 1_024
PASTS = 8
INSERTIONS = 128
BLOCKS = 32
SIGNATURES = 512
_ANCHORS = 2  # entries from before the join whose names are known, to lay a table beside another
_LONG = 512  # characters of name and value: a longer field is kept without its value

Facts = Mapping[int, tuple[str, str | None]]  # by number; the value None where only the name is known
# Fields that differ from call to call: they tell nothing of another connection.
FLEETING = frozenset((
    ":status", "grpc-status", "grpc-message", "grpc-timeout", "date", "age", "expires", "last-modified", "etag",
    "content-length", "content-range", "location", "set-cookie", "cookie", "traceparent", "tracestate", "x-request-id",
))  # fmt: skip
# Fields that a program sends alike in every call of a connection.
STEADY = frozenset((
    ":authority", ":scheme", "te", "user-agent", "accept", "accept-encoding", "accept-language", "server",
    "grpc-accept-encoding", "grpc-encoding",
))  # fmt: skip


class Past:
    """One half of one connection: its first insertions and the shapes of its blocks.

    `whole`: seen from its start, so `fields` counts from there.
    """

    __slots__ = ("client", "whole", "fields", "blocks", "calls")

    def __init__(self, client: str, whole: bool) -> None:
        self.client = client
        self.whole = whole
        self.fields: dict[int, tuple[str, str | None]] = {}
        self.blocks: dict[tuple[Kind, Names], None] = {}
        self.calls = 0

    def insert(self, number: int, field: Field) -> bool:
        """Remember an entry of the table; whether there was room."""
        if len(self.fields) >= INSERTIONS or isinstance(field, Marked):
            return False
        name, value = field
        self.fields[number] = name, (value if len(name) + len(value) <= _LONG else None)
        return True

    def learn(self, kind: Kind, fields: Sequence[Field]) -> bool:
        """Remember the shape of a block; whether it is a new one."""
        if len(self.blocks) >= BLOCKS or any(isinstance(field, Marked) for field in fields):
            return False
        shape = kind, tuple([name for name, _ in fields])
        if shape in self.blocks:
            return False
        self.blocks[shape] = None
        return True

    def fitting(self, kind: Kind, names: Names) -> Iterator[Names]:
        """The shapes that a block of which some names are known may have."""
        for one, shape in self.blocks:
            if one is kind and len(shape) == len(names) and fits(shape, names):
                yield shape

    def values(self, name: str) -> set[str | None]:
        return {value for one, value in self.fields.values() if one == name}

    def row(self, name: str) -> list[tuple[int, str | None]]:
        """The values of one name in the order of their insertion, with their numbers."""
        return [(number, field[1]) for number, field in self.fields.items() if field[0] == name]

    def beside(self, facts: Facts) -> Iterator[Beside]:
        """How another table may lie beside this one: all that is known of its entries from before the join agrees."""
        before = {number: fact for number, fact in facts.items() if number < 0}
        if not self.whole or len(before) < _ANCHORS:
            return
        rows = {number: self.row(name) for number, (name, _) in before.items()}
        anchor = min(rows, key=lambda number: len(rows[number]))
        for place, _ in rows[anchor]:
            shift = place - anchor
            if all(_agree(self.fields.get(number + shift), fact) for number, fact in before.items()):
                yield self._beside(shift, facts)

    def _beside(self, shift: int, facts: Facts) -> Beside:
        same, other = 0, INSERTIONS
        for number, fact in facts.items():
            here = self.fields.get(number + shift) if number >= 0 and fact[1] is not None else None
            if here is not None and here[0] == fact[0]:
                same += here[1] == fact[1]
            if here is not None and here != fact:
                other = min(other, number + shift)
        return Beside(self, shift, same, other)


class Beside(NamedTuple):
    """One table beside another: what to add to its numbers. `same`: later insertions that came as here; `other`: the
    number here of the first one that did not."""

    past: Past
    shift: int
    same: int
    other: int


def _agree(here: tuple[str, str | None] | None, fact: tuple[str, str | None]) -> bool:
    return here is not None and here[0] == fact[0] and (None in (fact[1], here[1]) or here[1] == fact[1])


class Acquaintance:
    """One direction of one server's connections. `version` grows with what is known."""

    __slots__ = ("pasts", "signatures", "version")

    def __init__(self) -> None:
        self.pasts: deque[Past] = deque(maxlen=PASTS)
        # Of an exchange to the path that was asked for; None where several were.
        self.signatures: dict[Hashable, str | None] = {}
        self.version = 0

    def add(self, past: Past) -> None:
        self.pasts.append(past)

    def alike(self, than: Past) -> list[Past]:
        """Other connections of the same client, or where there are none of any."""
        others = [past for past in self.pasts if past is not than and past.blocks]
        return [past for past in others if past.client == than.client] or others

    def sign(self, signature: Hashable, path: str) -> None:
        """An exchange with such sizes asked for this path."""
        if signature not in self.signatures:
            if len(self.signatures) < SIGNATURES:
                self.signatures[signature] = path
                self.version += 1
        elif self.signatures[signature] not in (path, None):
            self.signatures[signature] = None
            self.version += 1


def acquaintance(memory: dict[Hashable, Any], server: str, side: Side) -> Acquaintance:
    """That of a server; the one that was met longest ago makes room."""
    key = server, side
    found = memory.pop(key, None)
    if found is None:
        found = Acquaintance()
        if len(memory) >= 2 * SERVERS:
            del memory[next(iter(memory))]
    memory[key] = found
    assert isinstance(found, Acquaintance)
    return found


def steady_value(pasts: list[Past], name: str) -> str | None:
    """The value that a field had in all of these connections, every time."""
    values: set[str | None] = set()
    for past in pasts:
        values |= past.values(name)
    enough = name in STEADY or (len(pasts) > 1 and all(past.calls >= _CALLS for past in pasts))
    return next(iter(values)) if len(values) == 1 and enough else None


_CALLS = 3  # of a connection, before a field without another value counts as constant


def aligned_value(pasts: list[Past], facts: Facts, number: int, name: str) -> str | None:
    """The value of an entry by the connections whose tables grew the same way.

    Programs that ask in an order of chance must not be read so: what differs between connections up to this entry
    is no evidence; one connection alone is only where two later insertions came as there; and who left a way that
    all others went is another program.
    """
    found = [beside for past in pasts for beside in past.beside(facts)]
    found = [one for one in found if (one.past.fields.get(number + one.shift) or ("",))[0] == name]
    values = {one.past.fields[number + one.shift][1] for one in found}
    if len(values) != 1:
        return None
    value = values.pop()
    if name in STEADY:
        return value
    # Two may agree on the last step of their common way by chance.
    ahead = 1 if len(found) == 2 else 0
    if not _same_way([(one.past, number + one.shift) for one in found], name, ahead):
        return None
    parted = min(one.other for one in found)
    if parted < INSERTIONS and _same_way([(one.past, parted) for one in found], name):
        return None
    return value if len(found) > 1 or found[0].same > 1 else None


def _same_way(pasts: list[tuple[Past, int]], name: str, ahead: int = 0) -> bool:
    """Whether connections inserted the same values of one name in the same order, each up to a number and `ahead`."""
    rows = set()
    for past, to in pasts:
        row = past.row(name)
        steps = sum(number <= to for number, _ in row) + ahead
        rows.add(tuple([value for _, value in row[:steps]]))
    return len(rows) == 1
