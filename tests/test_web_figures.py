"""The figures of the page: requests, errors and latency over time, and what is called most."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from browser import PHONE, NewPage, shot
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from web_bed import WebBed

MINE = '(path.startsWith("/figures/") || path.startsWith("/status/") || redis)'


@pytest.fixture(scope="module", autouse=True)
def traffic(web: WebBed) -> None:
    web.traffic.many(12, path=lambda number: f"/figures/{number % 2}")
    web.traffic.get("/status/204")
    web.traffic.get("/slow/40")
    web.traffic.redis("SET a 1", "GET a", "GET b")
    web.hub.wait_calls(MINE, 16)


def open_figures(page: Page, web: WebBed, filter: str = MINE) -> None:
    """Once all calls are in them."""
    page.goto(f"{web.url}/#/figures?{urlencode({'filter': filter}, quote_via=quote)}")
    expect(page.locator(".chart canvas")).to_have_count(3)
    expect(page.get_by_role("note")).to_contain_text(f"{len(web.hub.entries(filter))} calls received since")


def test_each_second_has_its_calls_and_errors(web: WebBed, page: Page) -> None:
    wanted: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for call in web.hub.entries(MINE):
        second = call["timestamp"][11:19]
        wanted[second] += 1
        errors[second] += not call["ok"]
    open_figures(page, web)
    page.get_by_text("The charts as a table").click()
    sheet = page.get_by_role("table", name="Figures over time")
    names, *told = sheet.evaluate("sheet => [...sheet.rows].map(row => [...row.cells].map(cell => cell.innerText))")
    rows = [dict(zip(names, cells, strict=True)) for cells in told]
    assert {row["from"]: int(row["calls"]) for row in rows} == dict(wanted)
    assert {row["from"]: int(row["errors"]) for row in rows} == dict(errors)
    assert sum(float(row["redis/s"]) for row in rows) == 3
    shot(page, "figures")


def test_calls_that_came_before_the_figures_were_loaded_are_in_them(web: WebBed, page: Page) -> None:
    page.add_init_script("requestIdleCallback = () => 0")
    page.goto(f"{web.url}/#/calls?{urlencode({'filter': MINE}, quote_via=quote)}")
    wanted = len(web.hub.entries(MINE))
    expect(page.get_by_role("grid", name="Calls")).to_have_attribute("aria-rowcount", str(wanted + 2))
    page.get_by_role("button", name="Figures", exact=True).click()
    expect(page.get_by_role("note")).to_contain_text(f"{wanted} calls received since")


def test_latency_has_its_percentiles(web: WebBed, page: Page) -> None:
    (call,) = web.hub.entries('path == "/slow/40"')
    open_figures(page, web, 'path == "/slow/40"')
    page.get_by_text("The charts as a table").click()
    cells = page.get_by_role("table", name="Figures over time").locator("tbody td").all_inner_texts()
    told = float(cells[-1].removesuffix(" ms"))
    assert abs(told - call["elapsed_time"] / 1_000) <= 0.5 + 0.032 * told
    assert cells[-3:] == [cells[-1]] * 3


def test_top_endpoints_are_counted_sorted_and_filter(web: WebBed, page: Page) -> None:
    open_figures(page, web)
    rows = page.get_by_role("region", name="Top endpoints").locator("tbody tr")
    expect(rows).to_have_count(5)
    assert rows.first.locator("td").nth(2).inner_text() == "6"
    redis = rows.filter(has_text="redis").filter(has_text="GET")
    assert redis.locator("td").nth(2).inner_text() == "2"
    page.get_by_role("button", name="p99", exact=True).click()
    expect(page.get_by_role("columnheader", name="p99")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="GET /figures/1").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("note")).to_contain_text("6 calls received")
    expect(page).to_have_url(re.compile("figures%2F1"))


def test_new_calls_are_counted_as_they_come(web: WebBed, page: Page) -> None:
    open_figures(page, web)
    expect(page.get_by_role("note")).to_contain_text("16 calls")
    web.traffic.redis("GET late")
    expect(page.get_by_role("note")).to_contain_text("17 calls")


def test_dragging_over_a_chart_chooses_a_time(web: WebBed, page: Page) -> None:
    web.traffic.get("/status/200?dragged")  # while calls come the charts show a minute at least
    web.hub.wait_calls('url.endsWith("dragged")')
    open_figures(page, web)
    over = page.locator(".chart .u-over").first
    box = over.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 30, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("from=.*to="))
    query = parse_qs(urlsplit(page.url).fragment.partition("?")[2])
    begin, end = (datetime.fromisoformat(query[name][0]) for name in ("from", "to"))
    assert begin < end <= datetime.now(UTC)
    assert query["filter"] == [MINE]


def test_the_pointer_tells_the_figures_of_its_moment(web: WebBed, page: Page) -> None:
    open_figures(page, web)
    over = page.locator(".chart .u-over").first
    over.hover(position={"x": 200, "y": 30})
    expect(page.get_by_role("region", name="Calls a second").locator("time")).to_have_text(
        re.compile(r"\d\d:\d\d:\d\d")
    )
    expect(page.get_by_role("region", name="Latency").locator("time")).to_be_visible()


def test_colours_follow_the_theme(web: WebBed, page: Page) -> None:
    open_figures(page, web)
    canvas = page.locator(".chart canvas").first
    picture = "canvas => canvas.toDataURL()"
    for _ in ("dark", "light"):
        before = canvas.evaluate(picture)
        page.get_by_role("button", name=re.compile("Colours")).click()
        page.wait_for_function("before => document.querySelector('.chart canvas').toDataURL() !== before", arg=before)


def test_figures_on_a_phone(web: WebBed, new_page: NewPage) -> None:
    page = new_page(size=PHONE)
    open_figures(page, web)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    shot(page, "figures-phone")


def test_captured_text_is_inert_in_figures(web: WebBed, page: Page) -> None:
    path = "/figures-hostile/<img/src=x/onerror=alert(1)>"
    web.traffic.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    mine = 'path.startsWith("/figures-hostile/")'
    web.hub.wait_calls(mine)
    open_figures(page, web, mine)
    page.get_by_role("button", name=f"GET {path}").click()
    expect(page.get_by_role("region", name="Top endpoints").locator("tbody tr")).to_have_count(1)
    expect(page.locator(".figures img")).to_have_count(0)
