"""The handles of a live capture, each on its way from opening to closing, with one account for all of them.

None is used before what came in without a filter is out of it, and none is closed before what the kernel has counted
for it is out: so the account is exact, whatever comes and goes.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator
from enum import Enum

import pcapy

from pysniff.capture.handle import SETTLED, Handle, Statistics
from pysniff.capture.places import Target
from pysniff.limits import MIB
from pysniff.packet import Block

# Kernel buffers of the interfaces that are there at the beginning, of one, and of all that ever come: what has no
# room in these is not captured on, and a notice says so.
BUFFERS = 128 * MIB
LARGEST_BUFFER, SMALLEST_BUFFER = 64 * MIB, 2 * MIB
MOST_BUFFERS = 512 * MIB


class State(Enum):
    SETTLING = "rejects everything, until what came in before that is out"
    OPEN = "captures"
    LEAVING = "rejects everything, until what it has is out"


class Gathered:
    """A handle on its way. `last_words`: what to say when it is closed. `is_down`: somebody was told so."""

    def __init__(self, handle: Handle, target: Target) -> None:
        self.handle = handle
        self.target = target
        self.state = State.SETTLING
        self.is_down = False
        self.last_words = ""
        self._until = time.monotonic() + SETTLED / 1000

    def leave(self, last_words: str) -> None:
        self.handle.reject()
        self.state, self.last_words = State.LEAVING, last_words
        self._until = time.monotonic() + SETTLED / 1000

    def is_ripe(self, now: float) -> bool:
        """Whether SETTLING or LEAVING has lasted long enough."""
        return now >= self._until

    def rest(self) -> Iterator[Block]:
        """What one that rejects everything still has; of one that settles nobody wants it."""
        while True:
            try:
                block = self.handle.batch()
            except pcapy.PcapError:
                return
            if block is None:
                return
            if self.state is State.LEAVING:
                yield block


class Handles:
    """By file descriptor, which is registered with `poller` as long as it is here."""

    def __init__(self, poller: select.poll) -> None:
        self._poller = poller
        self._every: dict[int, Gathered] = {}
        self._moving: list[Gathered] = []  # those that are not OPEN
        self._finished = Statistics(0, 0, 0)

    def __len__(self) -> int:
        return len(self._every)

    def __contains__(self, fd: int) -> bool:
        return fd in self._every

    def __iter__(self) -> Iterator[Gathered]:
        """As of now: what comes and goes meanwhile changes nothing."""
        return iter(list(self._every.values()))

    def get(self, fd: int) -> Gathered | None:
        return self._every.get(fd)

    def size_for(self, count: int) -> int:
        """Bytes of kernel buffer for one of so many interfaces; 0 where there is no room for one more."""
        size = min(max(BUFFERS // count, SMALLEST_BUFFER), LARGEST_BUFFER)
        return size if sum(one.handle.buffer_size for one in self) + size <= MOST_BUFFERS else 0

    def add(self, handle: Handle, target: Target) -> None:
        gathered = self._every[handle.fd] = Gathered(handle, target)
        self._moving.append(gathered)
        self._poller.register(handle.fd, select.POLLIN)

    def opened(self, gathered: Gathered) -> None:
        gathered.state = State.OPEN
        self._moving.remove(gathered)

    def leave(self, gathered: Gathered, last_words: str) -> None:
        """Close it, once what it has is out; ripe() says when."""
        if gathered.state is State.SETTLING:
            self.remove(gathered)
            return
        if gathered.state is State.OPEN:
            self._moving.append(gathered)
        gathered.leave(last_words)

    def remove(self, gathered: Gathered) -> None:
        """Close it; what it counted stays."""
        if self._every.pop(gathered.handle.fd, None) is None:
            return
        self._poller.unregister(gathered.handle.fd)
        if gathered in self._moving:
            self._moving.remove(gathered)
        last = gathered.handle.statistics()
        self._finished = Statistics(*[one + other for one, other in zip(self._finished, last, strict=True)])
        gathered.handle.close()

    def ripe(self) -> list[Gathered]:
        """Those that have settled, or can be closed."""
        if not self._moving:
            return []
        now = time.monotonic()
        return [one for one in self._moving if one.is_ripe(now)]

    def statistics(self) -> Iterable[Statistics]:
        return [self._finished, *[one.handle.statistics() for one in self]]

    def drained(self) -> Iterator[list[int]]:
        """Let nothing more in, and give those that have something, until none has."""
        poller = select.poll()
        for one in self:
            # Where the flow cannot be stopped, it would never end.
            if one.handle.reject():
                poller.register(one.handle.fd, select.POLLIN)
        while self._every and (ready := [fd for fd, _ in poller.poll(SETTLED)]):
            yield ready
