"""A gRPC server or client on grpcio that plays calls as told and logs each; node/grpc_peer.js is the same.

python grpc_peer.py server LOG              prints its port, ends with its standard input
python grpc_peer.py client PORT PLAN LOG    plays PLAN (grpc_plan.py says what stands in it)
"""

from __future__ import annotations

import hashlib
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc

SERVICES = ("shop.Cart", "shop.Catalogue", "shop.v1.Payments")
COMPRESSION = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
LOCK = threading.Lock()
FILLER = b"all work and no play "
PATIENCE = 60  # seconds
Json = dict[str, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic in its stubs only


def varint(number: int) -> bytes:
    rest = number >> 7
    return bytes([number & 127 | 128]) + varint(rest) if rest else bytes([number])


def field(number: int, content: bytes) -> bytes:
    return bytes([number * 8 + 2]) + varint(len(content)) + content


def message(size: int, plan: Json | None = None) -> bytes:
    """What the server is to do in field 1 of a first message; `size` bytes that compress well in field 2."""
    head = b"" if plan is None else field(1, json.dumps(plan).encode())
    return head + (field(2, (FILLER * (size // len(FILLER) + 1))[:size]) if size else b"")


def plan_of(data: bytes) -> Json:
    if data[:1] != b"\x0a":
        return {"replies": []}
    size, shift, at = 0, 0, 1
    while data[at] > 127:
        size, shift, at = size | (data[at] & 127) << shift, shift + 7, at + 1
    size, at = size | data[at] << shift, at + 1
    return {"replies": [], **json.loads(data[at : at + size])}


class Account:
    """What this program sees of one call."""

    def __init__(self, log: Path, call: str, path: str) -> None:
        self.log, self.call, self.path = log, call, path
        self.messages: dict[str, list[bytes]] = {"sent": [], "received": []}
        self.done = False

    def note(self, way: str, data: bytes) -> bytes:
        self.messages[way].append(data)
        return data

    def end(self, status: int | None, text: str) -> None:
        with LOCK, self.log.open("a", encoding="utf-8") as file:
            if self.done:
                return
            self.done = True
            line: Json = {"call": self.call, "path": self.path, "status": status, "message": text}
            for way, pieces in self.messages.items():
                line[way] = [len(piece) for piece in pieces]
                line[f"{way}_sha256"] = hashlib.sha256(b"".join(pieces)).hexdigest()
            file.write(json.dumps(line) + "\n")


class Served:
    """One call at the server: does what its first message asks for."""

    def __init__(self, log: Path, path: str, context: grpc.ServicerContext) -> None:
        call = dict(context.invocation_metadata()).get("x-call", "")
        self.account = Account(log, str(call), path)
        self.context = context
        self.plan: Json = {"replies": []}
        self.over = threading.Event()
        context.add_callback(self.cancelled)

    def cancelled(self) -> None:
        """Or ended: then its line has been written."""
        self.account.end(None, "")
        self.over.set()

    def take(self, data: bytes) -> None:
        self.account.note("received", data)
        if len(self.account.messages["received"]) == 1:
            self.plan = plan_of(data)
            if self.plan.get("compress"):
                self.context.set_compression(COMPRESSION[self.plan["compress"]])
        if self.plan.get("hang") == len(self.account.messages["received"]):
            self.context.send_initial_metadata(())

    def replies(self, upto: int) -> Iterator[bytes]:
        sent = self.account.messages["sent"]
        for size in self.plan["replies"][len(sent) : upto]:
            yield self.account.note("sent", message(size))

    def end(self) -> None:
        if self.plan.get("hang"):
            self.over.wait(PATIENCE)
            return
        status, text = self.plan.get("status", 0), self.plan.get("message", "")
        self.account.end(status, text)
        if status:
            code = next(code for code in grpc.StatusCode if code.value[0] == status)
            self.context.abort(code, text)

    def one(self, requests: Iterator[bytes]) -> bytes:
        for data in requests:
            self.take(data)
        if self.plan.get("status") or self.plan.get("hang"):
            self.end()
            return b""
        (reply,) = self.replies(1)
        self.end()
        return reply

    def many(self, requests: Iterator[bytes], echo: bool) -> Iterator[bytes]:
        for data in requests:
            self.take(data)
            if echo:
                yield from self.replies(len(self.account.messages["sent"]) + 1)
        yield from self.replies(len(self.plan["replies"]))
        self.end()


def handler(log: Path, path: str, kind: str) -> Handler:
    def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
        return Served(log, path, context).one(iter([request]))

    def client(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return Served(log, path, context).one(requests)

    def server(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        return Served(log, path, context).many(iter([request]), echo=False)

    def bidi(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        return Served(log, path, context).many(requests, echo=True)

    make: dict[str, Callable[[], Handler]] = {
        "Unary": lambda: grpc.unary_unary_rpc_method_handler(unary),
        "Client": lambda: grpc.stream_unary_rpc_method_handler(client),
        "Server": lambda: grpc.unary_stream_rpc_method_handler(server),
        "Bidi": lambda: grpc.stream_stream_rpc_method_handler(bidi),
    }
    return make[kind]()


def serve(log: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(100), options=[("grpc.so_reuseport", 0)])
    for service in SERVICES:
        methods = {
            kind + again: handler(log, f"/{service}/{kind}{again}", kind)
            for kind in ("Unary", "Client", "Server", "Bidi")
            for again in ("", "Again")
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(0).wait(PATIENCE)


class Played:
    """One call at the client."""

    def __init__(self, channel: grpc.Channel, call: Json, log: Path) -> None:
        self.channel, self.call = channel, call
        self.account = Account(log, call["call"], call["path"])
        self.pace: queue.Queue[None] = queue.Queue()
        self.messages = [message(size, None if n else call["plan"]) for n, size in enumerate(call["sends"])]
        self.over = threading.Event()

    def sending(self) -> Iterator[bytes]:
        """Bidi: one message, its answer, the next message."""
        replies = len(self.call["plan"]["replies"])
        for n, data in enumerate(self.messages):
            if self.call["kind"] == "Bidi" and 0 < n <= replies:
                self.pace.get(timeout=PATIENCE)
            yield self.account.note("sent", data)
        if self.call["plan"].get("hang"):
            self.over.wait(PATIENCE)

    def run(self) -> None:
        call = self.call
        # An answer's head is known before its end only where the answer is a stream; on the wire it is all the same.
        kind: str = call["kind"]
        if call["cancel"]:
            kind = {"Unary": "Server", "Client": "Bidi"}.get(kind, kind)
        options: Json = {
            "metadata": tuple(map(tuple, call["metadata"])),
            "timeout": call["deadline"] or None,
            "compression": COMPRESSION.get(call["compress"]),
        }
        stubs: Json = {
            "Unary": self.channel.unary_unary,
            "Client": self.channel.stream_unary,
            "Server": self.channel.unary_stream,
            "Bidi": self.channel.stream_stream,
        }
        stub = stubs[kind](call["path"])
        argument = self.sending() if kind in ("Client", "Bidi") else self.account.note("sent", self.messages[0])
        running = stub(argument, **options) if kind in ("Server", "Bidi") else stub.future(argument, **options)
        try:
            self.read(running, kind)
        except grpc.RpcError:
            pass  # code() and details() say it
        self.over.set()
        self.account.end(running.code().value[0], running.details())

    def read(self, running: Any, kind: str) -> None:
        if kind in ("Unary", "Client"):
            self.account.note("received", running.result())
            return
        replies, cancel = len(self.call["plan"]["replies"]), self.call["cancel"]
        if cancel and not replies:
            running.initial_metadata()
            running.cancel()
        for n, data in enumerate(running, 1):
            self.account.note("received", data)
            self.pace.put(None)
            if cancel and n == replies:
                running.cancel()


def play_all(port: int, plan: Path, log: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        for dialogue in json.loads(plan.read_text()):
            options = [("grpc.use_local_subchannel_pool", 1)]
            calls, abreast = dialogue["calls"], dialogue["abreast"]
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                for at in range(0, len(calls), abreast):
                    played = [Played(channel, call, log) for call in calls[at : at + abreast]]
                    for done in [pool.submit(one.run) for one in played]:
                        done.result(PATIENCE)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "server":
        serve(Path(rest[0]))
    else:
        play_all(int(rest[0]), Path(rest[1]), Path(rest[2]))
