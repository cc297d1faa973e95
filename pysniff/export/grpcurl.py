"""What is known of a gRPC call, in words, and how grpcurl would make it again where the fields have names."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from pysniff.dissectors.grpc_messages import GrpcRequest
from pysniff.entry import Entry
from pysniff.export.url import place_of

# Fields that gRPC says by itself.
_OWN = {"content-type", "te", "user-agent", "grpc-accept-encoding", "grpc-encoding", "grpc-timeout", "content-length"}
_MOST = 64 * 1024  # characters of a message here


def grpc_lines(entry: Entry, request: GrpcRequest, body_limit: int) -> Iterator[str]:
    """Lines of a comment; what a peer sent in them may be anything."""
    count = request.message_count
    name = f"{request.grpc_service}/{request.grpc_method}"
    yield f"gRPC: {name} at {entry.dst}, {count} {'message' if count == 1 else 'messages'}"
    messages = _messages(request, body_limit)
    if messages is None:
        yield "grpcurl needs the names of the fields: --proto FILE"
        return
    words = ["grpcurl", *([] if place_of(entry).scheme == "https" else ["-plaintext"])]
    for field, value in request.headers:
        if field.lower() not in _OWN:
            words += ["-H", f"{field}: {value}"]
    words += ["-d", messages, str(entry.dst), name]
    yield shlex.join(words)


def _messages(request: GrpcRequest, body_limit: int) -> str | None:
    """All messages as JSON, None where something of them is missing or has no name."""
    texts = []
    for message in request.messages:
        fields = message.to_dict(body_limit).get("fields")
        if fields is None or any(name.isdigit() for name in fields):
            return None
        texts.append(json.dumps(fields, ensure_ascii=False))
    joined = " ".join(texts)
    return joined if len(texts) == request.message_count and len(joined) <= _MOST else None
