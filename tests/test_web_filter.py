"""The filter bar: completion, errors, history, values that are clicked, the time range, saved filters, protocols."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

import pytest
from browser import PHONE, NewPage, shot
from playwright.sync_api import expect

from pysniff.kfl.literals import string

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page
    from web_bed import WebBed

WEB = Path(__file__).parent.parent / "pysniff" / "web"
# Prints a clause for each variable and value that comes in, as the page writes them.
CLAUSES = """
import { build } from "esbuild";
const { outputFiles } = await build({
  stdin: { contents: 'export { clause } from "./src/filter/clauses"', resolveDir: ".", loader: "ts" },
  bundle: true, format: "esm", platform: "node", write: false,
});
const { clause } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
let text = "";
for await (const piece of process.stdin) text += piece;
console.log(JSON.stringify(JSON.parse(text).map((asked) => clause(...asked))));
"""
HOSTILE = (
    '"', "'", "\\", '\\"', "\\n", "`${x}`", '"""', "a\nb\r\nc\td", "\x00\x01\x1f\x7f\x85", "<img src=x onerror=a(1)>",
    '" || true || "', "// no comment", "a && b || !c ? d : e", "\u202eexe.gnp\u2066", "\u200b\u00ad\ufeff",
    "\u2028\u2029", "\u00a0\u3000 ", "caf\u00e9 \u65e5\u672c", "\U0001f600\U000e0041", "\u05e9\u05dc\u05d5\u05dd",
    "%00%22", "x" * 3_000,
)  # fmt: skip


def clauses(*asked: tuple[object, ...]) -> list[str]:
    words = ["node", "--input-type=module", "-e", CLAUSES]
    done = subprocess.run(words, cwd=WEB, input=json.dumps(asked), capture_output=True, text=True, check=True)
    made: list[str] = json.loads(done.stdout)
    return made


@pytest.fixture(scope="module")
def calls(web: WebBed) -> None:
    """Some of several protocols, below /filter where they have a path."""
    for path in ("/filter/a", "/filter/b"):
        web.traffic.get(path)
    web.traffic.http("POST", "/filter/a", b"x", {})
    web.traffic.get("/broken")
    web.traffic.dns("shop.test")
    web.traffic.redis("SET filter 1")
    web.hub.wait_calls('path.startsWith("/filter")', 3)
    web.hub.wait_calls("dns || redis", 2)


@pytest.fixture
def there(web: WebBed, calls: None, page: Page) -> Page:
    """The page, once it has all calls: no row moves any more."""
    page.goto(f"{web.url}/#/calls")
    expect(rows(page, "/filter/b")).to_have_count(1)
    expect(page.get_by_text("The workers have nothing earlier.")).to_be_visible()
    return page


