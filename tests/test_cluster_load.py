"""A hub's memory does not grow with what it forwards. PYSNIFF_SOAK_SECONDS makes it long, as `tox -e soak` does."""

from __future__ import annotations

import os

import pytest

from benchmarks.hub import LIVE, ONE, Load, measure

SECONDS = int(os.environ.get("PYSNIFF_SOAK_SECONDS", "0"))
GROWTH = 64_000_000  # tables of duplicates, 30 MB of two workers' credit and a client's queue at most


def test_a_hub_forwards_more_than_it_keeps() -> None:
    taken = measure(ONE)
    assert taken.forwarded == ONE.entries * ONE.workers
    assert taken.bytes > 160_000_000
    assert taken.peak - taken.before < GROWTH


@pytest.mark.skipif(not SECONDS, reason="PYSNIFF_SOAK_SECONDS is not set")
def test_memory_is_flat_for_as_long_as_a_feed_goes_on() -> None:
    rate = 5_000
    load = Load(workers=2, entries=rate * SECONDS, rate=rate, clients=10, question=LIVE, seconds=SECONDS + 10)
    taken = measure(load)
    assert taken.forwarded == 2 * rate * SECONDS * 10
    assert taken.missed == 0
    assert taken.peak - taken.before < GROWTH
