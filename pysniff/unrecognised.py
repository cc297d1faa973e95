"""The entry of a conversation that no dissector recognised: how much, how often, when. Never silence."""

from __future__ import annotations

from typing import Any

from pysniff.message import Fault, Message, Role, Side


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
        many = "" if self.packets == 1 else "s"
        return f"{self.bytes} bytes in {self.packets} packet{many}"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"bytes": self.bytes, "packets": self.packets}
