"""What is said of each edge of a service map: counts, and exact percentiles of what was measured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pysniff.services.columns import FAILED, OPEN, UNANSWERED, Calls

PERCENTILES = (50, 90, 99)


class Figures(NamedTuple):
    """Of one edge. `bytes`: of requests and responses on the wire. `elapsed_time`: p50, p90, p99 in microseconds of
    calls that were answered, None where none was."""

    calls: int
    errors: int
    unanswered: int
    open: int
    bytes: int
    elapsed_time: tuple[int, int, int] | None


def figures(calls: Calls, edge: NDArray[np.int64], edges: int) -> list[Figures]:
    """Those of each edge; `edge`: of each call, by number, below `edges`."""
    kind, latency = calls["kind"], calls["latency"]

    def counted(which: NDArray[np.bool_]) -> list[int]:
        found: list[int] = np.bincount(edge[which], minlength=edges).tolist()
        return found

    every = counted(np.ones(len(edge), np.bool_))
    # Floating point is exact up to 9 PB.
    sizes = np.bincount(edge, weights=calls["size"], minlength=edges).astype(np.int64).tolist()
    timed = (latency >= 0) & (kind != OPEN)
    elapsed = percentiles(latency[timed], edge[timed], edges)
    counts = counted(kind == FAILED), counted(kind == UNANSWERED), counted(kind == OPEN)
    return [Figures(*each) for each in zip(every, *counts, sizes, elapsed, strict=True)]


def percentiles(values: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> list[tuple[int, int, int] | None]:
    """p50, p90 and p99 of each group by nearest rank: the smallest value that so many per cent do not exceed."""
    values = values[np.lexsort((values, group))]
    sizes = np.bincount(group, minlength=groups)
    begins = np.cumsum(sizes) - sizes
    ranks = [np.maximum((sizes * percent + 99) // 100 - 1, 0) for percent in PERCENTILES]
    places = [np.minimum(begins + rank, max(len(values) - 1, 0)) for rank in ranks]
    if not len(values):
        return [None] * groups
    found = zip(*[values[place].tolist() for place in places], strict=True)
    return [each if size else None for each, size in zip(found, sizes.tolist(), strict=True)]