def bar(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Filter")


def rows(page: Page, words: str) -> Locator:
    return page.get_by_role("row").filter(has_text=words)


def asked(page: Page, filter: str) -> None:
    """The address says it, so a link shows it to a colleague."""
    page.wait_for_function(
        "wanted => new URLSearchParams(location.hash.split('?')[1]).get('filter') === wanted", arg=filter
    )


def option(page: Page, name: str) -> Locator:
    return page.get_by_role("option").filter(has=page.get_by_text(name, exact=True))


# Values become filters


def test_every_value_becomes_a_clause_that_finds_it_and_nothing_else(web: WebBed) -> None:
    with web.traffic.kept_alive() as ask:
        for number, body in enumerate(HOSTILE):
            ask("POST", f"/hostile/{number}", body.encode(), {"content-type": "text/plain; charset=utf-8"})
    web.hub.wait_calls('path.startsWith("/hostile/")', len(HOSTILE))
    made = clauses(*[("request.body", body, exclude) for exclude in (False, True) for body in HOSTILE])
    wanted, unwanted = made[: len(HOSTILE)], made[len(HOSTILE) :]
    for clause in wanted:
        web.hub.ask(f"/api/filter?{urlencode({'q': clause})}")

    def found(clauses: list[str], sign: str) -> list[str]:
        parts = [f'{clause} && path {sign} "/hostile/{number}"' for number, clause in enumerate(clauses)]
        question = f'path.startsWith("/hostile/") && ({" || ".join(parts)})'
        return [entry["summary"] for entry in web.hub.entries(question)]

    assert sorted(found(wanted, "==")) == sorted(f"POST /hostile/{number}" for number in range(len(HOSTILE)))
    assert found(wanted, "!=") == []
    assert found(unwanted, "==") == []


def test_any_text_is_read_back_from_its_clause() -> None:
    chance = random.Random(6)
    alphabet = "\"'\\`nrtxuU0123abc\n\r\t\0\x7f\x85\u00ad\u200f\u202e\u2028\ufeff\ufffe\U000e0001\U0001f600 <&|"
    texts = ["".join(chance.choices(alphabet, k=chance.randrange(40))) for _ in range(2_000)]
    for text, clause in zip(texts, clauses(*[("path", text) for text in texts]), strict=True):
        literal = clause.removeprefix("path == ")
        assert literal.isprintable(), "a filter shows what it asks"
        assert string(literal) == text


# Completion


def test_variables_are_completed_with_their_types_and_what_they_mean(there: Page) -> None:
    bar(there).press_sequentially("stat")
    expect(option(there, "status_code")).to_contain_text("int")
    expect(option(there, "status_code")).to_contain_text("status of the response")
    expect(bar(there)).to_have_attribute("aria-expanded", "true")
    bar(there).press("ArrowDown")
    bar(there).press("ArrowDown")
    expect(option(there, "status_code")).to_have_attribute("aria-selected", "true")
    shot(there, "filter-completion")
    bar(there).press("Enter")
    expect(bar(there)).to_have_value("status_code")
    assert "filter=" not in there.url, "taking a completion asks nothing"
    bar(there).press("Escape")
    expect(there.get_by_role("listbox")).to_have_count(0)


def test_operators_values_that_were_seen_and_methods_are_completed(there: Page) -> None:
    bar(there).press_sequentially("method")
    option(there, "==").click()
    expect(bar(there)).to_have_value("method == ")
    expect(option(there, '"POST"')).to_contain_text("seen")
    bar(there).press_sequentially('"PO')
    bar(there).press("Tab")
    expect(bar(there)).to_have_value('method == "POST"')
    bar(there).press_sequentially(" && path.st")
    option(there, "startsWith(…)").click()
    bar(there).press_sequentially("/filter")
    bar(there).press("Enter")
    asked(there, 'method == "POST" && path.startsWith("/filter")')
    expect(rows(there, "POST")).to_have_count(1)
    expect(rows(there, "/filter/b")).to_have_count(0)


def test_members_are_completed_behind_a_dot(there: Page) -> None:
    bar(there).press_sequentially("src.")
    expect(option(there, "ip")).to_be_visible()
    expect(option(there, "pod.name")).to_be_visible()
    bar(there).press_sequentially("po")
    bar(there).press("Tab")
    expect(bar(there)).to_have_value("src.port")


def test_tab_leaves_a_bar_that_has_nothing_to_complete(there: Page) -> None:
    bar(there).fill('path == "/x"')
    bar(there).press("Tab")
    expect(bar(there)).not_to_be_focused()
    expect(there.get_by_role("listbox")).to_have_count(0)


# Errors


def test_an_error_is_shown_at_its_column_while_one_types(there: Page) -> None:
    bar(there).press_sequentially("http && statuscode >= 500 ")
    expect(there.get_by_text("filter, line 1, column 9: unknown variable `statuscode`")).to_be_visible()
    expect(there.get_by_text("did you mean status_code?")).to_be_visible()
    expect(there.locator(".wrong")).to_have_text("statuscode")
    expect(bar(there)).to_have_attribute("aria-invalid", "true")
    shot(there, "filter-error")
    there.get_by_role("button", name="Change it").click()
    expect(bar(there)).to_have_value("http && status_code >= 500 ")
    expect(there.get_by_text("unknown variable")).to_have_count(0)
    bar(there).press("Enter")
    asked(there, "http && status_code >= 500")
    expect(rows(there, "/broken")).to_have_count(1)
    expect(rows(there, "/filter/a")).to_have_count(0)


def test_what_is_wrong_is_not_asked(there: Page) -> None:
    bar(there).fill("status_code ==")
    bar(there).press("Enter")
    expect(there.get_by_text("column 15: unexpected the end of the filter")).to_be_visible()
    expect(rows(there, "/filter/b")).to_have_count(1)
    assert "filter=" not in there.url
    bar(there).press("Escape")
    expect(bar(there)).to_have_value("")
    expect(there.get_by_text("unexpected the end")).to_have_count(0)


def test_the_bar_says_what_the_index_decides(there: Page) -> None:
    bar(there).fill('redis && redis_key == "filter" ')
    expect(there.get_by_text(re.compile("The index decides redis; .* dissected for redis_key"))).to_be_visible()
    bar(there).fill("dst.port == 80 ")
    expect(there.get_by_text("The index decides this")).to_be_visible()
    bar(there).fill('path == "/" ')
    expect(there.get_by_text("The index does not know path: every stored call is dissected.")).to_be_visible()


def test_a_link_with_a_hostile_filter_is_inert(web: WebBed, page: Page) -> None:
    hostile = 'path == "<img src=x onerror=alert(1)>\u202e" // x\n&& "\u0000" == 1 && <script>'
    page.goto(f"{web.url}/#/calls?filter={quote(hostile)}")
    expect(page.locator(".filter-error")).to_contain_text("line 1")
    expect(bar(page)).to_have_value(re.compile("^path == .<img src=x"))
    assert page.locator(".filter-bar img, .filter-bar script").count() == 0


# A page that is slow to draw takes every key


def test_what_is_typed_as_soon_as_the_bar_is_there_stays(web: WebBed, page: Page) -> None:
    page.add_init_script("""new MutationObserver((_, watch) => {
      const bar = document.querySelector("#filter");
      if (!bar) return;
      watch.disconnect();
      bar.value = "red";
      bar.dispatchEvent(new Event("input", { bubbles: true }));
    }).observe(document, { childList: true, subtree: true })""")
    page.goto(f"{web.url}/#/calls?filter=http")
    expect(page.get_by_role("contentinfo").get_by_role("button", name="live")).to_be_visible()
    expect(bar(page)).to_have_value("red")


def test_the_focus_stays_in_a_panel_from_one_key_to_the_next(web: WebBed, page: Page) -> None:
    page.goto(f"{web.url}/#/calls?filter=redis")
    page.get_by_role("button", name="Saved filters and history").click()
    page.get_by_label("Name for this filter").fill("cache")
    # A task of the browser comes before the next frame, as a key may.
    focused = page.evaluate("""async () => {
      document.activeElement.form.requestSubmit();
      await new Promise((next) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = next;
        port2.postMessage(0);
      });
      return document.activeElement.getAttribute("role");
    }""")
    assert focused == "dialog"
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Saved filters; this one is cache")).to_be_focused()


def test_escape_closes_a_panel_that_never_had_the_focus(web: WebBed, page: Page) -> None:
    page.goto(f"{web.url}/#/calls?filter=redis")
    button = page.get_by_role("button", name="Saved filters and history")
    button.click()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()


# History, saved filters


def test_the_arrow_keys_walk_what_was_asked_also_after_a_reload(there: Page) -> None:
    for text in ("http", "dns"):
        bar(there).fill(text)
        bar(there).press("Enter")
        asked(there, text)
    there.get_by_role("button", name="Clear the filter").click()
    expect(bar(there)).to_have_value("")
    there.reload()
    bar(there).press("ArrowUp")
    expect(bar(there)).to_have_value("dns")
    bar(there).press("ArrowUp")
    expect(bar(there)).to_have_value("http")
    bar(there).press("ArrowDown")
    bar(there).press("ArrowDown")
    expect(bar(there)).to_have_value("")


def test_filters_are_saved_by_name_and_used_renamed_and_deleted(web: WebBed, calls: None, page: Page) -> None:
    page.goto(f"{web.url}/#/calls?filter=redis")
    page.get_by_role("button", name="Saved filters and history").click()
    page.get_by_label("Name for this filter").fill("the <b>cache</b>")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Saved filters; this one is the <b>cache</b>")).to_be_focused()
    page.get_by_role("button", name="Clear the filter").click()
    page.reload()
    page.get_by_role("button", name="Saved filters and history").click()
    page.get_by_role("button", name="Rename the <b>cache</b>").click()
    page.get_by_label("New name for the <b>cache</b>").fill("cache")
    page.keyboard.press("Enter")
    shot(page, "filter-saved")
    page.get_by_role("button", name="cache redis").click()
    asked(page, "redis")
    page.get_by_role("button", name="Saved filters; this one is cache").click()
    page.get_by_role("button", name="Delete cache").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


# Values that are clicked


def test_a_click_adds_a_value_and_shift_excludes_it(there: Page) -> None:
    rows(there, "/filter/b").get_by_text("GET", exact=True).hover()
    value = rows(there, "/filter/b").locator("button.value")
    expect(value).to_have_attribute("title", re.compile('method == "GET"'))
    value.click(modifiers=["Shift"])
    asked(there, 'method != "GET"')
    expect(rows(there, "/filter/b")).to_have_count(0)
    row = rows(there, "/filter/a")
    expect(row).to_have_count(1)
    row.get_by_text("POST", exact=True).hover()
    row.locator("button.value").click()
    asked(there, 'method != "GET" && method == "POST"')
    there.go_back()
    asked(there, 'method != "GET"')
    expect(bar(there)).to_have_value('method != "GET"')


# The time range


def test_the_last_minutes_or_all(web: WebBed, there: Page) -> None:
    web.traffic.get("/filter/new")
    web.hub.wait_calls('path == "/filter/new"')
    there.get_by_role("button", name="Time range: All").click()
    there.get_by_role("button", name="Last 5 min").click()
    expect(there.get_by_role("button", name="Time range: Last 5 min")).to_be_focused()
    assert "from=5m" in there.url
    expect(rows(there, "/filter/new")).to_have_count(1)


def test_moments_are_chosen_in_local_time_and_asked_in_utc(web: WebBed, calls: None, browser: Browser) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata", locale="en-GB")
    page = context.new_page()
    page.goto(f"{web.url}/#/calls")
    page.get_by_role("button", name="Time range: All").click()
    page.get_by_label("From", exact=True).fill("2020-01-02T03:04:05")
    page.get_by_label("To", exact=True).fill("2020-01-01T00:00:00")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(page.get_by_text("It ends before it begins.")).to_be_visible()
    page.get_by_label("To", exact=True).fill("2020-01-02T04:00:00")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("2 Jan 2020, 03:04:05 . 2 Jan 2020, 04:00:00"))).to_be_visible()
    assert "from=2020-01-01T21:34:05Z&to=2020-01-01T22:30:00Z" in unquote(page.url)
    expect(rows(page, "/filter/b")).to_have_count(0)
    page.reload()
    page.get_by_role("button", name="Time range: ").click()
    expect(page.get_by_label("From", exact=True)).to_have_value("2020-01-02T03:04:05")
    context.close()


