"""A cluster's machines as network namespaces: a switch, nodes with pods behind them, and a place for a hub.

Everything is there in some 0.2 s and gone with the `with`. Names are of this process alone, so runs can stand beside
each other; nothing of the machine's own network is touched. Needs root.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")

HUB = "hub"
_RUNS = count()
_NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
# Waits for the end of its input; then ends what still runs in the namespaces, and removes them.
_AWAY = 'cat; for one in "$@"; do kill -9 $(ip netns pids $one); ip netns del $one; done'


class Bed:
    """`nodes` n1, n2 ... each with `pods` pods n1a, n1b ...; a place is a node, a pod or "hub", by its name.

    A node routes for its pods, and all nodes and the hub are on one bridge. As in a cluster, a packet between pods of
    two nodes is seen on both nodes, and on two interfaces of each.
    """

    def __init__(self, nodes: int = 3, pods: int = 2) -> None:
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.pods = {node: [node + "abcdef"[number] for number in range(pods)] for node in self.nodes}
        self._prefix = f"pysniff-{os.getpid():x}-{next(_RUNS)}-"
        self._undo = ExitStack()
        self._entered: dict[str, ThreadPoolExecutor] = {}

    def address(self, place: str) -> str:
        """Its IPv4 address on eth0."""
        if place == HUB:
            return "10.77.0.100"
        number = self.nodes.index(place[:2]) + 1
        return f"10.77.0.{number}" if place in self.nodes else f"10.78.{number}.{10 + ord(place[2]) - ord('a')}"

    def namespace(self, place: str) -> str:
        """The name that `ip netns` knows it by."""
        return self._prefix + place

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._watch()
            undo.callback(self._remove)
            self._build()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    # What a test does with it

    def command(self, place: str, words: Sequence[str]) -> list[str]:
        """A command line that runs there; the process is the program itself, so its pid can be killed."""
        return ["ip", "netns", "exec", self.namespace(place), *words]

    def within(self, place: str, work: Callable[[], Result]) -> Result:
        """Do something in a thread that lives there: a socket stays in the network it was made in, wherever it goes."""
        if place not in self._entered:
            executor = ThreadPoolExecutor(1, f"in {place}", self._enter, (self.namespace(place),))
            self._undo.callback(executor.shutdown)
            self._entered[place] = executor
        return self._entered[place].submit(work).result()

    def new_socket(self, place: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """An IPv4 socket of that machine."""
        return self.within(place, lambda: socket.socket(socket.AF_INET, kind))

    def connect(self, place: str, to: tuple[str, int], timeout: float = 60.0) -> socket.socket:
        with ExitStack() as stack:
            connection = stack.enter_context(self.new_socket(place))
            connection.settimeout(timeout)
            connection.connect(to)
            stack.pop_all()
        return connection

    def listen(self, place: str, port: int) -> socket.socket:
        listener = self.new_socket(place)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address(place), port))
        listener.listen(128)
        return listener

    @contextmanager
    def cut_off(self, node: str) -> Iterator[None]:
        """Its cable is pulled: nothing comes in or goes out, and nobody is told; pods on it still reach each other."""
        self._ip("switch", f"link set {node} down")
        try:
            yield
        finally:
            self._ip("switch", f"link set {node} up")

    @contextmanager
    def firewall(self, place: str, rule: str) -> Iterator[None]:
        """One there looks at what comes in: `rule` in nftables' words, "tcp dport 8897 drop"."""
        table = "table inet test_firewall"
        text = f"{table} {{ chain input {{ type filter hook input priority 0; {rule}\n}}\n}}"
        self._run(self.command(place, ["nft", text]))
        try:
            yield
        finally:
            self._run(self.command(place, ["nft", f"delete {table}"]))

    # How it is made

    def _places(self) -> list[str]:
        return ["switch", HUB, *self.nodes, *(pod for pods in self.pods.values() for pod in pods)]

    def _build(self) -> None:
        self._ip(None, *(f"netns add {self.namespace(place)}" for place in self._places()))
        switch = self.namespace("switch")
        self._ip("switch", "link add bridge type bridge", "link set bridge up")
        for place in (HUB, *self.nodes):
            self._ip(
                place,
                "link set lo up",
                f"link add eth0 type veth peer name {place} netns {switch}",
                f"addr add {self.address(place)}/24 dev eth0",
                "link set eth0 up",
            )
        self._ip("switch", *(f"link set {place} master bridge up" for place in (HUB, *self.nodes)))
        ways = {node: f"route add 10.78.{at}.0/24 via {self.address(node)}" for at, node in enumerate(self.nodes, 1)}
        self._ip(HUB, *ways.values())
        for number, node in enumerate(self.nodes, 1):
            self._ip(
                node,
                *(line for pod in self.pods[node] for line in self._pod(pod, number)),
                *(way for other, way in ways.items() if other != node),
            )
            self.within(node, _forward)
            for pod in self.pods[node]:
                self._ip(
                    pod,
                    "link set lo up",
                    f"addr add {self.address(pod)}/32 dev eth0",
                    "link set eth0 up",
                    f"route add 10.78.{number}.1/32 dev eth0",
                    f"route add default via 10.78.{number}.1",
                )

    def _pod(self, pod: str, number: int) -> list[str]:
        return [
            f"link add {pod} type veth peer name eth0 netns {self.namespace(pod)}",
            f"link set {pod} up",
            f"addr add 10.78.{number}.1/32 dev {pod}",
            f"route add {self.address(pod)}/32 dev {pod}",
        ]

    def _watch(self) -> None:
        """Somebody who takes everything away when this process has ended, however it did."""
        names = [self.namespace(place) for place in self._places()]
        self._watcher = subprocess.Popen(
            ["sh", "-c", _AWAY, "sh", *names], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def _remove(self) -> None:
        self._watcher.communicate(timeout=30)

    def _ip(self, place: str | None, *lines: str) -> None:
        words = ["ip", *([] if place is None else ["-n", self.namespace(place)]), "-batch", "-"]
        self._run(words, "\n".join(lines) + "\n")

    @staticmethod
    def _run(words: Sequence[str], text: str = "") -> None:
        done = subprocess.run(words, input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stderr.strip()}\n{text}")

    @staticmethod
    def _enter(namespace: str) -> None:
        """Move this thread; Python has os.setns() from 3.12 on."""
        with (_NETNS / namespace).open() as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {namespace}")


def _forward() -> None:
    """A node routes; /proc/sys/net is that of whoever opens it."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
