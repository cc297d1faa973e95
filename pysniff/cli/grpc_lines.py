"""What stands under a gRPC call: how many messages with -v; with -vv the messages, much as protoc --decode writes them.

A field without a name is one line for each of its occurrences, with what it most likely is; --json has every reading.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pysniff.dissectors.grpc_messages import STATUSES

_HEX_BYTES = 64  # of a value that is neither text nor a message


def outcome_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Under the head: how the call ended, in words, and how many messages there are."""
    if "grpc_status" in record:
        status, words = record["grpc_status"], record["grpc_message"]
        name = "no status" if status is None else STATUSES[status] if status < len(STATUSES) else f"status {status}"
        yield f"{name}: {words}" if words else name
    count: int = record["message_count"]
    yield "1 message" if count == 1 else f"{count:,} messages"


def message_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Each message that is kept."""
    messages: Sequence[Mapping[str, Any]] = record["messages"]
    for number, message in enumerate(messages, 1):
        compressed = ", compressed" if message["compressed"] else ""
        size = message["size"]
        yield f"message {number}: {size:,} {'byte' if size == 1 else 'bytes'}{compressed}"
        for line in _content_lines(message):
            yield f"  {line}"
    left = record["message_count"] - len(messages)
    if left > 0:
        yield f"... {left:,} more"


def _content_lines(message: Mapping[str, Any]) -> Iterator[str]:
    if "fields" in message:
        yield from field_lines(message["fields"])
    elif "text" in message:
        yield from str(message["text"]).split("\n")
    elif "base64" in message:
        yield _hex(message["base64"])
    if message.get("truncated"):
        yield "..."


def field_lines(fields: Mapping[str, Any]) -> Iterator[str]:
    """`name: value`, and what is nested indented between braces."""
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if name.isdigit() and isinstance(one, dict) and isinstance(value, list):
                yield from _unnamed(name, one)
            else:
                yield from _named(name, one)


def _named(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _block(name, value)
    else:
        yield f"{name}: {json.dumps(value, ensure_ascii=False)}"


def _unnamed(number: str, readings: Mapping[str, Any]) -> Iterator[str]:
    """What it most likely is: words sometimes happen to be a message, which then seldom begins as text does."""
    inside = readings.get("message", readings.get("group"))
    if "text" in readings and (inside is None or not readings["text"][0].isspace()):
        also = " (or a message)" if inside is not None else ""
        yield f"{number}: {json.dumps(readings['text'], ensure_ascii=False)}{also}"
    elif inside is not None:
        yield from _block(number, inside)
    elif "base64" in readings:
        yield f"{number}: {_hex(readings['base64'])}"
    else:
        numbers = [str(value) for value in readings.values()]
        others = f" (or {', '.join(numbers[1:])})" if len(numbers) > 1 else ""
        yield f"{number}: {numbers[0]}{others}"


def _block(name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    if not fields:
        yield f"{name} {{}}"
        return
    yield f"{name} {{"
    for line in field_lines(fields):
        yield f"  {line}"
    yield "}"


def _hex(encoded: str) -> str:
    data = base64.b64decode(encoded)
    return f"0x{data[:_HEX_BYTES].hex()}" + ("..." if len(data) > _HEX_BYTES else "")
