"""One service map of the answers of many nodes: what columns() gave on each, with every call counted once.

Nothing that a node may send raises anything but BadColumns, and no more is kept than the bounds here say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from pysniff.errors import PysniffError
from pysniff.services.columns import CALL, EDGES, FRESH, NAME, NO_CALLS, OPEN, ROWS, Calls, Edge
from pysniff.services.graph import CALLS, ServiceMap
from pysniff.services.pairing import first_seen

ALL_EDGES = 20_000  # of all nodes together: 5 MB of JSON
_SIZE = 1 << 43  # bytes believed of one call, 8 TB
_COUNTED = 1 << 53  # calls left out that are believed
_WORD = 64  # characters of an address or a protocol


class BadColumns(PysniffError):
    """A node's answer that columns() does not make."""


class Merger:
    """Takes the pieces of all nodes as they come; `most`: calls kept."""

    def __init__(self, most: int = CALLS) -> None:
        self._most = most
        self._kept = 0
        self._numbers: dict[Edge, int] = {}
        self._told: dict[str, list[int]] = {}  # of each node: its edges, by their number here, -1 for one too many
        self._truncated: dict[str, int] = {}
        self._pieces: dict[str, list[Calls]] = {}
        self._ended: set[str] = set()

    def add(self, node: str, value: Mapping[str, object]) -> None:
        """Take a node's next piece; raise BadColumns for anything that is none, and nothing of it counts then."""
        if node in self._ended:
            raise BadColumns(f"{node}: more behind its last piece of services")
        edges, calls, truncated = _edges(value.get("edges")), _calls(value.get("calls")), _count(value)
        told = self._told.get(node, [])
        if len(told) + len(edges) > EDGES:
            raise BadColumns(f"{node}: more than {EDGES} edges of services")
        if len(calls) and (calls["edge"].max() >= len(told) + len(edges) or calls["kind"].max() > OPEN):
            raise BadColumns(f"{node}: a call on no edge that it told, or of no kind")
        self._told[node] = numbers = told + [self._number(edge) for edge in edges]
        if value.get("end") is True:
            self._ended.add(node)
        self._truncated[node] = self._truncated.get(node, 0) + truncated + self._keep(node, calls, numbers)

    def forget(self, node: str) -> None:
        """What a node answered so far counts no more: it is asked anew."""
        self._kept -= sum(map(len, self._pieces.pop(node, ())))
        self._told.pop(node, None)
        self._truncated.pop(node, None)
        self._ended.discard(node)

    def result(self) -> ServiceMap:
        """The map of what came so far: up to a second for a million calls, so not on an event loop."""
        calls = np.concatenate([NO_CALLS, *[piece for pieces in self._pieces.values() for piece in pieces]])
        sizes = [sum(map(len, pieces)) for pieces in self._pieces.values()]
        node = np.repeat(np.arange(len(sizes)), sizes)
        once = first_seen(calls["fingerprint"], node, calls["time"])
        duplicates = len(calls) - int(once.sum())
        return ServiceMap.made(calls[once], list(self._numbers), truncated=self.truncated, duplicates=duplicates)

    @property
    def truncated(self) -> int:
        """Calls that are not kept, here or by their node."""
        return sum(self._truncated.values())

    def _number(self, edge: Edge) -> int:
        number = self._numbers.get(edge)
        if number is None:
            if len(self._numbers) >= ALL_EDGES:
                return -1
            number = self._numbers[edge] = len(self._numbers)
        return number

    def _keep(self, node: str, calls: Calls, numbers: list[int]) -> int:
        """Keep what there is room for; how many calls there is none for."""
        if not len(calls):
            return 0
        edge = np.array(numbers, np.int64)[calls["edge"]]
        room = max(0, self._most - self._kept)
        kept = calls[edge >= 0][:room].copy()
        kept["edge"] = edge[edge >= 0][:room]
        kept["size"] = np.clip(kept["size"], 0, _SIZE)
        self._kept += len(kept)
        if len(kept):
            self._pieces.setdefault(node, []).append(kept)
        return len(calls) - len(kept)


def _edges(told: object) -> list[Edge]:
    if not isinstance(told, list) or len(told) > FRESH:
        raise BadColumns("services: `edges` is no list, or too long")
    return [_edge(each) for each in told]


def _edge(told: object) -> Edge:
    if not isinstance(told, list) or len(told) != len(Edge._fields):
        raise BadColumns("services: an edge is a list of six")
    client, client_name, server, port, server_name, protocol = told
    words = (client, server, protocol)
    names = (client_name, server_name)
    if not (_are_texts(words, _WORD) and _are_texts(names, NAME) and all(words) and type(port) is int):
        raise BadColumns("services: an edge has addresses, names, a port and a protocol")
    if not 0 <= port <= 65_535:
        raise BadColumns("services: no such port")
    return Edge(*cast("tuple[str, str, str, int, str, str]", tuple(told)))


def _are_texts(values: tuple[object, ...], most: int) -> bool:
    return all(isinstance(value, str) and len(value) <= most for value in values)


def _calls(told: object) -> Calls:
    if not isinstance(told, bytes) or len(told) % CALL.itemsize or len(told) > ROWS * CALL.itemsize:
        raise BadColumns("services: `calls` are no rows, or too many")
    return np.frombuffer(told, CALL)


def _count(value: Mapping[str, object]) -> int:
    count = value.get("truncated", 0)
    if type(count) is not int or not 0 <= count <= _COUNTED:
        raise BadColumns("services: `truncated` is no number of calls")
    return count
