"""A whole cluster: the machines of a bed, a worker on each node with a store of its own, and a hub."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster_bed import HUB, Bed
from cluster_programs import Program, Programs, until
from cluster_talk import Talk

from pysniff.entry import Entry
from pysniff.store import Store

TOKEN = "a-token-for-tests-of-32-letters."
WORKER, DOOR = 8897, 8898  # the ports of a worker and of a hub


class Cluster:
    """`workers` by node. Every hub listens on 10.77.0.100:8898 and asks the workers of all nodes."""

    def __init__(self, folder: Path, nodes: int = 3, pods: int = 2) -> None:
        self.bed = Bed(nodes, pods)
        self.folder = folder
        self.workers: dict[str, Program] = {}
        self.token = folder / "token"
        self._hubs: dict[int, Program] = {}  # the last one on each port
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o600)
        with ExitStack() as undo:
            undo.enter_context(self.bed)
            self.programs = undo.enter_context(Programs(self.folder))
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.__exit__(kind, error, traceback)

    # Programs

    def worker(self, node: str, *options: str) -> Program:
        """Start a worker, on a store that an earlier one may have written."""
        words = ["worker", "--node", node, "--store", str(self.directory(node))]
        words += ["--listen", f"{self.bed.address(node)}:{WORKER}", "--token-file", str(self.token), *options]
        self.workers[node] = self.program(node, f"worker on {node}", words)
        return self.workers[node]

    def all_workers(self) -> None:
        for worker in [self.worker(node) for node in self.bed.nodes]:
            worker.wait_for("records")

    def hub(
        self, *options: str, nodes: Iterable[str] | None = None, port: int = DOOR, resolver: str | None = None
    ) -> Program:
        """Start a hub; it has said where it listens. `resolver`: the place of its DNS server."""
        if port in self._hubs and self._hubs[port].running:  # a test that failed has left it
            self._hubs[port].stop()
        door = f"{self.bed.address(HUB)}:{port}"
        words = ["hub", "--listen", door, "--token-file", str(self.token), *options]
        for node in self.bed.nodes if nodes is None else nodes:
            words += ["--worker", f"{self.bed.address(node)}:{WORKER}"]
        hub = self.program(HUB, "hub", words, resolver)
        hub.wait_for(door)
        self._hubs[port] = hub
        return hub

    def program(self, place: str, name: str, words: Sequence[str], resolver: str | None = None) -> Program:
        """Start PySniff somewhere; it finds nothing that the user keeps."""
        command = [sys.executable, "-m", "pysniff", *words]
        if resolver is not None:
            told = self.folder / "resolv.conf"
            told.write_text(f"nameserver {self.bed.address(resolver)}\n")
            # `ip netns exec` gives each program mounts of its own.
            command = ["sh", "-c", f'mount --bind {told} /etc/resolv.conf && exec "$@"', "sh", *command]
        environment = {"XDG_STATE_HOME": str(self.folder / "state")}
        return self.programs.start(name, self.bed.command(place, command), environment)

    @property
    def door(self) -> str:
        return f"{self.bed.address(HUB)}:{DOOR}"

    def talk(self, token: str | None = TOKEN, place: str = HUB, buffer: int | None = None, port: int = DOOR) -> Talk:
        return Talk(self.bed, place, f"{self.bed.address(HUB)}:{port}", token, buffer)

    # Stores

    def directory(self, node: str) -> Path:
        return self.folder / f"store-{node}"

    def held(self, node: str, filter: str = "") -> list[Entry]:
        """What a node's store holds now, with the ids that its worker gives; open ones only where they still are."""
        found = {entry.id: entry for entry in Store(self.directory(node), node=node).query(filter)}
        return list(found.values())

    def wait_held(self, node: str, calls: int, filter: str = "http") -> None:
        """Wait until a store has so many calls: packets reach it some 0.2 s after they were seen."""
        until(lambda: len(self.held(node, filter)) >= calls, f"{calls} calls in the store of {node}")

    def holding(self, filter: str = "") -> Iterator[tuple[str, Entry]]:
        for node in self.bed.nodes:
            for entry in self.held(node, filter):
                yield node, entry
