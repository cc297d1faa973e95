"""`pysniff worker` as who runs it sees it, with a hub's side of the link: it records, answers, and survives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import pytest
from running_worker import PATIENCE, TOKEN, Asking, Running, command, entries
from worker_talk import alive, until

from pysniff.cli.worker import worker as options
from pysniff.cluster.asked import Told
from pysniff.cluster.frames import CaughtUp, Chunk, Notice
from pysniff.cluster.worker.configuration import MOST_TARGETS, Configuration
from pysniff.store import Store

FIELDS = [name for name in Configuration().to_dict() if name != "version"]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server on the loopback interface."""
    http = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


async def call(url: str) -> None:
    def get() -> None:
        with urlopen(url, timeout=30) as answer:
            assert answer.read() == b"hello"

    await asyncio.to_thread(get)


async def found(hub: Asking, filter: str, count: int = 1) -> list[dict[str, Any]]:
    """What a query finds, once it finds so many."""
    async with asyncio.timeout(PATIENCE):
        while len(seen := entries(await hub.ask("query", filter=filter))) < count:
            await asyncio.sleep(0.1)
    return seen


@pytest.mark.needs_root
def test_a_call_on_the_wire_comes_to_a_hub_that_watches_and_opens(tmp_path: Path) -> None:
    async def talk(url: str, worker: Running) -> None:
        async with Asking(worker) as hub, hub.asked("query", follow=True) as frames:
            seen: list[dict[str, Any]] = []
            async for frame in frames:
                if isinstance(frame, CaughtUp):
                    await call(f"{url}/one")
                seen += entries([frame])
                if any(one["summary"] == "GET /one" for one in seen):
                    break
            entry = next(one for one in seen if one["summary"] == "GET /one")
            assert str(entry["id"]).startswith("n1.") and entry["capture_source"] == "libpcap"
            # Else each entry that is told would be a call itself.
            ports = {end["port"] for one in seen for end in (one["src"], one["dst"])}
            assert worker.port not in ports
            whole = await hub.value("entry", id=entry["id"])
            assert whole["response"]["body"]["text"] == "hello"
            packets = await hub.ask("packets", id=entry["id"])
            assert any(isinstance(one, Chunk) and b"GET /one" in one.data for one in packets)
            # The capture reports twice a second.
            while not (status := await hub.value("status"))["ledger"].get("store_written"):
                await asyncio.sleep(0.1)
        assert status["capturing"] is True
        assert status["node"] == "n1" and status["capture"]["interfaces"] == ["lo"]
        assert status["queries"]["running"] == {"query": 1}
        assert all(status["memory"][name] > 1_000_000 for name in ("worker", "capture", "queries"))
        assert [one["name"] for one in status["hubs"]] == ["tests"]

    with server() as url, Running(tmp_path, "-i", "lo") as worker:
        asyncio.run(asyncio.wait_for(talk(url, worker), PATIENCE))
        assert "n1 records lo into" in worker.lines[0]
        assert "token is in PYSNIFF_TOKEN" in worker.said("listening") and TOKEN not in "".join(worker.lines)
        # The store is one like any other.
        assert "GET /one" in {entry.summary for entry in Store(worker.store).query("http")}


