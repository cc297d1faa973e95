"""Knows at capture which conversations there are and what their first bytes promise; dissects nothing.

It follows the rules by which tcp.py and udp.py begin and end a conversation, so that the names are theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from pysniff.core import Core
from pysniff.detect import Detection
from pysniff.dissector import Dissector, Match
from pysniff.dissectors import known
from pysniff.limits import DEFAULT
from pysniff.store.assigning import Batch
from pysniff.store.columns import SHARED, TCP, UDP, Columns, Ints, pairs_of
from pysniff.store.followed import Followed
from pysniff.store.rows import BEGUN, NO_FLOW, OLD, SHARED_FLOW, UNKNOWN, UNSURE

# Conversations followed at once, about 1 kB each; the one that was quiet for longest goes, and is joined in the middle
# when it comes back.
FOLLOWED = 65_536


class FlowTable:
    """Gives each packet its conversation's number in the current segment."""

    def __init__(self, *, keep_all: bool = False) -> None:
        every = [one for dissectors in known().values() for one in dissectors]
        self.protocols = ["", *sorted({one.protocol for one in every})]
        self.forgotten = 0
        self.clock = 0  # newest time of a packet
        self.cut_packets = 0
        self.cut_bytes = 0
        self.keep_all = keep_all
        self._core = Core(DEFAULT, known(), (), {}, "", "")
        self._asked = {
            number: [(one, DEFAULT.detect_bytes * one.patience) for one in known()[transport]]
            for number, transport in ((TCP, "tcp"), (UDP, "udp"))
        }
        self._dissectors: dict[str, type[Dissector]] = {one.protocol: one for one in every}
        self._followed: OrderedDict[int, Followed] = OrderedDict()  # by Columns.pair
        self._segment = 0
        self._numbers = 0
        self._touched: dict[int, Followed] = {}

    def begin_segment(self) -> None:
        """Rows are numbered anew."""
        self._segment += 1
        self._numbers = 0
        self._touched = {}

    def touched(self) -> dict[int, Followed]:
        """The rows that changed since this was last asked, by number."""
        touched, self._touched = self._touched, {}
        return touched

    def touched_flow(self, number: int) -> Followed | None:
        """The conversation of a row that has changed since touched()."""
        return self._touched.get(number)

    def remember(self, rows: Sequence[tuple[np.void, str]], *, here: bool = False) -> None:
        """Go on with the conversations of an index and their protocols, oldest first; `here`: of this very segment."""
        flows = [Followed.of(row, protocol) for row, protocol in rows]
        for number, (flow, (pair, back)) in enumerate(
            zip(flows, pairs_of([(flow.transport, flow.key) for flow in flows]), strict=True)
        ):
            flow.forward = back
            if flow.protocol not in self._dissectors:
                flow.protocol = ""  # a plugin's, which is gone
            elif not flow.marks & UNSURE:
                flow.turns = self._dissectors[flow.protocol].turns
            if here:
                row = rows[number][0]
                flow.segment, flow.number = self._segment, number
                flow.before = (int(row["offset_a"]), int(row["offset_b"]))
                flow.begin, flow.end = int(row["begin"]), int(row["end"])
                flow.packets, flow.bytes = int(row["packets"]), int(row["bytes"])
            else:
                flow.segment = 0
            self._followed[pair] = flow
            self._followed.move_to_end(pair)
        if here:
            self._numbers = len(rows)

    def assign(self, columns: Columns) -> tuple[Ints, Ints]:
        """Of each packet the number of its row, or SHARED_FLOW or NO_FLOW; and which packets to keep, by index."""
        numbers = np.full(len(columns), NO_FLOW, np.int64)
        numbers[columns.kind == SHARED] = SHARED_FLOW
        ours = np.flatnonzero(columns.kind > SHARED)
        keep = np.ones(len(columns), np.bool_)
        if len(ours):
            Batch(self, columns, ours, numbers, keep).run()
            self._look_for_turns(columns, numbers)
        return numbers, np.flatnonzero(keep)

    def follow(self, pair: int, transport: int, key: bytes, back: bool, at: int) -> Followed:
        """A new conversation, in the place of one that is over."""
        flow = self._followed[pair] = Followed(transport, key, back, at)
        self._followed.move_to_end(pair)
        if len(self._followed) > FOLLOWED:
            self._followed.popitem(last=False)
            self.forgotten += 1
        return flow

    def find(self, pair: int) -> Followed | None:
        flow = self._followed.get(pair)
        if flow is not None:
            self._followed.move_to_end(pair)
        return flow

    def number(self, flow: Followed, at: int) -> int:
        """Its row in this segment, which is written again."""
        if flow.segment != self._segment:
            if flow.segment >= 0:
                flow.marks |= OLD | (BEGUN if flow.begun else 0)
                if flow.goes_on:
                    flow.protocol, flow.goes_on = flow.goes_on, ""
            flow.segment = self._segment
            flow.number = self._numbers
            self._numbers += 1
            flow.before = (flow.offsets[0], flow.offsets[1])
            flow.begin = flow.end = at
            flow.packets = flow.bytes = 0
            flow.cut_packets, flow.cut_bytes, flow.cut_end = [0, 0], [0, 0], [0, 0]
        self._touched[flow.number] = flow
        return flow.number

    def recognises(self, flow: Followed, payload: bytes) -> bool:
        """Whether the first payload alone says which protocol it is, as it mostly does: what a Detection would find."""
        first = flow.client or flow.lead
        client, server = (payload, b"") if flow.lead == first else (b"", payload)
        try:
            for dissector, most in self._asked[flow.transport]:
                if dissector.match(client[:most], server[:most]) is Match.YES:
                    flow.client = first
                    self.decided(flow, dissector.protocol, at_once=True)
                    return True
        except Exception:  # a plugin's bug is counted where it is dissected
            return False
        return False

    def detection(self, flow: Followed) -> Detection:
        transport = "tcp" if flow.transport == TCP else "udp"
        midstream = flow.syns[flow.lead - 1] is None
        return Detection(self._core, transport, oriented=flow.client != UNKNOWN, midstream=midstream)

    def decided(self, flow: Followed, protocol: str, *, at_once: bool) -> None:
        """The protocol is known; `at_once`: from the first payload of a half."""
        flow.protocol = protocol
        flow.kept = True
        turns = self._dissectors[protocol].turns
        if at_once:
            flow.turns = turns
        elif turns:  # a word that it turns at may be cut in two
            flow.marks |= UNSURE

    def undecided(self, flow: Followed) -> None:
        flow.kept = self.keep_all

    def _look_for_turns(self, columns: Columns, numbers: Ints) -> None:
        """A conversation that may go on in another protocol promises nothing any more."""
        touched = self._touched
        turning = [number for number, flow in touched.items() if flow.turns]
        if not turning:
            return
        words = {word for number in turning for word in touched[number].turns}
        find = columns.block.data.find
        for begin, end in _regions(columns, numbers, turning):
            for word in words:
                if (found := find(word, begin, end)) >= 0:
                    self._found_turn(word, columns, numbers, found, end)

    def _found_turn(self, word: bytes, columns: Columns, numbers: Ints, found: int, end: int) -> None:
        """A word stands in a block's bytes, and maybe again before `end`; one a packet is enough."""
        data, start = columns.block.data, columns.start
        while found >= 0:
            index = int(np.searchsorted(start, found, "right")) - 1
            flow = self._touched.get(int(numbers[index])) if index >= 0 else None
            if flow is not None and word in flow.turns:
                flow.marks |= UNSURE
                flow.goes_on = self._dissectors[flow.protocol].turned(columns.payload(index))
                if flow.goes_on:
                    flow.turns = ()
            index += 1
            found = data.find(word, max(found + 1, int(start[index])), end) if index < len(start) else -1


def _regions(columns: Columns, numbers: Ints, wanted: list[int]) -> list[tuple[int, int]]:
    """Where in a block's bytes there are payloads of these rows, and none of others."""
    chosen = np.zeros(max(wanted) + 2, np.bool_)
    chosen[wanted] = True
    full = np.flatnonzero(columns.length > 0)
    if not len(full):
        return []
    mine = chosen[np.minimum(numbers[full], len(chosen) - 1)]
    edges = np.flatnonzero(np.diff(mine, prepend=False, append=False))
    first, last = full[edges[::2]], full[edges[1::2] - 1]
    return list(zip(columns.start[first].tolist(), (columns.start[last] + columns.size[last]).tolist(), strict=True))
