"""The files of the page: a look-up among names that exist, kept by browsers for ever, open to everybody."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector
from hub_fakes import TOKEN, FakeWorker, Running, capturing, running

from pysniff.cluster.hub import page, page_files
from pysniff.errors import FileError

SCRIPT, STYLE = "page-ABCD2345.js", "page-WXYZ6789.css"
CODE = "let tea = 'Assam';\n" * 100


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that a hub serves."""
    made = tmp_path / "static"
    made.mkdir()
    (made / "index.html").write_text(f'<!doctype html><title>PySniff</title><script src="/static/{SCRIPT}"></script>')
    (made / SCRIPT).write_text(CODE)
    (made / STYLE).write_text("a{}")
    (made / "icon.svg").write_text("<svg/>")
    (made / "notes.txt").write_text("not of the page")
    (tmp_path / "secret.js").write_text("beside the page")
    monkeypatch.setattr(page, "built", lambda: made)
    return made


def talk(conversation: Callable[[Running, ClientSession], Awaitable[None]], *, abroad: bool = True) -> None:
    """With a hub that wants the token of everybody; the client shows none, and unpacks nothing."""

    async def main() -> None:
        worker = FakeWorker("a-node", {"status": capturing()})
        async with (
            running(worker, abroad=abroad) as hub,
            ClientSession(hub.url, auto_decompress=False, connector=TCPConnector(limit=1)) as client,
        ):
            await conversation(hub, client)

    asyncio.run(main())


def test_the_page_is_open_and_tells_nothing_of_nodes(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        for path in ("/", f"/static/{SCRIPT}", f"/static/{STYLE}", "/static/icon.svg"):
            async with client.get(path, headers={"Accept-Encoding": "identity"}) as answer:
                assert answer.status == 200
                assert "a-node" not in await answer.text()

    talk(conversation)


def test_a_file_is_kept_for_ever_where_its_name_tells_its_content(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        for path, kind, kept in (
            ("/", "text/html; charset=utf-8", "no-store"),
            (f"/static/{SCRIPT}", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
            (f"/static/{STYLE}", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
            ("/static/icon.svg", "image/svg+xml; charset=utf-8", "no-cache"),
        ):
            async with client.get(path) as answer:
                assert answer.headers["Content-Type"] == kind
                assert answer.headers["Cache-Control"] == kept
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "script-src" not in answer.headers["Content-Security-Policy"]
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]

    talk(conversation)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
    ],
)
def test_a_file_is_packed_for_those_who_take_it_so(folder: Path, accepted: str, packed: bool) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        async with client.get(f"/static/{SCRIPT}", headers={"Accept-Encoding": accepted}) as answer:
            body = await answer.read()
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
            assert (gzip.decompress(body) if packed else body) == CODE.encode()
            assert len(body) == answer.content_length

    talk(conversation)


def test_what_packing_would_make_larger_is_sent_as_it_is(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        async with client.get(f"/static/{STYLE}", headers={"Accept-Encoding": "gzip"}) as answer:
            assert await answer.read() == b"a{}"
            assert "Content-Encoding" not in answer.headers

    talk(conversation)


def test_what_a_browser_has_is_not_sent_again(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        tags = []
        for accepted in ("gzip", "identity"):
            fields = {"Accept-Encoding": accepted}
            async with client.get(f"/static/{SCRIPT}", headers=fields) as answer:
                tags.append(answer.headers["ETag"])
            async with client.get(f"/static/{SCRIPT}", headers={**fields, "If-None-Match": tags[-1]}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
                assert answer.headers["ETag"] == tags[-1]
            async with client.get(f"/static/{SCRIPT}", headers={**fields, "If-None-Match": '"another"'}) as answer:
                assert answer.status == 200
        assert tags[0] != tags[1]  # RFC 9110 §8.8.3.3

    talk(conversation)


def test_head_tells_what_get_would(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        for path in ("/", f"/static/{SCRIPT}"):
            told = []
            for method in ("GET", "HEAD"):
                async with client.request(method, path) as answer:
                    body = await answer.read()
                    told.append({name: value for name, value in answer.headers.items() if name != "Date"})
            assert told[0] == told[1]
            assert body == b""

    talk(conversation)


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/notes.txt",
        "/static/index.html",
        "/static/../secret.js",
        "/static/..%2fsecret.js",
        "/static/%2e%2e%2fsecret.js",
        "/static/..%5csecret.js",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        f"/static/{SCRIPT}%00",
        f"/static/{SCRIPT}/",
        f"/static/%2e/{SCRIPT}",
        f"/STATIC/{SCRIPT}",
        "/static/",
        "/static",
        "/static/../api/workers",
        "/static/%2e%2e/api/workers",
        "/static%2f..%2fapi/workers",
        "/static/../metrics",
    ],
)
def test_no_name_leads_anywhere_else(folder: Path, path: str) -> None:
    """Nor past the token, however it is written. Clients would write it otherwise: these bytes are sent."""

    async def conversation(hub: Running, client: ClientSession) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer[:13] in (b"HTTP/1.1 401 ", b"HTTP/1.1 404 ")
        assert b"Content-Type: application/problem+json" in answer

    talk(conversation)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_files_can_only_be_read(folder: Path, method: str) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        async with client.request(method, f"/static/{SCRIPT}", headers=bearer) as answer:
            assert answer.status == 405
        async with client.request(method, f"/static/{SCRIPT}") as answer:
            assert answer.status == 401

    talk(conversation)


def test_pages_of_other_sites_may_link_to_the_page_and_load_nothing_of_it(folder: Path) -> None:
    async def conversation(hub: Running, client: ClientSession) -> None:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        async with client.get("/", headers=elsewhere) as answer:
            assert answer.status == 200
        async with client.get(f"/static/{SCRIPT}", headers=elsewhere) as answer:
            assert answer.status == 403

    talk(conversation)


def test_the_page_is_read_once(folder: Path) -> None:
    """Built anew or removed, what the hub serves fits together."""

    async def conversation(hub: Running, client: ClientSession) -> None:
        (folder / SCRIPT).unlink()
        (folder / "new.js").write_text("new")
        async with client.get(f"/static/{SCRIPT}", headers={"Accept-Encoding": "identity"}) as answer:
            assert await answer.text() == CODE
        async with client.get("/static/new.js") as answer:
            assert answer.status == 404

    talk(conversation)


def test_where_the_page_is_not_built_the_hub_says_how_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "built", lambda: None)

    async def conversation(hub: Running, client: ClientSession) -> None:
        async with client.get("/") as answer:
            text = await answer.text()
            assert (answer.status, answer.content_type) == (200, "text/plain")
        assert [line for line in text.splitlines() if "The page is not built" in line and page.HOW_TO_BUILD in line]
        assert "/api/entries" in text
        async with client.get(f"/static/{SCRIPT}") as answer:
            assert answer.status == 404

    talk(conversation)


def test_a_page_that_is_too_large_to_keep_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "MOST_BYTES", 1000)
    with pytest.raises(FileError, match="exceeds 1,000 bytes"):
        page_files.read(folder)
