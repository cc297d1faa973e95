"""`-o pcapng`: the packets of the calls that matched, and no others, each call's first one with a comment.

The packets come from a store: that of --store, or one that lasts as long as the export.
"""

from __future__ import annotations

from typing import ClassVar

from pysniff.entry import Entry
from pysniff.export.exporter import Exporter
from pysniff.export.pcapng import CommentedPackets
from pysniff.store.carriers import carriers
from pysniff.store.carrying import Carried

# Calls remembered until their packets are looked up, about 500 bytes each.
_MOST = 1_000_000
_TOO_MANY = f"more than {_MOST:,} calls"
_NO_PACKETS = "its packets are not in the store any more"


class CallsPcapng(Exporter):
    """Remembers the calls, and looks their packets up when all have come."""

    format: ClassVar[str] = "pcapng"
    needs_packets: ClassVar[bool] = True

    def __init__(self, target: str, body_limit: int = 0) -> None:
        super().__init__(target, body_limit)
        self._calls: list[Carried] = []
        self._packets = CommentedPackets()

    def encode(self, entry: Entry) -> bytes:
        if len(self._calls) < _MOST:
            self._calls.append(Carried.of(entry))
        else:
            self.left_out[_TOO_MANY] += 1
        return b""

    def begin(self) -> bytes:
        return self._packets.begin()

    def close(self) -> None:
        """Look the packets up and write them."""
        calls, self._calls = self._calls, []
        missing = len(calls)
        if calls and self.store is not None:
            for packet, begun in carriers(self.store, calls):
                missing -= len(begun)
                comment = "\n".join(f"{call.id} {call.title}" for call in begun)
                self._put(self._packets.packet(packet, comment))
        if missing:
            self.left_out[_NO_PACKETS] += missing
        super().close()