@pytest.mark.needs_root
def test_a_killed_worker_has_its_configuration_and_its_packets_when_it_is_back(tmp_path: Path) -> None:
    async def before(url: str, worker: Running, bpf: str) -> None:
        async with Asking(worker) as hub:
            told = await hub.value("configure", config={"version": 4, "bpf": bpf, "storage_limit": 50_000_000})
            assert told["accepted"], told
            await hub.connected()
            await call(f"{url}/before")
            await found(hub, 'path == "/before"')

    async def after(url: str, other: str, worker: Running, bpf: str) -> None:
        async with Asking(worker) as hub:
            known = await hub.value("config")
            assert known["config"] == {"version": 4, "bpf": bpf, "storage_limit": 50_000_000}
            assert known["effective"]["storage_limit"] == 50_000_000
            await call(f"{other}/filtered-away")
            await call(f"{url}/after")
            await found(hub, 'path == "/after"')
            # The interface has calls of others, too.
            ours = " || ".join(f"dst.port == {one.rpartition(':')[2]}" for one in (url, other))
            seen = await found(hub, f"http && ({ours})")
            assert [one["summary"] for one in seen] == ["GET /before", "GET /after"]

    with server() as url, server() as other, Running(tmp_path, "-i", "lo", "-f", "tcp") as worker:
        bpf = f"tcp port {url.rpartition(':')[2]}"
        asyncio.run(asyncio.wait_for(before(url, worker, bpf), PATIENCE))
        children = worker.children()
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
        asyncio.run(until(lambda: not any(map(alive, children))))
        worker.begin()
        asyncio.run(asyncio.wait_for(after(url, other, worker, bpf), PATIENCE))


@pytest.mark.needs_root
def test_a_killed_capture_begins_anew_and_everybody_is_told(tmp_path: Path) -> None:
    async def talk(url: str, worker: Running) -> None:
        async with Asking(worker) as hub, hub.asked("query", filter="http", follow=True) as frames:
            seen: list[Told] = []
            capture = 0
            async for frame in frames:
                seen.append(frame)
                if isinstance(frame, CaughtUp):
                    await call(f"{url}/before")
                told = {str(one["summary"]) for one in entries(seen)}
                if "GET /before" in told and not capture:
                    status = await hub.value("status")
                    capture = status["capture"]["pid"]
                    os.kill(capture, signal.SIGKILL)
                if isinstance(frame, Notice):
                    assert capture and "the process that captures ended" in frame.text
                    async with asyncio.timeout(PATIENCE):
                        while not (status := await hub.value("status"))["capturing"]:
                            await asyncio.sleep(0.1)
                    await call(f"{url}/after")
                if "GET /after" in told:
                    break
            assert sum(isinstance(frame, Notice) for frame in seen) == 1
            assert status["capture"]["restarts"] == 1 and status["capture"]["pid"] != capture

    with server() as url, Running(tmp_path, "-i", "lo") as worker:
        asyncio.run(asyncio.wait_for(talk(url, worker), PATIENCE))
        assert "another begins" in worker.said("the process that captures ended")


@pytest.mark.needs_root
def test_it_ends_in_good_order_and_only_when_it_is_told_to(tmp_path: Path) -> None:
    async def talk(url: str, worker: Running) -> list[Told]:
        seen: list[Told] = []
        async with Asking(worker) as hub, hub.asked("query", follow=True) as frames:
            async for frame in frames:
                seen.append(frame)
                if isinstance(frame, CaughtUp):
                    worker.process.send_signal(signal.SIGHUP)
                    await call(f"{url}/last")
                    worker.process.send_signal(signal.SIGTERM)
                    return seen
        raise AssertionError

    with server() as url, Running(tmp_path, "-i", "lo", "-v") as worker:
        children = worker.children()
        asyncio.run(asyncio.wait_for(talk(url, worker), PATIENCE))
        assert worker.process.wait(PATIENCE) == 0
        assert not any(map(alive, children))
        assert any(line.startswith("store ") for line in worker.lines)
        assert any(line.startswith("lost ") for line in worker.lines)
        assert not any("IMBALANCE" in line or "Traceback" in line for line in worker.lines)
        assert "GET /last" in {entry.summary for entry in Store(worker.store).query("http")}


@pytest.mark.needs_root
def test_a_wrong_token_is_refused_and_the_worker_records_on(tmp_path: Path) -> None:
    async def talk(worker: Running) -> None:
        async with Asking(worker, token="another-token-of-tests") as hub:
            async with asyncio.timeout(PATIENCE):
                while not any(one.state == "refused" for one in hub.workers.known.values()):
                    await asyncio.sleep(0.02)
        async with Asking(worker) as hub:
            assert (await hub.value("status"))["capturing"] is True

    with Running(tmp_path, "-i", "lo") as worker:
        asyncio.run(asyncio.wait_for(talk(worker), PATIENCE))


