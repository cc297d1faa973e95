"""The list of calls: what a row shows, how the list moves, its keys, and what it does when the hub goes away."""

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from browser import PATIENCE, PHONE, NewPage, Pages, shot
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page
    from web_bed import HubProgram, WebBed

SHOP, NAMES = "10.78.1.11", "10.78.2.12"


class Held:
    """A call to a server of ours, that answers when told to."""

    def __init__(self, web: WebBed, port: int, path: str) -> None:
        with web.bed.listen("n1b", port) as listener:
            self._client = web.bed.connect("n1a", (SHOP, port))
            self._server, _ = listener.accept()
        self._client.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())

    def answer(self) -> None:
        self._server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.close()

    def close(self) -> None:
        self._client.close()
        self._server.close()


def opened(page: Page, web: WebBed | HubProgram, filter: str, rest: str = "") -> Page:
    page.goto(f"{web.url}/#/calls?filter={quote(filter)}{rest}")
    return page


def below(path: str) -> str:
    return f'path.startsWith("/{path}/")'


def rows(page: Page) -> Locator:
    """Those that are drawn."""
    return page.locator(".feed-drawn [role=row]")


def row(page: Page, text: str) -> Locator:
    """By its summary, beside which there is a + where the pointer is."""
    return rows(page).filter(has=page.locator(".of-summary", has_text=re.compile(rf"^{re.escape(text)}\+?$")))


def summaries(page: Page) -> list[str]:
    return page.locator(".feed-drawn .of-summary").all_inner_texts()


def kept(page: Page, count: int) -> None:
    """So many rows are there, drawn or not: beside them stand the heads and the line above."""
    expect(page.get_by_role("grid", name="Calls")).to_have_attribute("aria-rowcount", str(count + 2))


def many(web: WebBed, folder: str, count: int, first: int = 0) -> None:
    web.traffic.many(count, lambda number: f"/{folder}/{first + number:05d}")


# What a row shows


def test_a_call_says_what_it_was(web: WebBed, page: Page) -> None:
    web.traffic.dns("shop.test")
    web.hub.wait_calls('dns && dns_questions[0] == "shop.test"')
    web.traffic.json("/row/orders", {"tea": 2})
    opened(page, web, below("row"))
    call = row(page, "/row/orders")
    for column, text in {
        "time": r"^\d\d:\d\d:\d\d\.\d{3}$",
        "protocol": "^http$",
        "status": "^404$",
        "method": "^POST$",
        "summary": "^/row/orders$",
        "src": r"^10\.78\.1\.10$",
        "dst": "^shop.test:80$",
        "latency": "^[0-9.]+ (µs|ms|s)$",
        "sent": "^10 B$",
        "got": "^[0-9.]+ B$",
    }.items():
        expect(call.locator(f".of-{column}")).to_have_text(re.compile(text))
    call.hover()
    expect(call.locator(".of-dst")).to_have_attribute("title", f"shop.test {SHOP}:80")
    expect(call.locator(".of-time")).to_have_attribute("title", re.compile(r"T.*\.\d{9}Z$"))


def test_protocols_and_outcomes_have_words_and_colours(web: WebBed, page: Page) -> None:
    web.traffic.get("/looks/catalogue")
    web.traffic.get("/status/500?looks")
    web.traffic.dns("shop.test")
    web.traffic.redis("SET looks 1")
    opened(page, web, 'url.contains("looks") || dns || redis')
    shown = {}
    for name in ("http", "dns", "redis"):
        cell = page.locator(f".feed-drawn .of-protocol.{name}").first
        expect(cell).to_have_text(name)
        shown[name] = cell.evaluate("one => getComputedStyle(one).color")
    assert len(set(shown.values())) == 3
    failed = rows(page).filter(has=page.locator(".of-status.was-bad")).first
    expect(failed.locator(".of-status")).to_have_text("500")
    colours = [
        page.locator(f".feed-drawn .of-status.was-{name}").first.evaluate("one => getComputedStyle(one).color")
        for name in ("bad", "warn", "good")
    ]
    assert len(set(colours)) == 3


