"""An entry as a line of a list: what a worker packs once, and a hub and a browser show without unpacking it again.

docs/protocol.md has the fields. Nodes that saw the same call agree on its fingerprint, whatever their clocks say.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypedDict

from pysniff.entry import SCHEMA, Entry, rfc3339
from pysniff.message import Message


class End(TypedDict):
    """Client or server."""

    ip: str
    port: int
    name: str


class Summary(TypedDict):
    """The contract's entry without its messages: `faults` are kinds, sizes those of bodies as they were sent."""

    schema: int
    id: str
    stream: str
    protocol: str
    version: str
    timestamp: str
    completed: str | None
    elapsed_time: int | None
    src: End
    dst: End
    capture_source: str
    tls: dict[str, Any] | None
    status: str
    ok: bool
    summary: str
    state: str
    completeness: str
    faults: list[str]
    request_size: int
    response_size: int


def summary(entry: Entry) -> Summary:
    """What a list shows of an entry; nodes are for the hub to add."""
    request, response = entry.request, entry.response
    message = response if request is None else request
    source, target = entry.src, entry.dst
    faults, state, encryption = entry.faults, entry.state, entry.tls
    return {
        "schema": SCHEMA,
        "id": entry.id,
        "stream": entry.stream,
        "protocol": message.protocol,
        "version": message.version,
        "timestamp": rfc3339(message.first),
        "completed": rfc3339(entry.completed_ns) if state == "closed" else None,
        "elapsed_time": entry.elapsed_time,
        "src": {"ip": source.ip, "port": source.port, "name": source.name},
        "dst": {"ip": target.ip, "port": target.port, "name": target.name},
        "capture_source": entry.capture_source,
        "tls": None if encryption is None else encryption.to_dict(),
        "status": "" if response is None else str(response.status_text),
        "ok": entry.ok,
        "summary": message.summary,
        "state": state,
        "completeness": entry.completeness if faults else "complete",
        "faults": [*dict.fromkeys([fault.kind for fault in faults])] if faults else [],
        "request_size": size_of(request),
        "response_size": size_of(response),
    }


def size_of(message: Message | None) -> int:
    """Bytes of a message's body before content decoding; of the whole message where its protocol has no bodies."""
    if message is None:
        return 0
    encoded: int | None = getattr(getattr(message, "body", None), "encoded_size", None)
    return message.size if encoded is None else encoded


def fingerprint(entry: Entry, told: Summary | None = None) -> int:
    """64 bits of what any node says of a call: who talks to whom, what was asked and answered, and how much it was.

    No times, ids, names or faults: those differ from node to node. The same call made twice on one connection has the
    same one twice. `told`: the entry's summary, where there is one already.
    """
    told = told or summary(entry)
    source, target = told["src"], told["dst"]
    parts = (
        entry.transport, told["protocol"], source["ip"], str(source["port"]), target["ip"], str(target["port"]),
        told["state"], told["status"], str(told["request_size"]), str(told["response_size"]), told["summary"],
    )  # fmt: skip
    # Only the last one may have zeros in it.
    text = "\0".join(parts).encode("utf-8", "backslashreplace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
