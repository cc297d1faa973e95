"""What the hub says to a client on /api/entries, packed: docs/api.md describes every field.

A message is a msgpack map with a `type`. Entries go out as their worker packed them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pysniff.cluster.hub.duplicates import Shown
from pysniff.cluster.hub.question import Question
from pysniff.cluster.packed import pack
from pysniff.errors import FilterError, PysniffError
from pysniff.limits import KIB

# One message of entries: large enough to cost little, small enough that a browser shows it within a frame.
BATCH_BYTES = 256 * KIB
BATCH_ENTRIES = 2_000
TEXT = 2 * KIB  # characters of what a worker said


class Message(NamedTuple):
    """`entries`: how many are in it."""

    data: bytes
    entries: int


def batches(shown: Shown, first: int, names: Sequence[str]) -> Iterator[Message]:
    """Messages for entries numbered from `first` on, and for calls seen on further nodes; `names` of the nodes."""
    entries = shown.entries
    begin = size = 0
    for place, entry in enumerate(entries):
        size += len(entry)
        if size > BATCH_BYTES or place - begin >= BATCH_ENTRIES:
            if place > begin:
                yield _batch(entries[begin:place], shown.nodes[begin:place], first + begin, names)
            begin, size = place, len(entry)
    if begin < len(entries):
        yield _batch(entries[begin:], shown.nodes[begin:], first + begin, names)
    for start in range(0, len(shown.also), BATCH_ENTRIES):
        also = [[number, _named(nodes, names)] for number, nodes in shown.also[start : start + BATCH_ENTRIES]]
        yield Message(pack({"type": "also", "also": also}), 0)


def _batch(entries: list[bytes], nodes: list[int], first: int, names: Sequence[str]) -> Message:
    sets: dict[int, int] = {}
    of = [sets.setdefault(one, len(sets)) for one in nodes]
    message = {
        "type": "batch",
        "first": first,
        "nodes": [_named(one, names) for one in sets],
        "of": _numbers("H", of),
        "lengths": _numbers("I", list(map(len, entries))),
        "entries": b"".join(entries),
    }
    return Message(pack(message), len(entries))


def _named(nodes: int, names: Sequence[str]) -> list[str]:
    return [name for place, name in enumerate(names) if nodes >> place & 1]


def _numbers(code: str, values: list[int]) -> bytes:
    """Little-endian, without gaps: a typed array of JavaScript's."""
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def asked(number: int, question: Question) -> bytes:
    """What follows answers this question; `number`: how many this client has put."""
    return pack({"type": "asked", "question": number, "filter": question.filter, "follow": question.follow})


def status(node: str, state: str, text: str = "", *, severity: str = "info", hint: str = "") -> bytes:
    """What became of one worker: for people, the question goes on."""
    said = {"type": "status", "node": node, "state": state, "severity": severity, "text": text[:TEXT]}
    return pack(said | ({"hint": hint[:TEXT]} if hint else {}))


def missed(count: int, why: str) -> bytes:
    return pack({"type": "missed", "count": count, "why": why})


def caught_up(nodes: Mapping[str, str]) -> bytes:
    """`nodes`: live, away or failed, of each."""
    return pack({"type": "caught_up", "nodes": nodes})


def end(figures: Mapping[str, object]) -> bytes:
    return pack({"type": "end", "figures": figures})


def error(problem: PysniffError, code: str) -> bytes:
    """Why a question was not asked; of a filter, with the place in it."""
    said: dict[str, object] = {"type": "error", "code": code, "message": problem.message, "hint": problem.hint}
    if isinstance(problem, FilterError):
        said |= {"line": problem.line, "column": problem.column, "excerpt": problem.excerpt}
    return pack(said)
