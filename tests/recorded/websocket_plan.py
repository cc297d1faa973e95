"""What two WebSocket programs are to say to each other, whichever they are, and the logs they write of it.

`websocket_peer.py` (websockets) and `node/websocket_peer.js` (ws) play it, each as client and as server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple, TypedDict

from recorded.nodejs import NODE

HERE = Path(__file__).parent
PATIENCE = 60  # seconds
WEBSOCKETS = (sys.executable, str(HERE / "websocket_peer.py"))
WS = ("node", str(NODE / "websocket_peer.js"))
NAMES = {WEBSOCKETS: "websockets", WS: "ws"}
WORDS = ("price ", "of ", "tea ", "schön ", "\U0001f600 ", '{"id": 17} ', "17 ", "猫 ")


class Deal(TypedDict):
    """What a server accepts of permessage-deflate; `bits`: of its window."""

    deflate: bool
    client_takeover: bool
    server_takeover: bool
    bits: int


class Say(TypedDict):
    """`opcode`: text, binary or ping. `parts` in base64: fragments. `ping`: one behind each."""

    opcode: str
    parts: list[str]
    ping: bool


class Turn(TypedDict):
    """The client says all of its own, then the server."""

    client: list[Say]
    server: list[Say]


class Close(TypedDict):
    """`code` None: a close frame without one, where the program can. `abort`: no close frame at all."""

    side: str
    code: int | None
    reason: str
    abort: bool


class Dialogue(TypedDict):
    """One connection. `deal`: which of the plan's."""

    deal: int
    turns: list[Turn]
    close: Close


class Plan(TypedDict):
    deals: list[Deal]
    dialogues: list[Dialogue]


class Line(NamedTuple):
    """What a program said of one message; `client` is the port of the connection's client."""

    client: int
    side: str
    sent: bool
    opcode: str
    size: int
    sha256: str
    code: int | None


DEALS = [
    Deal(deflate=True, client_takeover=True, server_takeover=True, bits=15),
    Deal(deflate=True, client_takeover=False, server_takeover=True, bits=10),
    Deal(deflate=True, client_takeover=True, server_takeover=False, bits=15),
    Deal(deflate=True, client_takeover=False, server_takeover=False, bits=15),
    Deal(deflate=False, client_takeover=True, server_takeover=True, bits=15),
]
CLOSES = [
    Close(side="client", code=1000, reason="", abort=False),
    Close(side="server", code=1001, reason="going away", abort=False),
    Close(side="client", code=None, reason="", abort=False),
    Close(side="server", code=4999, reason="käse", abort=False),
    Close(side="client", code=1000, reason="", abort=True),
]


def plan(seed: str) -> Plan:
    """Five connections with each deal."""
    chance = Random(seed)
    dialogues = [
        Dialogue(deal=deal, turns=[_turn(chance) for _ in range(4)], close=close)
        for deal in range(len(DEALS))
        for close in CLOSES
    ]
    for deal in range(len(DEALS)):
        dialogues[deal * len(CLOSES)]["turns"].append(_large(chance))
    return Plan(deals=DEALS, dialogues=dialogues)


def _turn(chance: Random) -> Turn:
    """The last of each end is a message, which the other one waits for."""
    return Turn(
        client=[*(_say(chance) for _ in range(chance.randrange(4))), _message(chance)],
        server=[*(_say(chance) for _ in range(chance.randrange(4))), _message(chance)],
    )


def _say(chance: Random) -> Say:
    if chance.random() < 0.3:
        return _of("ping", [chance.randbytes(chance.choice([0, 1, 125]))])
    return _message(chance)


def _message(chance: Random) -> Say:
    parts = chance.choice([1, 1, 2, 4])
    if chance.random() < 0.6:
        return _of("text", [_text(chance) for _ in range(parts)], parts > 1 and chance.random() < 0.5)
    return _of("binary", [chance.randbytes(chance.choice([0, 1, 125, 126, 1000])) for _ in range(parts)])


def _text(chance: Random) -> bytes:
    return "".join(chance.choices(WORDS, k=chance.choice([0, 1, 10, 100]))).encode()


def _large(chance: Random) -> Turn:
    many = "".join(chance.choices(WORDS, k=30_000)).encode()
    return Turn(client=[_of("text", [many])], server=[_of("binary", [chance.randbytes(70_000)]), _of("text", [many])])


def _of(opcode: str, parts: Sequence[bytes], ping: bool = False) -> Say:
    return Say(opcode=opcode, parts=[b64encode(part).decode() for part in parts], ping=ping)


@contextmanager
def server(program: Sequence[str], to_play: Path, log: Path) -> Iterator[list[int]]:
    """A running server; gives its ports, one a deal."""
    command = [*program, "server", str(to_play), str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdin is not None
        try:
            yield json.loads(it.stdout.readline())
        finally:
            it.stdin.close()
            it.wait(PATIENCE)


def play(program: Sequence[str], to_play: Path, log: Path, ports: list[int]) -> None:
    """Run a client that plays all dialogues, one after the other."""
    command = [*program, "client", str(to_play), str(log), json.dumps(ports)]
    subprocess.run(command, timeout=PATIENCE, check=True)


def lines(log: Path) -> list[Line]:
    return [Line(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]
