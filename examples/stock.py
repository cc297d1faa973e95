"""The stock room of shop.pcap: a gRPC service on grpcio and its client, with the messages of shop.proto.

Messages come from the descriptor set that `pysniff --proto` takes, so no code is generated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from grpc_tools import protoc

HERE = Path(__file__).parent
SECONDS = 10  # a call may take
Context = grpc.ServicerContext


def compile_schema(target: Path) -> dict[str, type[Message]]:
    """Write the descriptor set; the classes of its messages by name."""
    if protoc.main(["protoc", f"-I{HERE}", "-o", str(target), "shop.proto"]):
        raise SystemExit("shop.proto does not compile")
    files = FileDescriptorSet.FromString(target.read_bytes())
    return dict(message_factory.GetMessages(files.file))


def written(message: Message) -> bytes:
    return message.SerializeToString()


class Stock:
    """The service."""

    def __init__(self, types: dict[str, type[Message]]) -> None:
        self.types = types

    def find(self, tea: Any, context: Context) -> Message:
        if tea.number > 40:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no tea № {tea.number}")
        notes = ["malty", "best before 2027"]
        return self.types["shop.Shelf"](tea=tea, leaf=2, packets=17, kilograms=4.25, notes=notes)

    def watch(self, tea: Any, context: Context) -> Iterator[Message]:
        for change, carrier in ((-2, "customer"), (24, "van"), (-1, "mice")):
            yield self.types["shop.Delivery"](tea=tea, change=change, carrier=carrier)
            time.sleep(0.05)

    def serve(self, address: str) -> grpc.Server:
        read, write = self.types["shop.Tea"].FromString, written
        server = grpc.server(ThreadPoolExecutor(4))
        methods = {
            "Find": grpc.unary_unary_rpc_method_handler(self.find, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, read, write),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Stock", methods),))
        server.add_insecure_port(address)
        server.start()
        return server


class Caller:
    """What the shop asks; it connects with its first call and keeps the connection."""

    def __init__(self, address: str, types: dict[str, type[Message]]) -> None:
        self.types = types
        self.channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])

    def find(self, number: int) -> dict[str, Any] | None:
        """The shelf of a tea, or None where there is none."""
        read, write = self.types["shop.Shelf"].FromString, written
        call = self.channel.unary_unary("/shop.Stock/Find", write, read)
        try:
            return MessageToDict(call(self.types["shop.Tea"](number=number), timeout=SECONDS))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise

    def watch(self, number: int) -> list[dict[str, Any]]:
        read, write = self.types["shop.Delivery"].FromString, written
        call = self.channel.unary_stream("/shop.Stock/Watch", write, read)
        return [MessageToDict(each) for each in call(self.types["shop.Tea"](number=number), timeout=SECONDS)]
