"""Whose a connection is, by looking: which sockets a command and its children have open, again and again.

Anybody may look at own processes. What lives shorter than the time between two looks, about 2 ms, is seen by chance:
of a connection that was over before anybody looked, nobody knows whose it was, but where none of the family ran at all
when it began.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from threading import Event, Lock, Thread

from pysniff.launched.owners import Owner
from pysniff.launched.socket_tables import ANY, children, open_sockets, run_times, sockets
from pysniff.limits import SECOND

# Seconds between two looks, and the part of the time that they may take.
_OFTEN, _SHARE = 0.002, 10
# Sockets remembered after they were closed: those of the last minutes.
_SOCKETS = 65_536
# Looks in which the tables are read after a socket was opened: it is bound or connected a little later.
_AGAIN = 8
# Processes of a family: a build has hundreds.
_PROCESSES = 4_096
# Threads of a process whose run times are read at each look, 5 us each.
_THREADS = 64
# How long it may take until a run shows in the run times, and how long looks are remembered, in nanoseconds.
_LATE, _REMEMBERED = SECOND // 100, 2 * SECOND
_LOOPBACK4, _LOOPBACK6 = b"\x7f", b"\0" * 15 + b"\1"

_Place = tuple[int, bytes, int, bytes, int]  # as of Socket


class Family:
    """Looks from a thread of its own from start() to close(). `hidden`: processes whose sockets nobody lets us see.

    `strangers`: children of this process that are not of the family.
    """

    patience = SECOND // 2
    guesses = True

    def __init__(self, strangers: Iterable[int] = ()) -> None:
        self.hidden: set[int] = set()
        self._strangers = frozenset(strangers)
        self._numbers: OrderedDict[int, None] = OrderedDict()  # of the family's sockets
        self._ours: OrderedDict[_Place, None] = OrderedDict()
        self._theirs: set[_Place] = set()
        self._before: set[int] = set()  # numbers that were in the tables before this look began
        self._own: set[bytes] = set()  # addresses of this machine that somebody uses
        self._again = 0
        self._ran: dict[int, tuple[bytes, ...] | None] = {}
        self._looks: deque[tuple[int, bool]] = (
            deque()
        )  # when, and whether one of the family may have run since the last
        self._wanted = Event()
        self._over = Event()
        self._lock = Lock()
        self._thread = Thread(target=self._run, name="pysniff-family", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def owner(self, protocol: int, key: bytes) -> Owner:
        size = 4 if len(key) == 12 else 16
        one, other = key[:size], key[size : 2 * size]
        port, other_port = int.from_bytes(key[-4:-2], "big"), int.from_bytes(key[-2:], "big")
        with self._lock:
            ends = [
                _places(protocol, near, near_port, far, far_port)
                for near, near_port, far, far_port in ((one, port, other, other_port), (other, other_port, one, port))
                if near in self._own or near[:1] == _LOOPBACK4 or near == _LOOPBACK6
            ]
            if any(place in self._ours for places in ends for place in places):
                return Owner.OURS
            # Where both ends are here, the other one may be ours and not seen yet.
            if ends and all(any(place in self._theirs for place in places) for places in ends):
                return Owner.OTHERS
        self._wanted.set()
        return Owner.UNKNOWN

    def was_idle(self, at: int) -> bool:
        with self._lock:
            if not self._looks or not self._looks[0][0] < at - _LATE < at + _LATE < self._looks[-1][0]:
                return False
            # The first look behind that time tells of a part of it, too.
            behind = next(time_ns for time_ns, _ in self._looks if time_ns > at + _LATE)
            return not any(ran for time_ns, ran in self._looks if at - _LATE <= time_ns <= behind)

    def _run(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            self.look()
            self._over.wait(max(_OFTEN, _SHARE * (time.monotonic() - begin)))

    def look(self) -> None:
        """See what is open now."""
        asked = self._wanted.is_set()
        self._wanted.clear()
        processes = self._processes()
        self._see_runs(processes)
        for process in processes:
            try:
                fresh = [number for number in open_sockets(process) if number not in self._numbers]
            except PermissionError:
                self.hidden.add(process)
                continue
            if fresh:
                self._again = _AGAIN
                self._numbers.update(dict.fromkeys(fresh))
        while len(self._numbers) > _SOCKETS:
            self._numbers.popitem(last=False)
        if asked or self._again:
            self._again = max(self._again - 1, 0)
            self._read()

    def _see_runs(self, processes: Sequence[int]) -> None:
        """Note whether one of them has run since the last look."""
        now = time.time_ns()
        before, self._ran = self._ran, {process: run_times(process, _THREADS) for process in processes}
        ran = before != self._ran or None in self._ran.values()
        with self._lock:
            self._looks.append((now, ran))
            while self._looks[0][0] < now - _REMEMBERED:
                self._looks.popleft()

    def _read(self) -> None:
        """What was in the tables before the family was looked at, and is there still, was not overlooked there."""
        every = list(sockets())
        theirs = {one[:5] for one in every if one.number in self._before and one.number not in self._numbers}
        with self._lock:
            for one in every:
                if one.number in self._numbers:
                    self._ours[one[:5]] = None
                    self._ours.move_to_end(one[:5])
            while len(self._ours) > _SOCKETS:
                self._ours.popitem(last=False)
            self._theirs = theirs
            self._own = {one.address for one in every} - {ANY}
        self._before = {one.number for one in every} - {0}

    def _processes(self) -> list[int]:
        found: list[int] = []
        waiting = [one for one in children(os.getpid()) if one not in self._strangers]
        while waiting and len(found) < _PROCESSES:
            process = waiting.pop()
            found.append(process)
            waiting += children(process)
        return found


def _places(protocol: int, near: bytes, port: int, far: bytes, far_port: int) -> tuple[_Place, ...]:
    """Where the socket of an end of a connection stands in the tables: connected, bound to an address, or to any."""
    return (
        (protocol, near, port, far, far_port),
        (protocol, near, port, ANY, 0),
        (protocol, ANY, port, ANY, 0),
    )
