"""A gRPC server and a client on grpcio, for a pod of a cluster bed.

python cluster_grpc.py server ADDRESS         says "ready", answers until it is ended
python cluster_grpc.py client ADDRESS COUNT   calls /shop.Cart/Add, one after the other; every fifth is NOT_FOUND
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic in its stubs only


class Cart(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        return grpc.unary_unary_rpc_method_handler(self._add) if details.method == "/shop.Cart/Add" else None

    @staticmethod
    def _add(request: bytes, context: grpc.ServicerContext) -> bytes:
        if request.endswith(b"missing"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
        return b"\x0a\x02ok"


def serve(address: str) -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Cart(),))
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def call(address: str, count: int) -> None:
    with grpc.insecure_channel(address) as channel:
        add: Callable[..., bytes] = channel.unary_unary("/shop.Cart/Add")
        for number in range(count):
            item = b"missing" if number % 5 == 4 else b"item %d" % number
            try:
                add(b"\x0a" + bytes([len(item)]) + item, timeout=60)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND, error


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], int(sys.argv[3]))
