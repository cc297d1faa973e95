"""nghttp and nghttpx; the HAR that nghttp writes is its log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from recorded.nginx import await_listening, free_port
from recorded.recording import PATIENCE
from recorded.said import Headers, Said

Pairs = list[dict[str, str]]


def nghttp(folder: Path, port: int, *paths: str, options: Sequence[str] = ()) -> list[Said]:
    """One connection, all requests at once; what it says of each, pushed ones too."""
    folder.mkdir(parents=True, exist_ok=True)
    urls = [f"http://127.0.0.1:{port}{path}" for path in paths]
    har = folder / f"{port}.har"
    command = ["nghttp", "-n", "-t", str(PATIENCE), "-r", str(har), *options, *urls]
    subprocess.run(command, timeout=PATIENCE + 5, check=True)
    return [_said(one["request"], one["response"]) for one in json.loads(har.read_text())["log"]["entries"]]


def _said(request: dict[str, Pairs], response: dict[str, Pairs]) -> Said:
    asked = {pair["name"]: pair["value"] for pair in request["headers"]}
    url = urlsplit(str(request["url"]))
    return Said(
        0,
        asked.get(":method"),
        url._replace(scheme="", netloc="").geturl(),
        status=int(str(response["status"])),
        # The HAR has a Content-Length that nghttp does not send where there are trailers.
        request_headers=None if "content-length" in asked else _regular(request["headers"]),
        headers=_regular(response["headers"]),
    )


def _regular(pairs: Pairs) -> Headers:
    return [(pair["name"], pair["value"]) for pair in pairs if pair["name"][0] != ":"]


@contextmanager
def nghttpx(home: Path, backend: int, *options: str) -> Iterator[int]:
    """A proxy without TLS that takes HTTP/1, h2c by upgrade and HTTP/2, and speaks HTTP/2 to `backend`; its port."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    frontend, behind = f"127.0.0.1,{port};no-tls", f"127.0.0.1,{backend};;proto=h2"
    command = ["nghttpx", "-f", frontend, "-b", behind, "--workers=1", "--conf=/dev/null", *options]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as it:
        try:
            await_listening(port, it)
            yield port
        finally:
            it.terminate()
            it.wait(PATIENCE)
