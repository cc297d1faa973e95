"""`pysniff --web` as who runs it sees it: one command captures or reads, serves, opens a browser, leaves nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from browser import NewPage, shot
from click.testing import CliRunner
from cluster_programs import Program, Programs, until
from packets import pcap
from store_traffic import NOON, said
from wire import Wire
from worker_talk import alive

from pysniff.cli import group
from pysniff.cli.browser import Person, environment_of, reason_against
from pysniff.cluster.client import HubClient
from pysniff.cluster.client_messages import CaughtUp
from pysniff.cluster.temporary_store import temporary_store
from pysniff.store import Store

SHOP = Path(__file__).parent.parent / "examples" / "shop.pcap"
# Of shop.pcap; what a reader says on the command line.
CALLS = 32


class Page:
    """`pysniff --web ...` in a process of its own, in a folder of its own."""

    def __init__(self, programs: Programs, folder: Path, *words: object, listen: str = "127.0.0.1:0") -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        arguments = [sys.executable, "-m", "pysniff", "--web", "--listen", listen, *map(str, words)]
        self.program: Program = programs.start("pysniff", arguments, environment(folder))

    @property
    def url(self) -> str:
        until(
            lambda: re.search(r"page at \S+", self.program.said) or not self.program.running,
            f"the page; it said:\n{self.program.said}",
        )
        found = re.search(r"page at (http://[^/]+)", self.program.said)
        assert found, self.program.said
        return found[1]

    @property
    def stores(self) -> list[Path]:
        return sorted(self.temporary.glob("pysniff-web-*"))

    def get(self, path: str) -> Any:
        try:
            with urlopen(self.url + path, timeout=30) as answer:
                body = answer.read()
        except HTTPError as error:
            body = error.read()
        return json.loads(body)

    def capture(self) -> dict[str, Any]:
        """What the worker says of its capture."""
        [worker] = self.get("/api/workers")["workers"]
        capture: dict[str, Any] = worker["figures"]["capture"]
        return {**capture, "capturing": worker["figures"]["capturing"], "ledger": worker["figures"]["ledger"]}

    def finished(self) -> dict[str, Any]:
        until(lambda: self.capture()["state"] == "finished", "the end of the files")
        return self.capture()

    def entries(self, filter: str = "") -> list[dict[str, Any]]:
        """All that there are."""

        async def asked() -> list[dict[str, Any]]:
            found = []
            async with HubClient(self.url) as hub:
                async for said in hub.ask({"filter": filter, "follow": False}):
                    found += [one.summary for one in said] if isinstance(said, list) else []
            return found

        return asyncio.run(asyncio.wait_for(asked(), 60))


def environment(folder: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder / "temporary"), "BROWSER": ""}


@pytest.fixture
def programs(built_page: None, tmp_path: Path) -> Iterator[Programs]:
    with Programs(tmp_path) as programs:
        yield programs


def packets() -> bytes:
    return SHOP.read_bytes()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
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


def gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


# Live


@pytest.mark.needs_root
def test_one_command_captures_stores_serves_and_accounts_for_it(programs: Programs, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with server() as shop:
        its = int(shop.rpartition(":")[2])
        # Others may talk on this machine, too.
        words = ("-i", "lo", "--no-browser", f"tcp port {port} or tcp port {its}")
        page = Page(programs, tmp_path, *words, listen=f"127.0.0.1:{port}")
        with urlopen(page.url + "/", timeout=30) as answer:
            assert answer.status == 200
        for number in range(3):
            with urlopen(f"{shop}/tea/{number}", timeout=30) as answer:
                assert answer.read() == b"hello"
        until(lambda: len(page.entries()) >= 3, "three calls")
        # Neither the page's own traffic nor that of hub and worker is a call.
        assert [(one["summary"], one["dst"]["port"]) for one in page.entries()] == [
            (f"GET /tea/{number}", its) for number in range(3)
        ]
    capture = page.capture()
    assert (capture["state"], capture["capturing"], capture["interfaces"]) == ("capturing", True, ["lo"])
    assert page.get("/readyz")["ready"] is True
    [store] = page.stores
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    os.kill(page.program.process.pid, signal.SIGINT)
    said = page.program.wait_end(0)
    assert "listening on lo" in said
    assert re.search(r"^store +(\d+) of \1 packets written", said, re.MULTILINE), said
    assert said.endswith("lost      nothing\n")
    assert page.stores == []


@pytest.mark.needs_root
def test_where_the_store_is_named_the_packets_stay(programs: Programs, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with server() as shop:
        words = ("-i", "lo", "-i", "tea0", "--no-browser", "--store", kept, f"tcp port {shop.rpartition(':')[2]}")
        page = Page(programs, tmp_path, *words)
        assert page.url
        urlopen(f"{shop}/tea", timeout=30).close()
        until(lambda: page.entries("http"), "a call")
    os.kill(page.program.process.pid, signal.SIGHUP)  # the terminal is closed
    assert "waiting for tea0 (pysniff -D lists the interfaces)" in page.program.wait_end(0)
    assert [entry.summary for entry in Store(kept).query("http")] == ["GET /tea"]


@pytest.mark.needs_root
@pytest.mark.needs("setpriv")
def test_who_may_not_capture_is_told_what_to_do(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    words = ["setpriv", "--bounding-set=-net_raw,-net_admin"]
    words += [sys.executable, "-m", "pysniff", "--web", "-i", "lo", "--listen", "127.0.0.1:0"]
    program = programs.start("pysniff", words, environment(tmp_path))
    said = program.wait_end(5)
    assert len(said.splitlines()) == 1 and "run with sudo" in said, said


# Files


def test_a_finished_capture_is_shown_the_same_way(programs: Programs, tmp_path: Path) -> None:
    page = Page(programs, tmp_path, "-r", SHOP, "--no-browser")
    capture = page.finished()
    assert (capture["reason"], capture["capturing"]) == (str(SHOP), False)
    assert (capture["files"], capture["bytes_read"]) == ([str(SHOP)], SHOP.stat().st_size)
    assert capture["ledger"]["store_packets"] == capture["ledger"]["store_written"] > 200
    entries = page.entries()
    assert len(entries) == CALLS
    assert {one["capture_source"] for one in entries} == {"file"}
    [row] = page.get("/readyz")["workers"]
    assert page.get("/readyz")["ready"] is True
    assert (row["capturing"], row["reason"]) == (False, f"finished: {SHOP}")
    page.program.wait_for("207 packets were read")
    assert page.program.stop().endswith("store     207 of 207 packets written\nlost      nothing\n")
    assert page.program.process.returncode == 0
    assert page.stores == []


def test_several_files_are_merged_packed_or_not(programs: Programs, tmp_path: Path) -> None:
    data = packets()
    packed = tmp_path / "a.pcap.gz"
    packed.write_bytes(gzip.compress(data))
    later = tmp_path / "b.pcap"
    later.write_bytes(data[:24])  # a capture without a packet
    page = Page(programs, tmp_path, "-r", packed, "-r", later, "--no-browser", "tcp port 80")
    capture = page.finished()
    assert capture["reason"] == f"{packed}, {later}"
    assert {one["protocol"] for one in page.entries()} == {"http"}


def test_the_page_is_there_while_a_capture_is_being_read(programs: Programs, tmp_path: Path) -> None:
    data = packets()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    page = Page(programs, tmp_path, "-r", pipe, "--no-browser")
    with pipe.open("wb", buffering=0) as writing:
        assert page.capture()["state"] == "reading" and page.capture()["bytes_in_all"] == 0
        assert page.get("/readyz")["ready"] is True
        half = 24 + len(data) // 2
        writing.write(data[:half])
        until(lambda: page.entries(), "calls of the first half")
        until(lambda: page.capture()["bytes_read"] == half, "the first half")
        assert page.capture()["state"] == "reading"
        writing.write(data[half:])
    page.finished()
    assert len(page.entries()) == CALLS


def test_standard_input_is_read_too(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    words = f"exec {sys.executable} -m pysniff -r - --web --listen 127.0.0.1:0 --no-browser < {SHOP}"
    page = Page.__new__(Page)
    page.temporary = tmp_path / "temporary"
    page.program = programs.start("pysniff", ["sh", "-c", words], environment(tmp_path))
    assert page.finished()["reason"] == "standard input"
    assert len(page.entries()) == CALLS


def test_a_file_that_grows_is_followed(programs: Programs, tmp_path: Path) -> None:
    data = packets()
    growing = tmp_path / "growing.pcap"
    growing.write_bytes(data[:24])
    page = Page(programs, tmp_path, "-r", growing, "--follow", "--no-browser")

    async def followed() -> list[str]:
        seen: list[str] = []
        async with HubClient(page.url) as hub:
            async for said in hub.ask({"filter": "http"}):
                if isinstance(said, CaughtUp):
                    with growing.open("ab") as file:
                        file.write(data[24:])
                if isinstance(said, list):
                    seen += [str(one.summary["summary"]) for one in said]
                if "GET /catalogue" in seen:
                    return seen
        raise AssertionError(seen)

    asyncio.run(asyncio.wait_for(followed(), 60))
    assert page.capture()["state"] == "reading"


def test_a_capture_that_breaks_off_is_shown_so_far_and_said(programs: Programs, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pcap"
    broken.write_bytes(packets()[:-10])
    page = Page(programs, tmp_path, "-r", broken, "--no-browser")
    assert str(broken) in page.finished()["reason"]
    assert len(page.entries()) > CALLS - 5
    assert "what came before it is shown" in page.program.wait_for(str(broken) + ":")
    page.program.stop()
    assert page.program.process.returncode == 14


@pytest.mark.parametrize(
    ("data", "words", "code"),
    [(None, (), 3), (b"#!/bin/sh\n", (), 3), (packets(), ("tcp prt 80",), 4)],
    ids=["missing", "a script", "a wrong capture filter"],
)
def test_what_cannot_be_read_ends_it(
    data: bytes | None, words: tuple[str, ...], code: int, programs: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "a.pcap"
    if data is not None:
        path.write_bytes(data)
    page = Page(programs, tmp_path, "-r", path, "--no-browser", *words)
    said = page.program.wait_end(code)
    assert len(said.splitlines()) == 1, said
    assert page.stores == []


def test_nothing_on_standard_input_ends_it(programs: Programs, tmp_path: Path) -> None:
    page = Page(programs, tmp_path, "-r", "-", "--no-browser")  # /dev/null
    assert "standard input" in page.program.wait_end(3)


def test_no_packet_of_a_file_is_dropped_unless_a_limit_says_so_and_then_it_is_told(
    programs: Programs, tmp_path: Path
) -> None:
    data = packets()
    large = tmp_path / "large.pcap"
    large.write_bytes(data[:24] + data[24:] * 40)
    page = Page(programs, tmp_path, "-r", large, "--no-browser", "--storage-limit", "256k")
    assert page.finished()["ledger"]["store_evicted"] > 0
    page.program.wait_for("the oldest packets of")
    assert "storage limit of 262,144 bytes" in page.program.stop()


# How it ends


def test_a_signal_leaves_nothing_behind_also_in_the_middle_of_a_file(programs: Programs, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    page = Page(programs, tmp_path, "-r", pipe, "--no-browser")
    with pipe.open("wb", buffering=0) as writing:
        writing.write(packets()[:1000])
        until(lambda: page.capture()["bytes_read"], "packets")
        children = page.program.children()
        assert children and page.stores
        os.kill(page.program.process.pid, signal.SIGTERM)
        page.program.wait_end(0)
        until(lambda: gone(children), "its children to end")
    assert page.stores == []


def test_a_kill_leaves_no_child_and_the_next_start_clears_up(programs: Programs, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    page = Page(programs, tmp_path, "-r", pipe, "--no-browser")
    with pipe.open("wb", buffering=0) as writing:
        writing.write(packets()[:1000])
        until(lambda: page.capture()["bytes_read"], "packets")
        children = page.program.children()
        page.program.kill()
        until(lambda: gone(children), "its children to end")
    [left] = page.stores
    again = Page(programs, tmp_path, "-r", SHOP, "--no-browser")
    again.finished()
    assert len(again.stores) == 1 and left not in again.stores
    again.program.stop()
    assert again.stores == []


def test_what_is_in_use_or_not_ours_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    target = tmp_path / "precious"
    target.mkdir(mode=0o700)
    (target / "file").write_text("tea")
    (tmp_path / "pysniff-web-link").symlink_to(target)
    (tmp_path / "pysniff-web-open").mkdir(mode=0o755)
    (tmp_path / "pysniff-web-orphan").mkdir(mode=0o700)
    (tmp_path / "pysniff-web-file").write_text("tea")
    with temporary_store() as first, temporary_store() as second:
        assert first != second and first.is_dir()
        names = {path.name for path in tmp_path.iterdir()}
        expected = {"precious", "pysniff-web-link", "pysniff-web-open", "pysniff-web-file", first.name, second.name}
        assert names == expected
    assert (target / "file").read_text() == "tea"
    assert not first.exists() and not second.exists()


# The browser


def test_a_browser_is_opened_at_the_page_with_the_filter_and_without_the_token(
    programs: Programs, tmp_path: Path
) -> None:
    script, noted = tmp_path / "browser", tmp_path / "noted"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {noted}.part && mv {noted}.part {noted}\n')
    script.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    words = ["-r", str(SHOP), "--web", "--listen", "127.0.0.1:0", "-Y", 'http && path == "/a b"']
    variables = {**environment(tmp_path), "BROWSER": str(script), "PYSNIFF_TOKEN": "a-token-for-tests-only"}
    program = programs.start("pysniff", [sys.executable, "-m", "pysniff", *words], variables)
    until(noted.exists, f"the browser; it said:\n{program.said}")
    place = "#/calls?filter=http+%26%26+path+%3D%3D+%22%2Fa+b%22"
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/{re.escape(place)}\n", noted.read_text())
    assert "a-token-for-tests-only" not in program.said


def test_where_no_browser_can_be_opened_it_says_so(programs: Programs, tmp_path: Path) -> None:
    page = Page.__new__(Page)
    (tmp_path / "temporary").mkdir()
    words = [sys.executable, "-m", "pysniff", "-r", str(SHOP), "--web", "-q", "--listen", "127.0.0.1:0"]
    variables = {**environment(tmp_path), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    page.program = programs.start("pysniff", words, variables)
    assert re.search(r"no browser was opened: .* \(open http://127\.0\.0\.1:\d+/\)", page.program.wait_for("\n"))
    variables["BROWSER"] = "/nonexistent/browser"
    failing = programs.start("pysniff", words, variables)
    failing.wait_for("no browser was opened: none was found")


def test_a_person_behind_sudo_gets_their_own_browser() -> None:
    """As far as their session can be known."""
    person = Person(4_000_000_000, 4_000_000_000, "kim", "/home/kim")
    root = {"DISPLAY": ":0", "HOME": "/root", "USER": "root", "SUDO_UID": "1", "XDG_RUNTIME_DIR": "/run/user/0",
            "PYSNIFF_TOKEN": "secret"}  # fmt: skip
    assert environment_of(person, root) == {"DISPLAY": ":0", "HOME": "/home/kim", "USER": "kim", "LOGNAME": "kim"}
    assert reason_against({"DISPLAY": ":0"}, as_root=False) == ""
    assert reason_against({"DISPLAY": ":0"}, as_root=True) == "browsers are not for root"
    assert reason_against({"BROWSER": "lynx"}, as_root=True) == ""
    assert sys.platform == "darwin" or reason_against({}, as_root=False) == "there is no display"


# What is wrong is said in one line


def test_a_port_that_is_taken_is_an_error_that_names_the_option(programs: Programs, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = Page(programs, tmp_path, "-r", SHOP, listen=f"127.0.0.1:{port}")
        said = page.program.wait_end(1)
    assert len(said.splitlines()) == 1 and f"--listen 127.0.0.1:{port}" in said, said
    assert page.stores == []


def test_beyond_this_machine_the_token_is_wanted(programs: Programs, tmp_path: Path) -> None:
    page = Page(programs, tmp_path, "-r", SHOP, "--no-browser", listen="0.0.0.0:0")
    port = page.url.rpartition(":")[2]
    token = (tmp_path / "state" / "pysniff" / "token").read_text().strip()
    with pytest.raises(HTTPError) as refused:
        urlopen(f"http://127.0.0.1:{port}/api/workers", timeout=30)
    assert refused.value.code == 401
    refused.value.close()
    assert token not in page.program.said


def test_without_the_cluster_extra_it_says_what_to_install(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')\n")
    words = [sys.executable, "-m", "pysniff", "--web", "-r", str(SHOP)]
    program = programs.start("pysniff", words, {"PYTHONPATH": str(tmp_path)})
    assert program.wait_end(1) == "pysniff: --web needs aiohttp (pip install 'pysniff[web]')\n"


def test_without_a_built_page_it_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.cluster.hub.page.built", lambda: None)
    result = CliRunner().invoke(group, ["--web", "-r", str(SHOP)])
    assert result.exit_code == 1
    assert result.output.startswith("pysniff: the page is not built (") and "npm" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--json",),
        ("-w", "x.pcap"),
        ("-o", "har", "x.har"),
        ("-c", "3"),
        ("--strict",),
        ("-d", "tcp.port==80,http"),
        ("--proto", "x"),
        ("--body-limit", "1k"),
        ("--duration", "3"),
    ],
)
def test_options_that_a_page_cannot_honour_are_refused(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(group, ["--web", *words])
    assert result.exit_code == 1
    assert f"--web and {words[0]} exclude each other (" in result.output


@pytest.mark.parametrize("words", [("--listen", "127.0.0.1:1"), ("--no-browser",)])
def test_options_of_the_page_need_it(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(group, ["-r", str(SHOP), *words])
    assert result.exit_code == 1 and f"{words[0]} is for --web" in result.output


# In a browser: the last ones here, for playwright keeps an event loop in this thread from then on


def test_a_file_is_on_the_page_with_the_filter_that_was_asked_for(
    programs: Programs, tmp_path: Path, new_page: NewPage
) -> None:
    from playwright.sync_api import expect

    page = Page(programs, tmp_path, "-r", SHOP, "--no-browser", "-Y", 'protocol == "redis"')
    said = page.program.wait_for("Ctrl-C stops")
    found = re.search(r"page at (\S+)", said)
    assert found
    shown = new_page()
    shown.goto(found[1])
    expect(shown.get_by_text("LPUSH").first).to_be_visible()
    expect(shown.get_by_text("/catalogue")).to_have_count(0)
    shot(shown, "laptop-file")


def test_a_call_that_the_file_has_no_end_of_is_on_the_page_once_the_file_is_read(
    programs: Programs, tmp_path: Path, new_page: NewPage
) -> None:
    from playwright.sync_api import expect

    done, held = Wire(sport=1, now=NOON), Wire(sport=2, now=NOON)
    every = [
        *done.handshake(),
        *said(done, (True, b"GET /done HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")),
        *held.handshake(),
        *said(held, (True, b"GET /held HTTP/1.1\r\n\r\n")),
    ]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    page = Page(programs, tmp_path, "-r", pipe, "--no-browser")
    with pipe.open("wb", buffering=0) as writing:
        writing.write(pcap([(packet.time_ns, packet.data) for packet in every], nano=True))
        shown = new_page()
        shown.goto(page.url)
        rows = shown.locator(".feed-drawn [role=row]")
        expect(rows).to_have_text([re.compile("/done")])
    status = rows.filter(has_text="/held").locator(".of-status")
    expect(status).to_have_text("\N{EN DASH}")
    shown.reload()
    expect(status).to_have_text("\N{EN DASH}")
    expect(rows).to_have_count(2)
