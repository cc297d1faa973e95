"""One way through a store with one Sniffer: what was read and left out, and the entries it gave."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from pysniff.entry import Entry
from pysniff.ledger import Ledger
from pysniff.packet import Block
from pysniff.plain import PlainChunk
from pysniff.resumption import Absent, Resumption
from pysniff.sniffer import Sniffer
from pysniff.store import tables
from pysniff.store.catalogue import Chapter
from pysniff.store.columns import Ints
from pysniff.store.directory import SegmentFiles
from pysniff.store.naming import Told
from pysniff.store.rows import BASE_A, BASE_B, BEGUN, OLD, UNKNOWN, A, key_of
from pysniff.store.selection import pieces
from pysniff.tcp import reverse

_MASK = 0xFFFFFFFF


class Passage:
    """Feeds a Sniffer the wanted packets of segment after segment, in the order of their capture.

    `time`: of the newest packet so far, left out or not. `last`, `position`: the segment that was read last, and how
    many of its packets.
    """

    def __init__(self, sniffer: Sniffer, notices: list[str] | None = None) -> None:
        self._sniffer = sniffer
        self.notices = [] if notices is None else notices
        self.packets_read = 0
        self.packets_pruned = 0
        self.packets_damaged = 0
        self.segments_dropped = 0
        self.packets_dropped = 0
        self.time = 0
        self.last: Chapter | None = None
        self.position = 0
        self._fed = 0
        self._names: set[int] = set()  # of the conversations that this has seen
        self._read: list[Chapter] = []
        self._tables: tuple[SegmentFiles | None, dict[bytes, Resumption]] = (None, {})
        # By conversation: what of the segment read last was left out, as it was told.
        self._cuts: dict[bytes, tuple[Absent, Absent]] = {}

    @property
    def ledger(self) -> Ledger:
        return self._sniffer.ledger

    def settled(self, before: int) -> bool:
        return self._sniffer.settled(before)

    def advance(self, time_ns: int) -> list[Entry]:
        return self._sniffer.advance(time_ns)

    def close(self) -> list[Entry]:
        """There is no more: everything that is open ends here."""
        return self._sniffer.advance(self.time) + self._sniffer.close()

    def leave(self, time_ns: int) -> list[Entry]:
        """There will be more: everything that is open is told as it stands, at this time or that of the newest
        packet."""
        return self._sniffer.advance(max(self.time, time_ns)) + self._sniffer.ongoing()

    def read(self, chapter: Chapter) -> Iterator[list[Entry]]:
        """Entries as the packets of a segment complete them, lists that may be empty."""
        same = self.last is not None and self.last.files == chapter.files
        position = self.position if same else 0
        if not same:
            self._cuts = {}
        self.last, self.position = chapter, len(chapter.index.offsets)
        numbers = chapter.numbers(position)
        self.packets_pruned += self.position - position - len(numbers)
        told = self._taught(chapter)
        self._resume(chapter)
        self._tell_cuts(chapter)
        yield from self._deliver(chapter, numbers, told)
        for one in told:
            yield self._teach(one)
        if len(chapter.index.offsets):
            self.time = max(self.time, chapter.index.latest)

    def _taught(self, chapter: Chapter) -> deque[Told]:
        """Teach the Sniffer the names that were known before what is read first; what packets of this one tell, where
        they are not read for that."""
        naming = chapter.names
        if naming is not None and not self._read:
            self._sniffer.learn(naming.before)
        return deque(naming.told or () if naming is not None and chapter.chosen is not None else ())

    def _teach(self, told: Told) -> list[Entry]:
        """What feeding that packet would do."""
        entries = self._sniffer.advance(told.clock)
        self._sniffer.learn((told.lesson,))
        return entries

    def missed(self, files: SegmentFiles) -> None:
        """A segment was dropped before it was looked at: nobody knows how many packets it had."""
        self.segments_dropped += 1
        self.notices.append(f"{files.packets.name} was dropped for newer packets before it was read")

    def read_again(self, chapter: Chapter, rows: np.ndarray, until: int | None) -> Iterator[list[Entry]]:
        """As read(), of some rows of a segment that was read before, up to a packet's number."""
        again = Chapter(chapter.files, chapter.index)
        again.choose(rows)
        numbers = again.numbers()
        numbers = numbers[chapter.index.flows[numbers] < len(rows)]  # the others were fed already
        if until is not None:
            numbers = numbers[numbers < until]
        self.packets_pruned -= len(numbers)
        self._resume(again)
        yield from self._deliver(again, numbers, deque())

    def _deliver(self, chapter: Chapter, numbers: Ints, told: deque[Told]) -> Iterator[list[Entry]]:
        """Feed packets, each behind what those before it told of names; that is taken from `told`."""
        delivered = heard = 0
        try:
            for piece in pieces(chapter.files, chapter.index, numbers):
                for block, places in piece.items(chapter.index):
                    delivered += len(places)
                    if not isinstance(block, Block):
                        heard += 1
                        while told and told[0].packet < places[0]:
                            yield self._teach(told.popleft())
                        yield self._hear(block, int(places[0]), chapter)
                        continue
                    begin = 0
                    while told and told[0].packet <= places[-1]:
                        stop = int(np.searchsorted(places, told[0].packet))
                        if stop > begin:
                            yield from self._feed(part(block, begin, stop), places[begin:stop], chapter)
                        yield self._teach(told.popleft())
                        begin = stop
                    yield from self._feed(part(block, begin, len(places)), places[begin:], chapter)
        except FileNotFoundError:
            self.segments_dropped += 1
            self.packets_dropped += len(numbers) - delivered
            self.notices.append(
                f"{chapter.files.packets.name} was dropped for newer packets while it was read: "
                f"{len(numbers) - delivered} of its packets are missing here"
            )
        else:
            damaged = len(numbers) - delivered
            if damaged:
                self.packets_damaged += damaged
                self.notices.append(f"{chapter.files.packets.name} is damaged: {damaged} packets cannot be read")
        self.packets_read += delivered - heard

    def _hear(self, chunk: PlainChunk, number: int, chapter: Chapter) -> list[Entry]:
        """Feed plain text, as _feed() does packets."""
        late, entries = chapter.index.late, []
        place = int(np.searchsorted(late["packet"], number))
        if place < len(late) and late["packet"][place] == number and late["after"][place] > self._fed:
            self._fed = int(late["after"][place])
            entries = self._sniffer.advance(self._fed)
        self._fed = max(self._fed, chunk.time_ns)
        self.time = max(self.time, self._fed)
        return entries + self._sniffer.feed_plain((chunk,))

    def _feed(self, block: Block, numbers: Ints, chapter: Chapter) -> Iterator[list[Entry]]:
        """Feed packets; before one that is late, let the time pass that had passed when it was captured.

        What is late in the index is older than some packet before it; the times of all others rise.
        """
        late = chapter.index.late
        if len(late):
            low = int(np.searchsorted(late["packet"], numbers[0], "left"))
            high = int(np.searchsorted(late["packet"], numbers[-1], "right"))
            late = late[low:high]
        begin = looked = 0
        for packet, after in zip(late["packet"].tolist(), late["after"].tolist(), strict=True) if len(late) else ():
            place = int(np.searchsorted(numbers, packet))
            if place >= len(numbers) or numbers[place] != packet:
                continue
            self._fed = max([self._fed, *[record[0] for record in block.records[looked:place]]])
            looked = place
            if after <= self._fed:
                continue
            yield self._some(block, begin, place) + self._sniffer.advance(after)
            self._fed, begin = after, place
        newest = max(record[0] for record in block.records[looked:]) if len(late) else block.records[-1][0]
        self._fed = max(self._fed, newest)
        yield self._some(block, begin, len(numbers))
        self.time = max(self.time, self._fed)

    def _some(self, block: Block, begin: int, stop: int) -> list[Entry]:
        return self._sniffer.feed_block(part(block, begin, stop)) if begin < stop else []

    def _resume(self, chapter: Chapter) -> None:
        """Tell of conversations whose beginning the store has dropped."""
        rows = chapter.index.rows
        wanted = rows["lead"] != UNKNOWN
        if chapter.chosen is not None:
            wanted &= chapter.chosen
        names = rows["name"].view(np.uint64)
        for place in np.flatnonzero(wanted & (rows["marks"] & OLD != 0)).tolist():
            begun = bool(rows["marks"][place] & BEGUN)
            if names[place] not in self._names and (begun or not self._has_seen(chapter, place)):
                known = resumption(rows[place], chapter.index.protocols)
                self._sniffer.resume(self._tables_of(chapter.files).get(rows["name"][place].tobytes(), known))
        self._names.update(names[wanted].tolist())
        # Where it was read before, this is the same, and more of it.
        self._read = [*(one for one in self._read if one.files != chapter.files), chapter]

    def resume(self, conversations: Iterable[Resumption]) -> None:
        """Tell of conversations that go on with what is read first."""
        for one in conversations:
            self._sniffer.resume(one)
            self._names.add(int(np.frombuffer(tables.name_of(one), np.uint64)[0]))

    def forget(self, oldest: int, going_on: set[int] | None = None) -> None:
        """Segments before `oldest` are gone: what is known of them alone is of no use any more.

        `going_on`: of the others nothing does but these conversations, and those of the segment read last.
        """
        kept = [one for one in self._read if one.files.number >= oldest]
        if going_on is None and len(kept) == len(self._read):
            return
        self._read = kept
        of = kept if going_on is None else [self.last] if self.last is not None else []
        names = [one.index.rows["name"].view(np.uint64).tolist() for one in of]
        self._names = set(going_on or ()).union(*names)

    def _tables_of(self, files: SegmentFiles) -> dict[bytes, Resumption]:
        if self._tables[0] != files:
            self._tables = files, tables.load(files)
        return self._tables[1]

    def _has_seen(self, chapter: Chapter, place: int) -> bool:
        """Whether the handshake of a conversation that had said nothing yet was read."""
        ends = chapter.ends()[place]
        return any(bool((one.ends() == ends).any()) for one in reversed(self._read) if one.files != chapter.files)

    def _tell_cuts(self, chapter: Chapter) -> None:
        """Tell of packets that the store left out."""
        rows = chapter.index.rows
        cut = (rows["cut_packets_a"] > 0) | (rows["cut_packets_b"] > 0)
        if chapter.chosen is not None:
            cut &= chapter.chosen
        for row in rows[cut]:
            a, b = (
                Absent(*(int(row[f"cut_{what}_{end}"]) for what in ("packets", "bytes", "end"))) for end in ("a", "b")
            )
            ends = (a, b) if row["lead"] == A else (b, a)
            name = row["name"].tobytes()
            if self._cuts.get(name) != ends:  # a conversation that is over is not told of again
                self._cuts[name] = ends
                self._sniffer.left_out(name.hex(), chapter.files.number, ends)


def part(block: Block, begin: int, stop: int) -> Block:
    """Some of its packets."""
    if stop - begin == len(block.records):
        return block
    return Block(block.data, block.records[begin:stop], block.linktype, block.interface)


def resumption(row: np.void, protocols: list[str]) -> Resumption:
    """How a conversation goes on at the beginning of a segment."""
    key, leads = key_of(row), int(row["lead"]) == A
    marks = int(row["marks"])
    offsets = [int(row["offset_a"]), int(row["offset_b"])]
    due = [
        (int(row[base]) + before) & _MASK if marks & mark else None
        for base, mark, before in (("base_a", BASE_A, offsets[0]), ("base_b", BASE_B, offsets[1]))
    ]
    client = int(row["client"])
    if not leads:
        key = reverse(key)
        offsets.reverse()
        due.reverse()
    return Resumption(
        "tcp" if row["transport"] == 6 else "udp",
        key,
        int(row["first"]),
        int(row["seq"]),
        None if client == UNKNOWN else int((client == A) != leads),
        (due[0], due[1]),
        (offsets[0], offsets[1]),
        protocols[int(row["protocol"])],
    )
