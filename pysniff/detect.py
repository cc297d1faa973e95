"""Finds out what a conversation speaks, and who its client is, from its first bytes.

From the start: both halves from their first byte. Joined in the middle: any chunk may begin with a message,
so each is asked in turn. Where nobody recognises the first bytes, TLS may still begin behind STARTTLS: for a while
the client's chunks are looked at for that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pysniff.core import Core
from pysniff.dissector import Dissector, Match
from pysniff.entry import Flow
from pysniff.known import patience
from pysniff.limits import KIB
from pysniff.message import CLIENT, SERVER, Side
from pysniff.unrecognised import Transfer

# About what a chunk takes beside its bytes.
CHUNK = 128


class Chunk(NamedTuple):
    """Bytes of one half as they came. `side`: the first sender counts as the client until it is known better."""

    side: Side
    data: bytes
    at: int


class Found(NamedTuple):
    """`flip`: the first sender is the server. `lost`: sides (flipped already) that start in the middle. `behind`: what
    each half said before, in a protocol that nobody recognised."""

    dissector: type[Dissector]
    flip: bool = False
    lost: tuple[Side, ...] = ()
    behind: tuple[Transfer, Transfer] | None = None


def forced(core: Core, flow: Flow, transport: str, *, oriented: bool) -> Found | None:
    """What decode_as says about the ports of a conversation; `transport`: tls for what TLS carries."""
    rules = core.decode_as
    if not rules:
        return None
    for port, flip in ((flow.key[-2:], False), (flow.key[-4:-2], True)):
        protocol = rules.get((transport, int.from_bytes(port, "big")))
        dissector = protocol and core.named(protocol, flow.transport)
        if dissector:
            return Found(dissector, flip and not oriented)
    return None


# How long what begins later is looked for: the dialogues before STARTTLS have up to eight chunks and 1 KiB.
_LATER_CHUNKS = 24
_LATER_BYTES = 16 * KIB


class Detection:
    """Asks the dissectors about the first bytes, and holds those until one says yes.

    `chunks`: what is held. `seen`: everything that came, by half. `dropped`: bytes of each half that came before
    anything that could be a message. `exhausted`: there is no use in asking on. `oriented`: a SYN told who the
    client is.
    """

    __slots__ = (
        "chunks", "seen", "dropped", "exhausted", "oriented",
        "_ledger", "_limits", "_candidates", "_longest", "_midstream", "_heads", "_unsure", "_asked", "_most",
        "_behind",
    )  # fmt: skip

    def __init__(
        self,
        core: Core,
        transport: str,
        *,
        oriented: bool,
        midstream: bool,
        only: type[Dissector] | None = None,
    ) -> None:
        self.chunks: list[Chunk] = []
        self.seen = (Transfer(transport, CLIENT), Transfer(transport, SERVER))
        self.dropped = [0, 0]
        self.exhausted = False
        self._ledger = core.ledger
        self._limits = core.limits
        self._candidates: Collection[type[Dissector]] = core.dissectors[transport] if only is None else (only,)
        self._longest = core.limits.detect_bytes * patience(self._candidates)
        self.oriented = oriented
        self._midstream = midstream
        self._heads = [b"", b""]
        self._unsure = [False, False]
        self._asked = 0
        self._most = core.limits.detect_chunks
        self._behind: tuple[Transfer, Transfer] | None = None  # `seen` before the chunks that may begin something later

    def held(self) -> int:
        """Bytes in `chunks`."""
        return sum(len(chunk.data) for chunk in self.chunks)

    def weight(self) -> int:
        """About how many bytes of memory they take, and the heads that are judged."""
        return self.held() + len(self.chunks) * CHUNK + len(self._heads[0]) + len(self._heads[1])

    def seen_of_nobody(self) -> tuple[Transfer, Transfer] | None:
        """Everything that came, where the first bytes are nothing that is known."""
        return None if self._behind is None else (self.seen[0].copy(()), self.seen[1].copy(()))

    def lose(self, side: Side) -> None:
        """Bytes of one half are missing here: what follows may begin anywhere, and continues nothing."""
        self._midstream = True
        self._unsure[side] = False
        self._drop(side)

    def add(self, chunk: Chunk) -> Found | None:
        """The protocol, once known."""
        side = chunk.side
        if self._behind is not None and not self._unsure[side]:
            self._behind = (self.seen[0].copy(()), self.seen[1].copy(()))
        self.seen[side].add(1, len(chunk.data), chunk.at, chunk.at)
        self._asked += 1
        if self._midstream and not self._unsure[side]:
            self._drop(side)
        self.chunks.append(chunk)
        self._heads[side] += chunk.data[: self._longest - len(self._heads[side])]
        found, unsure = self._judged(side)
        if self._midstream and found is None and not unsure and self._unsure[side]:
            # What had begun here is nothing: this chunk may still begin something.
            found, unsure = self._anew(chunk)
        self._unsure[side] = len(self._heads[side]) < unsure
        self.exhausted = self._asked >= self._most or not (self._midstream or self._unsure[side])
        if self._behind is not None:
            self.exhausted |= max(self.seen[0].bytes, self.seen[1].bytes) > _LATER_BYTES
        elif self.exhausted and found is None and not self._midstream:
            return self._look_later(chunk)
        return found

    def _judged(self, side: Side) -> tuple[Found | None, int]:
        """What it is by now, and how many bytes of this half may be needed to know, 0 where more are of no use."""
        if self._behind is not None:
            return self._later(side)
        return self._joined(side) if self._midstream else self._from_start()

    def _anew(self, chunk: Chunk) -> tuple[Found | None, int]:
        """As if nothing had come in this half before."""
        if self._behind is not None:
            self._behind = (self.seen[0].copy(()), self.seen[1].copy(()))
            self._behind[chunk.side].packets -= 1
            self._behind[chunk.side].bytes -= len(chunk.data)
            self._behind[chunk.side].size -= len(chunk.data)
        self._begin_with(chunk, (chunk.side,))
        return self._judged(chunk.side)

    def _begin_with(self, chunk: Chunk, sides: tuple[Side, ...]) -> None:
        """Nothing that came before it in these halves matters any more."""
        self.chunks.pop()
        for side in sides:
            self._drop(side)
        self.chunks.append(chunk)
        self._heads[chunk.side] = chunk.data[: self._longest]

    def _look_later(self, chunk: Chunk) -> Found | None:
        """What came is nothing that is known; something may follow it, or begins with the chunk that made it clear."""
        self._candidates = tuple(one for one in self._candidates if one.begins_later)
        if not self._candidates:
            return None
        self.exhausted = False
        self._midstream = True
        self._most = self._asked + _LATER_CHUNKS
        self._behind = (Transfer(self.seen[0].protocol, CLIENT), Transfer(self.seen[1].protocol, SERVER))
        for side, data, at in self.chunks[:-1]:
            self._behind[side].add(1, len(data), at, at)
        self._unsure = [False, False]
        self._begin_with(chunk, (CLIENT, SERVER))
        found, unsure = self._later(chunk.side)
        self._unsure[chunk.side] = len(chunk.data) < unsure
        return found

    def _later(self, side: Side) -> tuple[Found | None, int]:
        """What a client begins behind other words: both halves go on in it."""
        if side is SERVER and self.oriented:
            return None, 0
        found, unsure = self._ask(self._heads[side], b"")
        if found is None:
            return None, unsure
        self._drop(side.other)
        return found._replace(flip=side is SERVER, behind=self._behind), 0

    def _from_start(self) -> tuple[Found | None, int]:
        client, server = self._heads
        found, unsure = self._ask(client, server)
        if found is None and not self.oriented:
            swapped, maybe = self._ask(server, client)
            found = swapped and swapped._replace(flip=True)
            unsure = max(unsure, maybe)
        return found, unsure

    def _joined(self, side: Side) -> tuple[Found | None, int]:
        """This half alone: it begins with a message, the other one begins anywhere."""
        head = self._heads[side]
        is_client, unsure = self._ask(head, b"") if side is CLIENT or not self.oriented else (None, 0)
        if is_client:
            flip = side is SERVER and not self.oriented
            return is_client._replace(flip=flip, lost=(SERVER,)), 0
        is_server, maybe = self._ask(b"", head) if side is SERVER or not self.oriented else (None, 0)
        if is_server:
            flip = side is CLIENT and not self.oriented
            return is_server._replace(flip=flip, lost=(CLIENT,)), 0
        return None, max(unsure, maybe)

    def _ask(self, client: bytes, server: bytes) -> tuple[Found | None, int]:
        """Who says yes, and of how many bytes somebody might still."""
        unsure = 0
        for dissector in self._candidates:
            most = self._limits.detect_bytes * dissector.patience
            try:
                answer = dissector.match(client[:most], server[:most])
            except Exception:  # a plugin that fails here does not know the protocol
                self._ledger.dissector_errors += 1
                continue
            if answer is Match.YES:
                return Found(dissector), 0
            if answer is Match.UNSURE:
                unsure = max(unsure, most)
        return None, unsure

    def _drop(self, side: Side) -> None:
        self.dropped[side] += sum(len(chunk.data) for chunk in self.chunks if chunk.side is side)
        self.chunks = [chunk for chunk in self.chunks if chunk.side is not side]
        self._heads[side] = b""
