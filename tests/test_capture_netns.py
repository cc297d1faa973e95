"""Captures in network namespaces that the test makes: entered by name, path and process, all of them, and what is
routed or bridged between them, which is captured on each interface that it passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from netns import ROOT, Listening, ip, join, namespaces, run, send, serving, until

from pysniff import Sniffer
from pysniff.capture.live import Live
from pysniff.entry import Entry
from pysniff.errors import CaptureError
from pysniff.ledger import Ledger
from pysniff.packet import Packet

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip")]


def test_it_is_entered_by_name_path_and_process(pair: tuple[str, str]) -> None:
    far, near = pair
    with serving(near, "print('ready', flush=True); import sys; sys.stdin.read()") as process:
        # Of `ip netns exec`, which becomes what it runs.
        ways = (near, f"/run/netns/{near}", str(process.pid), f"/proc/{process.pid}/ns/net")
        for way, label in zip(ways, (near, near, str(process.pid), "net"), strict=True):
            with Listening(Live(["b0"], "udp", netns=[way])) as listening:
                assert listening.live.interfaces == [f"{label}/b0"]
                send(far, "10.9.0.2", 9, 10)
                until(lambda: len(listening.packets) == 10)
                assert {packet.interface for packet in listening.packets} == {f"{label}/b0"}


def test_the_process_stays_where_it_is(pair: tuple[str, str]) -> None:
    before = Path("/proc/self/ns/net").readlink()
    tasks = Path("/proc/self/task")
    others = set(tasks.iterdir())  # threads that other tests left may stand elsewhere
    others.discard(tasks / str(threading.get_native_id()))
    with Live(netns=list(pair)) as live:
        assert sorted(live.interfaces) == sorted(
            f"{name}/{one}" for name, one in zip(pair * 2, ("a0", "b0", "lo", "lo"), strict=True)
        )
        until(lambda: networks(set(tasks.iterdir()) - others) == {before})  # a thread that was joined may be seen yet
    threads = {thread.name for thread in threading.enumerate()}
    assert "pysniff netns" not in threads


def networks(tasks: set[Path]) -> set[Path]:
    """Where these threads are; those that end meanwhile are nowhere."""
    found = set()
    for task in tasks:
        with suppress(OSError):
            found.add((task / "ns/net").readlink())
    return found


def test_a_wrong_name_is_said_with_the_way_out(pair: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=f"did you mean.*{pair[0][:-1]}"):
        Live(netns=[pair[0] + "x"])
    with pytest.raises(CaptureError, match="no such network namespace"):
        Live(netns=["999999999"])
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")  # opened for reading, it would wait for a writer
    for path in (tmp_path, tmp_path / "file", tmp_path / "pipe", Path("/dev/null"), Path("/proc/self/ns/mnt")):
        with pytest.raises(CaptureError, match="network namespace"):
            Live(netns=[str(path)])
    with pytest.raises(CaptureError, match="nothing: no such interface"):
        Live(["nothing"], netns=[pair[0]])
    with pytest.raises(CaptureError, match="nothing: in none of these"):
        Live(["nothing"], netns=list(pair))


UNPRIVILEGED = """
import sys
from pysniff.capture import live, namespaces
import os
os.setgid(65534), os.setuid(65534)
for name in (sys.argv[1], "all"):
    try:
        live.Live(netns=[name])
    except Exception as error:
        print(type(error).__name__, error.exit_code, "sudo" in error.hint)
"""


def test_without_privilege_the_hint_says_the_way_out(pair: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, pair[0]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["PrivilegeError 5 True"] * 2, done.stderr


def test_all_follows_namespaces_that_come_and_go() -> None:
    with namespaces(1) as (first,), Listening(Live(["lo", "b0"], "udp port 9", netns=["all"], wait=True)) as listening:
        live = listening.live
        assert {"lo", f"{first}/lo"} <= set(live.interfaces)
        with namespaces(2) as (far, near):
            join(far, near, names=("a0", "b0"), addresses=("10.9.0.1/24", "10.9.0.2/24"))
            until(lambda: {f"{near}/b0", f"{near}/lo", f"{far}/lo"} <= set(live.interfaces))
            send(far, "10.9.0.2", 9, 10)
            until(lambda: listening.count(f"{near}/b0") == 10)
            identity = (Path("/run/netns") / near).stat().st_ino
        # Deleted by name, they would live on with our sockets in them.
        until(lambda: not any(one.startswith((near, far)) for one in live.interfaces))
        assert f"{near}/b0: the interface is gone; waiting for it" in live.notices
        until(lambda: identity not in open_files())
        # One without a name is found by its process.
        unnamed = [sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]
        with subprocess.Popen(
            ["unshare", "-n", *unnamed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                number = process.stdout.readline().strip()
                subprocess.run(["nsenter", "-t", number, "-n", "ip", "link", "set", "lo", "up"], check=True)
                until(lambda: f"pid-{number}/lo" in live.interfaces)
            finally:
                process.kill()
        until(lambda: f"pid-{number}/lo" not in live.interfaces)
        assert listening.problem is None


def open_files() -> set[int]:
    """Inodes of what this process has open."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(fd.stat().st_ino)
    return found


