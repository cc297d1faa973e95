"""Interfaces that come and go, and captures that are changed while they run: the account stays exact to the packet."""

from __future__ import annotations

import socket
import threading

import pytest
from netns import Listening, ip, join, run, send, sending, serving, until

from pysniff.capture.live import Live
from pysniff.errors import CaptureError, FilterError

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip")]


def ports(listening: Listening) -> dict[int, list[int]]:
    """Numbers of the datagrams that came, by port."""
    found: dict[int, list[int]] = {}
    for packet in listening.packets:
        if packet.data[12:14] == b"\x08\0" and packet.data[23] == 17:
            port = int.from_bytes(packet.data[36:38], "big")
            found.setdefault(port, []).append(int(packet.data[42:50]))
    return found


def balance(listening: Listening) -> tuple[int, int]:
    """What was delivered or dropped, and what the kernel received."""
    counts = listening.live.counts()
    return len(listening.packets) + counts.dropped_by_kernel, counts.received_by_kernel


def test_with_all_interfaces_a_new_one_is_captured_and_a_gone_one_is_told(pair: tuple[str, str]) -> None:
    far, near = pair
    with Listening(Live(netns=[near], bpf="udp")) as listening:
        live = listening.live
        assert sorted(live.interfaces) == [f"{near}/b0", f"{near}/lo"]
        join(far, near, names=("a1", "b1"), addresses=("10.9.1.1/24", "10.9.1.2/24"))
        until(lambda: f"{near}/b1" in live.interfaces)
        assert f"{near}/b1: captured from now on" in live.notices
        send(far, "10.9.1.2", 9, 100)
        until(lambda: listening.count(f"{near}/b1") == 100)
        ip(f"-n {near} link del b1")
        until(lambda: f"{near}/b1: the interface is gone" in live.notices)
        assert sorted(live.interfaces) == [f"{near}/b0", f"{near}/lo"]
        join(far, near, names=("a1", "b1"), addresses=("10.9.1.1/24", "10.9.1.2/24"))
        until(lambda: f"{near}/b1" in live.interfaces)
        send(far, "10.9.1.2", 9, 50)
        until(lambda: listening.count(f"{near}/b1") == 150)
        listening.stop()
        assert balance(listening) == (150, 150)


def test_with_all_interfaces_capture_goes_on_when_the_last_one_went(pair: tuple[str, str]) -> None:
    far, near = pair
    ip(f"-n {near} link set lo down")
    with Listening(Live(netns=[near], bpf="udp", wait=True)) as listening:
        ip(f"-n {near} link del b0")
        until(lambda: not listening.live.interfaces)
        join(far, near, names=("a0", "b0"), addresses=("10.9.0.1/24", "10.9.0.2/24"))
        until(lambda: listening.live.interfaces == [f"{near}/b0"])
        assert listening.problem is None


def test_what_an_interface_had_when_it_went_is_delivered(pair: tuple[str, str]) -> None:
    """The kernel has counted it: else the account would not be right."""
    far, near = pair
    with Listening(Live(["b0", "lo"], "udp", netns=[near])) as listening:
        send(far, "10.9.0.2", 9, 300)
        ip(f"-n {near} link del b0")
        until(lambda: f"{near}/b0: the interface is gone" in listening.live.notices)
        listening.stop()
        assert ports(listening) == {9: list(range(300))}
        assert balance(listening) == (300, 300)


def test_a_named_interface_is_waited_for_where_that_was_asked(pair: tuple[str, str]) -> None:
    far, near = pair
    with pytest.raises(CaptureError, match="b7: no such interface"):
        Live(["b7"], netns=[near])
    with Listening(Live(["b7"], "udp", netns=[near], wait=True)) as listening:
        live = listening.live
        assert (live.interfaces, live.absent) == ([], ["b7"])
        assert live.notices == ["b7: no such interface yet, or not up; waiting for it"]
        join(far, near, names=("a7", "b7"), addresses=("10.9.7.1/24", "10.9.7.2/24"))
        until(lambda: live.interfaces == [f"{near}/b7"])
        assert live.absent == []
        send(far, "10.9.7.2", 9, 20)
        until(lambda: len(listening.packets) == 20)
        ip(f"-n {near} link del b7")
        until(lambda: f"{near}/b7: the interface is gone; waiting for it" in live.notices)
        join(far, near, names=("a7", "b7"), addresses=("10.9.7.1/24", "10.9.7.2/24"))
        until(lambda: live.interfaces == [f"{near}/b7"])
        send(far, "10.9.7.2", 9, 20)
        until(lambda: len(listening.packets) == 40)
        listening.stop()
        assert balance(listening) == (40, 40)
        assert listening.problem is None


