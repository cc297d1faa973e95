"""A client of a hub, somewhere in a cluster bed: HTTP calls, and feeds over the WebSocket /api/entries."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgpack
from cluster_bed import Bed
from cluster_programs import DEADLINE

Json = dict[str, Any]


class Feed:
    """One question and what came of it.

    `entries`: summaries in the order in which they came, each with the names of its `nodes`. `said`: every message
    that is none of entries. `over`: the hub has closed it.
    """

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self.entries: list[Json] = []
        self.said: list[Json] = []
        self.over = False
        self._numbered: dict[int, Json] = {}

    @property
    def calls(self) -> list[str]:
        """Summary and status of each entry, "GET /item/1 200"."""
        return [f"{entry['summary']} {entry['status']}".strip() for entry in self.entries]

    @property
    def missed(self) -> int:
        return sum(one["count"] for one in self.said if one["type"] == "missed")

    def heard(self, kind: str, **fields: object) -> bool:
        """Whether a message of a type, with these values in it, has come."""
        return any(one["type"] == kind and fields.items() <= one.items() for one in self.said)

    async def read(self) -> None:
        """Take one message."""
        message = await self._websocket.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            assert message.type is not aiohttp.WSMsgType.TEXT, message.data
            self.over = True
            return
        said = msgpack.unpackb(message.data)
        if said["type"] == "batch":
            self._take(said)
        elif said["type"] == "also":
            for number, nodes in said["also"]:
                if number in self._numbered:  # else it was shown before this client came
                    self._numbered[number]["nodes"] += nodes
        else:
            self.said.append(said)

    async def until(self, happened: Callable[[Feed], object], what: str, deadline: float = DEADLINE) -> Self:
        """Read until something is true of what came.

        Fails when nothing came for that long, or after ten times as long: a slow machine is slow.
        """
        try:
            async with asyncio.timeout(10 * deadline):
                while not happened(self) and not self.over:
                    async with asyncio.timeout(deadline):
                        await self.read()
        except TimeoutError:
            pass
        assert happened(self), f"waited for {what}; {len(self.entries)} entries came, and {self.said[-20:]}"
        return self

    async def caught_up(self) -> Self:
        return await self.until(lambda feed: feed.heard("caught_up"), "history to be told")

    async def end(self) -> Self:
        return await self.until(lambda feed: feed.heard("end"), "the end")

    def _take(self, batch: Json) -> None:
        assert batch["first"] > max(self._numbered, default=-1), "numbers rise"
        lengths = [length for (length,) in struct.iter_unpack("<I", batch["lengths"])]
        sets = [number for (number,) in struct.iter_unpack("<H", batch["of"])]
        assert len(lengths) == len(sets) and sum(lengths) == len(batch["entries"])
        at = 0
        for number, (length, nodes) in enumerate(zip(lengths, sets, strict=True), batch["first"]):
            entry = msgpack.unpackb(batch["entries"][at : at + length])
            self.entries.append({**entry, "nodes": list(batch["nodes"][nodes])})
            self._numbered[number] = self.entries[-1]
            at += length


class Talk:
    """Speaks with one hub from a place; `token` None sends none; `buffer`: bytes that the kernel keeps unread."""

    def __init__(self, bed: Bed, place: str, hub: str, token: str | None, buffer: int | None = None) -> None:
        self._bed, self._place, self._hub, self._buffer = bed, place, hub, buffer
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(socket_factory=lambda _: self._socket(), limit=0)
        self._session = aiohttp.ClientSession(f"http://{self._hub}", connector=connector, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **parameters: str) -> Json:
        """What a JSON answer says; it must be a 200."""
        async with self._session.get(path, params=parameters) as answer:
            assert answer.status == 200, await answer.text()
            found: Json = await answer.json()
            return found

    async def bytes(self, path: str, **parameters: str) -> bytes:
        async with self._session.get(path, params=parameters) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def send(self, method: str, path: str, body: object) -> tuple[int, Json]:
        """Status and JSON of an answer to a JSON body."""
        async with self._session.request(method, path, json=body) as answer:
            return answer.status, await answer.json()

    @asynccontextmanager
    async def feed(self, filter: str = "", /, **question: object) -> AsyncIterator[Feed]:
        """A question as docs/api.md describes it; `from_` is its `from`."""
        asked: Mapping[str, object] = {"filter": filter, **{name.rstrip("_"): one for name, one in question.items()}}
        async with self._session.ws_connect("/api/entries", max_msg_size=0) as websocket:
            await websocket.send_str(json.dumps(asked))
            yield Feed(websocket)

    def _socket(self) -> socket.socket:
        made = self._bed.new_socket(self._place)
        made.setblocking(False)
        if self._buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        return made
