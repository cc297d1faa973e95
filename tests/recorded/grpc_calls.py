"""250 gRPC calls of all kinds, for two programs to have; and what an entry has to say of each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

from recorded.grpc_plan import Call, Dialogue, Line, Plan

KINDS = ("Unary", "Client", "Server", "Bidi")
SIZES = (0, 1, 2, 20, 100, 127, 128, 1000, 16_370, 20_000, 70_000)
# Percent-encoded on the wire (grpc/doc/PROTOCOL-HTTP2.md): what is not printable ASCII, and %.
TEXTS = (
    "",
    "plain words",
    "100 % of it",
    "k\u00e4se \u2014 \u732b",
    "two\nlines\tand\x7f",
    "%41 stays",
    "a  b",
    "x" * 3000,
)
KEPT = 1_000  # messages of a half


def dialogues(seed: str) -> list[Dialogue]:
    """250 calls over six connections. `seed`: names the two programs, and varies their sizes."""
    chance = random.Random(seed)
    calls = [*_fine(chance), *_failing(), *_cancelled(), *_unknown(), *_long()]
    calls += [_call(kind, _sizes(chance, kind), {"replies": _replies(chance, kind)}) for kind in KINDS * 40]
    for number, call in enumerate(calls := calls[:242]):
        _name(call, number)
    chance.shuffle(calls)
    late = [_call(kind, [7], {"replies": [], "hang": 1}, deadline=0.3) for kind in KINDS * 2]
    for number, call in enumerate(late, 242):
        _name(call, number)
    # A call before those with a deadline, so that the connection is up.
    parts = [calls[:1] + late, calls[1:60], calls[60:120], calls[120:180], calls[180:220], calls[220:]]
    return [Dialogue(part, abreast) for part, abreast in zip(parts, (1, 1, 1, 4, 8, 16), strict=True)]


def _name(call: Call, number: int) -> None:
    call.call = str(number)
    call.metadata = [("x-call", call.call)]


def _call(kind: str, sends: list[int], plan: Plan, compress: str = "", **more: Any) -> Call:
    return Call("", f"/shop.v1.Payments/{kind}", kind, sends, plan, compress, **more)


def _sizes(chance: random.Random, kind: str) -> list[int]:
    return [chance.choice(SIZES) for _ in range(chance.randint(1, 6) if kind in ("Client", "Bidi") else 1)]


def _replies(chance: random.Random, kind: str) -> list[int]:
    return [chance.choice(SIZES) for _ in range(chance.randint(0, 6) if kind in ("Server", "Bidi") else 1)]


def _fine(chance: random.Random) -> Iterator[Call]:
    for compress in ("gzip", "deflate"):
        for kind in KINDS * 3:
            plan: Plan = {"replies": _replies(chance, kind)}
            yield _call(kind, _sizes(chance, kind), plan, compress)
            yield _call(kind, _sizes(chance, kind), {**plan, "compress": compress})


def _failing() -> Iterator[Call]:
    for status in range(1, 17):
        for kind in ("Unary", "Client", "Server", "Bidi"):
            text = TEXTS[(status + KINDS.index(kind)) % len(TEXTS)]
            replies = [5] * (status % 3) if kind in ("Server", "Bidi") else []
            yield _call(kind, [3], {"replies": replies, "status": status, "message": text})


def _cancelled() -> Iterator[Call]:
    for number in range(1, 7):
        yield _call("Unary", [number], {"replies": [], "hang": 1}, cancel=True)
        yield _call("Client", [number] * number, {"replies": [], "hang": number}, cancel=True)
        yield _call("Server", [number], {"replies": [9] * number, "hang": 1}, cancel=True)
        yield _call("Bidi", [number] * number, {"replies": [9] * number, "hang": 1}, cancel=True)


def _unknown() -> Iterator[Call]:
    for path in ("/shop.v1.Payments/Nothing", "/no.such.Service/Unary", "/shop.Cart/Unary/more"):
        call = _call("Unary", [1], {"replies": [], "status": 12})
        call.path = path
        yield call


def _long() -> Iterator[Call]:
    yield _call("Server", [1], {"replies": [3] * 1_200})
    yield _call("Client", [3] * 1_200, {"replies": [1]})


def differences(entry: Any, call: Call, client: Line, server: Line | None) -> list[str]:
    """Between an entry and what both programs said of the call; a server knows nothing of an unknown method."""
    request, response = entry.request, entry.response
    if request is None or response is None:
        local = call.cancel or call.deadline
        if request is None or not local or client.received:
            return [f"half a call: {entry!r} {entry.faults}"]
    local = bool(call.cancel or call.deadline)
    service, _, method = call.path[1:].rpartition("/")
    found: dict[str, tuple[Any, Any]] = {
        "protocol": (entry.protocol, "grpc"),
        "path": (request.path, client.path),
        "service": (request.grpc_service, service),
        "method": (request.grpc_method, method),
        "deadline": (request.grpc_timeout is not None, bool(call.deadline)),
        "state": (entry.state, "closed"),
    }
    if server is not None or request.message_count:  # the answer to an unknown method may come before anything is sent
        found |= _messages("sent", request, client.sent, client.sent_sha256)
    if response is not None:
        found |= _messages("received", response, client.received, client.received_sha256)
    if server is not None and response is not None:
        found |= _messages("of the server", response, server.sent, server.sent_sha256)
    status = None if response is None else response.grpc_status
    if local:
        # The client went away, or the server saw the deadline as well and was the faster one.
        found["status"] = (status in (None, client.status), True)
        found["a fault says so"] = (bool(entry.faults) or status is not None, True)
    else:
        found |= {
            "status": (status, client.status),
            # grpc-js sends OK as the message of success, and grpcio does not tell of it.
            "message": (response.grpc_message, client.message or (response.grpc_message if entry.ok else "")),
            "completeness": (entry.completeness, "complete"),
            "faults": (entry.faults, ()),
            "ok": (entry.ok, client.status == 0),
        }
    return [f"{name} {ours!r}, said {theirs!r}" for name, (ours, theirs) in found.items() if ours != theirs]


def _messages(which: str, half: Any, sizes: list[int], sha256: str) -> dict[str, tuple[Any, Any]]:
    contents = [message.content for message in half.messages]
    ours = [len(content) for content in contents]
    found: dict[str, tuple[Any, Any]] = {
        f"messages {which}": (half.message_count, len(sizes)),
        f"sizes {which}": (ours, sizes[:KEPT]),
    }
    if len(sizes) <= KEPT:
        found[f"content {which}"] = (hashlib.sha256(b"".join(contents)).hexdigest(), sha256)
    return found
