"""From a client's own question to one that is shared: what is new comes from there, without a hole or a duplicate.

The client's own question tells history and goes on with what is new. Meanwhile the shared one tells the same of what is
new. For a while the client is told by both; what one has told is dropped where the other tells it, by node, time and
fingerprint, each as often as it was told. The own question ends once it has told everything that the shared one had
told before, the while once the shared one has told everything that the own one had. Workers say how far they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pysniff.cluster.hub.asking import Asking
from pysniff.cluster.hub.merge import Item
from pysniff.cluster.hub.source import Source, State
from pysniff.limits import SECOND

# How much further than its promise a worker may have been when it gave up waiting for an answer, by its own clock.
MARGIN = 5 * SECOND

_Mark = tuple[int, int]  # key, fingerprint


class Handover:
    """Of one client. `own_over`: its own question may end; `over`: the shared one's messages are all it needs."""

    def __init__(self, own: Asking, shared: Asking) -> None:
        self.own_over = False
        self._own, self._shared = own, shared
        self._by_own: dict[str, Counter[_Mark]] = {}
        self._by_shared: dict[str, Counter[_Mark]] = {}
        self._due: dict[str, int] = {}  # how far who is waited for has to be
        own.passing = self._from_own

    @staticmethod
    def is_possible(own: Asking, shared: Asking) -> bool:
        """Whether both are told of what is new by the same workers."""
        if own.telling or not (own.caught_up and shared.caught_up and own.sources):
            return False
        return all(
            source.state is State.LIVE and name in shared.sources and shared.sources[name].state is State.LIVE
            for name, source in own.sources.items()
        )

    def begin(self) -> None:
        """From now on both are heard."""
        for name, source in self._own.sources.items():
            waiting = Counter((item[0], item[2]) for item in self._own.merge.waiting(source.number))
            self._by_own[name] = source.told_since(self._shared.question.since) - waiting
            self._due[name] = _reached(self._shared.sources[name])

    def shared_released(self, items: Sequence[Item]) -> None:
        """The shared question is about to tell its clients of these."""
        own = self._own
        fresh: list[Item] = []
        for item in items:
            name = self._shared.names[item[1]]
            mark = item[0], item[2]
            if _taken(self._by_own.get(name), mark):
                continue
            if not self.own_over:
                self._by_shared.setdefault(name, Counter())[mark] += 1
            fresh.append((item[0], own.number_of(name), item[2], item[3]))
        if fresh:
            own.tell_now(fresh)

    def look(self) -> bool:
        """How far both are by now; whether it is over. Once `own_over` is set, the own question must end at once."""
        behind = self._shared if self.own_over else self._own
        if behind.telling or not all(_is_at(behind, name, due) for name, due in self._due.items()):
            return False
        if self.own_over:
            # What waits there for other workers would be told again.
            return not any(_waits(behind, name, due) for name, due in self._due.items())
        self._own.flush()
        self._due = {name: _reached(source) for name, source in self._own.sources.items()}
        self.own_over = True
        self._by_shared.clear()
        return False

    def _from_own(self, items: list[Item]) -> list[Item]:
        """Those that the shared question has not told."""
        fresh = []
        for item in items:
            name, mark = self._own.names[item[1]], (item[0], item[2])
            if not _taken(self._by_shared.get(name), mark):
                self._by_own.setdefault(name, Counter())[mark] += 1
                fresh.append(item)
        return fresh


def _taken(told: Counter[_Mark] | None, mark: _Mark) -> bool:
    if not told or not told.get(mark):
        return False
    told[mark] -= 1
    return True


def _is_at(asking: Asking, name: str, due: int) -> bool:
    """Whether a worker has promised to have told everything before that."""
    source = asking.sources.get(name)
    return source is not None and source.until >= due


def _waits(asking: Asking, name: str, due: int) -> bool:
    """Whether something of it from before that is still to be released."""
    waiting = asking.merge.waiting(asking.sources[name].number)
    return bool(waiting) and waiting[0][0] < due


def _reached(source: Source) -> int:
    """A promise from which on another has told everything that this one has."""
    return max(source.until, source.newest or 0) + MARGIN
