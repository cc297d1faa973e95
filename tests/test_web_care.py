"""The page is for everybody and believes nothing: accessible, at home on a phone, and captured text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import web_hostile
from browser import DESK, PHONE, ROOT, shot
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser import NewPage
    from playwright.sync_api import Dialog, Page
    from web_bed import WebBed

pytestmark = pytest.mark.needs_root

AXE = ROOT / "pysniff" / "web" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
# Elements that reach beyond their pane where nothing lets one scroll there, or beyond the window.
_LOOSE = """() => {
  const loose = [];
  const clips = (element, pane) => {
    for (let at = element.parentElement; at && at !== pane; at = at.parentElement)
      if (getComputedStyle(at).overflowX !== "visible") return true;
    return false;
  };
  for (const pane of document.querySelectorAll(".top, .filter-bar, .pane, .status-line")) {
    const { left, right } = pane.getBoundingClientRect();
    if (right > innerWidth + 1) loose.push(`${pane.className} is wider than the window: ${right}`);
    if (getComputedStyle(pane).overflowX === "auto") continue;
    for (const element of pane.querySelectorAll("*")) {
      const box = element.getBoundingClientRect();
      if (!box.width || !box.height || getComputedStyle(element).visibility === "hidden") continue;
      if (element.closest(".hidden, [aria-hidden=true], [role=tooltip]")) continue;
      if ((box.right > right + 1 || box.left < left - 1) && !clips(element, pane))
        loose.push(`${element.tagName}.${element.className} ${box.left}-${box.right} in .${pane.className} -${right}`);
    }
  }
  if (document.documentElement.scrollWidth > innerWidth) loose.push("the window scrolls sideways");
  return loose.slice(0, 10);
}"""
# What captured text must not have become.
_ALIVE = """() => {
  const turned = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (/[\\u202a-\\u202e\\u2066-\\u2069]/.test(data))
      turned.push(`turned round in ${parentElement.className}: ${data.slice(0, 80)}`);
  }
  return [
  ...document.querySelectorAll("#pwned, iframe, object, embed, base, link:not([rel=stylesheet]):not([rel=icon])"),
  ...document.querySelectorAll("script:not([src^='/static/'])"),
  ...document.querySelectorAll("[onerror], [onload], [onclick], [href^='javascript:' i], [src^='javascript:' i]"),
  ...document.querySelectorAll("img:not([src^='/static/']):not([src^='blob:'])"),
  ...document.querySelectorAll("a[href]:not([href^='/']):not([href^='#']):not([href^='blob:'])"),
].map((element) => element.outerHTML.slice(0, 200)).concat(typeof pwned === "undefined" ? turned : ["a script ran"]);
}"""


def violations(page: Page) -> list[str]:
    """What axe finds that is serious, with the elements it is about."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], rules: {'scrollable-region-focusable': {enabled: true}}})"
    )
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"][:3]
    ]


def loose(page: Page) -> list[str]:
    found = page.evaluate(_LOOSE)
    assert isinstance(found, list)
    return found


def alive(page: Page) -> list[str]:
    found = page.evaluate(_ALIVE)
    assert isinstance(found, list)
    return found


def tabs(page: Page) -> Iterator[str]:
    """Each tab of the call that is open, chosen one after the other."""
    names = page.locator(".pane.second").get_by_role("tab")
    busy = page.locator(".pane.second").locator("[aria-busy=true]")
    expect(names.first).to_be_visible()
    expect(busy).to_have_count(0)
    number = 0
    while number < names.count():  # which ones there are is known when the call is
        tab = names.nth(number)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        expect(busy).to_have_count(0)
        yield tab.inner_text().strip()
        number += 1


@pytest.fixture(scope="module")
def calls(web: WebBed) -> dict[str, str]:
    """Calls of every kind have happened; the ids of some."""
    web.traffic.everything()
    web.traffic.grpc(5)
    web.traffic.dns()
    web.traffic.redis()
    web.traffic.websocket()
    filters = {
        "json": 'path == "/catalogue"',
        "error": 'path == "/broken"',
        "cut": 'path == "/cut"',
        "multipart": 'path == "/upload"',
        "picture": 'path == "/tea.png"',
        "grpc": "grpc",
        "dns": "dns",
        "redis": "redis",
        "ws": "ws",
    }
    return {name: str(web.hub.wait_calls(filter)[0]["id"]) for name, filter in filters.items()}


def states(web: WebBed, calls: dict[str, str]) -> dict[str, str]:
    """Of each state of the page what stands behind the #."""
    one = quote(calls["json"])
    return {
        "live": "/calls",
        "empty": "/calls?filter=" + quote('path == "/nowhere"'),
        "refused": "/calls?filter=" + quote("http &&&"),
        "compared": f"/calls?call={one}&compared={quote(calls['error'])}",
        "map": "/map",
        "figures": "/figures",
        "workers": "/workers",
        **{f"call {name}": f"/calls?call={quote(id)}" for name, id in calls.items()},
    }


