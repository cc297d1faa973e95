"""gRPC calls of any bytes: the first ones choose what the head says, the others are the body of both halves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from protos import descriptor_set, message_class
from test_grpc import OK, TRAILERS, Answered, Asked, framed

from pysniff.body import Body, Hole
from pysniff.dissectors.grpc import Grpc
from pysniff.dissectors.grpc_framing import MESSAGES, MessageCounter
from pysniff.entry import Entry, Flow
from pysniff.limits import KIB, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.protobuf.schema import BadSchema, Schemas

LIMITS = Limits(body_bytes=16 * KIB, decoded_bytes=64 * KIB)
TYPES = ("", "+proto", "+json", "-web", "-web-text", "-web+proto")
CODINGS = ("", "gzip", "deflate", "zstd", "br", "snappy")


@cache
def shop() -> Schemas:
    schemas = Schemas()
    schemas.add(descriptor_set())
    return schemas


def call(data: bytes) -> None:
    """Bytes 0 to 3: content type, coding, with a schema or without, where a hole is (0: nowhere)."""
    if len(data) < 4:
        return
    kind, coding, schema, hole = data[:4]
    fields = (("content-type", "application/grpc" + TYPES[kind % len(TYPES)]), ("grpc-encoding", CODINGS[coding % 6]))
    body = data[4:]
    holes = (Hole(min(hole, len(body)), schema >> 1),) if hole else ()
    asked = Asked(CLIENT, fields, Body(body, len(body), holes=holes))
    answered = Answered(SERVER, fields, Body(body, len(body)), OK)
    both = Grpc(LIMITS, shop() if schema & 1 else Schemas()).refine(asked, answered)
    assert both is not None
    entry = Entry(Flow("tcp", bytes(12), 0, "local", "file"), *both, "closed")
    json.dumps(entry.to_dict(), allow_nan=False).encode()
    assert entry.request.message_count >= len(entry.request.messages) <= MESSAGES
    assert sum(len(message.content or b"") for message in entry.response.messages) <= 3 * len(body) + 2 * 64 * KIB
    if not TYPES[kind % len(TYPES)]:
        counter = MessageCounter()
        for at in range(0, len(body), 7):
            counter.add(body[at : at + 7])
        assert counter.count == entry.response.message_count


def calls() -> Iterator[bytes]:
    item = message_class("shop.Item")(name="tea", count=2, parts=[{"name": "leaf"}]).SerializeToString()
    for kind in range(len(TYPES)):
        for schema in (0, 1):
            yield bytes([kind, 0, schema, 0]) + framed(item, b"", b"\x0a\x02hi") + TRAILERS
    yield bytes([0, 0, 8, 9]) + framed(item, b"\x08\x01")


def schemas(data: bytes) -> None:
    """A descriptor set is the user's own file, but may be any."""
    found = Schemas()
    try:
        found.add(data)
    except BadSchema:
        return
    for names in found.methods:
        found.method(*names.split("/", 1))
