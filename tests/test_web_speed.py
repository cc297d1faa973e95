"""The list of calls under load: what comes, what is kept, what fell out and what was missed add up, to the call.

How quick it is benchmarks/page.py measures.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from browser import PATIENCE, shot
from chromium import program
from playwright.sync_api import expect

from benchmarks.page import Counts, Rush, counts, rush
from benchmarks.page_trace import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

ENTRIES, RATE = 120_000, 12_000
KEPT = 100_000
FIRST = re.compile(r"bench\.5f3a9c0012ab34cd\.(\d{10})")


@pytest.fixture
def rushing(built_page: None) -> Iterator[Rush]:
    """A hub whose worker sees 120,000 calls from the first question on."""
    assert program()
    with rush(ENTRIES, RATE) as hub:
        yield hub


def told(page: Page) -> Counts:
    """The counts once everything came, or was missed."""
    page.wait_for_function(
        "all => { const {received, missed} = document.querySelector('.feed-controls .rate').dataset;"
        " return Number(received) + Number(missed) >= all }",
        arg=ENTRIES,
        timeout=10 * PATIENCE,
    )
    return counts(page)


def numbers(page: Page) -> list[int]:
    ids = page.locator(".feed-drawn [role=row]").evaluate_all("rows => rows.map(row => row.dataset.id)")
    return [int(found[1]) for one in ids if (found := FIRST.fullmatch(one))]


def test_every_call_is_kept_or_fell_out_and_none_comes_twice(rushing: Rush, page: Page) -> None:
    page.goto(rushing.url)
    found = told(page)
    assert found.received + found.missed == ENTRIES
    assert found.kept == min(KEPT, found.received)
    assert found.evicted == found.received - found.kept
    # Counts are told before the last rows are drawn.
    expect(page.locator(".feed-drawn [role=row]").last).to_have_attribute("data-id", re.compile(f"{ENTRIES - 1}$"))
    shown = numbers(page)
    assert shown == list(range(ENTRIES - len(shown), ENTRIES))
    if not found.missed:
        page.keyboard.press("Home")
        expect(page.get_by_text(f"{found.evicted:,} earlier calls fell out")).to_be_visible()
        assert numbers(page)[0] == ENTRIES - KEPT
    page.keyboard.press("End")
    expect(page.locator(".feed-drawn [aria-selected=true]")).to_have_attribute("data-id", re.compile(f"{ENTRIES - 1}$"))


def test_what_the_hub_dropped_for_a_page_that_stood_still_is_told(rushing: Rush, page: Page) -> None:
    page.goto(rushing.url)
    expect(page.locator(".feed-drawn [role=row]").first).to_be_visible()
    debugger = page.context.new_cdp_session(page)
    page.evaluate("() => { setTimeout(() => { for (;;); }, 0) }")
    rushing.sent()  # the hub waits for no page with what is new
    debugger.send("Runtime.terminateExecution")
    found = told(page)
    assert found.missed > 0
    assert found.received + found.missed == ENTRIES
    assert found.received == found.kept + found.evicted
    shot(page, "feed-missed")
    page.get_by_role("button", name=re.compile(r"^[0-9,]+ missed$")).click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{found.missed:,} calls were missed")


def test_a_frames_scripting_is_that_of_scripts_without_the_layout_they_cause() -> None:
    def span(name: str, start: int, length: int, cpu: int, thread: int = 7) -> dict[str, object]:
        return {"name": name, "ph": "X", "pid": 1, "tid": thread, "ts": start, "dur": length, "tdur": cpu}

    trace: list[dict[str, Any]] = [
        *({"name": "BeginMainThreadFrame", "ph": "I", "pid": 1, "tid": 7, "ts": at} for at in (0, 16_000, 32_000)),
        span("RunTask", 1_000, 9_000, 8_000),
        span("FireAnimationFrame", 1_000, 8_000, 7_000),
        span("FunctionCall", 1_500, 7_000, 6_500),
        span("Layout", 2_000, 3_000, 2_000),
        span("MinorGC", 6_000, 1_000, 1_000),
        span("FunctionCall", 3_000, 1_000, 1_000, thread=8),
        span("Paint", 17_000, 1_000, 500),
        span("FunctionCall", 40_000, 1_000, 1_000),  # of a frame whose end was not seen
    ]
    found = frames(trace)
    assert found.scripting == [5.0, 0.0]
    assert found.rendering == [2.0, 0.5]
    assert round(found.per_second, 1) == 62.5
