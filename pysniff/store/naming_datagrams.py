"""What datagrams of DNS tell of names, without conversations: in each, whether it does depends on nothing else."""

from __future__ import annotations

import numpy as np

from pysniff.copies import Copies
from pysniff.decode import Decoder
from pysniff.dissectors import dns
from pysniff.ledger import Ledger
from pysniff.limits import Limits
from pysniff.names import Lesson
from pysniff.shapes import interface_of
from pysniff.store.catalogue import Chapter
from pysniff.store.columns import UDP, Bools, Columns
from pysniff.store.index import Index
from pysniff.store.naming import Told
from pysniff.store.selection import pieces

_ANY = 276  # the link type whose packets say themselves which interface they came through


def are_datagrams(index: Index) -> Bools:
    """The rows of DNS over UDP."""
    rows, protocols = index.rows, index.protocols
    if dns.Dns.protocol not in protocols:
        return np.zeros(len(rows), np.bool_)
    found: Bools = (rows["protocol"] == protocols.index(dns.Dns.protocol)) & (rows["transport"] == UDP)
    return found


class Datagrams:
    """`told()` of segment after segment."""

    def __init__(self, limits: Limits) -> None:
        self._copies = Copies(limits, Ledger())
        self._decoder = Decoder()
        self._clock = 0

    def told(self, chapter: Chapter, rows: Bools) -> list[Told]:
        """What the packets of these rows tell, in their order; nothing more of a segment that is dropped meanwhile."""
        index = chapter.index
        numbers = np.flatnonzero(np.append(rows, False)[np.minimum(index.flows, len(rows))])
        after = dict(zip(index.late["packet"].tolist(), index.late["after"].tolist(), strict=True))
        several = len(index.interfaces) > 1 or any(linktype == _ANY for linktype, _ in index.interfaces)
        found: list[Told] = []
        try:
            for piece in pieces(chapter.files, index, numbers):
                for columns, places in piece.columns(index, self._decoder):
                    self._listen(columns, places.tolist(), after, several, found)
        except FileNotFoundError:
            pass
        return found

    def _listen(
        self, columns: Columns, numbers: list[int], after: dict[int, int], several: bool, found: list[Told]
    ) -> None:
        block = columns.block
        for place, (number, at, start) in enumerate(
            zip(numbers, columns.time.tolist(), columns.start.tolist(), strict=True)
        ):
            self._clock = max(self._clock, at, after.get(number, 0))
            datagram = columns.payload(place)
            if several and self._copies.is_copy(columns.key(place), datagram, interface_of(block, start), at):
                continue
            for address, name in dns.told(datagram):
                found.append(Told(number, self._clock, Lesson(at, address, name)))
