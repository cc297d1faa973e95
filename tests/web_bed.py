"""What a page under test talks to: two nodes with traffic, a worker for each, and a hub on this machine's loopback.

The workers run here and capture in the nodes' network namespaces, so the browser needs no namespace, and no token;
nothing but the bed's own traffic is seen.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack
from cluster_bed import Bed
from cluster_programs import Program, Programs, until
from web_traffic import Traffic
from websockets.sync.client import connect

TOKEN = "a-token-for-tests-of-32-letters."


class HubProgram:
    """A hub; `url` is its origin, without a slash at the end."""

    def __init__(self, program: Program) -> None:
        self.program = program
        found = re.search(r"(https?)://[a-z0-9.]+:(\d+)", program.wait_for("hub at "))
        assert found, program.said
        self.url = f"{found[1]}://127.0.0.1:{found[2]}"

    @property
    def sign_in(self) -> str:
        """The link that signs a browser in."""
        return f"{self.url}/?token={TOKEN}"

    def ask(self, path: str, *, data: object = None, method: str | None = None, **fields: str) -> Any:
        """What the API answers, as JSON; `data` is sent as such."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **fields}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def entries(self, filter: str = "", **question: object) -> list[dict[str, Any]]:
        """Summaries of what is held now, the oldest first."""
        url = self.url.replace("http", "ws", 1) + "/api/entries"
        found: list[dict[str, Any]] = []
        with connect(url, max_size=None, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as talk:
            talk.send(json.dumps({"filter": filter, "limit": 100_000, "follow": False, **question}))
            while True:
                said = msgpack.unpackb(_bytes(talk.recv(timeout=30)))
                if said["type"] == "batch":
                    whole, at = said["entries"], 0
                    lengths = memoryview(said["lengths"]).cast("I")
                    for length in lengths:
                        found.append(msgpack.unpackb(whole[at : at + length]))
                        at += length
                elif said["type"] == "end":
                    return found
                assert said["type"] != "error", said

    def wait_calls(self, filter: str, count: int = 1) -> list[dict[str, Any]]:
        """What is held, once there are so many; packets reach a store some 0.2 s after they were seen."""
        until(lambda: len(self.entries(filter)) >= count, f"{count} calls of {filter!r}")
        return self.entries(filter)

    def stop(self) -> None:
        self.program.stop()


def _bytes(message: str | bytes) -> bytes:
    assert isinstance(message, bytes), message
    return message


class WebBed:
    """`with WebBed(folder) as web`: `web.hub.url`, `web.traffic`, `web.workers["n1"]`."""

    def __init__(self, folder: Path, worker_options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.bed = Bed(nodes=2, pods=3)
        self.workers: dict[str, Program] = {}
        self._worker_options = worker_options
        self._ports: dict[str, int] = {}
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.bed)
            self.programs = undo.enter_context(Programs(self.folder))
            self.traffic = Traffic(self.bed, self.programs, self.folder)
            undo.callback(self.traffic.close)
            # Both at once: it is Python's start that takes the time.
            for node in self.bed.nodes:
                self.start_worker(node, wait=False)
            for node in self.bed.nodes:
                self.await_worker(node)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.__exit__(kind, error, traceback)

    @cached_property
    def hub(self) -> HubProgram:
        """The hub of all workers, once they are connected. This machine needs no token."""
        hub = self.start_hub()
        self.await_connected(hub, *self.bed.nodes)
        return hub

    @property
    def url(self) -> str:
        return self.hub.url

    @cached_property
    def guarded_hub(self) -> HubProgram:
        """Another hub of the same workers, that serves all of this machine's addresses: everybody needs the token."""
        hub = self.start_hub("--listen", "0.0.0.0:0")
        self.await_connected(hub, *self.bed.nodes)
        return hub

    def start_hub(self, *options: str, nodes: Sequence[str] | None = None) -> HubProgram:
        words = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        for node in self.bed.nodes if nodes is None else nodes:
            words += ["--worker", f"127.0.0.1:{self._ports[node]}"]
        return HubProgram(self._start("hub", ["hub", *words, *options]))

    def start_worker(self, node: str, *options: str, wait: bool = True) -> Program:
        """Also again, on the same store and port, after `workers[node].stop()`."""
        words = ["worker", "--node", node, "--store", str(self.folder / f"store-{node}"), *self._worker_options]
        words += ["--netns", self.bed.namespace(node), "--listen", f"127.0.0.1:{self._ports.get(node, 0)}", *options]
        self.workers[node] = self._start(f"worker {node}", words)
        if wait:
            self.await_worker(node)
        return self.workers[node]

    def await_worker(self, node: str) -> None:
        found = re.search(r"listening for hubs on 127\.0\.0\.1:(\d+)", self.workers[node].wait_for("hubs on 127.0.0.1"))
        assert found, self.workers[node].said
        self._ports[node] = int(found[1])
        self.workers[node].wait_for("records")

    def await_connected(self, hub: HubProgram, *nodes: str) -> None:
        def connected() -> bool:
            workers = hub.ask("/api/workers")["workers"]
            return {one["node"] for one in workers if one["state"] == "connected"} >= set(nodes)

        until(connected, f"{', '.join(nodes)} to be connected")

    def _start(self, name: str, words: Sequence[str]) -> Program:
        environment = {"XDG_STATE_HOME": str(self.folder / "state"), "PYSNIFF_TOKEN": TOKEN}
        return self.programs.start(name, [sys.executable, "-m", "pysniff", *words], environment)
