"""What every conversation of one Sniffer shares."""

from __future__ import annotations

from collections.abc import Mapping

from pysniff.deadlines import Deadlines
from pysniff.dissector import Dissector
from pysniff.entry import Entry
from pysniff.ledger import Ledger
from pysniff.limits import Limits


class Core:
    """The account, the bounds, the clock's deadlines, the known protocols, and where entries go."""

    __slots__ = (
        "limits",
        "ledger",
        "deadlines",
        "entries",
        "holes",
        "dissectors",
        "decode_as",
        "node",
        "capture_source",
    )

    def __init__(
        self,
        limits: Limits,
        dissectors: Mapping[str, tuple[type[Dissector], ...]],
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
        self.decode_as = decode_as
        self.node = node
        self.capture_source = capture_source

    def named(self, protocol: str, transport: str) -> type[Dissector] | None:
        """The dissector of a protocol over a transport, if it is known."""
        for dissector in self.dissectors[transport]:
            if dissector.protocol == protocol:
                return dissector
        return None