def settled(page: Page) -> None:
    """What was asked for is there, or said to be missing."""
    expect(page.get_by_role("contentinfo").get_by_role("button", name="live")).to_be_visible()
    expect(page.locator(".mark.busy, [aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (DESK, True), (PHONE, False)])
def test_axe_finds_nothing_serious_and_nothing_is_out_of_reach(
    web: WebBed, calls: dict[str, str], new_page: NewPage, size: tuple[int, int], dark: bool
) -> None:
    page = new_page(dark=dark, size=size)
    page.goto(web.url)
    wrong: list[str] = []
    kind = f"{'dark' if dark else 'light'}-{size[0]}"
    for name, hash in states(web, calls).items():
        if name.startswith("call ") and name != "call json" and kind != "light-1280":
            continue
        page.goto(f"{web.url}/#{hash}")
        settled(page)
        parts = tabs(page) if "call" in hash.partition("?")[2] and "compared" not in hash else iter([""])
        for part in parts:
            found = loose(page)
            # Axe takes its time: the tabs of one call have all parts, of the others their messages are looked at.
            if name == "call json" or part in ("", "Request", "Response"):
                found += violations(page)
            wrong += [f"{name} {part}: {one}" for one in found]
        if kind == "light-1280" or not name.startswith("call"):
            shot(page, f"care-{kind}-{name}")
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_signed_out_is_accessible_too(web: WebBed, new_page: NewPage) -> None:
    page = new_page(size=PHONE)
    page.goto(web.guarded_hub.url)
    expect(page.get_by_label("The hub's token")).to_be_visible()
    assert not violations(page) + loose(page)


def test_everything_is_done_with_the_keyboard_alone(web: WebBed, calls: dict[str, str], page: Page) -> None:
    press = page.keyboard.press
    page.goto(web.url)
    settled(page)
    press("Tab")
    expect(page.get_by_role("button", name="Skip to calls")).to_be_focused()
    press("Enter")
    press("/")
    page.keyboard.type('path == "/catalogue"')
    press("Enter")
    expect(page).to_have_url(re.compile("filter=path"))
    expect(page).to_have_title(re.compile('^[1-9].*path == "/catalogue" · PySniff$'))
    press("Escape")
    press("ArrowUp")
    chosen = page.locator("[role=row][aria-selected=true]")
    expect(chosen).to_have_count(1)
    tab = page.locator(".pane.second").get_by_role("tab", selected=True)
    expect(tab).to_be_visible()
    press("Enter")
    expect(tab).to_be_focused()
    first = tab.inner_text()
    press("ArrowRight")
    expect(tab).to_be_focused()
    assert tab.inner_text() != first
    press("Escape")
    expect(page.locator(".pane.second")).to_have_count(0)
    for name in ("Map", "Figures", "Workers"):
        button = page.get_by_role("navigation", name="Views").get_by_role("button", name=name)
        button.focus()
        press("Enter")
        expect(button).to_have_attribute("aria-current", "page")


def test_the_phone_shows_one_thing_at_a_time(web: WebBed, calls: dict[str, str], new_page: NewPage) -> None:
    page = new_page(size=PHONE)
    page.goto(f"{web.url}/#/calls?filter=" + quote('path == "/catalogue"'))
    row = page.get_by_role("row").filter(has_text="/catalogue").first
    row.tap()
    pane = page.locator(".pane.second")
    expect(pane).to_be_visible()
    expect(row).to_be_hidden()
    shot(page, "phone-call")
    pane.get_by_role("button", name="Close the call").tap()
    expect(row).to_be_visible()


@pytest.fixture(scope="module")
def hostile(web: WebBed) -> list[str]:
    """Ids of calls that mean harm."""
    traffic = web.traffic
    number = web_hostile.http(traffic)
    web_hostile.grpc(traffic)
    web_hostile.names(traffic)
    web_hostile.talk(traffic)
    ids = [one["id"] for one in web.hub.wait_calls('path.startsWith("/hostile/") && !grpc', number)]
    for filter in ("grpc && dst.port >= 9000", "dns", "ws", "redis"):
        ids += [one["id"] for one in web.hub.wait_calls(filter)[-5:]]
    return [str(id) for id in ids]


def test_hostile_calls_are_text_in_every_tab(web: WebBed, hostile: list[str], page: Page) -> None:
    """No element is made of them, no script runs, nothing is asked, no dialog opens, and the layout holds."""
    dialogs: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismissed)
    wrong: list[str] = []
    page.goto(web.url)
    for id in hostile:
        page.goto(f"{web.url}/#/calls?call={quote(id)}")
        for part in tabs(page):
            wrong += [f"{id} {part}: {one}" for one in alive(page) + loose(page)]
        shot(page, f"hostile-{id}")
    assert not wrong + dialogs, "\n".join(wrong + dialogs)


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_hostile_calls_are_text_in_every_view(
    web: WebBed, hostile: list[str], new_page: NewPage, size: tuple[int, int]
) -> None:
    page = new_page(size=size)
    wrong: list[str] = []
    for view in ("calls", "map", "figures", "workers"):
        page.goto(f"{web.url}/#/{view}?filter={quote('dst.port >= 9000 || dns')}")
        settled(page)
        wrong += [f"{view}: {one}" for one in alive(page) + loose(page)]
        shot(page, f"hostile-{view}-{size[0]}")
    assert not wrong, "\n".join(wrong)


def test_a_hostile_address_is_text_too(web: WebBed, page: Page) -> None:
    """A link comes from anybody."""
    page.goto(
        f"{web.url}/#/calls?filter={quote(web_hostile.MARKUP)}&call={quote(web_hostile.MARKUP)}&from=<b id=pwned>"
    )
    expect(page.get_by_role("contentinfo")).to_be_visible()
    expect(page.locator(".pane.second")).to_be_visible()
    assert not alive(page) + loose(page)
