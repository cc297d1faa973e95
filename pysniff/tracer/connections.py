"""How many TLS connections each process had: those with keys, and those without.

One with a key is of the processes that gave it: both, where client and server are on this machine. For one that
no process gave a key of, the owners of its sockets are looked for, in a thread of its own.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Protocol

from pysniff.secrets import TlsConnection
from pysniff.tracer.closing import Owner

# Client randoms of which is remembered who gave secrets, and who was counted.
_RANDOMS = 32_768
# Processes whose connections are counted, and connections whose owners are not known yet: the oldest go, and are
# counted.
_PROCESSES, _WAITING = 4_096, 16_384
# Seconds between two looks for owners; one through all sockets takes at most this part of the time.
_OFTEN, _SHARE = 1.0, 20


class Owning(Protocol):
    """As ConnectionOwners."""

    def closed(self, key: bytes) -> list[Owner]: ...

    def open(self, keys: Collection[bytes]) -> dict[bytes, list[Owner]]: ...


@dataclass(slots=True)
class Counted:
    """Connections of a process."""

    comm: str
    with_keys: int = 0
    without_keys: int = 0


_NOBODY = 0  # among processes
# A process, and the file that its secrets came out of: 0 where they came from elsewhere, or there are none.
Place = tuple[int, int]


class Connections:
    """revealed() and began() as it happens, counted() whenever somebody asks; close() in the end.

    `unowned`: connections without keys whose process nobody knows. `forgotten`: processes that are not told any more.
    """

    def __init__(self, owners: Owning, clock: Callable[[], float] = time.monotonic) -> None:
        self.unowned = self.forgotten = 0
        self._owners, self._clock = owners, clock
        self._randoms: OrderedDict[bytes, dict[Place, str]] = OrderedDict()
        self._told: OrderedDict[bytes, set[int]] = OrderedDict()
        self._counted: OrderedDict[Place, Counted] = OrderedDict()
        self._waiting: deque[TlsConnection] = deque()
        self._changed = Condition()
        self._closing = False
        self._thread: Thread | None = None

    def revealed(self, random: bytes, place: Place, comm: str) -> None:
        """A process has given a secret of a connection."""
        with self._changed:
            self._randoms.setdefault(random, {})[place] = comm
            if len(self._randoms) > _RANDOMS:
                self._randoms.popitem(last=False)

    def began(self, connections: Iterable[TlsConnection]) -> None:
        """These were captured, and it is known whether they have a key."""
        with self._changed:
            for one in connections:
                places = self._randoms.get(one.random)
                if places:
                    self._count(one, places)
                    continue
                if len(self._waiting) >= _WAITING:
                    self._miss(self._waiting.popleft())
                self._waiting.append(one)
            if self._waiting and self._thread is None and not self._closing:
                self._thread = Thread(target=self._look_for_owners, name="pysniff-owners", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def counted(self) -> dict[Place, Counted]:
        """As of now; those that wait for their owners are not among them."""
        with self._changed:
            return {place: Counted(one.comm, one.with_keys, one.without_keys) for place, one in self._counted.items()}

    def close(self) -> None:
        """Have everything counted that came before."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._look()

    def _look_for_owners(self) -> None:
        pause = _OFTEN
        while True:
            with self._changed:
                # Some come at a time, and one look is for all of them.
                self._changed.wait_for(lambda: self._closing, pause)
                self._changed.wait_for(lambda: self._closing or self._waiting)
                if self._closing:
                    return
            began = self._clock()
            self._look()
            pause = max(_OFTEN, _SHARE * (self._clock() - began))

    def _look(self) -> None:
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
        unknown = [one for one in waiting if not self._settle(one, self._owners.closed(one.key))]
        if not unknown:
            return
        held = self._owners.open({one.key for one in unknown})
        for one in unknown:
            # It may have been closed meanwhile.
            if not self._settle(one, held.get(one.key) or self._owners.closed(one.key)):
                with self._changed:
                    self._miss(one)

    def _settle(self, connection: TlsConnection, owners: Collection[Owner]) -> bool:
        if owners:
            with self._changed:
                self._count(connection, {(owner.pid, 0): owner.comm for owner in owners})
        return bool(owners)

    def _count(self, connection: TlsConnection, places: dict[Place, str]) -> None:
        """Once for each process, however many ways it was captured."""
        told = self._told_of(connection)
        for place, comm in places.items():
            if place[0] in told:
                continue
            told.add(place[0])
            counted = self._counted.setdefault(place, Counted(comm))
            self._counted.move_to_end(place)
            if connection.keyed:
                counted.with_keys += 1
            else:
                counted.without_keys += 1
            if len(self._counted) > _PROCESSES:
                self._counted.popitem(last=False)
                self.forgotten += 1

    def _miss(self, connection: TlsConnection) -> None:
        """Nobody knows whose it is; of one that was captured twice, one end may be known."""
        told = self._told_of(connection)
        if not told and not connection.keyed:
            told.add(_NOBODY)
            self.unowned += 1

    def _told_of(self, connection: TlsConnection) -> set[int]:
        told = self._told.setdefault(connection.random, set())
        if len(self._told) > _RANDOMS:
            self._told.popitem(last=False)
        return told