@pytest.mark.needs_root
def test_a_worker_whose_interfaces_are_not_there_does_not_say_that_it_captures(tmp_path: Path) -> None:
    async def talk(worker: Running) -> None:
        async with Asking(worker) as hub:
            while not (status := await hub.value("status"))["capture"]["absent"]:  # reported twice a second
                await asyncio.sleep(0.1)
        assert status["capturing"] is False and status["capture"]["interfaces"] == []

    with Running(tmp_path, "-i", "pysniff-none") as worker:
        asyncio.run(asyncio.wait_for(talk(worker), PATIENCE))


@pytest.mark.needs_root
def test_a_store_that_another_records_into_is_refused(tmp_path: Path) -> None:
    with Running(tmp_path, "-i", "lo") as worker:
        done = run(tmp_path, "--store", worker.store, "-i", "lo", "--listen", "127.0.0.1:0")
        assert done.returncode == 15 and "records into it already" in done.stderr
        taken = run(tmp_path, "--store", tmp_path / "other", "-i", "lo", "--listen", f"127.0.0.1:{worker.port}")
        assert taken.returncode == 1 and "in use" in taken.stderr


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder)}
    environment.pop("PYSNIFF_TOKEN", None)
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--listen", "nonsense:port"], 1, "not HOST:PORT"),
        (["--hub", "ftp://hub"], 1, "no hub's URL"),
        (["--hub", "http://user:password@hub"], 1, "no hub's URL"),
        (["--node", "a/b"], 1, "no name of a node"),
        (["--tls-cert", "missing.pem"], 1, "go together"),
        (["--tls-cert", "missing.pem", "--tls-key", "missing.pem"], 3, "PEM"),
        (["--tls-ca", "missing.pem"], 1, "--hub-tls-ca"),
        (["--tls-ca", "missing.pem", "--hub", "https://hub"], 1, "--hub-tls-ca"),
        (["--hub-tls-ca", "missing.pem"], 1, "--hub https://"),
        (["--hub-tls-ca", "missing.pem", "--hub", "http://hub"], 1, "--hub https://"),
        (["--hub-tls-ca", "missing.pem", "--hub", "https://hub"], 3, "PEM"),
        (["--storage-limit", "1k"], 1, "storage_limit"),
        (["-v", "-q"], 1, "exclude each other"),
        (["-f", "tcp", "udp"], 1, "give it once"),
        (["--token-file", "/dev/null"], 3, "not a regular file"),
    ],
)
def test_mistakes_end_with_a_line_and_an_exit_code(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--store", tmp_path / "store", *arguments)
    assert (done.returncode, done.stdout) == (code, "") and words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_option_is_in_the_page() -> None:
    page = (Path(__file__).parent.parent / "docs" / "worker.md").read_text()
    with options.make_context("worker", [], resilient_parsing=True) as context:
        for param in options.get_params(context):
            if isinstance(param, click.Option):
                metavar = f" {param.metavar}" if param.metavar else ""
                assert f"| `{', '.join(param.opts)}{metavar}` | {param.help} |" in page
    assert f"`targets` | list of addresses and networks, {MOST_TARGETS} at most" in page
    for name in FIELDS:
        assert f"| `{name}` |" in page


@pytest.mark.needs_root
def test_a_capture_filter_that_does_not_compile_ends_it(tmp_path: Path) -> None:
    done = run(tmp_path, "--store", tmp_path / "store", "-i", "lo", "tcp", "port")
    assert done.returncode == 4 and "tcp port" in done.stderr and "Traceback" not in done.stderr


def test_a_worker_makes_a_token_where_it_has_none(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        run(tmp_path, "--store", tmp_path / "store", "-i", "lo", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    token = tmp_path / "pysniff" / "token"
    assert token.stat().st_mode & 0o777 == 0o600 and len(token.read_text().strip()) >= 32
