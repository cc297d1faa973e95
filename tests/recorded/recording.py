"""Records the loopback interface with tcpdump while a test talks; nothing is dropped, or it raises."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 20  # seconds until a program that does not come up or go down is given up


@contextmanager
def recording(to: Path) -> Iterator[None]:
    """Everything on loopback goes to `to` until the block ends."""
    # -U: what was captured is in the file at once; -B in KiB; -Z root: the file lies in a directory of ours.
    command = ["tcpdump", "-i", "lo", "-n", "-U", "-B", "131072", "-s", "0", "-Z", "root", "-w", str(to), "tcp or udp"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        try:
            first = tcpdump.stderr.readline()
            while first and "listening on" not in first:
                first = tcpdump.stderr.readline()
            if not first:
                raise RuntimeError(f"tcpdump ended with {tcpdump.wait(PATIENCE)}")
            yield
            _settle(to)
        finally:
            tcpdump.send_signal(signal.SIGINT)
            account = tcpdump.communicate(timeout=PATIENCE)[1]
    dropped = re.search(r"(\d+) packets? dropped by kernel", account)
    if dropped is None or dropped[1] != "0":
        raise RuntimeError(f"tcpdump dropped packets: {account}")


def _settle(to: Path) -> None:
    """Wait until a datagram that is sent last is in the file: all before it is, too."""
    mark = b"the recording ends " + os.urandom(8).hex().encode()
    datagram = (socket.AF_INET, socket.SOCK_DGRAM)
    # A bound receiver of our own, so that no ICMP answer and no foreign service sees it.
    with socket.socket(*datagram) as sender, socket.socket(*datagram) as receiver, to.open("rb") as file:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.05)
        sender.sendto(mark, receiver.getsockname())
        seen = b""
        for _ in range(PATIENCE * 20):
            seen = seen[-len(mark) :] + file.read()
            if mark in seen:
                return
            with suppress(TimeoutError):  # this is the wait
                receiver.recv(100)
    raise RuntimeError("tcpdump did not catch up")
