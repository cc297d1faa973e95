"""`pysniff query URL`: what a hub says, as lines and as JSON; and what becomes of a hub that says anything else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
import pytest
from aiohttp import web
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from certificates import Authority
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_servers import recorded
from transcripts import ws
from wire import Watched

from pysniff.cli import group, hub_query
from pysniff.cli.hub_query import HubQuestion, row_of
from pysniff.cli.lines import Lines
from pysniff.cli.lines import row_of as row_of_entry
from pysniff.cli.output import Output
from pysniff.cli.terminal import Terminal
from pysniff.cluster import client
from pysniff.cluster.access import listening
from pysniff.cluster.client import HubClient, checked_url
from pysniff.cluster.client_messages import Told
from pysniff.cluster.hub import messages
from pysniff.cluster.hub.duplicates import Shown
from pysniff.cluster.summary import summary
from pysniff.cluster.unreached import why_unreached
from pysniff.entry import Entry
from pysniff.errors import FileError, FilterError, OptionError, PrivilegeError, PysniffError, ReadError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CALLS = recorded(
    (b"GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\n\r\n", OK),
    (b"GET /gone HTTP/1.1\r\nHost: shop\r\n\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
)
TOKEN = "a-token-of-these-tests"
LAST = messages.end({})


def batch(entries: Iterable[Entry], nodes: tuple[str, ...] = ("node1", "node2")) -> list[bytes]:
    """What a hub says of entries that every node has seen."""
    packed = [msgpack.packb(summary(entry)) for entry in entries]
    shown = Shown(packed, [(1 << len(nodes)) - 1] * len(packed), [])
    return [message.data for message in messages.batches(shown, 0, nodes)]


class Says:
    """A hub that says what a test wants. `asked`: every question; `whole`: entries by id; `state` of its worker."""

    def __init__(
        self, *said: bytes, whole: Mapping[str, object] | None = None, hold: bool = False, state: str = "live"
    ) -> None:
        self.said = (messages.status("node1", state), *said)
        self.whole = whole or {}
        self.hold = hold
        self.asked: list[dict[str, Any]] = []
        self.packets: list[dict[str, str]] = []
        self.busy = 0  # requests that come too early
        self.most_at_once = self._at_once = 0
        self.url = ""

    async def entries(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", f"Bearer {TOKEN}") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.asked.append(json.loads(await socket.receive_str()))
        for said in self.said:
            await socket.send_bytes(said)
        if self.hold:
            await socket.receive()
        await socket.close()
        return socket

    async def entry(self, request: web.Request) -> web.Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.01)
        self._at_once -= 1
        if self.busy:
            self.busy -= 1
            return web.json_response({"detail": "too many", "code": "rate"}, status=429, headers={"Retry-After": "0"})
        found = self.whole.get(request.match_info["id"])
        if found is None:
            return web.json_response({"detail": "no such entry", "code": "notfound"}, status=404)
        return web.json_response(found)

    async def pcap(self, request: web.Request) -> web.Response:
        self.packets.append(dict(request.query))
        return web.Response(body=b"\x0a\x0d\x0d\x0a" * 100_000)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_get("/api/entries", self.entries)
        application.router.add_get("/api/entries/{id}", self.entry)
        application.router.add_get("/api/pcap", self.pcap)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def question(url: str, **change: Any) -> HubQuestion:
    values: dict[str, Any] = {
        "url": url, "filter": "", "start": None, "end": None, "newest_first": False, "follow": False, "count": None,
        "decode_as": {}, "write": None, "json": False, "quiet": False, "body_limit": 1000, "strict": False,
        "token_file": None, "tls_ca": None,
    }  # fmt: skip
    return HubQuestion(**{**values, **change})


def shown(hub: Says, **change: Any) -> int:
    """The exit code; what is shown goes to standard output."""

    async def run() -> int:
        async with hub.serving() as url, asyncio.timeout(60):
            return await hub_query._run(question(url, **change))

    return asyncio.run(run())


# Lines


def test_calls_are_the_lines_that_their_entries_would_be(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    talk = Watched().client(b"GET /slow HTTP/1.1\r\n\r\n").wait(11)
    entries = [*CALLS, *talk.server(OK).bye().close().seen]
    assert shown(Says(*batch(entries), LAST)) == 0
    told = capsysbinary.readouterr().out
    shown_here = BytesIO()
    Lines(Output(shown_here, live=True), Terminal(), 0, 0).show(entries)
    want = shown_here.getvalue().replace(b"/cart?id=7", b"/cart     ")
    assert [line.split() for line in told.splitlines()] == [line.split() for line in want.splitlines()]
    assert b"(closes the open one)" in told


def test_a_row_of_a_summary_says_what_one_of_its_entry_says() -> None:
    websocket = Watched(dport=80)
    websocket.client(
        b"GET /c HTTP/1.1\r\nHost: c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    websocket.server(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    websocket.client(ws(0x81, b"hello", b"mask")).server(ws(0x81, b"unasked"))
    redis = Watched(dport=6379).client(b"*1\r\n$4\r\nPING\r\n").server(b"-ERR no\r\n").bye().close().seen
    unknown = Watched(dport=9).client(b"\x01\x02\x03").server(b"\xff" * 50).bye().close().seen
    alone = Watched().server(OK).bye().close().seen
    for entry in [*CALLS, *websocket.bye().close().seen, *redis, *unknown, *alone]:
        told = Told(dict(summary(entry)), ("local",))
        row, want = row_of(told), row_of_entry(entry)
        # Of a WebSocket's message the summary has the frame's size.
        size = want.size if entry.protocol != "ws" else row.size
        assert row == want._replace(headline=entry.summary, size=size), entry


def test_what_was_read_out_of_tls_has_the_name_that_urls_give_it() -> None:
    told = dict(summary(CALLS[0]))
    assert (row_of(Told(told, ())).protocol, row_of(Told({**told, "tls": {"version": "1.3"}}, ())).protocol) == (
        "http",
        "https",
    )


def test_the_question_is_put_as_it_was_given() -> None:
    hub = Says(LAST)
    given_ = {"filter": "http", "start": 5, "end": 9, "newest_first": True, "count": 7}
    assert shown(hub, **given_, decode_as={("tcp", 9000): "redis"}) == 0
    assert hub.asked == [
        {
            "filter": "http", "from": 5, "to": 9, "limit": 7, "newest_first": True, "follow": False,
            "decode_as": {"tcp.port==9000": "redis"},
        }
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["away", "failed", "refused", "asked"])
def test_an_answer_that_no_worker_gave_is_no_answer(state: str) -> None:
    with pytest.raises(ReadError, match="no worker has answered"):
        shown(Says(LAST, state=state))


def test_what_is_missing_is_told_and_makes_a_strict_run_fail(capsys: pytest.CaptureFixture[str]) -> None:
    said = (
        messages.status("node1", "live"),
        messages.status("node2", "away", "connection refused", severity="warning", hint="start it"),
        messages.missed(1234, "slow"),
        LAST,
    )
    assert shown(Says(*said)) == 0
    assert capsys.readouterr().err.splitlines() == [
        "pysniff: node2: away: connection refused (start it)",
        "pysniff: 1,234 entries were not sent: this was too slow for them",
    ]
    assert shown(Says(*said), strict=True) == 20
    assert shown(Says(LAST), strict=True) == 0
    capsys.readouterr()
    assert shown(Says(*said), quiet=True) == 0
    assert capsys.readouterr().err == ""


def test_nothing_that_a_hub_says_acts_on_a_terminal(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    told = dict(summary(CALLS[0])) | {"summary": "\x1b[2J", "status": "\x9b1m", "protocol": "\r\n", "faults": ["\x07"]}
    told |= {"id": "\x1b[", "src": {"ip": "\x1b]0;", "port": 1, "name": ""}}
    told |= {"dst": {"ip": "a", "port": 1, "name": "\x1b"}}
    data = messages._batch([msgpack.packb(told)], [1], 0, ["a"]).data
    assert shown(Says(data, messages.status("\x1b]0;", "x\x08", "\x1b[H", severity="error"), LAST)) == 0
    out, err = capsysbinary.readouterr()
    assert not set(out + err) & (set(range(32)) - {10})
    assert b"\\x1b[2J" in out


@pytest.mark.parametrize("nonsense", [b"\xc0", b"\xc1", b"\x81\xa1a\xc1", b"\xa3abc", b""])
def test_a_worker_that_packs_nonsense_ends_nobodys_feed(
    nonsense: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    good = msgpack.packb(summary(CALLS[0]))
    data = messages._batch([good, nonsense, good], [1, 2, 1], 0, ["a", "b"]).data
    assert shown(Says(data, LAST)) == 0
    lines = capsysbinary.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0] == lines[2] != lines[1]


# JSON


def test_json_is_the_whole_entry_in_the_order_of_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    entries = recorded(*[(b"GET /%d HTTP/1.1\r\n\r\n" % number, OK) for number in range(30)])
    hub = Says(*batch(entries), LAST, whole={entry.id: entry.to_dict() for entry in entries})
    assert shown(hub, json=True) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [{**entry.to_dict(), "nodes": ["node1", "node2"]} for entry in entries]
    assert 1 < hub.most_at_once <= hub_query.TOGETHER


def test_what_is_gone_by_then_is_counted_and_who_is_too_early_waits(capsys: pytest.CaptureFixture[str]) -> None:
    hub = Says(*batch(CALLS), LAST, whole={CALLS[1].id: CALLS[1].to_dict()})
    hub.busy = 5
    assert shown(hub, json=True, strict=True) == 20
    out, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == [CALLS[1].id]
    assert "1 entries were gone" in err


# Packets


def test_packets_are_written_as_they_come(tmp_path: Path) -> None:
    hub = Says()
    assert shown(hub, write=str(tmp_path / "a.pcapng"), filter="http", start=5) == 0
    assert (tmp_path / "a.pcapng").read_bytes() == b"\x0a\x0d\x0d\x0a" * 100_000
    assert hub.packets == [{"filter": "http", "from": "5"}]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.pcapng"]


# Hubs that are not there, or refuse, or say anything else


def failure(hub: Says, **change: Any) -> PysniffError:
    with pytest.raises(PysniffError) as error:
        shown(hub, **change)
    return error.value


def test_a_filter_that_a_hub_refuses_points_at_the_place() -> None:
    said = messages.error(FilterError("no such variable", line=1, column=3, excerpt="foo\n^", hint="x"), "filter")
    error = failure(Says(said))
    assert isinstance(error, FilterError)
    assert (error.message, error.line, error.column, error.excerpt) == ("no such variable", 1, 3, "foo\n^")
    assert type(failure(Says(messages.error(OptionError("no"), "option")))) is OptionError
    assert type(failure(Says(messages.error(OptionError("too many"), "busy")))) is ReadError


def test_a_token_is_read_from_its_file_and_a_wrong_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    assert shown(Says(LAST), token_file=str(file)) == 0
    monkeypatch.setenv("PYSNIFF_TOKEN", TOKEN)
    assert shown(Says(LAST)) == 0
    monkeypatch.setenv("PYSNIFF_TOKEN", "another-token-of-these-tests")
    error = failure(Says(LAST))
    assert (type(error), error.exit_code) == (PrivilegeError, 5)
    assert "PYSNIFF_TOKEN" in error.hint


def test_nobody_there_is_told() -> None:
    async def run() -> None:
        async with Says().serving() as url:
            pass
        await hub_query._run(question(url))

    with pytest.raises(FileError, match=r"no hub is reached: Connection refused \(is `pysniff hub` running there\?\)$"):
        asyncio.run(run())


def test_why_a_connection_did_not_come_about_is_in_the_systems_words() -> None:
    attempt = OSError(111, "Connect call failed ('10.0.0.1', 8897)")
    assert why_unreached(ClientConnectorError(ConnectionKey("a", 1, False, True, None, None, None), attempt)) == (
        "Connection refused"
    )
    assert why_unreached(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert why_unreached(ssl.SSLError(1, "wrong version number")).endswith("wrong version number")
    assert why_unreached(TimeoutError()) == "TimeoutError"


@pytest.mark.needs("openssl")
def test_tls_is_that_of_the_authority_that_was_named_and_of_no_other(tmp_path: Path) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    tls = listening(*ca.issue("hub"))

    async def run(tls_ca: Path | None) -> int:
        async with Says(LAST).serving(tls) as url, asyncio.timeout(60):
            return await hub_query._run(question(url, tls_ca=None if tls_ca is None else str(tls_ca)))

    assert asyncio.run(run(ca.certificate)) == 0
    for wrong in (other.certificate, None):
        with pytest.raises(FileError, match="--tls-ca"):
            asyncio.run(run(wrong))


@pytest.mark.parametrize(
    "said",
    [
        [],
        [b""],
        [b"\xc1"],
        [b"\x91" * 100_000],
        [msgpack.packb({"type": "batch"})],
        [msgpack.packb({"type": "batch", "nodes": [], "of": b"", "lengths": b"", "entries": b"x"})],
        [msgpack.packb({"type": "batch", "nodes": [[1]], "of": b"", "lengths": b"", "entries": b""})],
        [msgpack.packb({"type": "batch", "nodes": [], "of": b"\0\0", "lengths": b"\0\0\0\0", "entries": b""})],
        [msgpack.packb({"type": "batch", "nodes": [[]], "of": b"\1\0", "lengths": b"\1\0\0\0", "entries": b"\x80"})],
        [msgpack.packb({"type": "batch", "nodes": [[]], "of": b"\0", "lengths": b"\1\0\0", "entries": b"\x80"})],
        [bytes(client.MESSAGE + 1)],
    ],
    ids=["nothing", "empty", "no value", "nested", "no parts", "sizes", "names", "no set", "no such set",
         "numbers", "too long"],
)  # fmt: skip
def test_a_hub_that_says_anything_else_is_a_read_error(said: list[bytes]) -> None:
    error = failure(Says(*said))
    assert (type(error), error.exit_code) == (ReadError, 14)


_WORDS = st.integers() | st.text()
_VALUES = st.none() | _WORDS | st.lists(_WORDS) | st.dictionaries(st.sampled_from(["ip", "port", "name"]), _WORDS)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*summary(CALLS[0]), "x"]), _VALUES))
def test_any_summary_makes_a_row(told: dict[str, object]) -> None:
    lines = Lines(Output(BytesIO(), live=True), Terminal(), 0, 0)
    lines.show_rows([row_of(Told(told, ()))])


@pytest.mark.parametrize(
    "url",
    [
        "http://", "http://:8898", "http://a:b", "http://a:99999", "http://a/path", "http://a/?x=1", "http://a/#x",
        "http://user@a", "http://user:pass@a", "http://a/?token=abc", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_hub_is_refused(url: str) -> None:
    with pytest.raises(OptionError):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("http://127.0.0.1:8898/", "http://127.0.0.1:8898"),
        ("HTTPS://Hub.test", "https://hub.test"),
        ("http://[::1]:8898", "http://[::1]:8898"),
    ],
)
def test_an_address_is_scheme_host_and_port(url: str, checked: str) -> None:
    assert checked_url(url) == checked


def test_redirects_are_not_followed() -> None:
    async def run() -> list[str]:
        seen: list[str] = []

        async def move(request: web.Request) -> web.Response:
            seen.append(request.path)
            return web.Response(status=307, headers={"Location": "/api/elsewhere"})

        application = web.Application()
        application.router.add_get("/{any:.*}", move)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with HubClient(f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN) as hub:
                with pytest.raises(ReadError):
                    await hub.entry("a", 5)
                with pytest.raises(PysniffError):
                    await anext(hub.ask({}))
        finally:
            await runner.cleanup()
        return seen

    assert asyncio.run(run()) == ["/api/entries/a", "/api/entries"]


# The command


def test_the_command_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    async def run() -> tuple[int | None, bytes, bytes, list[Any]]:
        hub = Says(*batch(CALLS), messages.caught_up({"node1": "live"}), hold=True)
        async with hub.serving() as url, asyncio.timeout(60):
            words = [sys.executable, "-m", "pysniff", "query", url, "http", "--follow"]
            environment = {**os.environ, "PYSNIFF_TOKEN": TOKEN, "http_proxy": "http://127.0.0.1:1"}
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
            )
            assert process.stdout is not None
            told = await process.stdout.readline() + await process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, err = await process.communicate()
        return process.returncode, told + rest, err, hub.asked

    code, out, err, asked = asyncio.run(run())
    assert (code, err) == (0, b"")
    assert [b"GET /cart" in line for line in out.splitlines()] == [True, False]
    assert (asked[0]["filter"], asked[0]["follow"]) == ("http", True)


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "har", "a.har"], ["-v"], ["--proto", "a.pb"], ["--names", "hosts"], ["-d", "nonsense"], ["-w", "a.pcap"],
        ["--newest-first", "--follow"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_what_a_hub_cannot_do_is_refused(words: list[str], run_command: Callable[[list[str]], int]) -> None:
    assert run_command(["query", "http://127.0.0.1:1", *words]) == 1


def test_options_of_a_hub_are_none_of_a_store(tmp_path: Path, run_command: Callable[[list[str]], int]) -> None:
    assert run_command(["query", str(tmp_path), "--token-file", "x"]) == 1


@pytest.fixture
def run_command() -> Callable[[list[str]], int]:
    """The exit code of the command, in this process."""

    def run(words: list[str]) -> int:
        with pytest.raises(SystemExit) as ended:
            group.main(words)
        return int(str(ended.value.code))

    return run
