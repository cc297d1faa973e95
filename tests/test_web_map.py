"""The map of the page: who calls whom, of the calls that the page received, or of those that the nodes have stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from browser import PHONE, NewPage, shot
from cluster_programs import until
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page
    from web_bed import WebBed

MINE = '(path.startsWith("/map/") || grpc || redis || dns)'
# From, to, port, protocol, calls, errors, unanswered, open.
Edge = tuple[str, str, str, str, str, str, str, str]


@pytest.fixture(scope="module", autouse=True)
def traffic(web: WebBed) -> None:
    """Of several protocols, some of it failing; part of it seen on both nodes."""
    for name in ("shop.test", "stock.test", "cache.test"):
        web.traffic.dns(name)
    web.traffic.many(30, path=lambda number: f"/map/{number % 3}")
    web.traffic.grpc(5)
    web.traffic.redis("SET a 1", "GET a")
    web.hub.wait_calls(MINE, 3 + 30 + 5 + 2)


def open_map(page: Page, web: WebBed, filter: str = MINE) -> None:
    page.goto(f"{web.url}/#/map?{urlencode({'filter': filter}, quote_via=quote)}")


def received(page: Page, wanted: dict[str, Any]) -> None:
    """All calls are on the map: it is not drawn anew."""
    expect(page.get_by_role("note")).to_contain_text(f"{wanted['calls']} calls received since")


def table(page: Page) -> Locator:
    page.get_by_role("button", name="Table", exact=True).click()
    return page.get_by_role("region", name="Edges of the map").locator("tbody tr")


def shown(rows: Locator) -> set[Edge]:
    """What the table says, but for rates, sizes and times."""
    found = set()
    for cells in rows.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"):
        source, target, port, protocol, calls, _, errors, unanswered, still_open, *_ = (
            cell.split()[0] for cell in cells
        )
        found.add((source, target, port, protocol, calls, errors, unanswered, still_open))
    return found


def told(services: dict[str, Any]) -> set[Edge]:
    counts = ("calls", "errors", "unanswered", "open")
    return {
        (edge["source"], edge["target"], str(edge["port"]), edge["protocol"], *(f"{edge[name]:,}" for name in counts))
        for edge in services["edges"]
    }


def calls(edges: Iterable[Edge]) -> int:
    return sum(int(edge[4].replace(",", "")) for edge in edges)


def services(web: WebBed, filter: str = MINE) -> dict[str, Any]:
    found: dict[str, Any] = web.hub.ask(f"/api/services?{urlencode({'filter': filter})}")
    return found


def test_what_the_page_received_is_the_same_map_as_the_hubs(web: WebBed, page: Page) -> None:
    wanted = services(web)
    open_map(page, web)
    rows = table(page)
    received(page, wanted)
    assert shown(rows) == told(wanted)
    assert len(told(wanted)) == 4


def test_what_is_stored_is_the_hubs_own_map(web: WebBed, page: Page) -> None:
    wanted = services(web)
    open_map(page, web)
    page.get_by_role("button", name="Stored").click()
    rows = table(page)
    note = page.get_by_role("note")
    expect(note).to_contain_text(f"{wanted['calls']} calls stored")
    expect(note).to_contain_text(f"{wanted['duplicates']} sightings of the same calls on another node count once")
    expect(page.get_by_role("button", name="Refresh")).to_be_enabled()
    assert shown(rows) == told(wanted)


def test_new_calls_are_on_the_map_as_they_come(web: WebBed, page: Page) -> None:
    open_map(page, web, 'path.startsWith("/map-live/")')
    expect(page.get_by_text("No calls yet")).to_be_visible()
    web.traffic.many(7, path="/map-live/{}".format)
    expect(page.locator(".node")).to_have_count(2)
    rows = table(page)
    expect(rows).to_have_count(1)
    expect(rows.locator("td").nth(4)).to_have_text("7")
    expect(rows.locator("td").nth(6)).to_contain_text("100 %")


def test_services_are_drawn_and_arrows_say_what_goes_between_them(web: WebBed, page: Page) -> None:
    open_map(page, web)
    expect(page.locator(".node")).to_have_count(5)
    expect(page.locator(".edge")).to_have_count(4)
    shop = page.get_by_role("button", name=re.compile("^shop.test: made 7 calls, answered 30, "))
    expect(shop).to_be_visible()
    redis = page.locator('.edge[data-edge="6379/redis"]')
    expect(redis).to_have_attribute("data-trouble", "none")
    expect(page.locator('.edge[data-edge="50051/grpc"]')).to_have_attribute("data-trouble", "much")
    redis.dispatch_event("pointerenter")
    expect(page.locator(".map-tip")).to_contain_text("shop.test → cache.test")
    expect(page.locator(".map-tip")).to_contain_text("p99")
    shot(page, "map")


def test_a_click_on_an_arrow_filters_the_feed(web: WebBed, page: Page) -> None:
    open_map(page, web)
    page.locator('.edge[data-edge="6379/redis"] .hit').dispatch_event("click")
    expect(page).to_have_url(
        re.compile(re.escape(quote('dst.name == "cache.test"', safe="")).replace("%20", "(%20|\\+)"))
    )
    chosen = page.get_by_role("region", name="Chosen on the map")
    expect(chosen).to_contain_text("shop.test → cache.test")
    expect(page.locator(".edge")).to_have_count(1)
    expect(page.get_by_role("note")).to_contain_text("2 calls received")
    shot(page, "map-chosen")
    chosen.get_by_role("button", name="Show calls").click()
    expect(page).to_have_url(re.compile("#/calls"))
    page.go_back()
    page.go_back()
    expect(page.locator(".edge")).to_have_count(4)


def test_a_click_on_a_service_filters_and_shift_excludes(web: WebBed, page: Page) -> None:
    open_map(page, web)
    page.get_by_role("button", name=re.compile("^stock.test")).click()
    expect(page.locator(".edge")).to_have_count(1)
    page.go_back()
    expect(page.locator(".edge")).to_have_count(4)
    page.get_by_role("button", name=re.compile("^stock.test")).click(modifiers=["Shift"])
    expect(page.locator(".edge")).to_have_count(3)
    expect(page.locator('.edge[data-edge="50051/grpc"]')).to_have_count(0)


def test_the_table_filters_too_and_sorts(web: WebBed, page: Page) -> None:
    open_map(page, web)
    rows = table(page)
    expect(rows).to_have_count(4)
    page.get_by_role("button", name="from", exact=True).click()
    expect(page.get_by_role("columnheader", name="from")).to_have_attribute("aria-sort", "ascending")
    names = rows.locator("td:first-child").all_inner_texts()
    assert sorted(names) == names
    page.get_by_role("button", name=re.compile("^Only the calls from shop.test to stock.test")).click()
    expect(rows).to_have_count(1)
    expect(rows.locator("td").nth(4)).to_have_text("5")


def test_services_are_put_together_by_port_namespace_or_machine(web: WebBed, page: Page) -> None:
    open_map(page, web)
    group = page.get_by_label("Group by")
    group.select_option("port")
    expect(page.get_by_role("button", name=re.compile("^cache.test:6379"))).to_be_visible()
    group.select_option("namespace")  # of shop.test it is test
    expect(page.locator(".node")).to_have_count(2)
    expect(page.get_by_role("button", name=re.compile("^test: "))).to_be_visible()
    group.select_option("machine")
    expect(page.get_by_role("button", name=re.compile("^n1: "))).to_be_visible()
    page.get_by_role("button", name="Stored").click()
    expect(group).to_have_value("service")
    expect(group.locator("option[value=machine]")).to_be_disabled()


def test_keys_move_the_map_and_choose_on_it(web: WebBed, page: Page) -> None:
    open_map(page, web)
    received(page, services(web))
    drawing = page.get_by_role("group", name=re.compile("^Map: 5 services"))
    drawing.focus()
    before = drawing.locator("> g").get_attribute("transform")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    expect(drawing.locator("> g")).not_to_have_attribute("transform", before or "")
    page.keyboard.press("0")
    expect(drawing.locator("> g")).to_have_attribute("transform", before or "")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".node:nth-child(2)")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Chosen on the map")).to_be_visible()


def test_a_service_is_dragged_without_being_chosen(web: WebBed, page: Page) -> None:
    open_map(page, web)
    received(page, services(web))
    node = page.get_by_role("button", name=re.compile("^cache.test"))
    circle = node.locator("circle").bounding_box()
    assert circle
    before = node.get_attribute("transform") or ""
    page.mouse.move(circle["x"] + circle["width"] / 2, circle["y"] + circle["height"] / 2)
    page.mouse.down()
    page.mouse.move(circle["x"] + 90, circle["y"] + 70, steps=4)
    page.mouse.up()
    expect(node).not_to_have_attribute("transform", before)
    expect(page.get_by_role("region", name="Chosen on the map")).to_have_count(0)
    expect(page.locator(".edge")).to_have_count(4)


def test_a_filter_that_the_hub_refuses_is_told_in_its_words(web: WebBed, page: Page) -> None:
    open_map(page, web)
    page.get_by_role("button", name="Stored").click()
    expect(page.get_by_role("note")).to_contain_text("calls stored")
    open_map(page, web, "nothing_is_called_so == 1")
    expect(page.get_by_role("note")).to_contain_text("unknown variable")


def test_a_node_that_is_away_is_named(web: WebBed, page: Page) -> None:
    web.workers["n2"].stop()
    # Who is asked just when it goes is waited for, longer than a page is here.
    until(lambda: any(one["state"] != "connected" for one in web.hub.ask("/api/workers")["workers"]), "n2 to be away")
    try:
        open_map(page, web)
        page.get_by_role("button", name="Stored").click()
        expect(page.get_by_role("note")).to_contain_text("Nothing of n2")
    finally:
        web.start_worker("n2")
        web.await_connected(web.hub, "n2")


def test_a_phone_has_the_table(web: WebBed, new_page: NewPage) -> None:
    page = new_page(size=PHONE)
    open_map(page, web)
    expect(page.get_by_role("button", name="Table", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("region", name="Edges of the map").locator("tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Drawing", exact=True).click()
    expect(page.locator(".node")).to_have_count(5)
    shot(page, "map-phone")
