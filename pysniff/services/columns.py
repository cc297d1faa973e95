"""Calls as columns: of each what a service map counts, 37 bytes, and whom it goes from and to, once for all alike.

A node that is asked for its services sends these, never entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pysniff.entry import Entry
from pysniff.message import Message, Role

# `latency`: microseconds, -1 where there is none. `size`: bytes of request and response on the wire. `edge`: by number.
CALL = np.dtype(
    [("fingerprint", "<u8"), ("time", "<i8"), ("latency", "<i8"), ("size", "<i8"), ("edge", "<u4"), ("kind", "u1")]
)
Calls = NDArray[np.void]
# The kinds of calls. OPEN: it had not ended; whether it failed is not known.
ANSWERED, FAILED, UNANSWERED, OPEN = range(4)

ROWS = 4_096  # of one piece: 150 kB
FRESH = 250  # edges told in one piece: names are up to 255 characters
EDGES = 10_000  # that one node tells of: a scan of ports makes as many as it likes
HELD = 65_536  # open calls that may yet end: as many as conversations (limits.py)
NAME = 255  # characters of a name, as many as DNS has
_UNKNOWN = (1 << 32) - 1
NO_CALLS: Calls = np.empty(0, CALL)


class Edge(NamedTuple):
    """Who calls whom with what: no port of the client's, for it says nothing."""

    client_ip: str
    client_name: str
    server_ip: str
    server_port: int
    server_name: str
    protocol: str


Row = tuple[int, int, int, int, int, int]


class Collector:
    """Takes entries as a query gives them; one that was open and has ended by now counts once.

    `edges`: by number. `truncated`: calls that are not in the rows, since there were too many edges or open ones.
    """

    def __init__(self, fingerprint: Callable[[Entry], int] | None = None) -> None:
        self.edges: list[Edge] = []
        self.truncated = 0
        self._fingerprint = fingerprint
        self._numbers: dict[Edge, int] = {}
        self._rows: list[Row] = []
        self._open: dict[str, Row] = {}

    def __len__(self) -> int:
        """Rows that take() would give."""
        return len(self._rows)

    def add(self, entry: Entry) -> None:
        is_open = entry.state == "open"
        if self._open and not is_open:
            self._open.pop(entry.id, None)
        number = self._number(entry)
        if number == _UNKNOWN:
            self.truncated += not is_open
        elif is_open:
            self._hold(entry.id, self._row(entry, number))
        else:
            self._rows.append(self._row(entry, number))

    def end(self) -> None:
        """Nothing more comes: what is open stays so."""
        self._rows += self._open.values()
        self._open.clear()

    def take(self, most: int) -> Calls:
        """The next rows, at most so many."""
        rows, self._rows = self._rows[:most], self._rows[most:]
        return np.array(rows, CALL)

    def _number(self, entry: Entry) -> int:
        source, target = entry.src, entry.dst
        edge = Edge(source.ip, source.name[:NAME], target.ip, target.port, target.name[:NAME], entry.protocol)
        number = self._numbers.get(edge, _UNKNOWN)
        if number == _UNKNOWN and len(self.edges) < EDGES:
            number = self._numbers[edge] = len(self.edges)
            self.edges.append(edge)
        return number

    def _row(self, entry: Entry, number: int) -> Row:
        fingerprint = 0 if self._fingerprint is None else self._fingerprint(entry)
        elapsed = entry.elapsed_time
        size = _size(entry.carried_request) + _size(entry.carried_response)
        return fingerprint, entry.time_ns, -1 if elapsed is None else elapsed, size, number, _kind(entry)

    def _hold(self, id: str, row: Row) -> None:
        if len(self._open) >= HELD and id not in self._open:
            self._open.pop(next(iter(self._open)))
            self.truncated += 1
        self._open[id] = row


def _size(message: Message | None) -> int:
    return 0 if message is None else message.size


def _kind(entry: Entry) -> int:
    if entry.state == "open":
        return OPEN
    request = entry.carried_request
    if entry.carried_response is None and request is not None and request.role is Role.REQUEST:
        return UNANSWERED
    return ANSWERED if entry.ok else FAILED


def columns(entries: Iterable[Entry], fingerprint: Callable[[Entry], int]) -> Iterator[dict[str, object]]:
    """What a node answers, in pieces of at most about 320 kB; Merger puts them together.

    `edges`: lists of Edge's fields, numbered on from piece to piece. `calls`: bytes of CALL. `end`: it is the last
    piece, and `truncated` is how many calls are in none.
    """
    collector = Collector(fingerprint)
    told = 0
    for entry in entries:
        collector.add(entry)
        if len(collector) >= ROWS or len(collector.edges) - told >= FRESH:
            yield _piece(collector, told)
            told = len(collector.edges)
    collector.end()
    while len(collector) > ROWS:
        yield _piece(collector, told)
        told = len(collector.edges)
    yield {**_piece(collector, told), "end": True, "truncated": collector.truncated}


def _piece(collector: Collector, told: int) -> dict[str, object]:
    return {"edges": [list(edge) for edge in collector.edges[told:]], "calls": collector.take(ROWS).tobytes()}
