"""Datagrams that another interface has shown already: one that is routed or bridged is captured on each it passes.

TCP needs none of this: reassembly takes what came before for a repetition.
"""

from __future__ import annotations

from collections.abc import Hashable

from pysniff.ledger import Ledger
from pysniff.limits import SECOND, Limits


class _Repeated:
    """A datagram that came more than once. `times`: of those that went on; `seen`: how many of these by interface."""

    __slots__ = ("times", "seen")

    def __init__(self, time: int, interface: Hashable) -> None:
        self.times = [time]
        self.seen: dict[Hashable, int] = {interface: 1}

    def is_copy(self, interface: Hashable, at: int, window: int) -> bool:
        """The n-th of an interface is the n-th of another, and within the window of it."""
        times = self.times
        place = self.seen.get(interface, 0)
        while place < len(times) and at - times[place] > window:
            place += 1
        if place < len(times) and times[place] - at <= window:
            self.seen[interface] = place + 1
            return True
        if len(times) >= _MOST_TIMES:
            half = _MOST_TIMES // 2
            del times[:half]
            self.seen = {one: max(count - half, 0) for one, count in self.seen.items()}
        times.append(at)
        self.seen[interface] = len(times)
        return False


_MOST_TIMES = 64


class Copies:
    """Remembers datagrams for one to two seconds of packet time, or until there are too many.

    What one interface shows twice was sent twice, and stays so.
    """

    __slots__ = ("_window", "_most", "_ledger", "_young", "_old", "_turn")

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._window = limits.copy_window
        self._most = limits.copies // 2
        self._ledger = ledger
        # By hash of ends and payload: when and where it came first, or more.
        self._young: dict[int, tuple[int, Hashable] | _Repeated] = {}
        self._old: dict[int, tuple[int, Hashable] | _Repeated] = {}
        self._turn = 0

    def is_copy(self, key: bytes, payload: bytes, interface: Hashable, at: int) -> bool:
        """Whether a datagram is the copy of one that went on; remembers it."""
        young = self._young
        if at >= self._turn or len(young) >= self._most:
            young = self._turn_over(at)
        name = hash((key, payload))
        found = young.get(name)
        if found is None:
            found = self._old.get(name)
            if found is None:
                young[name] = (at, interface)
                return False
        if not isinstance(found, _Repeated):
            found = _Repeated(*found)
        young[name] = found
        return found.is_copy(interface, at, self._window)

    def _turn_over(self, at: int) -> dict[int, tuple[int, Hashable] | _Repeated]:
        if at < self._turn:
            self._ledger.copies_forgotten += len(self._old)
        # After two seconds and more nothing of the young ones is of use either.
        self._old = self._young if at < self._turn + SECOND else {}
        self._young = {}
        self._turn = max(self._turn, (at // SECOND + 1) * SECOND)
        return self._young
