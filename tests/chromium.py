"""Chromium without a window, asked over its DevTools protocol; and what its network panel reads in a HAR.

The panel's own importer does the reading: the modules of DevTools that Chromium serves beside the protocol.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_LISTENING = re.compile(r"DevTools listening on (ws://(127\.0\.0\.1:[0-9]+)/\S+)")
# As NetworkPanel.onLoadFromFile() of DevTools does it.
_IMPORT = """
(async (text) => {
  const har = await import('/devtools/models/har/har.js');
  const root = new har.HARFormat.HARRoot(JSON.parse(text));
  const requests = har.Importer.Importer.requestsFromHARLog(root.log);
  return Promise.all(requests.map(async (request) => {
    const content = await request.requestContentData();
    return {
      method: request.requestMethod, url: request.url(), status: request.statusCode, reason: request.statusText,
      protocol: request.protocol, mime: request.mimeType, type: request.resourceType().name(),
      address: request.remoteAddress(), duration: request.duration, latency: request.latency,
      sent: request.requestHeaders(), received: request.responseHeaders, query: request.queryParameters,
      form: await request.requestFormData(), size: request.resourceSize, transferred: request.transferSize,
      frames: request.frames().map(({type, opCode, text}) => [type, opCode, text]),
      text: content.error ? null : content.isTextContent ? content.text : null,
      base64: content.error || content.isTextContent ? null : content.base64,
    };
  }));
})(%s)
"""


def program() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Page(NamedTuple):
    """A page of the browser; `origin` is that of DevTools."""

    connection: ClientConnection
    session: str
    origin: str

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited; raise RuntimeError with what was thrown."""
        said = _call(
            self.connection, "Runtime.evaluate", self.session,
            expression=expression, awaitPromise=True, returnByValue=True,
        )  # fmt: skip
        if "exceptionDetails" in said:
            details = said["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return said["result"].get("value")

    def import_har(self, text: str) -> list[dict[str, Any]]:
        """The requests that the network panel shows, in its order."""
        requests = self.evaluate(_IMPORT % json.dumps(text))
        assert isinstance(requests, list)
        return requests


@contextmanager
def browser(executable: str) -> Iterator[Page]:
    """A page of a new browser, on the origin of its DevTools."""
    with tempfile.TemporaryDirectory(prefix="pysniff-chromium-", ignore_cleanup_errors=True) as profile:
        command = [executable, "--headless", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        # Debian's program is a shell script that starts the browser: both are ended, as one group.
        process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            url, host = _listening(process)
            with connect(url, max_size=None, compression=None) as connection:
                target = _call(connection, "Target.createTarget", url=f"http://{host}/json/version")["targetId"]
                session = _call(connection, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                page = Page(connection, session, f"http://{host}")
                _wait(page)
                yield page
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)


def _wait(page: Page) -> None:
    """Until the page is there; what is evaluated meanwhile may be lost."""
    for _ in range(500):
        try:
            if page.evaluate("location.origin + document.readyState") == f"{page.origin}complete":
                return
        except RuntimeError:
            pass
        time.sleep(0.02)
    raise RuntimeError("chromium did not open its own page")


def _listening(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if match := _LISTENING.search(line):
            return match[1], match[2]
    raise RuntimeError("chromium ended: " + "".join(said))


def _call(connection: ClientConnection, method: str, session: str = "", **params: Any) -> dict[str, Any]:
    message = {"id": 1, "method": method, "params": params} | ({"sessionId": session} if session else {})
    connection.send(json.dumps(message))
    while True:
        answer = json.loads(connection.recv(timeout=60))
        if answer.get("id") == 1:
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            result = answer["result"]
            assert isinstance(result, dict)
            return result
