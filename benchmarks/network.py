"""Two network namespaces joined by a veth pair, gone with the process that made them.

The namespaces have no name: each lives as long as a child that waits for the end of its input, so
nothing is left behind even when the benchmark is killed. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType

OFFLOADS_OFF = ("tso", "off", "gso", "off", "gro", "off", "tx", "off")
PATIENCE = 10.0  # seconds a child gets to end by itself


class End(Enum):
    """One end of the pair: its interface, IPv4 and IPv6 address."""

    CLIENT = ("va", "10.77.0.1", "fd77::1")
    SERVER = ("vb", "10.77.0.2", "fd77::2")

    @property
    def interface(self) -> str:
        return self.value[0]

    @property
    def ipv4(self) -> str:
        return self.value[1]

    @property
    def ipv6(self) -> str:
        return self.value[2]


def missing(*programs: str) -> str:
    """Why this machine cannot run a benchmark with these programs, or ""."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    absent = [name for name in ("ip", "ethtool", "unshare", "nsenter", "setpriv", *programs) if not shutil.which(name)]
    return f"needs {', '.join(absent)}" if absent else ""


class Network:
    """A context: two namespaces, MTU 1500, offloads off, and the processes started in them."""

    def __init__(self) -> None:
        self._holders: dict[End, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Network:
        try:
            for end in End:
                self._holders[end] = _hold_namespace()
            self._join()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, end: End, *command: str) -> list[str]:
        """The same command, inside the namespace of one end; it dies with us."""
        namespace = f"--net=/proc/{self._holders[end].pid}/ns/net"
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", namespace, "--", *command]

    def run(self, end: End, *command: str) -> str:
        """Run to the end and return what it wrote to stdout; raise CalledProcessError where it failed."""
        return subprocess.run(self.command(end, *command), check=True, stdout=subprocess.PIPE, text=True).stdout

    def start(
        self, end: End, *command: str, cwd: Path | None = None, output: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start in the background; stderr is a pipe, stdout goes to `output` or nowhere."""
        with open(output or os.devnull, "wb") as stdout:
            process = subprocess.Popen(
                self.command(end, *command),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
            )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End, by pid, everything that was started; the namespaces and interfaces go with their holders."""
        for process in reversed(self._started):
            stop(process)
        for holder in self._holders.values():
            stop(holder)
        self._started.clear()
        self._holders.clear()

    def _join(self) -> None:
        client, server = (str(self._holders[end].pid) for end in End)
        link = ["ip", "link", "add", End.CLIENT.interface, "netns", client, "type", "veth"]
        link += ["peer", "name", End.SERVER.interface, "netns", server]
        subprocess.run(link, check=True)
        for end in End:
            name = end.interface
            self.run(end, "ip", "addr", "add", f"{end.ipv4}/24", "dev", name)
            # nodad: an address that is still being checked for duplicates refuses connections.
            self.run(end, "ip", "addr", "add", f"{end.ipv6}/64", "dev", name, "nodad")
            self.run(end, "ip", "link", "set", name, "mtu", "1500", "up")
            self.run(end, "ip", "link", "set", "lo", "up")
            # With offloads on, a capture on veth shows 64 KiB "packets" without checksums.
            _quiet(self.command(end, "ethtool", "-K", name, *OFFLOADS_OFF))


def listening(network: Network, end: End, takers: int = 1) -> None:
    """Until so many capture at this end: the kernel lists packet sockets by namespace."""
    deadline = time.monotonic() + PATIENCE
    while len(network.run(end, "cat", "/proc/net/packet").splitlines()) < 1 + takers:
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody captures on {end.interface}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> bytes:
    """Ask a child to end, wait, and return what it wrote to stderr; b"" where it was stopped before."""
    if process.returncode is not None and process.stderr and process.stderr.closed:
        return b""
    process.send_signal(how)
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
    return errors or b""


def _hold_namespace() -> subprocess.Popen[bytes]:
    command: Sequence[str] = ("unshare", "--net", "sh", "-c", "echo ready; exec cat")
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    if holder.stdout.readline() != b"ready\n":
        raise RuntimeError("unshare made no network namespace")
    return holder


def _quiet(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
