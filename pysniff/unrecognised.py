"""The entry of a conversation that no dissector recognised: how much, how often, when. Never silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pysniff.core import Core
from pysniff.entry import Entry, Flow
from pysniff.message import Fault, Message, Role, Side
from pysniff.resumption import Absent


class Transfer(Message):
    """One half: `bytes` of payload and the `packets` that carried it."""

    __slots__ = ("protocol", "bytes", "packets")

    role = Role.ALONE

    def __init__(self, protocol: str, side: Side) -> None:
        super().__init__(side, 0, 0, 0, 0)
        self.protocol = protocol  # type: ignore[misc]  # tcp or udp: one class serves both
        self.bytes = 0
        self.packets = 0

    def add(self, packets: int, size: int, first: int, last: int) -> None:
        if not packets:
            return
        if not self.packets:
            self.first = first
        self.last = last
        self.packets += packets
        self.bytes += size
        self.size += size

    def copy(self, faults: tuple[Fault, ...]) -> Transfer:
        copy = Transfer(self.protocol, self.side)
        copy.add(self.packets, self.bytes, self.first, self.last)
        copy.position = self.position
        copy.faults = faults
        return copy

    @property
    def summary(self) -> str:
        size, packets = _many(self.bytes, "byte"), _many(self.packets, "packet")
        return f"{size} in {packets}"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"bytes": self.bytes, "packets": self.packets}


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class Counted(Protocol):
    """What a half counts by itself once nobody is interested in its bytes."""

    packets: int
    bytes: int
    first: int
    last: int

    def place(self, offset: int) -> int:
        """As of halves.Half."""


class Unrecognised:
    """A conversation that nobody knows: `seen` of each half, client first, before that was clear."""

    __slots__ = ("_core", "_flow", "_seen")

    def __init__(self, core: Core, flow: Flow, seen: tuple[Transfer, Transfer], positions: Sequence[int]) -> None:
        self._core = core
        self._flow = flow
        self._seen = seen
        for half, position in zip(seen, positions, strict=True):
            half.position = position

    def add(self, side: Side, size: int, at: int) -> None:
        """Bytes of a half that did not know yet that it counts by itself."""
        self._core.ledger.unrecognised_bytes += size
        self._seen[side].add(1, size, at, at)

    def show(self, halves: Sequence[Counted], state: str, faults: tuple[Fault, ...], *, left_out: bool = True) -> None:
        """Make it an entry, with what the halves counted since.

        `left_out`: with what was not kept: it is told ahead of its time, so not while more is to come.
        """
        parts = []
        for seen, half in zip(self._seen, halves, strict=True):
            part = seen.copy(())
            part.add(half.packets, half.bytes, half.first, half.last)
            part.position = half.place(part.position)
            for absent in self._absent(seen.side) if left_out else ():
                part.add(absent.packets, absent.bytes, absent.last, max(absent.last, part.last))
            parts.append(part if part.packets else None)
        request, response = parts
        message = request or response
        if message is None:
            return
        message.faults = faults
        ledger = self._core.ledger
        if state == "closed":
            self._core.left_out.pop(self._flow.name, None)
            ledger.unrecognised += 1
            ledger.entries += 1
        else:
            ledger.open_entries += 1
        self._core.entries.append(Entry(self._flow, request, response, state, lessons=self._core.names.lessons))

    def _absent(self, side: Side) -> list[Absent]:
        """What was not kept of a half."""
        if not self._core.left_out:
            return []
        end = int(side) ^ self._flow.flipped
        return [ends[end] for ends in self._core.left_out.get(self._flow.name, {}).values()]
