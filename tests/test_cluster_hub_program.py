"""`pysniff hub` as a program: where it listens, what it says, its token, TLS, workers, and how it ends."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, ClientSSLError, WSMsgType
from click.testing import CliRunner

from pysniff.cli import group
from pysniff.cluster.access import Access, dialling, listening
from pysniff.cluster.endpoint import endpoint, written
from pysniff.cluster.frames import Ask, End, Hello, Value, encode
from pysniff.cluster.hub.program import HubOptions, run
from pysniff.cluster.pace import Pace
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.errors import OptionError

PATIENCE = 60.0
TOKEN = "a-token-for-these-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
QUICK = Pace(beat=0.2, silence=20, first=0.05, last=0.2)


class Hub:
    """A process; `said` is its standard error so far."""

    def __init__(self, *words: str, folder: Path, **environment: str) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYSNIFF")}
        self._log = folder / f"hub-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pysniff", "hub", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**variables, "XDG_STATE_HOME": str(folder / "state"), **environment},
            )
        self.url = self.find(r"hub at (\S+)/ ")[1]

    @property
    def said(self) -> str:
        return self._log.read_text()

    def find(self, pattern: str) -> re.Match[str]:
        end = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.said)) is None:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)
        return found

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def hub(*words: str, folder: Path, **environment: str) -> Iterator[Hub]:
    started = Hub("--listen", "127.0.0.1:0", *words, folder=folder, **environment)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


class Node:
    """What a worker says that captures nothing much."""

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        told: dict[str, object] = {"capturing": True, "ledger": {"store_packets": 3}}
        if ask.what in ("config", "configure"):
            told = {"config": {"version": 0}, "version": 0, "accepted": True, "effective": {}}
        yield encode(Value(ask.id, 1, told))
        yield encode(End(ask.id, 2, {}))


def links(access: Access, name: str = "n1") -> WorkerLinks:
    return WorkerLinks(Node(), Hello(1, "worker", name, "0123456789abcdef", "test", {}), access, QUICK)


async def get(url: str, **options: Any) -> tuple[int, Any]:
    async with ClientSession() as client, client.get(url, **options) as answer:
        body = await answer.json() if "json" in answer.content_type else await answer.text()
        return answer.status, body


async def until_ready(url: str, **options: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        while True:
            status, body = await get(url + "/readyz", **options)
            if status == 200:
                return body
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_this_machine_keeps_a_token_and_ends_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    with hub(folder=tmp_path) as started:
        assert asyncio.run(get(started.url + "/healthz")) == (200, {"alive": True})
        assert asyncio.run(get(started.url + "/api/workers")) == (200, {"workers": [], "unresolved": {}})
        file = tmp_path / "state" / "pysniff" / "token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert str(file) in started.said
        assert file.read_text().strip() not in started.said
        started.process.send_signal(number)
        assert started.process.wait(PATIENCE) == 0
        assert "Traceback" not in started.said


def test_a_person_at_a_terminal_gets_a_link_that_signs_in(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "pysniff", "hub", "--listen", "127.0.0.1:0"]
    variables = {**os.environ, "PYSNIFF_TOKEN": TOKEN}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=variables) as process:
        try:
            os.close(theirs)
            with open(ours, encoding="utf-8", errors="replace") as terminal:
                found = re.search(r"hub at (http://127\.0\.0\.1:\d+/\?token=\S+)", terminal.readline())
                assert found
                assert found[1].endswith(f"?token={TOKEN}")
                assert asyncio.run(get(found[1])) == (200, asyncio.run(get(found[1].partition("?")[0]))[1])
        finally:
            process.terminate()


def test_clients_are_told_that_it_ends(tmp_path: Path) -> None:
    async def conversation(started: Hub) -> None:
        async with ClientSession() as client:
            websocket = await client.ws_connect(started.url + "/api/entries")
            await websocket.send_str('{"filter": "http"}')
            started.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                while (await websocket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                    pass
            assert websocket.close_code == 1001

    with hub("-v", folder=tmp_path) as started:
        asyncio.run(conversation(started))
        assert started.process.wait(PATIENCE) == 0
        assert "client 127.0.0.1: connected to /api/entries" in started.said
        assert "client 127.0.0.1: away" in started.said


def test_the_token_of_the_environment_or_a_file_is_the_one(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another-token-of-a-file\n")
    other.chmod(0o600)
    forwarded = {"Via": "1.1 proxy"}
    for words, environment, token in (
        ((), {"PYSNIFF_TOKEN": TOKEN}, TOKEN),
        (("--token-file", str(other)), {"PYSNIFF_TOKEN": TOKEN}, "another-token-of-a-file"),
    ):
        with hub(*words, folder=tmp_path, **environment) as started:
            url = started.url + "/api/workers"
            assert asyncio.run(get(url, headers=forwarded))[0] == 401
            assert asyncio.run(get(url, headers={**forwarded, "Authorization": f"Bearer {token}"}))[0] == 200
            assert token not in started.said


def test_workers_that_come_and_go_are_told_in_a_line_each(tmp_path: Path) -> None:
    async def conversation() -> None:
        worker = links(Access(TOKEN))
        host, port = await worker.listen("127.0.0.1", 0)
        with hub("--worker", f"{host}:{port}", folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
            body = await until_ready(started.url)
            assert body["workers"] == [{"node": "n1", "connected": True, "capturing": True, "reason": ""}]
            await worker.close()
            await asyncio.to_thread(started.find, rf"pysniff: worker n1 \({host}:{port}\): away")
            lines = [line for line in started.said.splitlines() if "worker n1" in line]
            assert lines[0] == f"pysniff: worker n1 ({host}:{port}): connected"
            status, body = await get(started.url + "/readyz")
            assert (status, body["alive"], body["connected"]) == (503, True, 0)

    asyncio.run(conversation())


def test_a_worker_dials_in_with_the_workers_token_alone(tmp_path: Path) -> None:
    file = tmp_path / "workers"
    file.write_text("the-token-of-the-workers\n")
    file.chmod(0o600)

    async def conversation() -> None:
        with hub("--worker-token-file", str(file), folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
            wrong, right = links(Access(TOKEN), "wrong"), links(Access("the-token-of-the-workers"), "right")
            try:
                for one in (wrong, right):
                    one.dial(started.url)
                body = await until_ready(started.url)
                assert [row["node"] for row in body["workers"]] == ["right"]
                async with asyncio.timeout(PATIENCE):
                    while wrong.hubs()[0]["state"] != "refused":
                        await asyncio.sleep(0.01)
                assert "token" in str(wrong.hubs()[0]["reason"])
            finally:
                await wrong.close()
                await right.close()

    asyncio.run(conversation())


CA_USE = "keyUsage=critical,keyCertSign"  # RFC 5280 wants it, and Python 3.13 asks for it


def make(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and of it hub.pem, hub.key, person.pem and person.key."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    make(folder, "req", "-x509", *key, "-subj", "/CN=a CA", "-addext", CA_USE, "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("hub", "person"):
        made = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-CA", "ca.pem", "-CAkey", "ca.key")
        alternative = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=CA:FALSE")
        make(folder, "req", "-x509", *key, "-subj", f"/CN={name}", *alternative, *made)
    return folder


@pytest.mark.needs("openssl")
def test_with_a_certificate_it_speaks_tls_and_its_cookie_is_for_tls_alone(certificates: Path, tmp_path: Path) -> None:
    tls = ssl.create_default_context(cafile=certificates / "ca.pem")
    words = ("--tls-cert", str(certificates / "hub.pem"), "--tls-key", str(certificates / "hub.key"))

    async def conversation(started: Hub) -> None:
        assert started.url.startswith("https://127.0.0.1:")
        assert await get(started.url + "/healthz", ssl=tls) == (200, {"alive": True})
        with pytest.raises(ClientSSLError):
            await get(started.url + "/healthz")
        async with ClientSession() as client:
            link = f"{started.url}/?token={TOKEN}"
            async with client.get(link, ssl=tls, allow_redirects=False) as answer:
                cookie = answer.cookies[f"__Host-pysniff-{started.port}"]
                assert cookie["secure"]
                assert cookie["path"] == "/"
                assert not cookie["domain"]

    with hub(*words, folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
        asyncio.run(conversation(started))


@pytest.mark.needs("openssl")
def test_with_a_ca_who_connects_shows_a_certificate_and_so_does_the_hub(certificates: Path, tmp_path: Path) -> None:
    files = [certificates / name for name in ("hub.pem", "hub.key", "ca.pem")]
    options = [
        word for pair in zip(("--tls-cert", "--tls-key", "--tls-ca"), map(str, files), strict=True) for word in pair
    ]
    nobody = dialling(certificates / "ca.pem")
    person = dialling(certificates / "ca.pem", certificates / "person.pem", certificates / "person.key")

    async def conversation() -> None:
        serve = listening(certificates / "hub.pem", certificates / "hub.key", certificates / "ca.pem")
        worker = links(Access(TOKEN, serve))
        host, port = await worker.listen("127.0.0.1", 0)
        try:
            with hub(*options, "--worker", f"{host}:{port}", folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
                body = await until_ready(started.url, ssl=person)
                assert body["workers"][0]["node"] == "n1"
                with pytest.raises((OSError, ClientError)):
                    await get(started.url + "/healthz", ssl=nobody)
                assert (await get(started.url + "/healthz", ssl=person))[0] == 200
                assert "Traceback" not in started.said
        finally:
            await worker.close()

    asyncio.run(conversation())


@asynccontextmanager
async def in_process(**options: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """A hub of this process: its URL, and what it tells."""
    told: list[str] = []
    stop, url = asyncio.Event(), asyncio.get_running_loop().create_future()
    made = HubOptions(**{"name": "hub", "listen": ("127.0.0.1", 0), "tell": told.append, **options})
    task = asyncio.create_task(run(made, url.set_result, stop))
    try:
        done, _ = await asyncio.wait({task, url}, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            await task
        yield url.result().rstrip("/"), told
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


def test_a_hub_beyond_loopback_does_not_begin_without_a_token() -> None:
    async def conversation() -> None:
        with pytest.raises(OptionError, match="token"):
            async with in_process(listen=("0.0.0.0", 0)):
                raise AssertionError

    asyncio.run(conversation())


def test_a_port_that_is_taken_is_an_option_that_makes_no_sense() -> None:
    async def conversation() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OptionError, match="in use"):
            async with in_process(listen=taken.getsockname()):
                raise AssertionError

    asyncio.run(conversation())


def test_workers_that_a_name_has_are_dialled() -> None:
    async def conversation() -> None:
        worker = links(Access(TOKEN))
        _, port = await worker.listen("127.0.0.1", 0)
        async with in_process(workers_dns=(("127.0.0.1", port),), worker_token=TOKEN) as (url, _):
            assert (await until_ready(url))["connected"] == 1
        await worker.close()

    asyncio.run(conversation())


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("node1", "node1", 8897),
        ("node1:1", "node1", 1),
        ("10.0.0.7:0", "10.0.0.7", 0),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("[::1]", "::1", 8897),
        (":8898", "0.0.0.0", 8898),
    ],
)
def test_an_endpoint_is_host_and_port(text: str, host: str, port: int) -> None:
    assert endpoint(text, 8897) == (host, port)
    assert endpoint(written(host, port)) == (host, port)


@pytest.mark.parametrize("text", ["", " ", "a:b", "a:99999", "::1", "http://a:1", "a/b:1", "[::1", "a b:1", "u@h:1"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        endpoint(text, 8897)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "nowhere"], "nowhere"),
        (["--worker", "http://evil"], "is not HOST:PORT"),
        (["--replay-target", "host"], "is not HOST:PORT"),
        (["--tls-cert", "x.pem"], "--tls-key"),
        (["--tls-ca", "x.pem"], "--worker-tls-ca"),
        (["-v", "-q"], "exclude"),
        (["--token-file", "/proc/nothing/token"], "token"),
        (["--worker-token-file", "/nothing"], "/nothing"),
    ],
)
def test_options_that_make_no_sense_are_told_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["hub", *words], env={"XDG_STATE_HOME": str(tmp_path)})
    assert result.exit_code in (1, 3)
    assert said in result.output
    assert len(result.output.splitlines()) == 1
