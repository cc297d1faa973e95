"""A WebSocket server or client on `websockets` that plays dialogues and logs what it said and heard.

node/websocket_peer.js is the same; websocket_plan.py says what stands in a plan.

python websocket_peer.py server PLAN LOG          prints its ports, ends with its standard input
python websocket_peer.py client PLAN LOG PORTS
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

Json = dict[str, Any]
LOG = Path(sys.argv[3])
PATIENCE = 20


class Ear:
    """What one end hears, frame by frame as the library understood it."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.client = 0
        self.frames: list[Frame] = []
        self.early: list[tuple[bool, str, bytes, int | None]] = []
        self.heard = 0
        self.more = asyncio.Event()

    def hear(self, event: object) -> None:
        if not isinstance(event, Frame):
            return
        name = event.opcode.name.lower()
        if event.opcode is Opcode.CLOSE:
            code = int.from_bytes(event.data[:2], "big") if event.data else None
            self.note(False, name, bytes(event.data[2:]), code)
        elif event.opcode in (Opcode.PING, Opcode.PONG):
            self.note(False, name, bytes(event.data))
        else:
            self.frames.append(event)
            if event.fin:
                payload = b"".join(bytes(frame.data) for frame in self.frames)
                self.note(False, self.frames[0].opcode.name.lower(), payload)
                self.frames.clear()
                self.heard += 1
                self.more.set()

    def note(self, sent: bool, opcode: str, data: bytes, code: int | None = None) -> None:
        line = {"client": self.client, "side": self.side, "sent": sent, "opcode": opcode, "size": len(data)}
        with LOG.open("a") as log:
            log.write(json.dumps({**line, "sha256": sha256(data).hexdigest(), "code": code}) + "\n")

    async def wait(self, count: int) -> None:
        while self.heard < count:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), PATIENCE)


class Client(ClientConnection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ear = Ear("client")

    def process_event(self, event: Any) -> None:
        self.ear.client = self.local_address[1]
        self.ear.hear(event)
        super().process_event(event)


class Server(ServerConnection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ear = Ear("server")

    def process_event(self, event: Any) -> None:
        self.ear.client = self.remote_address[1]
        self.ear.hear(event)
        super().process_event(event)


async def ping(connection: Connection, payload: bytes) -> None:
    """No second one with the same payload may be sent before its pong."""
    waiter = await connection.ping(payload)
    await asyncio.wait_for(waiter, PATIENCE)


async def say(connection: Connection, ear: Ear, one: Json) -> None:
    parts = [b64decode(part) for part in one["parts"]]
    ear.note(True, one["opcode"], b"".join(parts))
    if one["opcode"] == "ping":
        await ping(connection, parts[0])
        return
    texts: list[Any] = [part.decode() for part in parts] if one["opcode"] == "text" else parts
    if len(texts) == 1 and not one["ping"]:
        await connection.send(texts[0])
        return

    async def pieces() -> AsyncIterator[Any]:
        for text in texts:
            yield text
            if one["ping"]:
                ear.note(True, "ping", b"between")
                await ping(connection, b"between")

    await connection.send(pieces())


async def play(connection: Client | Server, dialogue: Json) -> None:
    ear = connection.ear
    due = 0
    consumer = asyncio.create_task(consume(connection))
    for turn in dialogue["turns"]:
        for side in ("client", "server"):
            if side == ear.side:
                for one in turn[side]:
                    await say(connection, ear, one)
            else:
                due += sum(one["opcode"] != "ping" for one in turn[side])
                await ear.wait(due)
    close = dialogue["close"]
    if close["side"] == ear.side:
        if close["abort"]:
            connection.transport.abort()
        else:
            await connection.close(1000 if close["code"] is None else close["code"], close["reason"])
    await connection.wait_closed()
    await consumer


async def consume(connection: Connection) -> None:
    """Or it would stop reading."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        pass


def options(deal: Json) -> Json:
    """As both ends take it; `compression=None` leaves what the extensions say alone."""
    client, server = not deal["client_takeover"], not deal["server_takeover"]
    factory = ServerPerMessageDeflateFactory(server, client, deal["bits"], None)
    return {"compression": None, "extensions": [factory] if deal["deflate"] else None}


async def serve_all(plan: Json) -> None:
    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, Server)
        assert connection.request is not None
        await play(connection, plan["dialogues"][int(connection.request.path[1:])])

    async with AsyncExitStack() as stack:
        ports = []
        for deal in plan["deals"]:
            server = await stack.enter_async_context(
                serve(
                    handle, "127.0.0.1", 0, ping_interval=None, max_size=None, create_connection=Server, **options(deal)
                )
            )
            ports.append(next(iter(server.sockets)).getsockname()[1])
        print(json.dumps(ports), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def play_all(plan: Json, ports: list[int]) -> None:
    for number, dialogue in enumerate(plan["dialogues"]):
        uri = f"ws://127.0.0.1:{ports[dialogue['deal']]}/{number}"
        async with connect(uri, ping_interval=None, max_size=None, create_connection=Client) as connection:
            assert isinstance(connection, Client)
            await play(connection, dialogue)


if __name__ == "__main__":
    role, path, _, *rest = sys.argv[1:]
    read: Json = json.loads(Path(path).read_text())
    asyncio.run(serve_all(read) if role == "server" else play_all(read, json.loads(rest[0])))
