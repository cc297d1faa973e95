"""The account of a recording: what became of each packet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What became of the packets that were given to a store: every one is in one of these.

    `stored`: written, and indexed. `cut`: of conversations that nobody recognises, beyond what is kept of them.
    `full`: the disk had no room. `waiting`: not written yet. `evicted`: of those stored here, dropped since.
    `tables_missed`: segments that were dropped before the tables were kept with which HTTP/2 goes on behind them.
    `names_missed`: and before the names were noted that they told.
    """

    packets: int = 0
    stored: int = 0
    stored_bytes: int = 0
    cut: int = 0
    cut_bytes: int = 0
    full: int = 0
    full_bytes: int = 0
    waiting: int = 0
    evicted: int = 0
    evicted_segments: int = 0
    tables_missed: int = 0
    names_missed: int = 0
    forgotten: int = 0

    def imbalance(self) -> str:
        """Words where the sum is not right, else ""."""
        found = self.stored + self.cut + self.full + self.waiting
        return "" if found == self.packets else f"{self.packets} packets were given, {found} are accounted for"
