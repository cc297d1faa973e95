"""Finds out what a conversation speaks, and who its client is, from its first bytes.

From the start: both halves from their first byte. Joined in the middle: any chunk may begin with a message,
so each is asked in turn.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.core import Core
from pysniff.dissector import Dissector, Match
from pysniff.message import CLIENT, SERVER, Side
from pysniff.unrecognised import Transfer


class Chunk(NamedTuple):
    """Bytes of one half as they came. `side`: the first sender counts as the client until it is known better."""

    side: Side
    data: bytes
    at: int


class Found(NamedTuple):
    """`flip`: the first sender is the server. `lost`: sides (flipped already) that start in the middle."""

    dissector: type[Dissector]
    flip: bool = False
    lost: tuple[Side, ...] = ()


class Detection:
    """Asks the dissectors about the first bytes, and holds those until one says yes.

    `chunks`: what is held. `seen`: everything that came, by half. `dropped`: bytes of each half that came before
    anything that could be a message. `exhausted`: there is no use in asking on. `oriented`: a SYN told who the
    client is.
    """

    __slots__ = (
        "chunks", "seen", "dropped", "exhausted", "oriented",
        "_ledger", "_limits", "_candidates", "_longest", "_midstream", "_heads", "_unsure", "_asked",
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
        self._candidates = core.dissectors[transport] if only is None else (only,)
        self._longest = core.limits.detect_bytes * max([one.patience for one in self._candidates], default=1)
        self.oriented = oriented
        self._midstream = midstream
        self._heads = [b"", b""]
        self._unsure = [False, False]
        self._asked = 0

    def held(self) -> int:
        """Bytes in `chunks`."""
        return sum(len(chunk.data) for chunk in self.chunks)

    def lose(self, side: Side) -> None:
        """Bytes of one half are missing here: what follows may begin anywhere, and continues nothing."""
        self._midstream = True
        self._unsure[side] = False
        self._drop(side)

    def add(self, chunk: Chunk) -> Found | None:
        """The protocol, once known."""
        side = chunk.side
        self.seen[side].add(1, len(chunk.data), chunk.at, chunk.at)
        self._asked += 1
        if self._midstream and not self._unsure[side]:
            self._drop(side)
        self.chunks.append(chunk)
        self._heads[side] += chunk.data[: self._longest - len(self._heads[side])]
        found, unsure = self._joined(side) if self._midstream else self._from_start()
        self._unsure[side] = len(self._heads[side]) < unsure
        self.exhausted = self._asked >= self._limits.detect_chunks or not (self._midstream or self._unsure[side])
        return found

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
