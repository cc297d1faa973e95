"""Ends of the cluster whose traffic each hub wants left out of the capture: other workers, and the hub's clients."""

from __future__ import annotations

from collections.abc import Collection

from pysniff.capture.exclusion import Endpoint

# Seconds for which a hub that is gone is still believed: its connections with others mostly are not gone.
WINDOW = 60.0
# Hubs that are believed at a time, each 256 ends at most; who has been gone for longest is forgotten first.
MOST = 16


class Others:
    """By the session of a hub's process; times are those of one clock, in seconds."""

    def __init__(self) -> None:
        self._ends: dict[str, frozenset[Endpoint]] = {}
        self._gone: dict[str, float] = {}  # since when, the one that has been for longest first

    def tell(self, hub: str, ends: Collection[Endpoint]) -> None:
        """What a hub wants left out from now on, in place of what it said before."""
        self._ends[hub] = frozenset(ends)

    def see(self, connected: Collection[str], now: float) -> float | None:
        """Which hubs are there now. When somebody should look again, None where that makes no difference."""
        for hub in connected:
            self._gone.pop(hub, None)
        for hub in self._ends.keys() - set(connected):
            self._gone.setdefault(hub, now)
        for hub, since in list(self._gone.items()):
            if now - since >= WINDOW or len(self._ends) > MOST:
                del self._gone[hub], self._ends[hub]
        return min(self._gone.values()) + WINDOW if self._gone else None

    def ends(self) -> frozenset[Endpoint]:
        return frozenset().union(*self._ends.values())
