"""What a program says it did: the line of a log, and its comparison with an entry."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Headers = list[tuple[str, str]]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Said:
    """One exchange. A field that the program does not know is None and not compared.

    `client` is the port of the client's end, which with the order of the lines names the exchange.
    `size` is of the content, codings undone; `odd`: the wire broke a rule, so the entry has to say so.
    """

    client: int
    method: str | None = None
    target: str | None = None
    status: int | None = None
    reason: str | None = None
    request_headers: Headers | None = None
    request_size: int | None = None
    request_sha256: str | None = None
    request_trailers: Headers | None = None
    headers: Headers | None = None
    headers_size: int | None = None
    size: int | None = None
    sha256: str | None = None
    encoded_size: int | None = None
    trailers: Headers | None = None
    interim: list[int] | None = None
    odd: bool = False


@dataclass
class Log:
    """JSON lines that several threads append to."""

    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, said: Said) -> None:
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(said)) + "\n")

    def lines(self) -> list[Said]:
        if not self.path.exists():
            return []
        return [Said(**json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]


def differences(entries: Sequence[Any], log: Iterable[Said]) -> list[str]:
    """Entries against lines, client by client and in order; [] where they are the same calls."""
    calls: dict[int, list[Any]] = {}
    for entry in sorted(entries, key=lambda entry: entry.time_ns):
        calls.setdefault(entry.src.port, []).append(entry)
    lines: dict[int, list[Said]] = {}
    for line in log:
        lines.setdefault(line.client, []).append(line)
    wrong = []
    for client in sorted(calls.keys() | lines.keys()):
        ours, theirs = calls.get(client, []), lines.get(client, [])
        if len(ours) != len(theirs):
            wrong.append(f"client {client}: {len(ours)} entries {ours}, {len(theirs)} calls {theirs}")
        for entry, line in zip(ours, theirs, strict=False):
            wrong += [f"{line.method} {line.target}: {text}" for text in compare(entry, line)]
    return wrong


def compare(entry: Any, line: Said) -> list[str]:
    request, response = entry.request, entry.response
    if request is None or response is None:
        return [f"half an exchange: {entry!r} {entry.faults}"]
    found = {
        "method": request.method,
        "target": request.url,
        "status": response.status,
        "reason": response.reason,
        "request_headers": _plain(request.headers),
        "request_size": request.body.size,
        "request_sha256": digest(request.body.content),
        "request_trailers": _plain(request.trailers),
        "headers": _plain(response.headers),
        "headers_size": response.headers_size,
        "size": response.body.size,
        "sha256": digest(response.body.content),
        "encoded_size": response.body.encoded_size,
        "trailers": _plain(response.trailers),
        "interim": [_status(head) for head in response.interim],
    }
    wanted = asdict(line)
    wanted |= {
        key: _plain(wanted[key]) for key in found if wanted[key] and isinstance(found[key], list) and key != "interim"
    }
    wrong = [
        f"{key} {value!r}, said {wanted[key]!r}" for key, value in found.items() if wanted[key] not in (None, value)
    ]
    if line.odd and not entry.faults:
        wrong.append("broke a rule, and no fault says so")
    if not line.odd and entry.completeness != "complete":
        wrong.append(f"{entry.completeness}: {entry.faults}")
    return wrong


def _plain(fields: Iterable[Sequence[str]]) -> Headers:
    """RFC 9112 §5.2: a folded line is worth some spaces, how many is not said."""
    return [(name, " ".join(value.split())) for name, value in fields]


def _status(head: Any) -> int:
    status = head["status"] if isinstance(head, dict) else head.status
    assert isinstance(status, int)
    return status