def test_nodes_are_named_where_there_are_several(web: WebBed, page: Page) -> None:
    web.traffic.get("/alone/1")
    opened(page, web, below("alone"))
    expect(row(page, "/alone/1")).to_be_visible()
    expect(page.locator(".feed-drawn .of-node").first).to_be_hidden()
    web.traffic.redis("SET across nodes")
    opened(page, web, 'redis_command == "SET"')
    expect(page.locator(".feed-drawn .of-node").first).to_have_text("n1 n2")


def test_a_fault_is_marked_and_told_in_words(web: WebBed, page: Page) -> None:
    web.traffic.get("/cut?marked")
    opened(page, web, 'url.contains("marked")')
    mark = row(page, "/cut").get_by_role("img")
    expect(mark).to_have_attribute("title", "it was cut short")


# How the list moves


def test_the_list_sticks_to_the_newest_until_one_scrolls_up(web: WebBed, page: Page) -> None:
    many(web, "stick", 60)
    opened(page, web, below("stick"))
    kept(page, 60)
    expect(row(page, "/stick/00059")).to_be_in_viewport()
    many(web, "stick", 20, 60)
    expect(row(page, "/stick/00079")).to_be_in_viewport()
    rows(page).last.hover()
    top = page.locator("#calls").evaluate("one => one.scrollTop")
    page.mouse.wheel(0, -240)  # browsers take some frames for it
    page.wait_for_function("top => Math.abs(document.querySelector('#calls').scrollTop - top) < 2", arg=top - 240)
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "false")
    before = summaries(page)
    many(web, "stick", 30, 80)
    kept(page, 110)
    assert [one for one in summaries(page) if one in before] == before
    shot(page, "feed-scrolled-up")
    page.get_by_role("button", name=re.compile(r"\d+ newer")).click()
    expect(row(page, "/stick/00109")).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "true")


def test_older_calls_come_a_page_at_a_time_and_nothing_moves(web: WebBed, page: Page) -> None:
    many(web, "older", 1_120)
    web.hub.wait_calls(below("older"), 1_120)
    time.sleep(2.5)  # what is new is asked from two seconds before now, for clocks that differ
    opened(page, web, below("older"))
    kept(page, 500)
    row(page, "/older/01100").click()
    page.keyboard.press("Home")
    top = row(page, "/older/00620")
    expect(top).to_have_attribute("aria-selected", "true")
    kept(page, 999)  # the one that a page begins with is known
    expect(top).to_be_in_viewport()
    expect(top).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    expect(row(page, "/older/00121")).to_be_in_viewport()
    kept(page, 1_120)
    page.keyboard.press("Home")
    expect(row(page, "/older/00000")).to_be_in_viewport()
    expect(page.get_by_text("The workers have nothing earlier.")).to_be_visible()
    assert len(set(summaries(page))) == rows(page).count()


