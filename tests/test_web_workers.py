"""The page says who captures what, what was lost, and why nothing is shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from browser import shot
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser import Pages
    from playwright.sync_api import Locator, Page
    from web_bed import WebBed

pytestmark = pytest.mark.needs_root


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def calls(web: WebBed, filter: str = "", **more: str) -> str:
    """The address of a question."""
    query = "&".join(f"{name}={quote(value)}" for name, value in {"filter": filter, **more}.items())
    return f"{web.url}/#/calls?{query}"


def part(page: Page, text: str | re.Pattern[str]) -> Locator:
    """One of the status line."""
    return page.get_by_role("contentinfo").get_by_role("button", name=text)


def test_an_empty_store_says_that_it_waits_for_calls(web: WebBed, page: Page) -> None:
    page.goto(web.url)
    expect(
        page.get_by_role("heading", name=re.compile("No packets|Waiting for calls|Packets, but no calls"))
    ).to_be_visible()
    shot(page, "empty-no-calls")


def test_each_worker_is_told_with_what_it_captures(web: WebBed, page: Page) -> None:
    web.traffic.get("/workers/told")
    page.goto(f"{web.url}/#/workers")
    for node in ("n1", "n2"):
        one = page.get_by_role("group").filter(has_text=node).first
        expect(one).to_contain_text("captures")
        expect(one).to_contain_text(re.compile(f"eth0.* in {web.bed.namespace(node)}"))
        expect(one).to_contain_text(f"store-{node}")
    shot(page, "workers")


def test_the_ledger_balances_in_words(web: WebBed, page: Page) -> None:
    web.traffic.get("/workers/ledger")
    page.goto(f"{web.url}/#/workers")
    ledger = page.get_by_role("region", name="Ledger", exact=True)
    expect(ledger).to_contain_text("The account balances. Nothing was lost.")
    expect(ledger.get_by_role("row", name="received from the kernel").get_by_role("cell").first).to_have_text(
        re.compile(r"^[1-9]")
    )


def test_the_status_line_explains_its_words_when_they_have_the_focus(web: WebBed, page: Page) -> None:
    page.goto(web.url)
    nodes = part(page, "2 of 2 nodes")
    expect(nodes).to_be_visible()
    lost = part(page, "nothing lost")
    tip = page.get_by_role("tooltip").filter(has_text="Every packet that came is accounted for")
    expect(tip).to_be_hidden()
    nodes.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(lost).to_be_focused()
    expect(tip).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()


def test_what_is_captured_is_changed_for_all_workers(web: WebBed, page: Page) -> None:
    page.goto(f"{web.url}/#/workers")
    page.get_by_role("button", name="Change …").click()
    page.get_by_role("checkbox", name="Capture filter").check()
    field = page.get_by_role("textbox", name="Capture filter")
    field.fill("tcp prot 80")
    page.get_by_role("button", name="Change on all workers").click()
    expect(page.get_by_role("alert")).to_contain_text("syntax error")
    shot(page, "workers-refused")
    field.fill("not port 9")
    page.get_by_role("button", name="Change on all workers").click()
    for node in ("n1", "n2"):
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=node, exact=True))
        expect(row).to_contain_text("not port 9")
        expect(row).to_contain_text("took version")
    assert web.hub.ask("/api/config")["config"] == {"bpf": "not port 9"}
    page.get_by_role("button", name="Change …").click()
    page.get_by_role("checkbox", name="Capture filter").uncheck()
    page.get_by_role("button", name="Change on all workers").click()
    expect(page.get_by_role("button", name="Change …")).to_be_visible()
    assert web.hub.ask("/api/config")["config"] == {}


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(web: WebBed, page: Page) -> None:
    page.goto(f"{web.url}/#/workers")
    page.get_by_role("button", name="Change …").click()
    page.get_by_role("checkbox", name="Targets").check()
    page.get_by_role("textbox", name="Targets").fill("10.0.0.0/8")
    web.hub.ask("/api/config", data={"flush_interval": 0.1}, method="PATCH")
    page.get_by_role("button", name="Change on all workers").click()
    expect(page.get_by_role("alert")).to_contain_text("by now")
    page.get_by_role("button", name="Change on all workers").click()  # now it has read the other's
    expect(page.get_by_role("button", name="Change …")).to_be_visible()
    assert web.hub.ask("/api/config")["config"] == {"flush_interval": 0.1, "targets": ["10.0.0.0/8"]}
    web.hub.ask("/api/config", data={"flush_interval": None, "targets": None}, method="PATCH")


def test_a_filter_that_hides_all_calls_can_be_cleared(web: WebBed, page: Page) -> None:
    since = now()
    web.traffic.get("/workers/hidden")
    web.hub.wait_calls('path == "/workers/hidden"')
    page.goto(calls(web, 'path == "/workers/nowhere"', **{"from": since}))
    expect(page.get_by_role("heading", name="No call matches the filter")).to_be_visible()
    expect(page.get_by_text("There are 1 http.")).to_be_visible()
    shot(page, "empty-no-match")
    page.get_by_role("region", name="No call matches the filter").get_by_role("button").click()
    expect(page.get_by_text("/workers/hidden").first).to_be_visible()


def test_only_encrypted_conversations_say_so(web: WebBed, page: Page) -> None:
    since = now()
    web.traffic.tls()
    web.hub.wait_calls("tlsx && dst.port == 443")
    page.goto(calls(web, "http", **{"from": since}))
    expect(page.get_by_role("heading", name="Encrypted")).to_be_visible()
    shot(page, "empty-encrypted")
    expect(page.get_by_text("sudo pysniff worker --tls", exact=True)).to_be_visible()
    page.get_by_role("button", name="Show the handshakes").click()
    expect(page.get_by_role("row").filter(has_text="shop.test").filter(has_text="tlsx").first).to_be_visible()


def test_only_unknown_protocols_say_so(web: WebBed, page: Page) -> None:
    since = now()
    port = web.traffic.raw(b"\x00\x01\x02hello, nobody knows this\n", b"\xff\xfenor this\n")
    web.hub.wait_calls(f"tcp && dst.port == {port}")
    page.goto(calls(web, "http", **{"from": since}))
    expect(page.get_by_role("heading", name="Only unknown protocols")).to_be_visible()


def test_a_time_in_which_nothing_was_offers_all_times(web: WebBed, page: Page) -> None:
    web.traffic.get("/workers/times")
    web.hub.wait_calls('path == "/workers/times"')
    page.goto(calls(web, 'path == "/workers/times"', to="2001-01-01T00:00:00Z"))
    expect(page.get_by_role("heading", name=re.compile("No calls in this time"))).to_be_visible()
    page.get_by_role("button", name="Show all times").click()
    expect(page.get_by_text("/workers/times").first).to_be_visible()


def test_a_hub_without_workers_says_how_to_begin_one(web: WebBed, page: Page) -> None:
    hub = web.start_hub(nodes=[])
    page.goto(hub.url)
    expect(page.get_by_role("heading", name="No worker is connected")).to_be_visible()
    expect(page.get_by_text("sudo pysniff worker", exact=True)).to_be_visible()
    shot(page, "empty-no-worker")
    page.goto("about:blank")
    hub.stop()


def test_who_is_signed_out_signs_in_and_keeps_the_address(web: WebBed, page: Page) -> None:
    page.goto(f"{web.guarded_hub.url}/#/workers")
    token = page.get_by_label("The hub's token")
    expect(token).to_be_focused()
    shot(page, "signed-out")
    token.fill("not it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the hub's token.")
    token.fill(web.guarded_hub.sign_in.partition("token=")[2])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What is captured")).to_be_visible()
    assert page.url == f"{web.guarded_hub.url}/#/workers"
    assert "token" not in page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    )


def test_a_worker_that_is_away_is_red_and_comes_back(web: WebBed, page: Page, pages: Pages) -> None:
    page.goto(f"{web.url}/#/workers")
    expect(part(page, "2 of 2 nodes")).to_be_visible()
    web.workers["n2"].stop()
    expect(part(page, "1 of 2 nodes")).to_have_class(re.compile("failing"))
    expect(page.get_by_role("group").filter(has_text="n2").first).to_contain_text("away")
    shot(page, "workers-one-away")
    web.start_worker("n2")
    expect(part(page, "2 of 2 nodes")).not_to_have_class(re.compile("failing"))


def test_an_interface_that_is_not_there_is_named(web: WebBed, page: Page) -> None:
    web.workers["n2"].stop()
    web.start_worker("n2", "--store", str(web.folder / "store-absent"), "-i", "absent0", wait=False)
    hub = web.start_hub(nodes=["n2"])
    page.goto(hub.url)
    expect(page.get_by_text(re.compile("Waiting for .*absent0"))).to_be_visible()
    shot(page, "empty-no-interface")
