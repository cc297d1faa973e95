"""Merges captures into one by packet time; packets of one capture keep their order, whatever their times say."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from pysniff.capture import Idle
from pysniff.errors import ReadError
from pysniff.packet import Block

_Waiting = tuple[int, int, Block, int]  # time of its next packet, rank of its source, block, index of that packet


def merge(sources: Iterable[Iterable[Block | Idle]]) -> Iterator[Block | Idle]:
    """Yield the blocks of all, cut where another's packets come between; at equal times the earlier source first.

    A source that breaks off does not end the others: its ReadError is raised after them. A source that is
    quiet holds nobody up; Idle comes when all that are left are.
    """
    streams = [iter(source) for source in sources]
    waiting: list[_Waiting] = []
    quiet: dict[int, Idle] = {}
    broken: list[ReadError] = []

    def pull(rank: int) -> None:
        quiet.pop(rank, None)
        try:
            item = next(streams[rank], None)
            while isinstance(item, Block) and not item.records:
                item = next(streams[rank], None)
        except ReadError as error:
            broken.append(error)
            return
        if isinstance(item, Idle):
            quiet[rank] = item
        elif item is not None:
            heapq.heappush(waiting, (item.records[0][0], rank, item, 0))

    for rank in range(len(streams)):
        pull(rank)
    while waiting or quiet:
        for rank in list(quiet):
            pull(rank)
        if not waiting:
            if quiet:
                yield Idle(min(idle.time_ns for idle in quiet.values()))
            continue
        _, rank, block, start = heapq.heappop(waiting)
        end = _run(block, start, rank, waiting[0]) if waiting else len(block.records)
        whole = start == 0 and end == len(block.records)
        yield block if whole else Block(block.data, block.records[start:end], block.linktype, block.interface)
        if end < len(block.records):
            heapq.heappush(waiting, (block.records[end][0], rank, block, end))
        else:
            pull(rank)
    if broken:
        raise broken[0]


def _run(block: Block, start: int, rank: int, other: _Waiting) -> int:
    """Index behind the packets from `start` on that go before the other's next one."""
    records = block.records
    bound = other[0] if rank < other[1] else other[0] - 1
    for index in range(start + 1, len(records)):
        if records[index][0] > bound:
            return index
    return len(records)
