"""What time it is in packets, while none come."""

from __future__ import annotations

import time
from collections import deque

from pysniff.limits import SECOND

# A packet younger than this when it arrives comes from a capture that is running now.
LIVE = 60 * SECOND
# Clocks of two machines differ: a packet may seem to come from the future.
AHEAD = 5 * SECOND
MARGIN = SECOND


class PacketClock:
    """Follows the wall clock at the distance that packets showed lately, and only while they are live.

    A recording that trickles through a pipe keeps its own time: its deadlines wait for its packets, so that
    reading it slowly and reading it fast give the same entries.
    """

    def __init__(self) -> None:
        self._newest = 0
        self._lags: deque[int] = deque(maxlen=16)

    def saw(self, time_ns: int) -> None:
        """A packet of this time has just arrived."""
        self._newest = max(self._newest, time_ns)
        self._lags.append(time.time_ns() - time_ns)

    def now(self) -> int:
        if not self._lags or not -AHEAD < self._lags[-1] < LIVE:
            return self._newest
        return max(self._newest, time.time_ns() - max(self._lags) - MARGIN)
