"""Shows the same call, seen on several nodes, once.

Calls with one fingerprint are paired by their order: the n-th that one node saw with the n-th that another saw, where
their times are within a window. So a connection that says the same thing again and again is counted right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from pysniff.cluster.hub.merge import Item
from pysniff.limits import SECOND

# How far apart the clocks of two nodes, and the times at which both saw a call, may be.
WINDOW = 2 * SECOND
# Calls that are remembered, and for how much time of theirs: a node that was away for a minute tells what the others
# have told. A call takes about 200 bytes.
MOST = 65_536
KEEP = 120 * SECOND

_Call = tuple[int, int, int]  # key, nodes (a bit each), number


class Shown(NamedTuple):
    """What a client is told of some items: entries with the nodes that had each (a bit each), numbered in a row.

    `also`: (number, nodes) of calls shown before, or here, that were seen on further nodes.
    """

    entries: list[bytes]
    nodes: list[int]
    also: list[tuple[int, int]]


class _Chain:
    """Calls with one fingerprint, when there are several: in order, and how many each node has told of them."""

    __slots__ = ("keys", "nodes", "numbers", "told")

    def __init__(self, key: int, nodes: int, number: int) -> None:
        self.keys, self.nodes, self.numbers = [key], [nodes], [number]
        self.told: dict[int, int] = {}
        node = 0
        while nodes >> node:
            if nodes >> node & 1:
                self.told[node] = 1
            node += 1

    def pair(self, key: int, node: int, window: int) -> int:
        """The place of the call that this one is, or -1."""
        keys = self.keys
        at = self.told.get(node, 0)
        while at < len(keys) and keys[at] < key - window:
            at += 1
        if at < len(keys) and keys[at] <= key + window:
            self.told[node] = at + 1
            return at
        return -1

    def add(self, key: int, node: int, number: int) -> None:
        at = bisect_right(self.keys, key)
        self.keys.insert(at, key)
        self.nodes.insert(at, 1 << node)
        self.numbers.insert(at, number)
        for other, told in self.told.items():
            if told > at:  # one that came late, behind what this node told long ago
                self.told[other] = told + 1
        self.told[node] = max(at + 1, self.told.get(node, 0))

    def shorten(self, count: int) -> None:
        """Forget the first ones."""
        del self.keys[:count], self.nodes[:count], self.numbers[:count]
        self.told = {node: max(0, told - count) for node, told in self.told.items()}


class Duplicates:
    """`show()` items in the order in which they leave the merge.

    `merged`: copies that were not shown. `forgotten`: calls that the bound made it forget early; a copy of one of
    those is shown as a call of its own.
    """

    def __init__(self, *, window: int = WINDOW, most: int = MOST, keep: int = KEEP) -> None:
        self._window, self._keep = window, keep
        self._most = max(1, most // 2)  # in each half of the table
        self._new: dict[int, _Call | _Chain] = {}
        self._old: dict[int, _Call | _Chain] = {}
        self._new_calls = self._old_calls = 0
        self._new_began: int | None = None  # keys
        self._old_newest = 0
        self._newest = 0
        self.merged = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return self._new_calls + self._old_calls

    def show(self, items: Sequence[Item], first: int) -> Shown:
        """What to tell of them; those that are shown get numbers from `first` on."""
        entries: list[bytes] = []
        nodes: list[int] = []
        also: list[tuple[int, int]] = []
        number = first
        table, older = self._new, self._old
        for key, node, fingerprint, entry in items:
            # Nearly all are new: two look-ups tell.
            if fingerprint not in table and fingerprint not in older:
                table[fingerprint] = (key, 1 << node, number)
                self._new_calls += 1
            else:
                shown = self._again(fingerprint, key, node, number)
                if shown != number:
                    self.merged += 1
                    if shown >= first:
                        nodes[shown - first] |= 1 << node
                    else:
                        also.append((shown, 1 << node))
                    continue
            entries.append(entry)
            nodes.append(1 << node)
            number += 1
            if self._new_calls >= self._most:
                self._turn(key)
                table, older = self._new, self._old
        if items:
            self._age(items[-1][0])
        return Shown(entries, nodes, also)

    def _again(self, fingerprint: int, key: int, node: int, number: int) -> int:
        """The number of the call that this one is: its own where it is another."""
        found = self._new.get(fingerprint) or self._returned(fingerprint)
        if isinstance(found, tuple):
            first, nodes, shown = found
            if not nodes >> node & 1 and abs(key - first) <= self._window:
                self._new[fingerprint] = (first, nodes | 1 << node, shown)
                return shown
            found = self._new[fingerprint] = _Chain(*found)
        place = found.pair(key, node, self._window)
        if place >= 0:
            found.nodes[place] |= 1 << node
            return found.numbers[place]
        found.add(key, node, number)
        self._new_calls += 1
        # One connection must not take the table from all others.
        if len(found.keys) > self._most // 4 + 1:
            half = len(found.keys) // 2
            self.forgotten += sum(1 for one in found.keys[:half] if one > key - self._window)
            found.shorten(half)
            self._new_calls -= half
        return number

    def _returned(self, fingerprint: int) -> _Call | _Chain:
        """A call from the older half of the table, which moves to the newer one."""
        found = self._old.pop(fingerprint)
        size = 1 if isinstance(found, tuple) else len(found.keys)
        self._old_calls -= size
        self._new_calls += size
        self._new[fingerprint] = found
        return found

    def _age(self, key: int) -> None:
        if self._new_began is None:
            self._new_began = self._newest = key
        self._newest = max(self._newest, key)
        if self._newest - self._new_began > self._keep // 2:
            self._turn(self._newest)

    def _turn(self, key: int) -> None:
        """The newer half becomes the older one; what is in that is forgotten."""
        if self._old_calls and key - self._old_newest < self._keep // 2:
            self.forgotten += self._old_calls
        self._old, self._old_calls, self._old_newest = self._new, self._new_calls, key
        self._new, self._new_calls, self._new_began = {}, 0, key
        self._newest = max(self._newest, key)
