"""An order service on grpcio, and clients that call it in all four ways.

`python -m benchmarks.grpc_shop serve ADDRESS` serves, `python -m benchmarks.grpc_shop KIND ADDRESS CONNECTIONS
AMOUNT` calls. Messages are bytes on both sides: the figures are about the wire, not about generated code.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio

SERVICE = "shop.v1.Orders"
WORKERS = 8  # calls at a time on each connection
# Of a hundred calls: the rest is unary.
STREAMED, CHATTED = 3, 1
ITEMS, LINES = 20, 5  # messages of a server stream and of a chat
EVENT = b"\x0a\x80\x07" + b"e" * 896  # one message of the long stream: field 1, 896 bytes
TOKEN = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0"

Metadata = Sequence[tuple[str, str | bytes]]
Context = grpc.aio.ServicerContext[bytes, bytes]


async def get_order(request: bytes, context: Context) -> bytes:
    await context.send_initial_metadata((("x-server", "s1"), ("x-request-id", _hex(8))))
    size = random.choice((50, 200, 800, 2500))
    return b"\x0a" + _varint(size) + b"r" * size


async def list_orders(request: bytes, context: Context) -> AsyncIterator[bytes]:
    for number in range(ITEMS):
        yield b"\x08" + _varint(number) + b"\x12\xac\x02" + b"s" * 300


async def chat(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for line in requests:
        yield line


async def watch(request: bytes, context: Context) -> AsyncIterator[bytes]:
    for _ in range(int(request)):
        yield EVENT


async def answer(address: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "GetOrder": grpc.unary_unary_rpc_method_handler(get_order),
        "ListOrders": grpc.unary_stream_rpc_method_handler(list_orders),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


async def mix(address: str, connections: int, calls: int) -> None:
    """Unary calls mostly, each with metadata of its own."""
    # A pool of its own: channels with the same options share their connection otherwise.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
    share = calls // (connections * WORKERS)
    await asyncio.gather(*(_work(channel, share) for channel in channels for _ in range(WORKERS)))
    for channel in channels:
        await channel.close()


async def stream(address: str, connections: int, messages: int) -> None:
    """One call that lasts."""
    async with grpc.aio.insecure_channel(address) as channel:
        events: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"/{SERVICE}/Watch")
        async for _ in events(str(messages).encode()):
            pass


async def _work(channel: grpc.aio.Channel, calls: int) -> None:
    get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/GetOrder")
    items: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"/{SERVICE}/ListOrders")
    talk: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/Chat")
    for _ in range(calls):
        chance = random.randrange(100)
        if chance < STREAMED:
            async for _ in items(b"\x0a\x03new", metadata=_metadata()):
                pass
        elif chance < STREAMED + CHATTED:
            async for _ in talk(_lines(), metadata=_metadata()):
                pass
        else:
            size = random.choice((20, 100, 600))
            await get(b"\x0a\x10" + random.randbytes(16) + b"\x12" + _varint(size) + b"q" * size, metadata=_metadata())


async def _lines() -> AsyncIterator[bytes]:
    for number in range(LINES):
        yield b"\x08" + _varint(number) + b"\x12\x28" + b"m" * 40


def _metadata() -> Metadata:
    trace = f"00-{_hex(16)}-{_hex(8)}-01"
    return ("authorization", TOKEN), ("x-request-id", _hex(8)), ("traceparent", trace), ("x-tenant", "acme")


def _hex(size: int) -> str:
    return random.randbytes(size).hex()


def _varint(number: int) -> bytes:
    """Of protobuf, for numbers below 16,384."""
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))


def main(kind: str, address: str, *amounts: str) -> None:
    random.seed(1)
    if kind == "serve":
        asyncio.run(answer(address))
    else:
        asyncio.run({"mix": mix, "stream": stream}[kind](address, *map(int, amounts)))


if __name__ == "__main__":
    main(*sys.argv[1:])
