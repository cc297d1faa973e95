"""Who plays at the hub's machine, and who copies, in the cluster's benchmark; benchmarks/cluster.py directs.

`client PORT [FILTER]`: waits until the hub's worker captures, asks for new calls where there is a filter, and prints a
line. `sink`: takes what comes to PORT. Both end when stdin closes, and print a line of JSON.
`copy ADDRESS INTERFACE BPF`: becomes a dumpcap that writes every packet to a sink.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from datetime import datetime
from io import BytesIO

PORT = 9797
READY = "ready"
BUFFER_MIB = 64  # of dumpcap: as much as ours


async def client(port: str, filter: str = "") -> None:
    """Milliseconds from the last packet of each call, by the capture's clock, until its entry is here."""
    from aiohttp import ClientSession, WSMsgType
    from msgpack import Unpacker, unpackb

    late: list[float] = []

    async def listen(session: ClientSession) -> None:
        async with session.ws_connect("/api/entries", max_msg_size=0) as feed:
            await feed.send_str(json.dumps({"filter": filter, "from": "now"}))
            async for message in feed:
                now = time.time()
                assert message.type is WSMsgType.BINARY
                told = unpackb(message.data)
                if told["type"] == "batch":
                    ends = (datetime.fromisoformat(entry["completed"]) for entry in Unpacker(BytesIO(told["entries"])))
                    late.extend(1000 * (now - end.timestamp()) for end in ends)
                elif told["type"] == "status" and told["state"] == "live":
                    print(READY, flush=True)

    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        while not await _captures(session):
            await asyncio.sleep(0.1)
        asking = asyncio.create_task(listen(session)) if filter else None
        if asking is None:
            print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    print(json.dumps(late), flush=True)


async def _captures(session: object) -> bool:
    from aiohttp import ClientError, ClientSession

    assert isinstance(session, ClientSession)
    try:
        async with session.get("/readyz") as answer:
            return answer.status == 200
    except ClientError:  # it does not listen yet
        return False


async def sink() -> None:
    """How many bytes came."""
    taken = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        while data := await reader.read(1 << 20):
            taken += len(data)
        writer.close()

    await asyncio.start_server(take, "0.0.0.0", PORT)
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps([float(taken)]), flush=True)


def copy(address: str, interface: str, bpf: str) -> None:
    """The socket is its stdout: nothing stands between, and costs."""
    with socket.create_connection((address, PORT)) as connection:
        os.dup2(connection.fileno(), 1)
    os.execvp("dumpcap", ["dumpcap", "-q", f"-B{BUFFER_MIB}", "-i", interface, "-f", bpf, "-w", "-"])


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "copy":
        copy(*rest)
    asyncio.run(client(*rest) if role == "client" else sink())
