"""What came of calls that were sent again: counts, times, and where answers differ from the recorded ones."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from pysniff.cluster.replay_call import Answer, Call, Reply
from pysniff.message import printable
from pysniff.services.figures import percentiles

DIFFERENCES = 100  # told one by one; the rest are counted
REASONS = 20  # why calls failed
STATUSES = 100  # told apart
_VALUE = 200  # characters of a value that is shown


class Difference(NamedTuple):
    """`what`: status, size, sha256, or the name of a field. `recorded`, `replayed`: "" where there is none."""

    id: str
    what: str
    recorded: str
    replayed: str


class Outcome:
    """Counts as a run goes on: sent(), then answered() or failed() of every call."""

    def __init__(self) -> None:
        self.sent = self.answered = self.failed = self.late = 0
        self.same = self.differing = 0
        self._elapsed: list[int] = []
        self._recorded: list[int] = []
        self._statuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._differences: Counter[Difference] = Counter()
        self._left_out = 0

    def add(self, call: Call, reply: Reply) -> None:
        """An answer came."""
        self.answered += 1
        self._elapsed.append(reply.elapsed)
        if call.elapsed is not None:
            self._recorded.append(call.elapsed)
        _count(self._statuses, str(reply.answer.status), STATUSES)
        if call.answer is None:
            return
        found = differences(call.id, call.answer, reply.answer)
        self.differing += bool(found)
        self.same += not found
        for difference in found:
            if len(self._differences) < DIFFERENCES or difference in self._differences:
                self._differences[difference] += 1
            else:
                self._left_out += 1

    def fail(self, reason: str) -> None:
        self.failed += 1
        _count(self._reasons, reason[:_VALUE], REASONS)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; docs/replay.md describes it."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "same": self.same,
            "differing": self.differing,
            "not_compared": self.answered - self.same - self.differing,
            "elapsed_time": _percentiles(self._elapsed),
            "recorded_elapsed_time": _percentiles(self._recorded),
            "statuses": dict(self._statuses.most_common()),
            "failures": [{"reason": reason, "count": count} for reason, count in self._reasons.most_common()],
            "differences": [{**one._asdict(), "count": count} for one, count in self._differences.most_common()],
            "differences_left_out": self._left_out,
            "late": self.late,
        }


def differences(id: str, recorded: Answer, replayed: Answer) -> list[Difference]:
    """Where two answers differ, as far as both are known."""
    pairs = [("status", str(recorded.status), str(replayed.status))]
    if recorded.fields is not None and replayed.fields is not None:
        names = {**recorded.fields, **replayed.fields}
        pairs += [(name, recorded.fields.get(name, ""), replayed.fields.get(name, "")) for name in names]
    if recorded.size is not None and replayed.size is not None:
        pairs.append(("size", str(recorded.size), str(replayed.size)))
        pairs.append(("sha256", recorded.sha256, replayed.sha256))
    return [Difference(id, what, _shown(mine), _shown(other)) for what, mine, other in pairs if mine != other]


def _shown(value: str) -> str:
    return printable(value[:_VALUE])


def _count(counter: Counter[str], key: str, most: int) -> None:
    counter[key if key in counter or len(counter) < most else "other"] += 1


def _percentiles(values: list[int]) -> dict[str, int] | None:
    found = percentiles(np.array(values, np.int64), np.zeros(len(values), np.int64), 1)[0]
    return None if found is None else dict(zip(("p50", "p90", "p99"), found, strict=True))
