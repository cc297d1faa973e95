"""The same call seen on several nodes: which of them counts.

Two nodes agree on a call's fingerprint. Calls that are alike on one connection have the same, so the first on one node
goes with the first on another, the second with the second, as long as they are close in time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pysniff.limits import SECOND

APART = 2 * SECOND  # nodes' clocks, and packets on their way

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]


def first_seen(fingerprint: NDArray[np.uint64], node: Numbers, time: Numbers) -> Mask:
    """Of each call the one that was seen first; `node`: on which, by number, `time`: nanoseconds."""
    if not len(fingerprint):
        return np.empty(0, np.bool_)
    order = np.lexsort((time, node, fingerprint))
    fingerprint, node, time = fingerprint[order], node[order], time[order]
    kind = np.cumsum(_changes(fingerprint)) - 1
    rank = _ranks(_changes(fingerprint) | _changes(node))
    keep, settled = _by_rank(kind, rank, time)
    for begin, end in _runs(kind, ~settled[kind]):
        keep[begin:end] = _by_time(node[begin:end], time[begin:end])
    found = np.empty(len(order), np.bool_)
    found[order] = keep
    return found


def _changes(values: NDArray[np.generic]) -> Mask:
    """Where a run of equal values begins."""
    begins = np.ones(len(values), np.bool_)
    begins[1:] = values[1:] != values[:-1]
    return begins


def _ranks(begins: Mask) -> Numbers:
    """Positions within runs, from 0."""
    position = np.arange(len(begins))
    return position - np.maximum.accumulate(np.where(begins, position, 0))


def _by_rank(kind: Numbers, rank: Numbers, time: Numbers) -> tuple[Mask, Mask]:
    """The first of each n-th call; and the kinds of calls for which that is right, since all n-th ones are close."""
    order = np.lexsort((time, rank, kind))
    begins = _changes(kind[order]) | _changes(rank[order])
    leader = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    times = time[order]
    settled = np.ones(int(kind[-1]) + 1, np.bool_)
    settled[kind[order[times - times[leader] > APART]]] = False
    keep = np.empty(len(order), np.bool_)
    keep[order] = begins
    return keep, settled


def _runs(kind: Numbers, wanted: Mask) -> list[tuple[int, int]]:
    begins = np.flatnonzero(_changes(kind))
    ends = np.append(begins[1:], len(kind))
    return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True) if wanted[begin]]


def _by_time(node: Numbers, time: Numbers) -> Mask:
    """The same for calls of which a node may lack some: each joins the earliest one that is near and not its node's."""
    keep = np.zeros(len(node), np.bool_)
    calls: list[tuple[int, set[int]]] = []  # in order: since when, and on which nodes
    looked: dict[int, int] = {}  # of each node: so many of them are its own already, or too old
    nodes, times = node.tolist(), time.tolist()
    for place in np.argsort(time, kind="stable").tolist():
        here, now = nodes[place], times[place]
        at = looked.get(here, 0)
        while at < len(calls) and (now - calls[at][0] > APART or here in calls[at][1]):
            at += 1
        looked[here] = at
        if at < len(calls):
            calls[at][1].add(here)
        else:
            keep[place] = True
            calls.append((now, {here}))
    return keep
