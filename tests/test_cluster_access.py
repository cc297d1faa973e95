"""Who may speak with a worker or hub: tokens, their files, TLS, and what a browser or stranger is told."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from certificates import Authority
from cluster_links import ACCESS, PACE, TOKEN, Cluster, heard, numbers, talk, until

from pysniff.cluster import door
from pysniff.cluster.access import Access, dialling, is_loopback, listening
from pysniff.cluster.tokens import find_token, kept_token, read_token
from pysniff.errors import FileError, OptionError

# Tokens


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    before = os.umask(0)
    try:
        token = kept_token(file)
    finally:
        os.umask(before)
    assert len(token) >= 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept_token(file) == read_token(file) == token
    assert list(tmp_path.iterdir()) == [file]


def test_a_token_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError):
        kept_token(tmp_path / "token")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_token_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    with pytest.raises(FileError, match="may be read by others") as caught:
        read_token(file)
    assert "chmod 600" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("text", ["", "short", "with a space in the middle", "\n" * 30, "ü" * 30, "x" * 5000])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(OptionError) as caught:
        read_token(file)
    assert not text.strip() or text not in str(caught.value)


def test_a_token_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", "missing", "."):
        with pytest.raises(FileError):
            read_token(tmp_path / name)
    with pytest.raises(FileError):
        kept_token(tmp_path / "no" / "such" / "folder")


def test_a_file_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    other = {"PYSNIFF_TOKEN": "another-token-of-the-tests"}
    assert find_token(file, other) == TOKEN
    assert find_token(None, other) == "another-token-of-the-tests"
    assert find_token(None, {}) is None
    with pytest.raises(OptionError, match="PYSNIFF_TOKEN"):
        find_token(None, {"PYSNIFF_TOKEN": "short"})


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(ACCESS) + str(ACCESS)


@pytest.mark.parametrize(
    "header",
    [None, "", TOKEN, "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ü"],
)
def test_only_the_token_admits(header: str | None) -> None:
    assert not ACCESS.admits(header)
    assert ACCESS.admits(f"Bearer {TOKEN}")
    assert ACCESS.admits(f"bearer  {TOKEN}")  # RFC 9110 §11.1: the scheme in any case, and spaces behind it


def test_loopback_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.test", "", "127.0.0.1.evil.test")))


@talk
async def test_a_wrong_token_is_refused_and_said_so(made: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    worker, port = await made.worker()
    hub = made.hub(Access("another-token-of-the-tests"))
    hub.dial("127.0.0.1", port)
    known = hub.known[f"127.0.0.1:{port}"]
    await until(lambda: known.state == "refused")
    assert known.reason == "the other side refused the token (HTTP status 401)"
    assert worker.figures["refused_401"] >= 1
    assert worker.hubs() == []
    assert not any(text in caplog.text for text in (TOKEN, "another-token-of-the-tests"))


@talk
async def test_a_worker_with_a_wrong_token_is_refused_and_shows_it(made: Cluster) -> None:
    hub = made.hub()
    worker = made.dialling_worker(access=Access("another-token-of-the-tests"))
    worker.dial(await made.server(hub))
    await until(lambda: worker.hubs()[0]["state"] == "refused")
    assert worker.hubs()[0]["reason"] == "the other side refused the token (HTTP status 401)"
    assert hub.figures["refused_401"] >= 1
    assert hub.known == {}


# What strangers are told

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
REQUESTS = {
    "no token": ("GET", "/link", {}, 401),
    "a browser": ("GET", "/link", {**HEADERS, "Origin": "http://127.0.0.1"}, 403),
    "a browser's file": ("GET", "/link", {**HEADERS, "Origin": "null"}, 403),
    "another path": ("GET", "/", HEADERS, 404),
    "another method": ("POST", "/link", HEADERS, 405),
    "no WebSocket": ("GET", "/link", HEADERS, 426),
    "a Host that is none": ("GET", "/link", {**HEADERS, "Host": "a/b"}, 400),
}


@pytest.mark.parametrize("name", REQUESTS)
@talk
async def test_a_stranger_is_refused(made: Cluster, name: str) -> None:
    method, path, headers, status = REQUESTS[name]
    worker, port = await made.worker()
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        assert response.status == status
        assert (response.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)
        assert "Access-Control-Allow-Origin" not in response.headers
    assert worker.figures[f"refused_{status}"] == 1


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
HEAD = f"{UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HEADS = {
    "two tokens": (f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n", b" 401 "),
    "two hosts": (f"Host: a\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n", b" 400 "),
    "no host": (f"Authorization: Bearer {TOKEN}\r\n", b" 400 "),
    "a long header": (f"Host: a\r\nX: {'x' * 10_000}\r\nAuthorization: Bearer {TOKEN}\r\n", b" 400 "),
    "many headers": ("Host: a\r\n" + "".join(f"X{n}: x\r\n" for n in range(100)), b" 400 "),
    "all as it should be": (f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\n", b" 101 "),
}


@pytest.mark.parametrize("name", HEADS)
@talk
async def test_a_head_is_read_strictly(made: Cluster, name: str) -> None:
    head, status = HEADS[name]
    _, port = await made.worker()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /link HTTP/1.1\r\n{head}{HEAD}\r\n".encode())
    line = await reader.readline()
    writer.close()
    assert status in line


@talk
async def test_without_a_token_a_name_that_dns_points_here_is_refused(made: Cluster) -> None:
    _, port = await made.worker(access=Access())
    for host, status in ((f"evil.test:{port}", 403), (f"localhost:{port}", 426), (f"[::1]:{port}", 426)):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/link", headers={"Host": host}) as response,
        ):
            assert response.status == status


@talk
async def test_a_redirection_leads_nowhere(made: Cluster) -> None:
    _, port = await made.worker()
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound(f"http://127.0.0.1:{port}/link")

    application = web.Application()
    application.router.add_get("/{any:.*}", elsewhere)
    runner = web.AppRunner(application)
    await runner.setup()
    made.close_with(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hub = made.hub()
    own = runner.addresses[0][1]
    hub.dial("127.0.0.1", own)
    await until(lambda: len(asked) > 1)
    assert set(hub.known) == {f"127.0.0.1:{own}"}
    assert hub.known[f"127.0.0.1:{own}"].reason == "answered with a redirection (302)"


# Those who take their time

QUICK = PACE.but(handshake=0.3)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side ends the connection."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("sent", [b"", b"GET /link HTTP/1.1\r\n", b"GET /link HTTP/1.1\r\nHost: a\r\nX: "])
@talk
async def test_who_never_ends_a_head_is_turned_away(made: Cluster, sent: bytes) -> None:
    _, port = await made.worker(pace=QUICK)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await ended(reader) == b""
    writer.close()


@talk
async def test_who_says_no_hello_is_turned_away(made: Cluster) -> None:
    worker, port = await made.worker(pace=QUICK)
    raw = await made.raw(port)
    message = await raw.websocket.receive()
    assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
    assert worker.hubs() == []


@pytest.mark.needs("openssl")
@talk
async def test_who_never_ends_a_tls_handshake_is_turned_away(made: Cluster, tmp_path: Path) -> None:
    certificate = Authority(tmp_path, "ca").issue("worker")
    _, port = await made.worker(access=Access(TOKEN, listen=listening(*certificate)), pace=QUICK)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ended(reader) == b""
    writer.close()


@talk
async def test_a_hub_gets_in_however_many_strangers_are_at_the_door(made: Cluster) -> None:
    _, port = await made.worker()
    strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(door.STRANGERS + 20)]
    for reader, _ in strangers[:15]:
        assert await ended(reader) == b""  # the oldest made room
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    await made.connected(hub)
    assert numbers(await heard(hub.ask("node-1", "query", {}))) == [1, 2, 3]
    for _, writer in strangers:
        writer.close()


@talk
async def test_a_hub_that_is_in_stays_whoever_comes(made: Cluster) -> None:
    hub, worker = await made.pair(PACE.but(handshake=0.5))
    port = worker.endpoints()[0][0][1]
    asked = hub.ask("node-1", "wait", {})
    strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * door.STRANGERS)]
    for reader, _ in strangers:
        assert await ended(reader) == b""
    made.answers.go.set()
    assert numbers(await heard(asked)) == [1, 2, 3]
    for _, writer in strangers:
        writer.close()


# TLS


@pytest.mark.needs("openssl")
@talk
async def test_tls_both_ways_round(made: Cluster, tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    access = Access(TOKEN, listening(*ca.issue("both")), dialling(ca.certificate))
    _, port = await made.worker(access=access)
    hub = made.hub(access)
    hub.dial("127.0.0.1", port)
    worker = made.dialling_worker("node-2", access)
    worker.dial(await made.server(hub, access))
    for name in ("node-1", "node-2"):
        await made.connected(hub, name)
        assert numbers(await heard(hub.ask(name, "query", {"count": 100, "size": 10_000}))) == list(range(1, 101))


@pytest.mark.needs("openssl")
@talk
async def test_mutual_tls_asks_for_a_certificate(made: Cluster, tmp_path: Path) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    listen = listening(*ca.issue("worker"), ca.certificate)
    _, port = await made.worker(access=Access(TOKEN, listen))
    hub = made.hub(Access(TOKEN, dial=dialling(ca.certificate, *ca.issue("hub"))))
    hub.dial("127.0.0.1", port)
    await made.connected(hub)
    for dial in (dialling(ca.certificate), dialling(ca.certificate, *other.issue("hub"))):
        stranger = made.hub(Access(TOKEN, dial=dial))
        stranger.dial("127.0.0.1", port)
        await until(lambda: stranger.known[f"127.0.0.1:{port}"].reason != "not connected yet")  # noqa: B023
        assert stranger.known[f"127.0.0.1:{port}"].state != "connected"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("wrong", ["authority", "name", "none"])
@talk
async def test_a_certificate_that_is_wrong_is_refused_and_said_so(made: Cluster, tmp_path: Path, wrong: str) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    certificate = other.issue("worker") if wrong == "authority" else ca.issue("worker", alternative="DNS:else.test")
    listen = None if wrong == "none" else listening(*certificate)
    _, port = await made.worker(access=Access(TOKEN, listen))
    hub = made.hub(Access(TOKEN, dial=dialling(ca.certificate)))
    hub.dial("127.0.0.1", port)
    known = hub.known[f"127.0.0.1:{port}"]
    await until(lambda: known.state == "refused")
    assert ("certificate was refused" in known.reason) == (wrong != "none")
    assert made.answers.asked == []


@pytest.mark.needs("openssl")
def test_files_that_are_no_certificates_are_one_line(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    certificate, key = ca.issue("worker")
    empty = tmp_path / "empty"
    empty.write_text("")
    for files in ((empty, key), (certificate, empty), (tmp_path / "no", key), (certificate, ca.issue("else")[1])):
        with pytest.raises(FileError):
            listening(*files)
    for file in (empty, tmp_path / "no"):
        with pytest.raises(FileError):
            dialling(file)
        with pytest.raises(FileError):
            listening(certificate, key, file)
    assert dialling(ca.certificate).verify_mode is ssl.CERT_REQUIRED
    assert dialling(ca.certificate).check_hostname
