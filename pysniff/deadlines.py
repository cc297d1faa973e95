"""What is to happen at which packet time.

Deadlines fire in their order and before any later packet, so a quiet wire and a replay agree.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

NEVER = 1 << 80


class Deadlines:
    """A heap of numbers, and what is to be called for each; a cancelled one keeps nothing alive."""

    __slots__ = ("_heap", "_calls", "_count", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._calls: dict[int, Callable[[int], None]] = {}
        self._count = 0
        self.next = NEVER

    def add(self, time_ns: int, call: Callable[[int], None]) -> int:
        """Have `call(time_ns)` called when packet time reaches it; equal times fire in the order of adding.

        The number it gives is for cancel().
        """
        self._count += 1
        self._calls[self._count] = call
        heappush(self._heap, (time_ns, self._count))
        self.next = self._heap[0][0]
        return self._count

    def cancel(self, number: int) -> None:
        """Not any more; nothing happens where it has fired."""
        if self._calls.pop(number, None) is not None and len(self._heap) > 2 * len(self._calls) + _SPARE:
            # A flood of short connections must not fill the heap for as long as the deadlines are away.
            self._heap = [one for one in self._heap if one[1] in self._calls]
            heapify(self._heap)
            self.next = self._heap[0][0] if self._heap else NEVER

    def fire(self) -> None:
        """Run the earliest one."""
        time_ns, number = heappop(self._heap)
        self.next = self._heap[0][0] if self._heap else NEVER
        call = self._calls.pop(number, None)
        if call is not None:
            call(time_ns)


# Cancelled ones that are always allowed.
_SPARE = 256
