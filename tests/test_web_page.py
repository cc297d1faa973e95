"""The page as a browser gets it: small, of one origin, kept, and closed to scripts and to who has no token."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from browser import NewPage, Pages, shot
from playwright.sync_api import expect
from web_bed import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request
    from web_bed import WebBed

MOST_BYTES = 150_000
FILES = "performance.getEntriesByType('resource').filter(one => one.name.includes('/static/page-'))"


def loaded(page: Page, url: str) -> list[Request]:
    """Every request of a page until it stands."""
    requests: list[Request] = []
    page.on("requestfinished", lambda one: requests.append(one))
    page.goto(url, wait_until="load")
    expect(page.get_by_role("heading", name="PySniff")).to_be_visible()
    return requests


def test_all_of_it_comes_from_the_hub(web: WebBed, page: Page) -> None:
    requests = loaded(page, web.url)
    assert {urlsplit(one.url).netloc for one in requests} == {urlsplit(web.url).netloc}
    assert page.evaluate("document.querySelectorAll('link, script, img, iframe, object').length") <= 10
    assert page.evaluate("[...document.fonts].length") == 0


def test_all_of_it_is_less_than_150_kb(web: WebBed, page: Page) -> None:
    """As it crosses the network, heads of answers too."""
    sizes = {}
    for one in loaded(page, web.url):
        path = urlsplit(one.url).path
        if path == "/" or path.startswith("/static/"):
            size = one.sizes()
            sizes[path] = size["responseBodySize"] + size["responseHeadersSize"]
    print("the page, bytes:", sum(sizes.values()), sizes)
    assert {name.rpartition(".")[2] for name in sizes} == {"/", "js", "css", "svg"}
    assert sum(sizes.values()) < MOST_BYTES


def test_the_next_time_it_is_there_already(web: WebBed, page: Page) -> None:
    loaded(page, web.url)
    assert all(size > 0 for size in page.evaluate(f"{FILES}.map(one => one.transferSize)"))
    page.goto("about:blank")
    loaded(page, web.url)
    assert set(page.evaluate(f"{FILES}.map(one => one.transferSize)")) == {0}


def test_no_script_stands_in_the_document_and_none_gets_in(web: WebBed, page: Page, pages: Pages) -> None:
    pages.allow("Content Security Policy|TrustedHTML|TrustedScript")
    answer = page.goto(web.url)
    assert answer is not None
    text = answer.text()
    assert text.count("<script") == text.count('<script type="module" src="/static/page-') == 1
    assert "<style" not in text and " style=" not in text and " on" not in text.partition("<body>")[2]
    for attempt in (
        "document.body.innerHTML = '<img src=x onerror=\"window.ran = 1\">'",
        "document.body.insertAdjacentHTML('beforeend', '<b>')",
        "document.createElement('script').text = 'window.ran = 1'",
        "document.createElement('iframe').srcdoc = '<script>window.ran = 1</' + 'script>'",
        "new DOMParser().parseFromString('<b>', 'text/html')",
        "document.createElement('b').setAttribute('onclick', 'window.ran = 1')",
    ):
        refused = page.evaluate(f"() => {{ try {{ {attempt}; return '' }} catch (error) {{ return error.name }} }}")
        assert refused == "TypeError", attempt
    assert page.evaluate("window.ran") is None


def test_who_is_not_signed_in_sees_the_sign_in_and_nothing_of_the_nodes(web: WebBed, new_page: NewPage) -> None:
    """The address is kept for afterwards, with what a colleague's link has behind the #."""
    hub = web.guarded_hub
    page = new_page()
    page.goto(f"{hub.url}/#/map?filter=http")
    token = page.get_by_label("token")
    expect(token).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("n1")
    shot(page, "page-signed-out")

    token.fill("not the token")
    token.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the hub's token")

    token.fill(TOKEN)
    token.press("Enter")
    expect(page.get_by_role("button", name="Map", exact=True)).to_have_attribute("aria-current", "page")
    assert page.url == f"{hub.url}/#/map?filter=http"
    assert TOKEN not in page.content()


def test_a_sign_in_link_leaves_no_token_behind(web: WebBed, page: Page) -> None:
    hub = web.guarded_hub
    page.goto(f"{hub.sign_in}#/figures")
    expect(page.get_by_role("button", name="Figures", exact=True)).to_have_attribute("aria-current", "page")
    assert page.url == f"{hub.url}/#/figures"
    page.go_back()  # to about:blank: there is nothing in between
    assert page.url == "about:blank"
    cookie = page.context.cookies(hub.url)[0]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and TOKEN not in cookie["value"]
