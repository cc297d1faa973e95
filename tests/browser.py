"""A browser on the hub's page: what every test of the page stands on. Its fixtures are in conftest.py.

    def test_a_call_is_shown(web: WebBed, page: Page) -> None:
        web.traffic.get("/catalogue")
        page.goto(web.url)
        expect(page.get_by_text("GET /catalogue")).to_be_visible()

A page that writes an error to the console, throws, breaks the content security policy, or asks anything but its own
origin fails its test at the end. Screenshots are in the folder that PYSNIFF_SHOTS names, else tests/screenshots/.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import urlsplit

import pytest
from chromium import program

if TYPE_CHECKING:  # it takes half a second, and most tests need no browser
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, WebSocket

ROOT = Path(__file__).parent.parent
SHOTS = Path(os.environ.get("PYSNIFF_SHOTS") or ROOT / "tests" / "screenshots")
DESK, PHONE = (1280, 720), (390, 844)
# Milliseconds after which what should be on a page never will be; nothing waits so long that goes right.
PATIENCE = 30_000
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync")  # fmt: skip
# The browser's own note of an answer that the page shows in the hub's words: what is typed into the filter bar is
# refused until it compiles.
_REFUSED = "Failed to load resource: the server responded with a status of 4"


def build_page() -> None:
    """Build the page where its sources are newer; skip the test where this machine cannot, in CI fail it."""
    lacking = [name for name in ("node", "npm") if shutil.which(name) is None]
    if lacking:
        _lacking(f"the page is built with {' and '.join(lacking)}")
    with (ROOT / "pysniff" / "web" / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may share a tree
        words = [sys.executable, "setup.py", "--quiet", "build_page", "--strict"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the page does not build:\n{done.stdout}{done.stderr}", pytrace=False)


@contextmanager
def launched() -> Iterator[Browser]:
    """Debian's Chromium, without a window.

    Playwright keeps an event loop in this thread until the end of the `with`: asyncio.run() fails meanwhile.
    """
    executable = program()
    if executable is None:
        _lacking("needs chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS, timeout=4 * PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


def _lacking(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class NewPage(Protocol):
    """Opens a page in a context of its own: nothing kept, nobody signed in."""

    def __call__(self, *, dark: bool = False, size: tuple[int, int] = DESK) -> Page: ...


class Pages:
    """The pages of one test, and what went wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._undo = ExitStack()
        self._pages: list[Page] = []
        self._allowed: list[re.Pattern[str]] = []
        self.wrong: list[str] = []

    def open(self, *, dark: bool = False, size: tuple[int, int] = DESK) -> Page:
        """`size` PHONE is a phone, with a finger."""
        phone = size[0] < 600
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=2 if phone else 1,
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-GB",
        )
        self._undo.callback(context.close)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"thrown: {error}"))
        page.on("request", self._request)
        page.on("websocket", lambda socket: self._websocket(page, socket))
        self._pages.append(page)
        return page

    def allow(self, pattern: str) -> None:
        """What a test makes go wrong on purpose: a regular expression of what would have been told."""
        self._allowed.append(re.compile(pattern))

    def close(self, name: str, failed: bool) -> None:
        """Fail the test for what went wrong; of one that failed there are pictures."""
        for number, page in enumerate(self._pages):
            if (failed or self._bad()) and not page.is_closed():
                shot(page, f"failed-{name}{f'-{number}' if number else ''}")
        self._undo.close()
        bad = self._bad()
        if bad:
            pytest.fail("the page:\n" + "\n".join(bad), pytrace=False)

    def _bad(self) -> list[str]:
        return [one for one in self.wrong if not any(allowed.search(one) for allowed in self._allowed)]

    def _note(self, what: str) -> None:
        if len(self.wrong) < 50:
            self.wrong.append(what)

    def _console(self, message: ConsoleMessage) -> None:
        where = message.location["url"]
        if message.type not in ("error", "warning"):
            return
        if message.text.startswith(_REFUSED) and urlsplit(where).path.startswith("/api/"):
            return
        self._note(f"console: {message.text} ({where})")

    def _request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("blob", "data"):
            return
        if request.is_navigation_request():
            ours = asked.hostname in ("127.0.0.1", "localhost")
        else:
            ours = asked.netloc == urlsplit(request.frame.url).netloc
        if not ours:
            self._note(f"asked another origin: {request.url}")

    def _websocket(self, page: Page, socket: WebSocket) -> None:
        if urlsplit(socket.url).netloc != urlsplit(page.url).netloc:
            self._note(f"asked another origin: {socket.url}")


def shot(page: Page, name: str) -> Path:
    """Keep a picture of what the window shows, for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name).strip('-')}.png"
    page.screenshot(path=path)
    return path
