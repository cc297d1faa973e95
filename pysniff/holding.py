"""What open conversations hold of what was said, and was not given yet: bounded for all of them together.

Those that hold most are given up. What one holds is estimated by itself (Conversation.weight); whether it is worth
asking all of them is told by the ledger: what is in no entry and in no reason is held, or was counted and not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from pysniff.core import Core
from pysniff.kept import MESSAGE
from pysniff.limits import KIB, MIB

# Bytes that go on to conversations between two looks at the ledger, unless the limit is small, and the part of it that
# may come to be held before all are asked.
_STEP = MIB
_PART = 16
# What a conversation is reckoned at in deciding when to ask them all: asking takes as long as reading that much.
_ASKING = 4 * KIB


class Weighed(Protocol):
    """A conversation, or what stands for it."""

    def weight(self) -> int:
        """About how many bytes of memory it holds that a peer may make more."""

    def relieve(self) -> None:
        """Let go of what only makes it faster."""


Some = TypeVar("Some", bound=Weighed)


class Holding:
    """`due`: when so many bytes have gone on to conversations, look again."""

    __slots__ = ("due", "_core", "_step", "_mark")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._step = min(_STEP, core.limits.held_open // (4 * _PART))
        self._mark = core.limits.held_open // _PART
        self.due = self._step

    def came(self) -> int:
        """Bytes that went on to conversations so far."""
        ledger = self._core.ledger
        return ledger.tcp_in_order + ledger.udp_delivered + ledger.plain_delivered

    def is_much(self) -> bool:
        """Whether so much more may be held than when all were asked that they should be asked again."""
        self.due = self.came() + self._step
        return self._most() > self._mark

    def lighten(self, every: Collection[Some], give_up: Callable[[Some], None]) -> None:
        """Ask them all; where it is too much, give up the heaviest, so that the others hold three quarters of it."""
        limit = self._core.limits.held_open
        weights = [(one.weight(), one) for one in every]
        total = sum([weight for weight, _ in weights])
        if total > limit:
            for one in every:
                one.relieve()
            weights = [(one.weight(), one) for one in every]
            total = sum([weight for weight, _ in weights])
        if total > limit:
            weights.sort(key=lambda each: -each[0])
            for weight, one in weights:
                if total <= limit * 3 // 4:
                    break
                total -= weight
                give_up(one)
        self._mark = self._most() + max((limit - total) // 4, limit // _PART, min(len(weights) * _ASKING, limit // 2))

    def _most(self) -> int:
        """No less than what is held, or about that; what was counted and not kept is in it, too."""
        ledger = self._core.ledger
        done = ledger.entry_bytes + ledger.overhead_bytes + ledger.unrecognised_bytes + sum(ledger.undecoded.values())
        waiting = ledger.requests - ledger.answered - ledger.unanswered
        return self.came() + ledger.recalled_bytes - done + waiting * MESSAGE + self._core.kept.beside
