"""When what: heartbeats of a connection, and how long to wait before the next attempt at one. Seconds; no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import random

CLOSING = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The times of the protocol in seconds; tests make them short."""

    beat: float = 5.0  # a Ping when nothing else was sent for so long
    silence: float = 15.0  # three beats unheard: the connection is dead
    handshake: float = 10.0  # from accepting, or dialling, to both Hellos
    message: float = 60.0  # for one message to leave or to arrive: 8 MiB at 1.2 Mbit/s
    window: float = 30.0  # unfinished answers are kept for a hub that is away
    first: float = 0.2  # before the first new attempt at a connection, doubled each time
    last: float = 30.0  # and at most, as after a refusal
    settled: float = 5.0  # a connection that lasted so long was a good one
    resolve: float = 5.0  # between two looks at DNS
    closing: float = CLOSING  # for a Bye and WebSocket's own farewell
    probe: float = 2.0  # an old connection has so long to prove that it lives

    def but(self, **seconds: float) -> Pace:
        """The same with other times."""
        return replace(self, **seconds)


class Heartbeat:
    """What one connection owes and is owed. Times are of any clock that does not go back."""

    __slots__ = ("pace", "_sent", "_heard", "_whole", "_number")

    def __init__(self, pace: Pace, now: float) -> None:
        self.pace = pace
        self._sent = self._heard = self._whole = now
        self._number = 0

    def sent(self, now: float) -> None:
        self._sent = now

    def heard(self, now: float) -> None:
        """A message came."""
        self._heard = self._whole = now

    def arriving(self, at: float) -> None:
        """Bytes came, perhaps of a message that is not whole yet: no silence, as long as pace.message allows."""
        self._heard = max(at, self._heard)

    def ping(self, now: float) -> int | None:
        """The number of the Ping that is due, or None."""
        if now < self._sent + self.pace.beat:
            return None
        self._sent = now
        self._number += 1
        return self._number

    def is_dead(self, now: float) -> bool:
        return now >= self._heard + self.pace.silence or now >= self._whole + self.pace.message


class Backoff:
    """Waits between attempts: doubled from pace.first to pace.last, each by a random part shorter.

    The random part keeps the hubs and workers of a cluster from coming back all at the same moment.
    """

    __slots__ = ("pace", "_next", "_random")

    def __init__(self, pace: Pace, chance: Callable[[], float] = random) -> None:
        self.pace = pace
        self._next = pace.first
        self._random = chance

    def wait(self, *, lasted: float = 0.0, refused: bool = False) -> float:
        """Seconds until the next attempt, after one whose connection lasted so long or was refused."""
        if lasted >= self.pace.settled:
            self._next = self.pace.first
        span = self.pace.last if refused else self._next
        self._next = min(self._next * 2, self.pace.last)
        return span * (0.5 + self._random() / 2)