# The protocols


def test_a_protocol_is_switched_off_and_on_in_the_filter(there: Page) -> None:
    chips = there.get_by_role("group", name="Protocols")
    expect(chips.get_by_role("button", name="dns")).to_have_attribute("aria-pressed", "true")
    chips.get_by_role("button", name="dns").click()
    asked(there, 'protocol != "dns"')
    expect(rows(there, "/filter/b")).to_have_count(1)
    expect(rows(there, "NOERROR")).to_have_count(0)
    expect(chips.get_by_role("button", name="dns")).to_have_attribute("aria-pressed", "false")
    shot(there, "filter-legend")
    chips.get_by_role("button", name="redis").click(modifiers=["Shift"])
    asked(there, 'protocol == "redis"')
    expect(rows(there, "/filter/b")).to_have_count(0)
    expect(rows(there, "filter 1")).to_have_count(1)
    chips.get_by_role("button", name="http").click()
    asked(there, 'protocol in ["redis", "http"]')
    chips.get_by_role("button", name="http").dblclick()
    asked(there, 'protocol == "http"')
    chips.get_by_role("button", name="All protocols").click()
    expect(bar(there)).to_have_value("")
    expect(rows(there, "/filter/b")).to_have_count(1)


# The phone


def test_on_a_phone_the_bar_is_one_line_and_the_rest_behind_a_button(
    web: WebBed, calls: None, new_page: NewPage
) -> None:
    page = new_page(size=PHONE, dark=True)
    page.goto(f"{web.url}/#/calls")
    whole = page.get_by_role("search", name="Filter")
    box = whole.bounding_box()
    assert box is not None
    assert box["height"] < 50
    expect(page.get_by_role("button", name="Time range: All")).to_be_hidden()
    page.get_by_role("button", name="Time range, saved filters, protocols").tap()
    expect(page.get_by_role("group", name="Protocols").get_by_role("button", name="http")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Time range: All").tap()
    expect(page.get_by_role("button", name="Last hour")).to_be_in_viewport(ratio=1)
    shot(page, "filter-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
