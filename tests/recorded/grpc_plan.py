"""What two gRPC programs are to say to each other, whichever they are: calls, and the logs they write of them.

`grpc_peer.py` (grpcio) and `node/grpc_peer.js` (grpc-js) play it, each as client and as server; the server does what
a call's first message asks for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from recorded.nodejs import NODE

HERE = Path(__file__).parent
PATIENCE = 60  # seconds
GRPCIO = (sys.executable, str(HERE / "grpc_peer.py"))
GRPC_JS = ("node", str(NODE / "grpc_peer.js"))
NAMES = {GRPCIO: "grpcio", GRPC_JS: "grpc-js"}


class Plan(TypedDict, total=False):
    """What a server is asked to do.

    `hang`: after so many messages received it waits to be cancelled; `compress`: only grpcio can.
    """

    replies: list[int]
    status: int
    message: str
    hang: int
    compress: str


@dataclass
class Call:
    """`sends`, `plan["replies"]`: message sizes. `cancel`: by the client, after all replies. `deadline`: seconds."""

    call: str
    path: str
    kind: str  # Unary, Client, Server, Bidi
    sends: list[int]
    plan: Plan
    compress: str = ""
    cancel: bool = False
    deadline: float = 0
    metadata: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Dialogue:
    """One connection: its calls, `abreast` at a time."""

    calls: list[Call]
    abreast: int = 1


@dataclass
class Line:
    """What a program said of a call: sizes and digest of the messages it sent and received, and how it ended.

    `status` is None where a server was cancelled.
    """

    call: str
    path: str
    sent: list[int]
    received: list[int]
    sent_sha256: str
    received_sha256: str
    status: int | None
    message: str


@contextmanager
def server(program: Sequence[str], log: Path) -> Iterator[int]:
    """A running server; gives its port."""
    with subprocess.Popen([*program, "server", str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdin is not None
        try:
            yield int(it.stdout.readline())
        finally:
            it.stdin.close()
            it.wait(PATIENCE)


def play(program: Sequence[str], port: int, dialogues: Sequence[Dialogue], log: Path) -> None:
    """Run a client that plays them one after the other."""
    plan = log.with_suffix(".plan.json")
    plan.write_text(json.dumps([asdict(dialogue) for dialogue in dialogues]))
    subprocess.run([*program, "client", str(port), str(plan), str(log)], timeout=PATIENCE, check=True)


def lines(log: Path) -> list[Line]:
    return [Line(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