def test_a_filter_is_changed_under_traffic_without_losing_a_packet_or_the_count(pair: tuple[str, str]) -> None:
    far, near = pair
    with (
        Listening(Live(["b0"], "udp port 9", netns=[near])) as listening,
        sending(far, "10.9.0.2", 9, rate=2000) as stop_9,
        sending(far, "10.9.0.2", 10, rate=2000) as stop_10,
    ):
        live = listening.live
        until(lambda: len(listening.packets) > 1000)
        # Port 9 matches before and after: none of its packets may be missing around any change.
        for bpf in ("udp port 9 or udp port 10", "udp port 9", "udp", "udp dst port 9"):
            live.set_bpf(bpf)
            seen = len(listening.packets)
            until(lambda: len(listening.packets) > seen + 500)  # noqa: B023
        with pytest.raises(FilterError, match="syntax error"):
            live.set_bpf("udp prot 9")
        sent = {9: stop_9(), 10: stop_10()}
        listening.stop()
        found = ports(listening)
        assert found[9] == list(range(sent[9]))
        assert 0 < len(found[10]) < sent[10]
        assert live.counts().dropped_by_kernel == 0
        delivered, received = balance(listening)
        assert delivered == received == len(found[9]) + len(found[10])


def test_interfaces_are_changed_under_traffic_with_an_exact_account(pair: tuple[str, str]) -> None:
    far, near = pair
    with (
        Listening(Live(["b0"], "udp", netns=[near])) as listening,
        sending(far, "10.9.0.2", 9, rate=4000) as stop,
    ):
        live = listening.live
        until(lambda: len(listening.packets) > 500)
        live.set_interfaces(["lo"], [near])
        until(lambda: live.interfaces == [f"{near}/lo"])
        live.set_interfaces(["b0", "lo"], [near])
        until(lambda: len(live.interfaces) == 2)
        with pytest.raises(CaptureError, match="no such interface"):
            live.set_interfaces(["nothing"], [near])
        assert sorted(live.interfaces) == [f"{near}/b0", f"{near}/lo"]
        seen = len(listening.packets)
        until(lambda: len(listening.packets) > seen + 500)  # it goes on as before
        sent = stop()
        listening.stop()
        numbers = ports(listening)[9]
        assert numbers == sorted(set(numbers)) and 500 < len(numbers) < sent
        delivered, received = balance(listening)
        assert delivered == received


def test_a_change_in_the_loop_that_reads_is_made_at_once() -> None:
    with Live(["lo"], "udp port 9") as live, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in live:
            live.set_bpf("udp port 10")
            sender.sendto(b"x", ("127.0.0.1", 9))
            sender.sendto(b"x", ("127.0.0.1", 10))
            break
        live.stop()
        assert sum(len(item) for item in live if not isinstance(item, tuple)) == 1
        assert live.counts()[:2] == (1, 0)


def test_a_change_before_and_after_the_iteration_is_made_at_once() -> None:
    with Live(["lo"], "udp port 9") as live:
        live.set_bpf("udp port 10")
        threading.Timer(0.05, live.stop).start()
        for _ in live:
            pass
        live.set_bpf("udp port 9")


TALK = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
with socket.create_connection((host, port), timeout=60) as s:
    s.sendall(b"hello")
    s.recv(5)
"""
LISTEN = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in sys.argv[2:]:
    s = socket.create_server((sys.argv[1], int(port)))
    chosen.register(s, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        with key.fileobj.accept()[0] as s:
            s.sendall(s.recv(5))
"""


def test_own_traffic_is_left_out_and_nothing_else(pair: tuple[str, str]) -> None:
    far, near = pair
    ip(f"-n {near} addr add 10.9.0.3/24 dev b0")
    with (
        serving(near, LISTEN, "10.9.0.2", "8897", "8898"),
        serving(near, LISTEN, "10.9.0.3", "8897", "8898"),
        Listening(Live(["b0"], "tcp", netns=[near])) as listening,
    ):
        listening.live.exclude([("10.9.0.2", 8897), ("fd00::1", 8897), ("nonsense", 1)])
        assert listening.live.excluded == ["10.9.0.2:8897", "[fd00::1]:8897"]
        for address in ("10.9.0.2", "10.9.0.3"):
            for port in ("8897", "8898"):
                run(far, TALK, address, port)
        until(lambda: len(_talks(listening)) == 3)
        assert _talks(listening) == {("10.9.0.2", 8898), ("10.9.0.3", 8897), ("10.9.0.3", 8898)}
        listening.live.set_bpf("tcp port 8897")  # what is left out stays so
        before = len(listening.packets)
        for address in ("10.9.0.2", "10.9.0.3"):
            run(far, TALK, address, "8897")
        until(lambda: len(listening.packets) > before)
        assert ("10.9.0.2", 8897) not in _talks(listening)
        listening.live.exclude([])
        run(far, TALK, "10.9.0.2", "8897")
        until(lambda: ("10.9.0.2", 8897) in _talks(listening))
        listening.stop()
        delivered, received = balance(listening)
        assert delivered == received


def _talks(listening: Listening) -> set[tuple[str, int]]:
    """Servers whose greeting was seen."""
    return {
        (socket.inet_ntoa(packet.data[26:30]), int.from_bytes(packet.data[34:36], "big"))
        for packet in listening.packets
        if packet.data.endswith(b"hello") and int.from_bytes(packet.data[34:36], "big") in (8897, 8898)
    }


def test_an_unspecified_address_stands_for_all_of_this_machine() -> None:
    with Live(["lo"], exclude=[("0.0.0.0", 8897)]) as live:
        assert "127.0.0.1:8897" in live.excluded
