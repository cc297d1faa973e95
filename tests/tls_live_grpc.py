"""gRPC over TLS, grpcio at both ends.

python tls_live_grpc.py server ADDRESS CERTIFICATE KEY   says "ready", answers until it is ended
python tls_live_grpc.py client ADDRESS CERTIFICATE       /shop.Cart/Add twice, then /shop.Cart/Watch, which streams
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic in its stubs only
UNARY, STREAMING = "/shop.Cart/Add", "/shop.Cart/Watch"
MESSAGES = 5


class Cart(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self._add)
        return grpc.stream_stream_rpc_method_handler(self._watch) if details.method == STREAMING else None

    @staticmethod
    def _add(request: bytes, context: grpc.ServicerContext) -> bytes:
        return b"\x0a\x02ok"

    @staticmethod
    def _watch(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests


def serve(address: str, certificate: str, key: str) -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Cart(),))
    pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
    server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def call(address: str, certificate: str) -> None:
    credentials = grpc.ssl_channel_credentials(Path(certificate).read_bytes())
    with grpc.secure_channel(address, credentials) as channel:
        add: Callable[..., bytes] = channel.unary_unary(UNARY)
        watch: Callable[..., Iterator[bytes]] = channel.stream_stream(STREAMING)
        for item in (b"\x0a\x03one", b"\x0a\x03two"):
            assert add(item, timeout=60) == b"\x0a\x02ok"
        said = [b"\x0a\x01" + bytes([65 + number]) for number in range(MESSAGES)]
        assert list(watch(iter(said), timeout=60)) == said


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(*sys.argv[2:])
    else:
        call(*sys.argv[2:])
