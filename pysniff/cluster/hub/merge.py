"""Puts the entries of several workers in order of time.

An entry leaves when every worker has promised that nothing earlier comes, and no later than `hold` behind its arrival
once history is told. Until then whoever is behind is waited for, and the others get no new credit.

Of a question that goes forward the time is that of completion (of open entries: when they were last heard), since
that is the order in which workers find them; of one that begins with the newest it is the entries' timestamps.
Keys are times, negative where the newest come first: they rise in either case.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from enum import Enum
from itertools import accumulate, pairwise, repeat
from operator import itemgetter
from typing import NamedTuple

from pysniff.limits import KIB, MIB, SECOND

# How long an entry that is new waits for workers that have not said how far they are.
HOLD = SECOND
# Bytes of entries held of one worker that promises nothing: behind them its own order is believed. Less than the
# credit of a question, or a worker could stand still for want of credit while the hub waits for its promise.
SHARE = 512 * KIB
# Bytes of new entries that are held in all.
MOST = 16 * MIB

Item = tuple[int, int, int, bytes]  # key, source, fingerprint, entry

_key = itemgetter(0)


class Standing(Enum):
    """Where a worker is with its answer."""

    HISTORY = "history"
    LIVE = "live"
    AWAY = "away"
    ENDED = "ended"


class Released(NamedTuple):
    """`items` in order; `taken`: how many of each source's, in the order in which they came from it."""

    items: list[Item]
    taken: list[tuple[int, int]]


class _Source:
    __slots__ = ("standing", "before", "until", "pending", "bytes")

    def __init__(self) -> None:
        self.standing = Standing.HISTORY
        self.before = Standing.HISTORY  # it went away
        self.until: int | None = None  # a key: nothing below it comes any more
        self.pending: list[Item] = []  # in order of their keys
        self.bytes = 0


class Merge:
    """`join()` sources by number, `add()` what they send, `release()` what may go; `now`: nanoseconds that only rise.

    `late`: entries that left behind later ones. `hurried`: times that a bound let entries go before a promise.
    `live`: whether history is told, of everybody who was there when it was. `expecting`: others may still join before.
    """

    def __init__(self, *, newest_first: bool = False, hold: int = HOLD, share: int = SHARE, most: int = MOST) -> None:
        self._sign = -1 if newest_first else 1
        self._hold, self._share, self._most = hold, share, most
        self._sources: dict[int, _Source] = {}
        self._arrivals: deque[tuple[int, int]] = deque()  # when a batch came, its highest key
        self._highest: int | None = None  # key released so far
        self.held_bytes = 0
        self.live = False
        self.expecting = False
        self.late = 0
        self.hurried = 0

    def join(self, source: int) -> None:
        """A worker is asked, for the first time or anew."""
        known = self._sources.setdefault(source, _Source())
        known.standing, known.until = Standing.HISTORY, None

    def caught_up(self, source: int) -> None:
        self._sources[source].standing = Standing.LIVE

    def away(self, source: int) -> None:
        """Nobody waits for it; what it sent stays and goes."""
        known = self._sources[source]
        if known.standing not in (Standing.AWAY, Standing.ENDED):
            known.before, known.standing = known.standing, Standing.AWAY

    def back(self, source: int) -> None:
        """It goes on where it was."""
        known = self._sources[source]
        if known.standing is Standing.AWAY:
            known.standing = known.before

    def ended(self, source: int) -> None:
        self._sources[source].standing = Standing.ENDED

    def is_live(self, source: int) -> bool:
        return self._sources[source].standing is Standing.LIVE

    def add(
        self,
        source: int,
        times: Sequence[int],
        fingerprints: Sequence[int],
        lengths: Sequence[int],
        entries: bytes,
        until: int,
        now: int,
    ) -> None:
        """One Batch: `lengths` cut `entries`; `until`: nanoseconds, 0 where the worker promises nothing."""
        known = self._sources[source]
        if until:
            key = until * self._sign
            known.until = key if known.until is None else max(known.until, key)
        if not times:
            return
        keys = times if self._sign > 0 else [-time for time in times]
        pieces = [entries[begin:end] for begin, end in pairwise(accumulate(lengths, initial=0))]
        items = list(zip(keys, repeat(source), fingerprints, pieces, strict=False))
        items.sort(key=_key)
        pending = known.pending
        in_order = not pending or pending[-1][0] <= items[0][0]
        pending += items
        if not in_order:
            pending.sort(key=_key)
        known.bytes += len(entries)
        self.held_bytes += len(entries)
        self._arrivals.append((now, items[-1][0]))

    def release(self, now: int) -> Released:
        """What may go by now: when history is told, all that is left of it."""
        if not self.live and not self.expecting and not self._has_history():
            self.live = True
            return self._take(None)
        bound = self._promised()
        if self.live:
            bound = self._overdue(bound, now)
        return self._take(bound)

    def flush(self) -> Released:
        """All that is here, whatever may come."""
        return self._take(None)

    def waiting(self, source: int) -> Sequence[Item]:
        """What a source has sent and is still here."""
        return self._sources[source].pending

    def due(self) -> int | None:
        """When release() has something to give, whoever says nothing; None: not by itself."""
        return self._arrivals[0][0] + self._hold if self.live and self._arrivals else None

    def _has_history(self) -> bool:
        return any(one.standing is Standing.HISTORY for one in self._sources.values())

    def _promised(self) -> int | None:
        """Everything below this key may go; None: everything."""
        bound: int | None = None
        for source in self._sources.values():
            if source.standing in (Standing.AWAY, Standing.ENDED):
                continue
            until = source.until
            if source.bytes > self._share and (until is None or until <= source.pending[0][0]):
                # It sent more than it promised: believe its order.
                until = source.pending[-1][0]
                self.hurried += 1
            if until is None:
                return _NOTHING
            bound = until if bound is None else min(bound, until)
        return bound

    def _overdue(self, bound: int | None, now: int) -> int | None:
        """The bound, moved up to what was held long enough."""
        arrivals = self._arrivals
        held = self.held_bytes
        while arrivals:
            came, highest = arrivals[0]
            if bound is not None and highest >= bound:
                if came + self._hold > now and held <= self._most:
                    break
                bound = highest + 1
                self.hurried += 1
                held = self._held_from(bound)
            arrivals.popleft()
        return bound

    def _held_from(self, bound: int) -> int:
        """Bytes that stay where everything below the bound goes; looked up only where there is too much."""
        if self.held_bytes <= self._most:
            return self.held_bytes
        pending = (one.pending[bisect_left(one.pending, bound, key=_key) :] for one in self._sources.values())
        return sum(len(item[3]) for items in pending for item in items)

    def _take(self, bound: int | None) -> Released:
        items: list[Item] = []
        taken: list[tuple[int, int]] = []
        for number, source in self._sources.items():
            pending = source.pending
            count = len(pending) if bound is None else bisect_left(pending, bound, key=_key)
            if not count:
                continue
            part = pending[:count]
            del pending[:count]
            size = sum(len(item[3]) for item in part)
            source.bytes -= size
            self.held_bytes -= size
            taken.append((number, count))
            items += part
        if len(taken) > 1:
            items.sort(key=_key)
        if items:
            self._account(items)
        if not self.held_bytes:
            self._arrivals.clear()
        return Released(items, taken)

    def _account(self, items: list[Item]) -> None:
        if self._highest is not None:
            self.late += bisect_left(items, self._highest, key=_key)
        last = items[-1][0]
        self._highest = last if self._highest is None else max(self._highest, last)


_NOTHING = -(1 << 200)  # below every key
