"""The page while calls rush in: what its scripts take of a frame, and what it keeps.

A worker that has its calls ready, the real hub and the built page in Debian's Chromium, 1280x720, following the newest
call. Every call crosses the hub; the worker alone is a stand-in.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.measure import LIMIT, Samples, interleave, tree
from benchmarks.page_trace import CATEGORIES, Frames, frames
from benchmarks.report import Ratio, Row, Section, skipped

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RATES = (2_000, 10_000)
WARM, SECONDS = 5.0, 8.0
GOAL = 8.0  # milliseconds of scripting a frame
HOUR = 7_200_000  # entries: 2,000 a second for an hour
FAST = 20_000  # a second: so that an hour's worth comes in six minutes
KEPT = 100_000
ROWS = ".feed-drawn [role=row]"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


class Counts(NamedTuple):
    """As the page tells them: received = kept + fell out."""

    received: int
    kept: int
    evicted: int
    missed: int


@contextmanager
def _actor(*words: str) -> Iterator[Callable[[], dict[str, int]]]:
    """A process of benchmarks/page_actors.py; gives what it says next."""
    command = [sys.executable, "-m", "benchmarks.page_actors", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tree())
    assert process.stdout is not None and process.stdin is not None
    said = process.stdout

    def line() -> dict[str, int]:
        text = said.readline()
        if not text:
            raise RuntimeError(f"{words} said nothing")
        found: dict[str, int] = json.loads(text)
        return found

    try:
        yield line
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


class Rush(NamedTuple):
    """A hub at `url` whose worker sees many calls once they are asked for; `sent()` returns when it told them all."""

    url: str
    sent: Callable[[], object]


@contextmanager
def rush(entries: int, rate: int) -> Iterator[Rush]:
    with _actor("worker", str(entries), str(rate)) as worker, _actor("hub", str(worker()["port"])) as hub:
        yield Rush(f"http://127.0.0.1:{hub()['port']}/", worker)


@contextmanager
def opened(browser: Browser, entries: int, rate: int) -> Iterator[Page]:
    """The page, which asks for them."""
    with rush(entries, rate) as hub:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        try:
            page.goto(hub.url)
            page.locator(ROWS).first.wait_for(timeout=LIMIT * 1000)
            yield page
        finally:
            page.close()


def traced(browser: Browser, page: Page, seconds: float) -> Frames:
    browser.start_tracing(page=page, categories=list(CATEGORIES))
    page.wait_for_timeout(seconds * 1000)
    return frames(json.loads(browser.stop_tracing())["traceEvents"])


def heap(page: Page) -> float:
    """Megabytes of scripts' objects and of packed calls, after a collection."""
    talk = page.context.new_cdp_session(page)
    talk.send("HeapProfiler.collectGarbage")
    used: dict[str, Any] = talk.send("Runtime.getHeapUsage")
    talk.detach()
    return float(used["usedSize"] + used.get("backingStorageSize", 0)) / 1e6


def counts(page: Page) -> Counts:
    told = page.locator(".feed-controls .rate")
    return Counts(*(int(told.get_attribute(f"data-{name}") or 0) for name in Counts._fields))


class Taken(NamedTuple):
    frames: Frames
    heap: float


def measure(browser: Browser, rate: int) -> Taken:
    entries = round(rate * (WARM + SECONDS) * 3)
    with opened(browser, entries, rate) as page:
        page.wait_for_timeout(WARM * 1000)
        found = traced(browser, page, SECONDS)
        return Taken(found, heap(page))


def fed(browser: Browser, entries: int = HOUR, rate: int = FAST) -> tuple[float, float, Counts]:
    """Megabytes when the bound is reached, and after so many entries."""
    with opened(browser, entries, rate) as page:
        _until(page, 2 * KEPT)
        before = heap(page)
        _until(page, entries)
        return before, heap(page), counts(page)


def _until(page: Page, entries: int) -> None:
    """Until so many came, or were missed."""
    page.wait_for_function(
        "count => { const {received, missed} = document.querySelector('.feed-controls .rate').dataset;"
        " return Number(received) + Number(missed) >= count }",
        arg=entries,
        timeout=entries / FAST * 10_000 + LIMIT * 1000,
    )


def run(rounds: int) -> Section:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        return skipped("Page", "chromium is not installed")
    kept: dict[int, list[Taken]] = {rate: [] for rate in RATES}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)

        def take(rate: int) -> float:
            kept[rate].append(measure(browser, rate))
            return statistics.median(kept[rate][-1].frames.scripting)

        medians = interleave({str(rate): partial(take, rate) for rate in RATES}, rounds, LIMIT)
        before, after, told = fed(browser)
        browser.close()
    goal = Samples((GOAL,))
    rows, notes = [], []
    for rate in RATES:
        what = f"scripting a frame, {rate:,} entries/s"
        rows.append(Row(what, medians[str(rate)], "8 ms", goal, "ms", Ratio.AT_MOST, 1))
        best = min(kept[rate], key=lambda taken: statistics.median(taken.frames.scripting))
        slow = statistics.quantiles(best.frames.scripting, n=20)[-1]
        notes.append(
            f"{rate:,} entries/s: {best.frames.per_second:.0f} frames/s; a frame's scripts take "
            f"{statistics.median(best.frames.scripting):.1f} ms of CPU in the median and {slow:.1f} ms at p95, its "
            f"style, layout and paint {statistics.median(best.frames.rendering):.1f} ms; heap {best.heap:.0f} MB."
        )
    notes.append(
        f"An hour's worth, {told.received + told.missed:,} entries at {FAST:,} a second ({told.missed:,} of them "
        f"missed, {told.kept:,} kept): heap {after:.0f} MB, {before:.0f} MB after {2 * KEPT:,}."
    )
    return Section("Page", rows, notes)
