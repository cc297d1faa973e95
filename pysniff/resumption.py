"""What somebody remembers of packets that are gone: a store drops the oldest, and leaves out what nobody recognises.

A conversation whose beginning is gone keeps its name and counts on: its ids are those that it would have had.
"""

from __future__ import annotations

from typing import NamedTuple


class Resumption(NamedTuple):
    """`key`, `first`, `seq` are those of Flow; a half is 0 where it sends as `key` says, 1 for the other one.

    `client`: the half of the client, None where nobody knows. `due`: the sequence number that comes next in each half,
    None where nobody knows; `offsets`: bytes that came before it. `protocol`: what it spoke, "" where nobody knows.
    `state`: of Dissector.remember() there, empty where there is none.
    """

    transport: str
    key: bytes
    first: int
    seq: int
    client: int | None
    due: tuple[int | None, int | None]
    offsets: tuple[int, int]
    protocol: str
    state: bytes = b""


class Absent(NamedTuple):
    """Packets of one end that were not kept: their number, their payload bytes, the time of the last."""

    packets: int
    bytes: int
    last: int
