"""What waits for one client to read it: bounded.

History waits for the client (`room()`), new entries do not: the oldest are dropped, and it is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum

from pysniff.cluster.hub import messages
from pysniff.cluster.hub.messages import Message
from pysniff.limits import MIB

HISTORY = MIB  # bytes that wait before workers are not asked for more
LIVE = 8 * MIB  # bytes that wait before new entries are dropped
# Bytes of messages about workers, and of errors, that wait: a thousand nodes may come and go.
OTHERS = MIB
_SLOW = "this was too slow to read them"


class _Kind(Enum):
    HISTORY = 0
    LIVE = 1  # may be dropped
    OTHER = 2


class Outbox:
    """`put()` messages, `take()` them one by one. `missed`: entries dropped in all."""

    def __init__(self, *, history: int = HISTORY, live: int = LIVE, others: int = OTHERS) -> None:
        self._history, self._live, self._others = history, live, others
        self._waiting: deque[tuple[Message, _Kind]] = deque()
        self._bytes = 0
        self._others_waiting = 0
        self._untold = 0  # entries dropped, of which the client has not heard
        self._unsaid = 0  # and other messages
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._closed = False
        self.missed = 0

    @property
    def waiting(self) -> int:
        """Bytes that nobody has taken."""
        return self._bytes

    def put(self, message: Message, *, live: bool) -> None:
        """Entries; `live`: those that are dropped rather than kept waiting for."""
        if self._closed:
            return
        self._append(message, _Kind.LIVE if live else _Kind.HISTORY)
        while self._bytes > self._live and self._drop_oldest():
            pass

    def say(self, data: bytes, *, vital: bool = False) -> None:
        """Anything else; beyond the bound it is dropped, unless it is vital: one for each question."""
        if self._others_waiting + len(data) > self._others and not vital:
            self._unsaid += 1
        elif not self._closed:
            self._others_waiting += len(data)
            self._append(Message(data, 0), _Kind.OTHER)

    async def room(self) -> None:
        """Wait until a client has read enough that history may go on."""
        await self._emptied.wait()

    async def take(self) -> Message | None:
        """The next message; None once it is closed and empty."""
        while not (self._waiting or self._untold or self._unsaid):
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        if self._untold:
            count, self._untold = self._untold, 0
            return Message(messages.missed(count, "slow"), 0)
        if self._unsaid and not self._others_waiting:
            count, self._unsaid = self._unsaid, 0
            text = f"{count} messages about workers: {_SLOW}"
            return Message(messages.status("", "dropped", text, severity="warning"), 0)
        message, kind = self._waiting.popleft()
        self._less(message, kind)
        return message

    def clear(self) -> None:
        """Another question was asked: what waits is of no use."""
        self._waiting.clear()
        self._bytes = self._others_waiting = self._untold = self._unsaid = 0
        self._emptied.set()

    def close(self) -> None:
        """Nothing is put in any more; nobody waits."""
        self._closed = True
        self._filled.set()
        self._emptied.set()

    def _append(self, message: Message, kind: _Kind) -> None:
        self._waiting.append((message, kind))
        self._bytes += len(message.data)
        self._filled.set()
        if self._bytes > self._history:
            self._emptied.clear()

    def _less(self, message: Message, kind: _Kind) -> None:
        self._bytes -= len(message.data)
        if kind is _Kind.OTHER:
            self._others_waiting -= len(message.data)
        if self._bytes <= self._history:
            self._emptied.set()

    def _drop_oldest(self) -> bool:
        for place, (message, kind) in enumerate(self._waiting):
            if kind is _Kind.LIVE:
                del self._waiting[place]
                self._less(message, kind)
                self.missed += message.entries
                self._untold += message.entries
                return True
        return False
