"""`pysniff --store` and `pysniff query` as a shell sees them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO
from urllib.request import urlopen

import pytest
from cluster_programs import until as happens
from packets import pcap
from store_traffic import some
from stores import dicts, fed

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")} | {
    "TZ": "UTC"
}
PACKETS = 900


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pysniff", *map(str, arguments)]


def pysniff(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT, timeout=120)


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "some.pcap"
    path.write_bytes(pcap([(packet.time_ns, packet.data) for packet in some(1, PACKETS)], nano=True))
    return path


@pytest.fixture(scope="module")
def store(capture: Path) -> Path:
    """What -r recorded."""
    path = capture.parent / "store"
    done = pysniff("-r", capture, "--store", path, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return path


def test_reading_into_a_store_shows_and_stores(capture: Path, tmp_path: Path) -> None:
    shown = objects(pysniff("-r", capture, "--store", tmp_path / "store", "--json"))
    assert shown == json.loads(json.dumps(dicts(fed(some(1, PACKETS)))))
    assert objects(pysniff("query", tmp_path / "store", "--json")) == shown


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["http"], lambda one: one["protocol"] == "http"),
        (["-Y", "dst.port == 6379"], lambda one: one["dst"]["port"] == 6379),
        (["--from", "2026-11-21T12:00:03Z"], lambda one: one["timestamp"] >= "2026-11-21T12:00:03"),
        (["--to", "2026-11-21 12:00:02"], lambda one: one["timestamp"] <= "2026-11-21T12:00:02.000000000Z"),
        (["--from", "1795262402.5", "--to", "1795262404", "ws"], None),
    ],
)
def test_a_query_gives_what_matches(arguments: list[str], wanted: object, store: Path) -> None:
    found = objects(pysniff("query", store, *arguments, "--json"))
    if callable(wanted):
        assert found == [one for one in json.loads(json.dumps(dicts(fed(some(1, PACKETS))))) if wanted(one)]
    assert found
    assert len(found) < len(fed(some(1, PACKETS)))


def test_newest_first_and_a_count(store: Path) -> None:
    found = objects(pysniff("query", store, "--newest-first", "-c", 5, "--json"))
    times = [str(one["timestamp"]) for one in found]
    every = sorted((str(one["timestamp"]) for one in dicts(fed(some(1, PACKETS)))), reverse=True)
    assert times == every[:5]


def test_the_packets_of_a_stream_go_to_standard_output(store: Path, tmp_path: Path) -> None:
    entry = next(one for one in fed(some(1, PACKETS)) if one.protocol == "redis")
    written = subprocess.run(
        command("query", store, "--stream", entry.id, "-w", "-"), capture_output=True, env=ENVIRONMENT, timeout=60
    )
    assert written.returncode == 0, written.stderr
    (tmp_path / "one.pcapng").write_bytes(written.stdout)
    found = objects(pysniff("-r", tmp_path / "one.pcapng", "--json"))
    assert [one["id"] for one in found] == [one.id for one in fed(some(1, PACKETS)) if one.stream == entry.stream]
    assert objects(pysniff("query", store, "--stream", entry.stream, "--json")) == found


def test_the_packets_of_what_matches_are_written(store: Path, tmp_path: Path) -> None:
    done = pysniff("query", store, "dns", "-q", "-w", tmp_path / "dns.pcapng")
    assert done.returncode == 0, done.stderr
    found = objects(pysniff("-r", tmp_path / "dns.pcapng", "--json"))
    assert {one["protocol"] for one in found} == {"dns"}
    assert len(found) == sum(entry.protocol == "dns" for entry in fed(some(1, PACKETS)))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["query", "STORE", "status_cod == 5"], 4, "unknown variable `status_cod`"),
        (["query", "STORE", "http &&"], 4, "line 1"),
        (["query", "STORE", "http", "-Y", "http"], 1, "give it once"),
        (["query", "STORE", "--newest-first", "--follow"], 1, "exclude each other"),
        (["query", "STORE", "--from", "yesterday-ish"], 1, "not a time"),
        (["query", "STORE", "--stream", "nonsense"], 3, "no id of"),
        (["query", "STORE", "--stream", "0123456789abcdef", "-w", "-"], 3, "no such connection"),
        (["query", "STORE", "-c", "0"], 1, ""),
        (["query", "MISSING"], 3, "record one with"),
        (["query", "CAPTURE"], 3, "Not a directory"),
        (["query"], 1, "DIR"),
        (["-r", "CAPTURE", "--store", "CAPTURE"], 15, "File exists"),
        (["-r", "CAPTURE", "--store", "OTHERS"], 15, "holds other files"),
        (["-r", "CAPTURE", "--store", "NEW", "--storage-limit", "1k"], 1, "at least 256k"),
        (["-r", "CAPTURE", "--storage-limit", "1MB"], 1, "needs a store"),
        (["-r", "CAPTURE", "--store-all"], 1, "needs a store"),
    ],
)
def test_mistakes_end_with_a_line_and_an_exit_code(
    arguments: list[str], code: int, words: str, store: Path, capture: Path, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").touch()
    places = {"STORE": store, "CAPTURE": capture, "MISSING": tmp_path / "missing", "NEW": tmp_path / "new"}
    places["OTHERS"] = tmp_path / "others"
    done = pysniff(*[places.get(word, word) for word in arguments])
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_second_writer_is_refused(capture: Path, tmp_path: Path) -> None:
    from pysniff.store.recording import Recording

    writer = Recording(tmp_path / "store", 1_000_000)
    done = pysniff("-r", capture, "--store", tmp_path / "store")
    assert done.returncode == 15 and f"process {os.getpid()} records into it already" in done.stderr
    writer.close()


def test_an_empty_store_has_no_entries(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = pysniff("query", tmp_path / "empty", "--json")
    assert objects(done) == []
    assert done.stderr == f"pysniff: {tmp_path / 'empty'}: nothing is stored there (record with pysniff --store DIR)\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> HTTPServer:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def until(stream: IO[str], words: str) -> str:
    for line in stream:
        if words in line:
            return line
    raise AssertionError(f"no {words!r}")


def call(server: HTTPServer, path: str) -> None:
    with urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=60) as answer:
        assert answer.read() == b"ok"


@pytest.mark.needs_root
def test_live_recording_beside_a_query_that_follows(server: HTTPServer, tmp_path: Path) -> None:
    store, bpf = tmp_path / "store", f"tcp port {server.server_port}"
    with subprocess.Popen(command("-i", "lo", "--store", store, "-q", bpf), env=ENVIRONMENT) as recording:
        while not (store / "lock").exists() or not list(store.glob("*.pcapng")):
            call(server, "/early")
        with subprocess.Popen(
            command("query", store, "http", "--follow", "--json"), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        ) as follower:
            assert follower.stdout is not None
            until(follower.stdout, "/early")
            for number in range(3):
                call(server, f"/late/{number}")
                until(follower.stdout, f"/late/{number}")
            follower.send_signal(signal.SIGINT)
        recording.send_signal(signal.SIGINT)
    assert recording.returncode == 0
    assert follower.returncode in (0, -signal.SIGINT, 130)
    assert len(objects(pysniff("query", store, 'path.startsWith("/late/")', "--json"))) == 3


@pytest.mark.needs_root
def test_a_call_that_goes_on_is_shown_as_open_while_it_is_recorded(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with subprocess.Popen(
            command("-i", "lo", "--store", store, "-q", f"tcp port {address[1]}"), env=ENVIRONMENT
        ) as recording:
            happens((store / "lock").exists, "the recording")
            with socket.create_connection(address) as client, listener.accept()[0] as server:
                client.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
                server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nso far, ")
                while not (told := objects(pysniff("query", store, "status_code == 200", "--json"))):
                    assert recording.poll() is None
                lines = pysniff("query", store, "-o", "har", tmp_path / "har")
                server.sendall(b"so gut")
            recording.send_signal(signal.SIGINT)
    assert recording.returncode == 0
    call = told[-1]
    assert call["state"] == "open"
    assert (call["completed"], call["completeness"], call["faults"]) == (None, "complete", [])
    assert "GET /held" in lines.stdout and "(open)" in lines.stdout and "!" not in lines.stdout
    (record,) = json.loads((tmp_path / "har").read_text())["log"]["entries"]
    assert record["_pysniff"]["id"] == call["id"]
    after = objects(pysniff("query", store, "--json"))[-1]
    assert (after["id"], after["state"], after["faults"]) == (call["id"], "closed", [])


@pytest.mark.needs_root
def test_live_display_beside_recording(server: HTTPServer, tmp_path: Path) -> None:
    """The entries come from the store, which another process writes."""
    store, bpf = tmp_path / "store", f"tcp port {server.server_port}"
    with subprocess.Popen(
        command("-i", "lo", "--store", store, "--json", "-c", 3, bpf),
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as shown:
        assert shown.stdout is not None
        stopped = threading.Event()

        def calls() -> None:
            number = 0
            while not stopped.wait(0.05):
                call(server, f"/{(number := number + 1)}")

        threading.Thread(target=calls, daemon=True).start()
        found = [json.loads(line) for line in shown.stdout]
        stopped.set()
    assert shown.returncode == 0 and len(found) == 3
    assert {one["id"] for one in found} <= {one["id"] for one in objects(pysniff("query", store, "--json"))}