def test_pause_holds_the_list_still_and_keeps_what_comes(web: WebBed, page: Page) -> None:
    many(web, "pause", 5)
    opened(page, web, below("pause"))
    kept(page, 5)
    page.keyboard.press("Space")
    many(web, "pause", 7, 5)
    expect(page.get_by_role("button", name="Resume (7)")).to_be_visible()
    kept(page, 5)
    page.keyboard.press("Space")
    kept(page, 12)
    expect(row(page, "/pause/00011")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_cleared_calls_stay_away_until_one_asks_for_them(web: WebBed, page: Page) -> None:
    many(web, "clear", 5)
    opened(page, web, below("clear"))
    kept(page, 5)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(rows(page)).to_have_count(0)
    many(web, "clear", 1, 5)
    kept(page, 1)
    page.get_by_role("button", name="Show earlier calls").click()
    kept(page, 6)
    assert summaries(page) == [f"/clear/{number:05d}" for number in range(6)]


# The keyboard


def test_the_keys_choose_open_and_leave(web: WebBed, page: Page) -> None:
    many(web, "keys", 40)
    opened(page, web, below("keys"))
    kept(page, 40)
    page.keyboard.press("End")
    chosen = page.locator(".feed-drawn [aria-selected=true]")
    expect(chosen).to_contain_text("/keys/00039")
    expect(page.get_by_role("grid", name="Calls")).to_have_attribute("aria-activedescendant", "chosen-call")
    for key, number in (("ArrowUp", 38), ("ArrowUp", 37), ("ArrowDown", 38), ("Home", 0), ("ArrowUp", 0)):
        page.keyboard.press(key)
        expect(chosen).to_contain_text(f"/keys/{number:05d}")
        expect(chosen).to_be_in_viewport()
    page.keyboard.press("PageDown")
    expect(chosen).not_to_contain_text("/keys/00000")
    page.keyboard.press("Enter")
    pane = page.locator(".pane.second")
    expect(pane.locator(":focus")).to_have_count(1)
    shot(page, "feed-chosen")
    page.keyboard.press("Escape")
    expect(pane).to_have_count(0)
    expect(page.get_by_role("grid", name="Calls")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid", name="Calls")).not_to_be_focused()


def test_letters_are_keys_but_not_while_typing(web: WebBed, page: Page) -> None:
    many(web, "letters", 3)
    opened(page, web, below("letters"))
    kept(page, 3)
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("f")
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("f")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    help = page.get_by_role("dialog", name="Keys")
    expect(help).to_be_visible()
    shot(page, "feed-keys")
    page.keyboard.press("Escape")
    expect(help).to_be_hidden()
    page.keyboard.press("/")
    typed = page.locator("#filter")
    expect(typed).to_be_focused()
    typed.press("End")
    typed.press_sequentially("f ?")
    expect(typed).to_have_value(re.compile(r"f \?$"))
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(help).to_be_hidden()


# The address, and values


def test_a_link_shows_a_colleague_the_same(web: WebBed, page: Page, new_page: NewPage) -> None:
    many(web, "link", 90)
    opened(page, web, below("link"))
    kept(page, 90)
    row(page, "/link/00070").click()
    page.keyboard.press("ArrowUp")
    expect(page).to_have_url(re.compile("call=n1"))
    other = new_page()
    other.goto(page.url)
    kept(other, 90)
    expect(other.locator(".feed-drawn [aria-selected=true]")).to_contain_text("/link/00069")
    expect(other.locator(".feed-drawn [aria-selected=true]")).to_be_in_viewport()
    expect(other.locator(".pane.second")).to_contain_text("/link/00069")
    expect(other.locator("#filter")).to_have_value(below("link"))


def test_another_question_empties_the_list_and_asks_anew(web: WebBed, page: Page) -> None:
    many(web, "first", 4)
    many(web, "second", 3)
    opened(page, web, below("first"))
    kept(page, 4)
    page.locator("#filter").fill(below("second"))
    page.locator("#filter").press("Enter")
    kept(page, 3)
    assert summaries(page) == [f"/second/{number:05d}" for number in range(3)]
    page.go_back()
    kept(page, 4)
    expect(page.locator("#filter")).to_have_value(below("first"))


def test_a_time_range_ends_the_list(web: WebBed, page: Page) -> None:
    many(web, "range", 6)
    times = [call["timestamp"] for call in web.hub.wait_calls(below("range"), 6)]
    opened(page, web, below("range"), f"&from={times[1]}&to={times[4]}")
    kept(page, 4)
    many(web, "range", 2, 6)
    kept(page, 4)
    assert summaries(page) == [f"/range/{number:05d}" for number in range(1, 5)]


def test_a_filter_that_is_none_is_refused_in_the_hubs_words(web: WebBed, page: Page) -> None:
    opened(page, web, "nonsense ==")
    expect(page.locator("main")).to_contain_text(re.compile("unknown|expected|variable", re.IGNORECASE))


def test_a_cells_value_narrows_the_filter(web: WebBed, page: Page) -> None:
    web.traffic.get("/value/a")
    web.traffic.http("POST", "/value/b")
    opened(page, web, below("value"))
    kept(page, 2)
    row(page, "/value/a").locator(".of-method").click(modifiers=["Alt"])
    kept(page, 1)
    expect(page).not_to_have_url(re.compile("call="))
    expect(page.locator("#filter")).to_have_value(f'{below("value")} && method == "GET"')
    cell = row(page, "/value/a").locator(".of-method")
    cell.hover()
    cell.get_by_role("button").click(modifiers=["Shift"])
    expect(row(page, "/value/b")).to_be_visible()
    expect(page.locator("#filter")).to_have_value(f'{below("value")} && method != "GET"')


def test_two_calls_are_chosen_to_compare(web: WebBed, page: Page) -> None:
    many(web, "pair", 3)
    opened(page, web, below("pair"))
    kept(page, 3)
    ids = [rows(page).nth(number).get_attribute("data-id") for number in range(3)]
    rows(page).nth(2).click()
    rows(page).nth(0).click(modifiers=["Control"])
    expect(page).to_have_url(re.compile(f"call={ids[2]}.*compared={ids[0]}"))
    rows(page).nth(0).click(modifiers=["Control"])
    expect(page).not_to_have_url(re.compile("compared="))
    page.keyboard.press("c")
    page.keyboard.press("ArrowUp")
    expect(page).to_have_url(re.compile(f"call={ids[1]}.*compared={ids[2]}"))


# The hub goes, and comes


@contextmanager
def hub_on(web: WebBed, *options: str) -> Iterator[HubProgram]:
    hub = web.start_hub(*options)
    try:
        web.await_connected(hub, *web.bed.nodes)
        yield hub
    finally:
        hub.stop()


def test_a_hub_that_comes_back_brings_what_was_missed_and_nothing_twice(web: WebBed, page: Page, pages: Pages) -> None:
    pages.allow("WebSocket|ERR_CONNECTION_REFUSED|Failed to load resource")
    many(web, "back", 10)
    with hub_on(web) as hub:
        opened(page, hub, below("back"))
        kept(page, 10)
        port = urlsplit(hub.url).port
    expect(page.locator("footer")).to_contain_text(re.compile("away|reconnect|not answer|lost", re.IGNORECASE))
    many(web, "back", 10, 10)
    kept(page, 10)
    with hub_on(web, "--listen", f"127.0.0.1:{port}"):
        kept(page, 20)
        many(web, "back", 5, 20)
        kept(page, 25)
        assert summaries(page)[-20:] == [f"/back/{number:05d}" for number in range(25)][-20:]


# A phone


def test_a_phone_has_two_lines_a_call_and_nothing_beside_the_window(web: WebBed, new_page: NewPage) -> None:
    many(web, "phone", 30)
    web.traffic.get("/phone/" + "long/" * 60)
    page = new_page(size=PHONE)
    opened(page, web, below("phone"))
    kept(page, 31)
    call = row(page, "/phone/00029")
    expect(call).to_be_in_viewport()
    status, protocol = call.locator(".of-status").bounding_box(), call.locator(".of-protocol").bounding_box()
    assert status and protocol and protocol["y"] >= status["y"] + status["height"] - 4
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    shot(page, "feed-phone")
    call.click()
    expect(page.locator(".pane.second")).to_be_visible()
    expect(page.get_by_role("grid", name="Calls")).to_be_hidden()


# What is open


def test_what_history_tells_as_open_is_answered_when_it_is(web: WebBed, page: Page) -> None:
    with closing(Held(web, 9_200, "/held")) as held:
        web.hub.wait_calls('path == "/held"')
        opened(page, web, 'path == "/held"')
        status = row(page, "/held").locator(".of-status")
        expect(status).to_have_text("…")
        status.hover()
        expect(status).to_have_attribute("title", "still open")
        held.answer()
        expect(status).to_have_text(re.compile(r"^200\+?$"))
        expect(rows(page)).to_have_count(1)


def test_an_open_call_is_marked_until_its_answer_comes(web: WebBed, page: Page) -> None:
    """What is new is shown as open once it is for ten seconds."""
    opened(page, web, 'path == "/patient"')
    expect(page.get_by_role("heading", name=re.compile("No", re.IGNORECASE))).to_be_visible()
    with closing(Held(web, 9_100, "/patient")) as held:
        status = row(page, "/patient").locator(".of-status")
        expect(status).to_have_text("…", timeout=2 * PATIENCE)
        status.hover()
        expect(status).to_have_attribute("title", "still open")
        shot(page, "feed-open")
        held.answer()
        expect(status).to_have_text(re.compile(r"^200\+?$"))
        expect(rows(page)).to_have_count(1)
