"""A real `pysniff worker` in a process of its own, and a hub's side of the link to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

from pysniff.cluster.access import Access
from pysniff.cluster.asked import Told
from pysniff.cluster.frames import VERSION, Batch, Error, Hello, Value, summaries
from pysniff.cluster.workers import Workers

PATIENCE = 180.0
TOKEN = "a-token-for-tests-only"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pysniff", "worker", *map(str, arguments)]


class Running:
    """`with Running(directory, "-i", "lo") as worker:`; `lines`: what it said on stderr so far."""

    def __init__(self, folder: Path, *arguments: object, node: str = "n1") -> None:
        folder.mkdir(exist_ok=True)
        self.store = folder / "store"
        self.node = node
        self.lines: list[str] = []
        self.prefix: tuple[str, ...] = ()  # a program that starts it
        self._arguments = arguments
        self._environment = {**os.environ, "XDG_STATE_HOME": str(folder), "PYSNIFF_TOKEN": TOKEN}
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def __enter__(self) -> Running:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._thread.join()

    def begin(self) -> None:
        """Start it, and wait until it listens."""
        words = command("--store", self.store, "--node", self.node, "--listen", "127.0.0.1:0", *self._arguments)
        words = [*self.prefix, *words]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=self._environment)
        self._thread = Thread(target=self._listen, daemon=True)
        self.lines.clear()
        self._thread.start()
        found = re.search(r"127\.0\.0\.1:(\d+)", self.said("listening for hubs on"))
        assert found
        self.port = int(found[1])

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._thread.join()
        return code

    def said(self, words: str) -> str:
        """The first line with these words, once it is there."""
        deadline = monotonic() + PATIENCE
        while True:
            found = next((line for line in self.lines if words in line), None)
            if found is not None:
                return found
            assert monotonic() < deadline and self.process.poll() is None, self.lines
            sleep(0.02)

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))


class Asking:
    """A hub's side. `async with Asking(worker) as hub: status = await hub.value("status")`."""

    def __init__(self, worker: Running, token: str = TOKEN) -> None:
        self.node = worker.node
        hello = Hello(VERSION, "hub", "tests", os.urandom(8).hex(), "tests", {})
        self.workers = Workers(hello, Access(token))
        self._port = worker.port

    async def __aenter__(self) -> Asking:
        self.workers.dial("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.workers.close()

    async def connected(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.node not in self.workers.known or self.workers.known[self.node].state != "connected":
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def asked(self, what: str, **params: object) -> AsyncIterator[AsyncIterator[Told]]:
        """Frames as they come, each granted at once."""
        await self.connected()

        async def told() -> AsyncIterator[Told]:
            async for frame in asked:
                asked.grant()
                yield frame

        async with self.workers.ask(self.node, what, params) as asked:
            yield told()

    async def ask(self, what: str, **params: object) -> list[Told]:
        async with asyncio.timeout(PATIENCE), self.asked(what, **params) as frames:
            return [frame async for frame in frames]

    async def value(self, what: str, **params: object) -> dict[str, Any]:
        first = (await self.ask(what, **params))[0]
        assert isinstance(first, Value), first
        return first.value

    async def error(self, what: str, **params: object) -> Error:
        last = (await self.ask(what, **params))[-1]
        assert isinstance(last, Error), last
        return last


def entries(frames: list[Told]) -> list[dict[str, Any]]:
    return [one for frame in frames if isinstance(frame, Batch) for one in summaries(frame)]
