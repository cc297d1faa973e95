"""Network namespaces that a test makes, what runs in them, and captures that are read by a thread beside the test."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import pytest

from pysniff.capture import Idle
from pysniff.capture.live import Live
from pysniff.packet import Packet

ROOT = Path(__file__).parent.parent
# A choking machine takes its time.
PATIENCE = 60.0
_numbers = itertools.count()

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7)


def enter_own_network() -> None:
    """From here on this thread, and what it starts, has a loopback interface that nobody else is on.

    Tests that capture there see what their own process sends, and not the tests beside them, and a port that they freed
    stays free. Nothing happens where the kernel does not allow it.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def ip(arguments: str) -> None:
    """Run `ip`; a test whose machine does not let it make namespaces is skipped."""
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        if "netns add" in arguments:
            pytest.skip(f"ip {arguments}: {done.stderr.strip()}")
        raise AssertionError(f"ip {arguments}: {done.stderr.strip()}")


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """So many, with their loopback up."""
    names = [f"pysniff-{os.getpid()}-{next(_numbers)}" for _ in range(count)]
    try:
        for name in names:
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def join(one: str, other: str, *, names: tuple[str, str], addresses: tuple[str, str]) -> None:
    """A cable between two namespaces."""
    ip(f"link add {names[0]} netns {one} type veth peer name {names[1]} netns {other}")
    for namespace, name, address in zip((one, other), names, addresses, strict=True):
        if address:
            ip(f"-n {namespace} addr add {address} dev {name}")
        ip(f"-n {namespace} link set {name} up")


def start(namespace: str, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python program inside, whose output can be read and whose input can be written."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@contextmanager
def serving(namespace: str, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs as long as the test needs it, and prints "ready" when it can be used."""
    with start(namespace, program, *arguments) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def run(namespace: str, program: str, *arguments: str) -> str:
    with start(namespace, program, *arguments) as process:
        output, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0
    return output


# Datagrams of 8 digits to a port, so many a second; 0 of them: until its input is closed. Says how many there were.
SEND = """
import select, socket, sys, time
host, port, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
with socket.socket() as asking:  # who has that address: few datagrams are kept until that is known
    asking.settimeout(60)
    asking.connect_ex((host, 1))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begin = time.monotonic()
sent = 0
while sent < count or not (count or select.select([sys.stdin], [], [], 0)[0]):
    s.sendto(b"%08d" % sent, (host, port))
    time.sleep(max(begin + sent / rate - time.monotonic(), 0))
    sent += 1
print(sent)
"""


def send(namespace: str, host: str, port: int, count: int, rate: float = 20_000) -> None:
    run(namespace, SEND, host, str(port), str(count), str(rate))


@contextmanager
def sending(namespace: str, host: str, port: int, rate: float) -> Iterator[Callable[[], int]]:
    """Datagrams all the time, so many a second; end it with the call, which says how many there were."""
    with start(namespace, SEND, host, str(port), "0", str(rate)) as process:
        try:
            yield lambda: int(process.communicate(timeout=2 * PATIENCE)[0])
        finally:
            process.kill()


class Listening:
    """Reads a capture in a thread of its own; until() waits for what a test expects. At the end it is stopped."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.packets: list[Packet] = []
        self.problem: BaseException | None = None
        self._thread = Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        try:
            for item in self.live:
                if not isinstance(item, Idle):
                    self.packets += item.packets()
        except BaseException as problem:
            self.problem = problem

    def count(self, interface: str) -> int:
        return sum(packet.interface == interface for packet in self.packets)

    def stop(self) -> None:
        self.live.stop()
        self._thread.join(PATIENCE)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.live.close()


def until(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what or "it never happened"
        time.sleep(0.01)
