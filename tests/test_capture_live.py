"""Live capture, in network namespaces of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysniff.capture import Idle
from pysniff.capture.live import Live, list_interfaces, open_live
from pysniff.errors import CaptureError, FilterError, PrivilegeError

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip")]

# What runs in the namespace: sends `count` datagrams to each of two ports while it captures, and prints its account.
CAPTURE = """
import json, subprocess, sys, threading
from pysniff.capture.dumpcap import Dumpcap
from pysniff.capture.live import Live
from pysniff.packet import Block
kind, far, bpf, count, buffer, stalls, stop_early, lossless = json.loads(sys.argv[1])
source = (Live if kind == "live" else Dumpcap)(["v2"], bpf, buffer_size=buffer)
send = ["ip", "netns", "exec", far, sys.executable, "-c",
    "import socket, sys\\nsocket.socket().connect_ex(('10.9.0.2', 1))\\n"  # so that its address is known
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\\n"
    "for n in range(int(sys.argv[1])):\\n  for port in (9, 10): s.sendto(b'%08d' % n + b'x' * 192, ('10.9.0.2', port))",
    str(count)]
sender = subprocess.Popen(send)
arrived, whole = threading.Event(), threading.Event()

def stop():
    arrived.wait()
    if not stop_early:
        sender.wait()
        lossless and whole.wait(60)
    source.stop()

threading.Thread(target=stop).start()
delivered, numbers, interfaces = 0, [], set()
for item in source:
    if isinstance(item, Block):
        arrived.set()
        if stalls:
            sender.wait()
        for packet in item.packets():
            delivered += 1
            interfaces.add((packet.interface, packet.linktype))
            if packet.data[36:38] == b"\\0\\x09" and packet.data[12:14] == b"\\x08\\0":
                numbers.append(int(packet.data[42:50]))
        if delivered >= count:
            whole.set()
print(json.dumps([delivered, source.counts(), numbers == sorted(numbers), len(numbers), sorted(interfaces)]))
source.close()
sender.wait()
"""


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[str, str]]:
    near, far = f"pysniff-{os.getpid()}a", f"pysniff-{os.getpid()}b"
    try:
        for arguments in (
            f"netns add {near}",
            f"netns add {far}",
            f"link add v1 netns {far} type veth peer name v2 netns {near}",
            f"-n {far} addr add 10.9.0.1/24 dev v1",
            f"-n {near} addr add 10.9.0.2/24 dev v2",
            f"-n {far} link set v1 up",
            f"-n {near} link set v2 up",
            f"-n {near} link set lo up",
        ):
            done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"ip {arguments}: {done.stderr.strip()}")
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def run(near: str, program: str, argument: str) -> str:
    command = ["ip", "netns", "exec", near, sys.executable, "-c", program, argument]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


Account = tuple[int, list[int], bool, int, list[list[object]]]


def account(namespaces: tuple[str, str], kind: str, **options: object) -> Account:
    import json

    near, far = namespaces
    given = {
        "bpf": "udp port 9",
        "count": 20_000,
        "buffer": 0,
        "stalls": False,
        "stop_early": False,
        "lossless": False,
    } | options
    result: Account = json.loads(run(near, CAPTURE, json.dumps([kind, far, *given.values()])))
    return result


def test_without_loss_every_packet_is_delivered_in_order(namespaces: tuple[str, str]) -> None:
    delivered, (received, dropped, _), in_order, numbers, interfaces = account(
        namespaces, "live", count=5_000, lossless=True
    )
    assert (delivered, received, dropped) == (5_000, 5_000, 0)
    assert (in_order, numbers, interfaces) == (True, 5_000, [["v2", 1]])


@pytest.mark.parametrize("bpf", ["", "udp port 9"])
def test_the_account_balances_to_the_packet_when_the_kernel_drops(namespaces: tuple[str, str], bpf: str) -> None:
    delivered, (received, dropped, _), _, _, _ = account(namespaces, "live", bpf=bpf, buffer=2 << 20, stalls=True)
    assert dropped > 0
    assert received == delivered + dropped


def test_the_account_balances_when_stopped_under_load(namespaces: tuple[str, str]) -> None:
    delivered, (received, dropped, _), _, _, _ = account(namespaces, "live", count=60_000, stop_early=True)
    assert delivered > 0
    assert received == delivered + dropped


@pytest.mark.needs("dumpcap")
def test_dumpcap_serves_as_well(namespaces: tuple[str, str]) -> None:
    delivered, (received, dropped, _), in_order, numbers, interfaces = account(
        namespaces, "dumpcap", count=5_000, lossless=True
    )
    assert (delivered, received, dropped) == (5_000, 5_000, 0)
    assert (in_order, numbers, interfaces) == (True, 5_000, [["v2", 1]])


GOING = """
import subprocess, sys, threading
from pysniff.capture.live import Live
from pysniff.errors import CaptureError
for name in ("d1", "d2"):
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name + "p"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
with Live(["d1", "d2"]) as source:
    items = iter(source)
    def until(condition):
        while not condition():
            next(items)
    subprocess.run(["ip", "link", "set", "d1", "down"], check=True)
    until(lambda: source.notices)
    print("waiting for it" in source.notices[0], source.interfaces)
    subprocess.run(["ip", "link", "del", "d1"], check=True)
    until(lambda: len(source.interfaces) == 1)
    print(source.notices[-1] == "d1: the interface is gone", source.interfaces)
    subprocess.run(["ip", "link", "del", "d2"], check=True)
    try:
        until(lambda: False)
    except CaptureError as error:
        print("no other is left" in str(error), source.counts().dropped_by_kernel)