# Two calls of HTTP a connection and two questions a socket, several times; then questions that are asked twice.
CLIENT = """
import http.client, socket, sys, time
host = sys.argv[1]
for n in range(10):
    connection = http.client.HTTPConnection(host, 8080, timeout=60)
    for m in range(2):
        connection.request("GET", f"/{n}/{m}", headers={"X": "x" * 3000})
        assert connection.getresponse().read() == b"y" * 20000
    connection.close()
for n in range(10):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        for m in range(2):
            s.sendto((n * 2 + m).to_bytes(2, "big") + b"\\1\\0\\0\\1" + bytes(6) + b"\\1a\\0\\0\\1\\0\\1", (host, 53))
            s.recv(512)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(60)
    for _ in range(2):
        s.sendto(b"\\7\\7\\1\\0\\0\\1" + bytes(6) + b"\\1a\\0\\0\\1\\0\\1", (host, 53))
        s.recv(4096)
        time.sleep(0.3)
"""
SERVER = """
import http.server, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "20000")
        self.end_headers()
        self.wfile.write(b"y" * 20000)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
print("ready", flush=True)
while True:
    question, client = s.recvfrom(512)
    count = 150 if question.startswith(b"\\7\\7") else 1  # more than a packet holds
    head = question[:2] + b"\\x81\\x80\\0\\1" + count.to_bytes(2, "big") + question[8:]
    answer = head + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4\\x0a\\0\\0\\1" * count
    s.sendto(answer, client)
"""


@contextmanager
def pods(way: str) -> Iterator[tuple[str, str, str, str]]:
    """A node with two pods whose packets it routes or bridges; names, and the second pod's address."""
    with namespaces(3) as (one, node, other):
        join(one, node, names=("eth0", "v1"), addresses=("10.8.1.2/24", "10.8.1.1/24" if way == "routed" else ""))
        address = "10.8.2.2/24" if way == "routed" else "10.8.1.3/24"
        join(other, node, names=("eth0", "v2"), addresses=(address, "10.8.2.1/24" if way == "routed" else ""))
        if way == "routed":
            ip(f"-n {one} route add default via 10.8.1.1")
            ip(f"-n {other} route add default via 10.8.2.1")
            forward = "import pathlib; pathlib.Path('/proc/sys/net/ipv4/ip_forward').write_text('1')"
            run(node, forward)
        else:
            ip(f"-n {node} link add br0 type bridge")
            for name in ("v1", "v2"):
                ip(f"-n {node} link set {name} master br0")
            ip(f"-n {node} link set br0 up")
        yield one, node, other, address.split("/")[0]


def calls(packets: list[Packet]) -> tuple[list[Entry], Ledger]:
    sniffer = Sniffer()
    entries = sniffer.feed(packets) + sniffer.close()
    return entries, sniffer.ledger


@pytest.mark.parametrize("way", ["routed", "bridged"])
def test_a_call_that_is_captured_on_every_interface_is_shown_once_and_without_fault(way: str) -> None:
    with pods(way) as (one, node, other, address), serving(other, SERVER):
        # The first of it is seen in one place, then in up to five.
        with Listening(Live(["eth0"], "tcp or udp", netns=[one])) as reference:
            with Listening(Live([], "tcp or udp", netns=[one, node, other])) as everywhere:
                run(one, CLIENT, address)
                everywhere.stop()
            reference.stop()
        expected, plain = calls(reference.packets)
        entries, ledger = calls(everywhere.packets)
        assert len(everywhere.packets) >= 3 * len(reference.packets)
        assert Counter((entry.protocol, entry.summary, entry.status) for entry in entries) == Counter(
            (entry.protocol, entry.summary, entry.status) for entry in expected
        )
        assert len(expected) == 42
        assert [entry.faults for entry in entries if entry.faults] == []
        assert ledger.imbalances() == [] and ledger.lossless()
        passes = len({packet.interface for packet in everywhere.packets if b"GET /0/0" in packet.data})
        assert passes == 4
        # Every payload was counted as often as it was captured, and went on once; under load TCP sends some again.
        assert ledger.tcp_bytes == passes * plain.tcp_bytes
        assert ledger.tcp_in_order == plain.tcp_in_order == ledger.tcp_bytes - ledger.duplicate_bytes
        assert ledger.udp_delivered == plain.udp_delivered
        # A fragment of what was whole already is a copy too, and counts as a fragment.
        assert plain.fragments > 0
        assert ledger.udp_packets + ledger.fragments == passes * (plain.udp_packets + plain.fragments)
        assert ledger.udp_copies == ledger.udp_packets - plain.udp_packets
        assert plain.udp_copies == 0


ASK = """
import itertools, socket, time
print("ready", flush=True)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for n in itertools.count():
        s.sendto((n % 65536).to_bytes(2, "big") + b"\\1\\0\\0\\1" + bytes(6) + b"\\1a\\0\\0\\1\\0\\1", ("10.9.0.2", 53))
        s.recv(512)
        time.sleep(0.02)
"""


@pytest.mark.parametrize("more", [[], ["--store", "store"]])
def test_the_command_captures_in_a_namespace(pair: tuple[str, str], tmp_path: Path, more: list[str]) -> None:
    far, near = pair
    command = [sys.executable, "-m", "pysniff", "--netns", near, "-i", "b0", "--json", "-c", "1", "-Y", "dns", *more]
    with serving(near, SERVER), serving(far, ASK):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dst"]["ip"] == "10.9.0.2"


def test_namespaces_and_files_exclude_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pysniff", "--netns", "all", "-r", "x.pcap"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 1 and "--netns and -r exclude each other" in done.stderr
