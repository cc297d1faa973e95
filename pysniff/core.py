"""What every conversation of one Sniffer shares."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol

from pysniff.deadlines import Deadlines
from pysniff.dissector import Dissector
from pysniff.entry import Entry, Refine
from pysniff.kept import Kept
from pysniff.ledger import Ledger
from pysniff.limits import Limits
from pysniff.message import Message
from pysniff.names import NOTHING, Learnt, Names
from pysniff.refinement import Refinement
from pysniff.refiner import Refiner
from pysniff.resumption import Absent, Resumption
from pysniff.secrets import Secrets


class Decrypting(Protocol):
    """A conversation whose dissector needs secrets."""

    def ask_again(self, at: int) -> bool:
        """There are secrets that were not known, or time has passed; whether it waits for others."""


class Core:
    """The account, the bounds, the clock's deadlines, the known protocols, and where entries go."""

    __slots__ = (
        "limits",
        "kept",
        "ledger",
        "deadlines",
        "entries",
        "holes",
        "dissectors",
        "refine",
        "memories",
        "decode_as",
        "resumed",
        "left_out",
        "names",
        "node",
        "capture_source",
        "secrets",
        "decrypting",
        "waiting",
        "remembering",
    )

    def __init__(
        self,
        limits: Limits,
        dissectors: Mapping[str, Collection[type[Dissector]]],
        refinements: Sequence[Refinement],
        decode_as: Mapping[tuple[str, int], str],
        node: str,
        capture_source: str,
        names: Names = NOTHING,
        secrets: Secrets | None = None,
        remembering: bool = False,
    ) -> None:
        self.limits = limits
        self.kept = Kept(limits)
        self.ledger = Ledger()
        self.deadlines = Deadlines()
        self.entries: list[Entry] = []
        # TCP halves that wait for missing bytes: only while there are any does the packet loop look at plain ACKs.
        self.holes: set[object] = set()
        self.dissectors = dissectors  # by transport, in the order in which they are asked
        # By the protocol that they refine.
        self.refine: dict[str, Refine] = {
            protocol: Refiner([one for one in refinements if one.refines == protocol], self.ledger).refined
            for protocol in {one.refines for one in refinements}
        }
        self.memories: dict[str, dict[Hashable, Any]] = {}  # by protocol: what its dissectors remember together
        self.decode_as = decode_as
        # By transport and key, both ways: conversations that go on when their next packet comes.
        self.resumed: dict[tuple[str, bytes], Resumption] = {}
        # By stream and part of it: what of a conversation nobody recognises was not kept (Sniffer.left_out).
        self.left_out: dict[str, dict[int, tuple[Absent, Absent]]] = {}
        self.names = Learnt(names, limits)
        self.node = node
        self.capture_source = capture_source
        self.secrets = Secrets() if secrets is None else secrets
        # Conversations that may wait for secrets, in the order in which they began; those that do, or did last.
        self.decrypting: dict[Decrypting, None] = {}
        self.waiting: dict[Decrypting, None] = {}
        self.remembering = remembering

    def named(self, protocol: str, transport: str) -> type[Dissector] | None:
        """The dissector of a protocol over a transport, if it is known."""
        for dissector in self.dissectors[transport]:
            if dissector.protocol == protocol:
                return dissector
        return None

    def learn(self, message: Message) -> None:
        """Take the names of addresses that a message tells."""
        if not self.names.dns:
            return
        for address, name in message.names():
            self.names.learn(address, name, message.last)
