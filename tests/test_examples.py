"""The programs in examples/ run, and shop.pcap holds what its recipe promises."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from subprocess import PIPE

import pytest

import pysniff

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SHOP = EXAMPLES / "shop.pcap"
SCHEMA = EXAMPLES / "shop.protoset"
# The package of this checkout, installed or not.
# gRPC tells of a server that goes away on standard error.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "GRPC_VERBOSITY": "NONE"}

CALLS = [
    "dns A shop.example NOERROR",
    "dns AAAA shop.example NOERROR",
    "dns MX example NOERROR",
    "dns A shoe.example NXDOMAIN",
    "dns TXT example NOERROR",
    "http GET /catalogue 200",
    "redis GET cart:7 ",
    "http GET /cart?id=7 200",
    "http GET /report 200",
    "http GET /missing.css 404",
    "redis INCR orders ",
    "redis LPUSH queue ",
    "http POST /orders 201",
    "http POST /pay 500",
    "redis GET cart:7 ",
    "http HEAD /cart?id=7 200",
    "http GET /events 200",
    "http GET /tea.svg 200",
    "http GET /tea.svg?size=2 200",
    "http GET /cup.svg 404",
    "grpc shop.Stock/Find OK",
    "http GET /stock?tea=3 200",
    "grpc shop.Stock/Find NOT_FOUND",
    "http GET /stock?tea=99 404",
    "grpc shop.Stock/Watch OK",
    "http GET /deliveries?tea=3 200",
    "http GET /chat 101",
    'ws text {"id": 1, "say": "Assam?"}',
    'ws text {"seen": 1}',
    'ws text {"say": "17 packets"}',
    "ws close 1000",
    "ws close 1000",
]


def run(program: str, *arguments: str, stdin: Path | None = None) -> list[str]:
    """The lines that an example prints."""
    command = [sys.executable, str(EXAMPLES / program), *arguments]
    data = stdin.read_bytes() if stdin else b""
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode().splitlines()


def listed(path: Path) -> list[str]:
    return [f"{entry.protocol} {entry.headline} {entry.status}" for entry in pysniff.read(path)]


def check_calls(path: Path) -> None:
    calls = listed(path)
    assert len(calls) == len(CALLS)
    for call, start in zip(calls, CALLS, strict=True):
        assert call.startswith(start.rstrip()), call


def test_the_shop_has_its_calls_in_the_order_in_which_they_completed() -> None:
    check_calls(SHOP)


def test_the_shop_is_small_and_its_ledger_balances() -> None:
    assert SHOP.stat().st_size < 100_000
    entries = pysniff.read(SHOP)
    assert all(entry.completeness == "complete" and not entry.faults for entry in entries)
    assert entries.ledger.imbalances() == []
    assert entries.ledger.lossless()


def check_stock(path: Path, schema: Path) -> None:
    """What the stock room of the recipe says, by the names of shop.proto."""
    find, missing, watch = (entry for entry in pysniff.read(path, proto=schema) if entry.protocol == "grpc")
    assert find.request.messages[0].fields == {"number": 3}
    notes = ["malty", "best before 2027"]
    shelf = {"tea": {"number": 3}, "leaf": "BLACK", "packets": 17, "kilograms": 4.25, "notes": notes}
    assert find.response.messages[0].fields == shelf
    assert (missing.status, missing.response.grpc_message) == ("NOT_FOUND", "no tea № 99")
    assert [message.fields["change"] for message in watch.response.messages] == [-2, 24, -1]


def test_the_schema_beside_the_shop_names_the_fields_of_its_grpc_messages() -> None:
    assert SCHEMA.stat().st_size < 10_000
    check_stock(SHOP, SCHEMA)


@pytest.mark.needs_root
@pytest.mark.needs("unshare", "ip", "tcpdump", "curl", "dig", "dnsmasq", "redis-server", "redis-cli", "nghttpd")
def test_the_recipe_still_makes_the_shop(tmp_path: Path) -> None:
    again = tmp_path / "again.pcap"
    run("make_shop.py", str(again))
    check_calls(again)
    check_stock(again, again.with_suffix(".protoset"))


def test_slow_calls_come_slowest_first() -> None:
    lines = run("slow_calls.py", str(SHOP), "180")
    assert [line.split("ms")[1].split() for line in lines] == [["200", "GET", "/report"], ["200", "GET", "/events"]]


def test_a_sniffer_fed_by_hand_gives_what_reading_the_file_gives() -> None:
    expected = [f"{entry.id} {entry.protocol} {entry.summary} -> {entry.status}" for entry in pysniff.read(SHOP)]
    assert run("by_hand.py", stdin=SHOP) == expected


def test_the_notebook_counts_every_call() -> None:
    counts = [int(line.split()[0]) for line in run("notebook.py", str(SHOP))]
    assert sum(counts) == len(CALLS)


class Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.needs_root
def test_watch_shows_a_failing_call_while_it_sniffs() -> None:
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        command = [sys.executable, str(EXAMPLES / "watch.py"), "lo", f"tcp port {port}", "120"]
        watch = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=ENVIRONMENT)
        try:
            assert watch.stdout is not None
            line = line_while_calling(watch, f"http://127.0.0.1:{port}/till")
        finally:
            watch.kill()
            _, errors = watch.communicate(timeout=60)
            server.shutdown()
    assert line.split()[1:] == ["127.0.0.1", "GET", "/till", "503"], errors


def line_while_calling(watch: subprocess.Popen[str], url: str) -> str:
    """Call again and again, since nobody tells when the capture has begun, until a line of a call comes out.

    Of the first one it may have seen the answer only.
    """
    lines: list[str] = []

    def read() -> None:
        assert watch.stdout is not None
        while (line := watch.stdout.readline()) and " GET " not in line:
            pass
        lines.append(line)

    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + 120
    while reader.is_alive() and time.monotonic() < end:
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=60)
        reader.join(timeout=0.2)
    watch.kill()
    reader.join()
    return lines[0]