"""


def test_an_interface_that_goes_leaves_a_notice_and_the_last_an_error(namespaces: tuple[str, str]) -> None:
    lines = run(namespaces[0], GOING, "").splitlines()
    assert lines == ["True ['d1', 'd2']", "True ['d2']", "True 0"]


def test_no_interface_means_all_that_are_up(namespaces: tuple[str, str]) -> None:
    program = "import sys\nfrom pysniff.capture.live import Live\nprint(sorted(Live(sys.argv[1].split()).interfaces))"
    for names in ("", "any"):
        assert run(namespaces[0], program, names) == "['lo', 'v2']\n"


def test_a_quiet_interface_is_idle_and_stops_at_once() -> None:
    with Live(["lo"], "udp port 9 and ether host 02:03:04:05:06:07") as source:
        items = iter(source)
        first, second = next(items), next(items)
        assert isinstance(first, Idle) and isinstance(second, Idle)
        assert first.time_ns <= second.time_ns
        threading.Timer(0.05, source.stop).start()
        assert all(isinstance(item, Idle) for item in items)
        assert source.counts()[:2] == (0, 0)


def test_what_came_before_stop_is_delivered_after_it() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        source = Live(["lo"], f"udp port {receiver.getsockname()[1]}")
        for _ in range(10):
            sender.sendto(b"x", receiver.getsockname())
            assert receiver.recv(1) == b"x"  # it has passed the interface
        source.stop()
        delivered = sum(len(item) for item in source if not isinstance(item, Idle))
        # Loopback passes each packet twice, and it counts once.
        assert (delivered, source.counts()[:2]) == (10, (10, 0))
        source.close()


def test_a_wrong_filter_or_name_is_said_with_the_way_out() -> None:
    with pytest.raises(FilterError, match="syntax error"):
        Live(["lo"], "tcp prot 80")
    with pytest.raises(CaptureError, match="did you mean lo"):
        Live(["loo"])


def test_loopback_is_listed() -> None:
    found = {interface.name: interface for interface in list_interfaces()}
    assert found["lo"].loopback
    assert "any" in found and not found["any"].up


def test_without_privilege_dumpcap_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from pysniff.capture import live

    def refused(*_: object, **__: object) -> Live:
        raise PrivilegeError("lo: permission denied")

    monkeypatch.setattr(live, "Live", refused)
    monkeypatch.setattr(live, "may_capture", lambda: False)
    with pytest.raises(PrivilegeError):
        open_live(["lo"])
    monkeypatch.setattr(live, "may_capture", lambda: True)
    monkeypatch.setattr(live, "Dumpcap", lambda names, *_, **__: list(names))
    assert open_live(["lo"]) == ["lo"]  # type: ignore[comparison-overlap]


UNPRIVILEGED = """
import os
os.setgid(65534), os.setuid(65534)
from pysniff.capture.live import Live
try:
    Live(["lo"])
except Exception as error:
    print(type(error).__name__, error.exit_code, "sudo" in error.hint)
"""


def test_without_privilege_the_hint_says_the_way_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pysniff.capture.live\n" + UNPRIVILEGED],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "PrivilegeError 5 True\n", done.stderr
