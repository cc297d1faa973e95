"""What every conversation of one Sniffer shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from pysniff.deadlines import Deadlines
from pysniff.dissector import Dissector, Refinement
from pysniff.entry import Entry
from pysniff.ledger import Ledger
from pysniff.limits import Limits
from pysniff.message import Message


class Core:
    """The account, the bounds, the clock's deadlines, the known protocols, and where entries go."""

    __slots__ = (
        "limits",
        "ledger",
        "deadlines",
        "entries",
        "holes",
        "dissectors",
        "refinements",
        "memories",
        "decode_as",
        "node",
        "capture_source",
    )

    def __init__(
        self,
        limits: Limits,
        dissectors: Mapping[str, tuple[type[Dissector], ...]],
        refinements: Iterable[Refinement],
        decode_as: Mapping[tuple[str, int], str],
        node: str,
        capture_source: str,
    ) -> None:
        self.limits = limits
        self.ledger = Ledger()
        self.deadlines = Deadlines()
        self.entries: list[Entry] = []
        # TCP halves that wait for missing bytes: only while there are any does the packet loop look at plain ACKs.
        self.holes: set[object] = set()
        self.dissectors = dissectors  # by transport, in the order in which they are asked
        self.refinements: dict[str, list[Refinement]] = {}  # by the protocol that they refine
        for refinement in refinements:
            self.refinements.setdefault(refinement.refines, []).append(refinement)
        self.memories: dict[str, dict[Hashable, Any]] = {}  # by protocol: what its dissectors remember together
        self.decode_as = decode_as
        self.node = node
        self.capture_source = capture_source

    def named(self, protocol: str, transport: str) -> type[Dissector] | None:
        """The dissector of a protocol over a transport, if it is known."""
        for dissector in self.dissectors[transport]:
            if dissector.protocol == protocol:
                return dissector
        return None

    def refined(self, request: Message | None, response: Message | None) -> tuple[Message | None, Message | None]:
        """The two as the first refinement sees them that knows them."""
        message = request or response
        assert message is not None
        for refinement in self.refinements.get(message.protocol, ()):
            try:
                refined = refinement.refine(request, response)
            except Exception:  # a refinement's bug costs what it would have said, no more
                self.ledger.dissector_errors += 1
                continue
            if refined is not None:
                return refined
        return request, response
