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
    """Under the head, in parentheses for nobody sent it so: how the call ended, and how many messages there are."""
    count: int = record["message_count"]
    messages = "1 message" if count == 1 else f"{count:,} messages"
    if "grpc_status" not in record:
        yield f"({messages})"
        return
    status, words = record["grpc_status"], record["grpc_message"]
    name = "no status" if status is None else STATUSES[status] if status < len(STATUSES) else f"status {status}"
    # Some servers write the status' name there again.
    yield f"({name}: {words}; {messages})" if words not in ("", name) else f"({name}; {messages})"


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
        also = " (or a message)" if inside is not None and not readings["text"].isprintable() else ""
        yield f"{number}: {json.dumps(readings['text'], ensure_ascii=False)}{also}"
    elif inside is not None:
        yield from _block(number, inside)
    elif "base64" in readings:
        yield f"{number}: {_hex(readings['base64'])}"
    else:
        first, *others = _likeliest_first(readings)
        yield f"{number}: {first}" + (f" (or {', '.join(map(str, others))})" if others else "")


def _likeliest_first(readings: Mapping[str, Any]) -> list[Any]:
    """A number's readings: the one of usual size before the one that is huge, or next to nothing."""
    numbers = list(readings.values())
    last = numbers[-1]  # as a negative number, or as a float: NaN and the infinite are text
    negative = "int" in readings
    fraction = ("float" in readings or "double" in readings) and not isinstance(last, str) and 1e-6 < abs(last) < 1e12
    return numbers[::-1] if negative or fraction else numbers


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
