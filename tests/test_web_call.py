"""One call: everything that is known of it, each body as its type wants it, and the same call in other words."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from browser import DESK, PHONE, shot
from cluster_programs import until
from playwright.sync_api import expect
from web_shop import CATALOGUE

if TYPE_CHECKING:
    from browser import NewPage
    from playwright.sync_api import APIResponse, Dialog, Locator, Page, Route
    from web_bed import WebBed

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module", autouse=True)
def shopping(web: WebBed) -> None:
    web.traffic.everything()
    web.traffic.dns("shop.test")
    web.traffic.redis("SET cart:7 tea", "GET cart:7", "LRANGE none 0 -1")
    web.traffic.websocket('{"say": "Assam?", "number": 12345678901234567890}')
    web.traffic.grpc(1)


def one(web: WebBed, filter: str) -> str:
    """The id of the only call, or the first, that a filter lets through."""
    return str(web.hub.wait_calls(filter)[0]["id"])


def opened(web: WebBed, page: Page, filter: str, tab: str = "") -> Locator:
    """The pane with that call."""
    return shown(web, page, one(web, filter), tab)


def shown(web: WebBed, page: Page, id: str, tab: str = "", **more: str) -> Locator:
    rest = "".join(f"&{name}={quote(value)}" for name, value in more.items())
    page.goto(f"{web.url}/#/calls?call={quote(id)}{rest}")
    pane = page.get_by_role("region", name="Call", exact=True)
    expect(pane.get_by_role("tablist")).to_be_visible()
    if tab:
        pane.get_by_role("tab", name=tab, exact=True).click()
    return pane


def half(pane: Locator, name: str) -> Locator:
    return pane.get_by_role("region", name=name, exact=True)


def told(web: WebBed, id: str, **query: str) -> str:
    """What the API says of it."""
    words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    with urlopen(f"{web.url}/api/entries/{quote(id)}?{words}", timeout=30) as answer:
        return str(answer.read().decode())


def test_a_call_says_who_asked_whom_for_what_and_how_it_went(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'url == "/catalogue?leaf=black&page=2"')
    head = pane.locator("header")
    for words in ("GET /catalogue?leaf=black&page=2", "200", "HTTP/1.1", web.bed.address("n1b"), "on n1"):
        expect(head).to_contain_text(words)
    query = pane.get_by_role("table", name="Query parameters")
    assert query.get_by_role("row").all_inner_texts() == ["leaf\tblack\tcopy", "page\t2\tcopy"]
    fields = pane.get_by_role("table", name="Header fields of the response")
    expect(fields.get_by_role("row", name="Content-Type")).to_contain_text("application/json")
    shot(page, "call-http")


def test_a_value_that_is_clicked_is_in_the_filter_and_with_shift_it_is_excluded(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/login"')
    cookies = pane.get_by_role("table", name="Cookies of the request")
    cookies.get_by_role("button", name="dark", exact=True).click()
    expect(page).to_have_url(re.compile(re.escape(quote("request.cookies", safe=""))))
    expect(page).to_have_url(re.compile("dark"))
    fields = pane.get_by_role("table", name="Header fields of the request")
    fields.get_by_role("button", name="shop.test", exact=True).first.click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile(r"%21%3D"))
    # Both cookies that the server set are one value there.
    pane.get_by_role("table", name="Cookies of the response").get_by_text("basket").wait_for()


def test_json_is_a_tree_that_opens_closes_and_can_be_looked_through(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/catalogue.gz"', "Response")
    tree = pane.get_by_role("tree")
    expect(tree.get_by_role("treeitem", name='name: "Assam"')).to_be_visible()
    expect(pane).to_contain_text("as sent in gzip")
    tree.get_by_role("treeitem").first.click()
    expect(tree.get_by_role("treeitem")).to_have_count(1)
    expect(tree.get_by_role("treeitem")).to_contain_text("teas: […]")
    tree.press("ArrowRight")
    tree.press("ArrowDown")
    expect(tree.get_by_role("treeitem", selected=True)).to_contain_text("teas")
    find = pane.get_by_role("searchbox", name=re.compile("Find in the body"))
    find.fill("brisk")
    expect(pane.get_by_role("status").filter(has_text="1")).to_be_visible()
    find.press("Enter")
    expect(tree.get_by_role("treeitem", selected=True)).to_contain_text("brisk")
    expect(pane.locator(".path")).to_have_text("$.teas[0].notes[1]")
    pane.get_by_role("button", name="Text", exact=True).click()
    expect(pane.get_by_role("region", name="the body of the response")).to_contain_text(json.dumps(CATALOGUE)[:40])
    pane.get_by_role("button", name="Hex", exact=True).click()
    expect(pane.get_by_role("region", name="the body of the response")).to_contain_text("7b 22 74 65 61 73")


def test_a_call_that_goes_on_says_so_until_it_ends_and_is_shown_anew_then(web: WebBed, page: Page) -> None:
    with web.bed.listen("n1b", 7_999) as listener, web.bed.connect("n1a", (web.bed.address("n1b"), 7_999)) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"GET /one/held HTTP/1.1\r\nHost: held.test\r\n\r\n")
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nso far, ")
            pane = opened(web, page, 'path == "/one/held"')
            head, answer = pane.locator("header"), half(pane, "Response")
            row = page.locator(".feed-drawn [role=row]", has_text="/one/held")
            expect(row.locator(".of-status")).to_have_text("200…")
            expect(row.locator(".of-latency")).to_have_text("…")
            expect(head).to_contain_text("open")
            expect(head).not_to_contain_text("ends too early")
            expect(answer).to_contain_text("so far,")
            shot(page, "call-open")
            server.sendall(b"so gut")
            expect(answer).to_contain_text("so far, so gut")
            expect(row.locator(".of-status")).to_have_text("200")
            expect(row.locator(".of-latency")).not_to_have_text("…")
            expect(head).not_to_contain_text("open")
            expect(row).to_have_count(1)


def test_what_the_feed_tells_while_a_call_is_on_its_way_is_not_lost(web: WebBed, page: Page) -> None:
    with web.bed.listen("n1b", 7_998) as listener, web.bed.connect("n1a", (web.bed.address("n1b"), 7_998)) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"GET /one/late HTTP/1.1\r\nHost: held.test\r\n\r\n")
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nso far, ")
            id = one(web, 'path == "/one/late"')
            held: list[tuple[Route, APIResponse]] = []

            def hold(route: Route) -> None:
                held.append((route, route.fetch()))

            page.route(f"**/api/entries/{id}?*", hold, times=1)
            page.goto(f"{web.url}/#/calls?call={quote(id)}")
            row = page.get_by_role("row").filter(has_text="/one/late")
            expect(row).to_be_visible()
            until(lambda: page.evaluate("true") and held, "the call to be asked for")
            server.sendall(b"so gut")
            expect(row.locator(".of-got")).to_have_text("14 B")
            route, early = held[0]
            route.fulfill(response=early)
            expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("so far, so gut")


def test_who_goes_into_a_call_that_is_on_its_way_is_in_it_when_it_comes(web: WebBed, page: Page) -> None:
    id = one(web, 'path == "/orders"')
    held: list[Route] = []
    page.route(f"**/api/entries/{id}?*", lambda route: held.append(route), times=1)
    page.goto(f"{web.url}/#/calls")
    page.get_by_role("row").filter(has_text="/orders").first.click()
    expect(page.get_by_text("Asking for the call")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Close the call")).to_be_focused()
    held[0].continue_()
    expect(page.get_by_role("region", name="Call", exact=True).get_by_role("tab", selected=True)).to_be_focused()


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ('path == "/feed.xml"', ['<feed xmlns="http://www.w3.org/2005/Atom">', "Teas & cups", '<entry id="3">']),
        ('path == "/bytes"', ["0000", "00 01 02 03", "@ABCDEFGHIJKLMNO"]),
        ('path == "/events"', ["3 events", "message"]),
        ('path == "/chunked"', ["parts: 3 items"]),
        ('path == "/" && method == "GET"', ["<!doctype html><title>Shop</title>"]),
        ('path == "/empty"', ["No body."]),
        ('path == "/cut"', ["only so much"]),
        ('redis_command == "GET"', ["bulk_string", "tea"]),
        ('redis_command == "LRANGE"', ["array", "0 parts"]),
        ("dns", ["NOERROR", "recursion", "Answers 1", "authoritative"]),
    ],
)
def test_a_response_is_shown_as_what_it_is(web: WebBed, page: Page, filter: str, words: list[str]) -> None:
    pane = opened(web, page, filter, "Response")
    for one_of_them in words:
        expect(pane.get_by_role("tabpanel")).to_contain_text(one_of_them)


def test_events_of_a_stream_are_opened_one_by_one(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/events"', "Response")
    pane.get_by_role("button", name=re.compile("^2 ?message")).click()
    expect(pane.get_by_role("region", name="event 2")).to_contain_text("1")


def test_a_form_has_its_fields_and_a_multipart_body_its_parts(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/login"', "Request")
    form = pane.get_by_role("table", name="the body of the request")
    assert form.get_by_role("row").all_inner_texts() == ["user\tada\tcopy", "password\ts e&cret\tcopy"]
    pane = opened(web, page, 'path == "/upload"', "Request")
    parts = pane.locator(".parts > li")
    expect(parts).to_have_count(2)
    expect(parts.nth(0)).to_contain_text("Assam")
    for words in ("leaf", "leaf.txt", "text/plain", "a leaf of tea"):
        expect(parts.nth(1)).to_contain_text(words)


def test_images_are_drawn_and_the_script_of_an_svg_never_runs(web: WebBed, page: Page) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    pane = opened(web, page, 'path == "/tea.png"', "Response")
    expect(pane.locator("figcaption")).to_have_text(re.compile("^16 . 16$"))
    shot(page, "call-image")
    pane = opened(web, page, 'path == "/tea.svg"', "Response")
    image = pane.get_by_role("img", name="the body of the response")
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    pane.get_by_role("button", name="XML", exact=True).click()
    expect(pane.get_by_role("tree")).to_contain_text("alert(1)")
    assert not dialogs


def test_protobuf_over_http_is_read_by_number(web: WebBed, page: Page) -> None:
    message = bytes.fromhex("089601 120568656c6c6f 210000000000001140")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(message)
    web.traffic.raw(b"GET /one/proto HTTP/1.1\r\nHost: a\r\n\r\n", head + message)
    tree = opened(web, page, 'path == "/one/proto"', "Response").get_by_role("tree")
    for words in ("1: 150", '2: "hello"', "4: 4.25", "or 4616471093031469056 as fixed64"):
        expect(tree).to_contain_text(words)


def test_messages_of_grpc_have_their_fields_with_every_digit(web: WebBed, page: Page) -> None:
    pane = opened(web, page, "grpc")
    expect(pane.locator("header")).to_contain_text("over HTTP/2")
    for side in ("Request", "Response"):
        expect(half(pane, side).get_by_role("tree")).to_contain_text("1 item")
    expect(half(pane, "Response")).to_contain_text("grpc-status")
    shot(page, "call-grpc")


def test_a_message_of_a_websocket_is_one_half_and_its_numbers_are_whole(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'ws && ws_request_payload_data.contains("Assam")')
    expect(pane.get_by_role("tree")).to_contain_text("number: 12345678901234567890")
    expect(pane.get_by_role("tabpanel")).to_contain_text("from the client")
    expect(pane.get_by_role("tab", name="Response")).to_have_count(0)


def test_a_conversation_that_nobody_recognised_leads_to_its_bytes(web: WebBed, page: Page) -> None:
    port = web.traffic.raw(b"\x01\x02mystery", b"\x03\x04answer")
    pane = opened(web, page, f"tcp && dst.port == {port}")
    expect(half(pane, "Request")).to_contain_text("from the client")
    half(pane, "Request").get_by_role("button", name="Stream").click()
    expect(pane.get_by_role("tab", name="Stream")).to_have_attribute("aria-selected", "true")


def test_what_is_odd_is_said_in_words(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/cut"')
    faults = pane.get_by_role("list", name="Faults")
    expect(faults).to_contain_text("truncated")
    expect(faults).to_contain_text("ends too early")
    expect(pane.get_by_role("tab", name=re.compile("Overview"))).to_contain_text("1")


def test_timing_says_when_it_began_and_where_the_time_went(web: WebBed, page: Page) -> None:
    web.traffic.get("/slow/30")
    pane = opened(web, page, 'path == "/slow/30"', "Timing")
    waiting = pane.get_by_role("table", name="Where the time went").get_by_role("row", name=re.compile("Waiting"))
    expect(waiting).to_contain_text(" ms")
    expect(pane.get_by_text(re.compile(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} UTC$"))).to_have_count(2)


@pytest.mark.parametrize(("item", "format"), [("curl command", "curl"), ("HAR", "har"), ("JSON", "json")])
def test_what_is_copied_is_what_the_command_line_writes(web: WebBed, page: Page, item: str, format: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    id = one(web, 'path == "/orders"')
    pane = shown(web, page, id)
    pane.get_by_role("button", name="Copy ▾").click()
    pane.get_by_role("menuitem", name=item, exact=True).click()
    page.get_by_text(f"copied as {format}").wait_for()  # it is seen for a moment: this looks more often than expect
    copied = page.evaluate("navigator.clipboard.readText()")
    if format == "json":
        assert json.loads(copied) == json.loads(told(web, id))
    else:
        assert copied == told(web, id, **{"as": format})
    assert ("curl http" in copied) == (format == "curl")


def test_a_browser_that_does_not_allow_to_copy_shows_the_text_to_be_copied_by_hand(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/orders"')
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false; }"
    )
    pane.get_by_role("button", name="Copy ▾").click()
    pane.get_by_role("menuitem", name="curl command").click()
    expect(pane.get_by_role("alertdialog").get_by_role("textbox")).to_have_value(re.compile("curl http"))


def test_packets_and_bodies_are_saved_under_names_that_are_names(web: WebBed, page: Page) -> None:
    id = one(web, 'path == "/tea.png"')
    pane = shown(web, page, id, "Response")
    with page.expect_download() as saving:
        pane.get_by_title("Save the body of the response as a file").click()
    assert saving.value.suggested_filename == "tea.png"
    assert saving.value.path().read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as saving:
        pane.get_by_role("link", name="pcapng", exact=True).click()
    assert saving.value.suggested_filename == f"{id}.pcapng"


def test_two_calls_are_compared_line_by_line_and_path_by_path(web: WebBed, page: Page) -> None:
    web.traffic.json("/one/first", {"tea": 3, "cups": [1, 2], "big": 9007199254740993})
    web.traffic.json("/one/second", {"tea": 5, "cups": [1, 2], "big": 9007199254740992})
    first, second = one(web, 'path == "/one/first"'), one(web, 'path == "/one/second"')
    pane = shown(web, page, first)
    pane.get_by_role("button", name="Compare").click()
    expect(pane).to_contain_text("Now choose the call to compare it with")
    page.evaluate(f"location.hash = location.hash.replace({first!r}, {second!r})")
    expect(pane.get_by_role("tab", name="Diff")).to_have_attribute("aria-selected", "true")
    call = pane.get_by_role("table", name="The call")
    expect(call.get_by_role("row", name=re.compile("request line"))).to_contain_text("/one/second")
    body = pane.get_by_role("table", name="Request body, by path").get_by_role("row")
    assert [row.split() for row in body.all_inner_texts()] == [
        ["$.tea", "3", "5"], ["$.big", "9007199254740993", "9007199254740992"],
    ]  # fmt: skip
    lines = pane.get_by_role("region", name="Response body")
    expect(lines.locator(".removed")).to_contain_text("/one/first")
    expect(lines.locator(".added")).to_contain_text("/one/second")
    shot(page, "call-diff")
    pane.get_by_role("button", name="Compare").click()
    expect(pane.get_by_role("tab", name="Diff")).to_have_count(0)


def test_keys_go_through_the_tabs_and_escape_closes_the_call(web: WebBed, page: Page) -> None:
    pane = opened(web, page, 'path == "/catalogue" && method == "GET"')
    pane.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(pane.get_by_role("tab", name="Request")).to_be_focused()
    expect(pane.get_by_role("tabpanel", name="Request")).to_be_visible()
    page.keyboard.press("End")
    expect(pane.get_by_role("tab", name="JSON")).to_be_focused()
    page.keyboard.press("Escape")
    expect(pane).to_have_count(0)


def test_a_tab_stays_chosen_while_one_goes_from_call_to_call(web: WebBed, page: Page) -> None:
    both = 'path in ["/feed.xml", "/bytes"]'
    page.goto(f"{web.url}/#/calls?filter={quote(both)}")
    expect(page.get_by_text("/bytes").first).to_be_visible()
    pane = shown(web, page, one(web, 'path == "/feed.xml"'), "Response", filter=both)
    pane.get_by_role("button", name="Next call").click()
    expect(pane.get_by_role("heading", level=2)).to_contain_text("/bytes")
    expect(pane.get_by_role("tab", name="Response")).to_have_attribute("aria-selected", "true")


def test_a_call_that_is_gone_says_why_and_what_to_do(web: WebBed, page: Page) -> None:
    pane = page.get_by_role("region", name="Call", exact=True)
    for id, words in (("n1.0123456789abcdef.00000000", "gave way"), ("n9.0123456789abcdef.00000000", "no worker")):
        page.goto(f"{web.url}/#/calls?call={id}")
        expect(pane.get_by_role("alert")).to_contain_text(words)
        expect(pane.get_by_role("button", name="Ask again")).to_be_visible()
    shot(page, "call-gone")


def test_a_megabyte_in_one_line_is_a_few_rows_at_a_time(web: WebBed, page: Page) -> None:
    web.traffic.get("/size/1000000")
    pane = opened(web, page, 'path == "/size/1000000"', "Response")
    pane.get_by_role("button", name="Text", exact=True).click()
    text = pane.get_by_role("region", name="the body of the response")
    expect(text).to_contain_text('{"data": "xxxx')
    assert pane.locator(".text-row").count() < 150
    assert max(len(row) for row in pane.locator(".text-row").all_inner_texts()) < 500
    pane.get_by_role("searchbox").fill('x"}')
    pane.get_by_role("searchbox").press("Enter")
    expect(text.locator("mark")).to_have_text('x"}')
    expect(text.locator("mark")).to_be_in_viewport()


def test_a_body_beyond_the_limit_is_cut_says_so_and_more_of_it_can_be_had(web: WebBed, page: Page) -> None:
    web.traffic.get("/size/1500000")
    pane = opened(web, page, 'path == "/size/1500000"', "Response")
    expect(pane).to_contain_text("The first 1.0 MB of 1.5 MB are here")
    expect(pane).to_contain_text("It is cut")
    pane.get_by_role("button", name="Show 1.5 MB").click()
    expect(pane.get_by_role("tree")).to_contain_text("data")
    expect(pane).not_to_contain_text("It is cut")


def test_markup_and_marks_of_direction_are_text(web: WebBed, page: Page) -> None:
    evil = "<img src=x onerror=alert(1)>\u202egnp.exe"
    head = f"GET /one/evil?{quote(evil)}={quote(evil)} HTTP/1.1\r\nHost: a\r\nX-Evil: {evil}\r\n\r\n".encode()
    body = json.dumps({evil: evil}, ensure_ascii=False).encode()
    web.traffic.raw(head, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    pane = opened(web, page, 'path == "/one/evil"')
    fields = pane.get_by_role("table", name="Header fields of the request")
    expect(fields).to_contain_text("<img src=x onerror=alert(1)>\\u202egnp.exe")
    expect(pane.get_by_role("tree")).to_contain_text("\\u202egnp.exe")
    assert pane.locator("img").count() == 0


def test_on_a_phone_the_call_covers_the_list_and_nothing_is_wider(web: WebBed, new_page: NewPage) -> None:
    for dark, size in ((False, PHONE), (True, DESK)):
        page = new_page(dark=dark, size=size)
        pane = opened(web, page, 'path == "/login"')
        box = pane.bounding_box()
        assert box is not None
        assert (box["width"] > size[0] * 0.9) == (size == PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        panel: Any = pane.get_by_role("tabpanel").evaluate("panel => panel.scrollWidth - panel.clientWidth")
        assert panel <= 0
        shot(page, f"call-login-{size[0]}")
