"""What is to happen at which packet time.

Deadlines fire in their order and before any later packet, so a quiet wire and a replay agree.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

NEVER = 1 << 80


class Deadlines:
    """A heap of calls; cancelled ones are left in and find out themselves that they are late."""

    __slots__ = ("_heap", "_count", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0
        self.next = NEVER

    def add(self, time_ns: int, call: Callable[[int], None]) -> None:
        """Have `call(time_ns)` called when packet time reaches it; equal times fire in the order of adding."""
        self._count += 1
        heappush(self._heap, (time_ns, self._count, call))
        self.next = self._heap[0][0]

    def fire(self) -> None:
        """Run the earliest one."""
        time_ns, _, call = heappop(self._heap)
        self.next = self._heap[0][0] if self._heap else NEVER
        call(time_ns)
