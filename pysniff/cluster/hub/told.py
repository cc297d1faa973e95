"""What one worker has told already, for the case that it forgets its answer and is asked again.

The new question begins SLACK before the worker's last promise (`until`): calls that were given up come later than they
completed. What it had told from there on comes once more, and is recognised by fingerprint and time, as often as it was
told. Nothing is looked up while nothing goes wrong.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Sequence

from pysniff.limits import DEFAULT, SECOND

# What has no answer is given up when its connection ends, or has been silent for so long.
SLACK = DEFAULT.idle + 10 * SECOND
# Entries that are remembered, 16 bytes each: where there were more in that time, the new question begins with them.
MOST = 65_536
_HIGHEST = (1 << 63) - 1  # of a key: no worker has a call of -2**63, and one that says so ends nothing

_Batch = tuple[int, int, "array[int]", "array[int]"]  # lowest and highest key; keys, fingerprints


class Told:
    """Of one worker in one question. `again`: entries dropped, since they had been told."""

    def __init__(self, *, newest_first: bool = False, slack: int = SLACK, most: int = MOST) -> None:
        self._sign = -1 if newest_first else 1
        self._slack = slack
        self._most = most
        self._kept: deque[_Batch] = deque()
        self._size = 0
        self._until: int | None = None  # a key
        self._from: int | None = None  # what completed before is not remembered any more
        self._due: Counter[tuple[int, int]] = Counter()  # comes once more
        self._due_end = 0
        self.again = 0

    def __len__(self) -> int:
        return self._size

    def interrupted(self) -> int | None:
        """From which time on to ask again: None for the beginning. What comes next is compared."""
        begin = self._begin()
        self._due = self.since(begin)
        self._due_end = max((key for key, _ in self._due), default=0)
        return None if begin is None else begin * self._sign

    def since(self, begin: int | None) -> Counter[tuple[int, int]]:
        """What it has told from a key on, as far as that is remembered: (key, fingerprint)."""
        kept = ((keys, marks) for _, highest, keys, marks in self._kept if begin is None or highest >= begin)
        told = Counter(one for keys, marks in kept for one in zip(keys, marks, strict=True))
        return told if begin is None else Counter({one: count for one, count in told.items() if one[0] >= begin})

    def fresh(self, times: Sequence[int], fingerprints: Sequence[int], until: int) -> list[bool] | None:
        """Which entries of a batch are new; None: all of them."""
        keys = times if self._sign > 0 else [min(-time, _HIGHEST) for time in times]
        fresh = self._compared(keys, fingerprints) if self._due and times else None
        if fresh is None:
            self._keep(keys, fingerprints)
        else:
            new = [place for place, one in enumerate(fresh) if one]
            self._keep([keys[place] for place in new], [fingerprints[place] for place in new])
        if until:
            self._promised(until * self._sign)
        return fresh

    def _begin(self) -> int | None:
        if self._until is None:
            return self._from
        # Those that go backwards in time find what was given up where it began.
        begin = self._until - (self._slack if self._sign > 0 else 0)
        return begin if self._from is None else max(begin, self._from)

    def _compared(self, keys: Sequence[int], fingerprints: Sequence[int]) -> list[bool] | None:
        due = self._due
        fresh = []
        for one in zip(keys, fingerprints, strict=True):
            left = due.get(one, 0)
            if left:
                due[one] = left - 1
            fresh.append(not left)
        dropped = len(fresh) - sum(fresh)
        self.again += dropped
        return fresh if dropped else None

    def _keep(self, keys: Sequence[int], fingerprints: Sequence[int]) -> None:
        if not keys:
            return
        self._kept.append((min(keys), max(keys), array("q", keys), array("Q", fingerprints)))
        self._size += len(keys)
        while self._size > self._most and len(self._kept) > 1:
            highest = self._drop()
            self._from = highest + 1 if self._from is None else max(self._from, highest + 1)

    def _promised(self, key: int) -> None:
        if self._until is not None and key <= self._until:
            return
        self._until = key
        begin = self._begin()
        assert begin is not None
        if self._due and begin > self._due_end:
            self._due.clear()
        while self._kept and self._kept[0][1] < begin:
            self._drop()

    def _drop(self) -> int:
        """Forget the oldest batch; its highest key."""
        _, highest, keys, _ = self._kept.popleft()
        self._size -= len(keys)
        return highest
