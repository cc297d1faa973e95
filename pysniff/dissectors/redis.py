"""Redis: commands and replies in RESP2 and RESP3, pipelined, with pushes, without heads.

Replies come in the order of the commands. What the server sends unasked (published messages, RESP3
pushes, MONITOR) stands alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar

from pysniff.dissector import Context, Dissector, Malformed, Match, Output, Undecoded
from pysniff.dissectors.redis_match import begins, judge
from pysniff.dissectors.redis_messages import ITEM, RedisCommand, RedisPush, RedisReply, RedisUnanswered
from pysniff.dissectors.redis_variables import VARIABLES
from pysniff.dissectors.resp import Reader
from pysniff.dissectors.resp_values import Found, Value
from pysniff.kept import Kept
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, Fault, Side

# Confirmations name the command, one for each channel.
_SUBSCRIBE = (b"subscribe", b"psubscribe", b"ssubscribe")
_CONFIRMED = (*_SUBSCRIBE, b"unsubscribe", b"punsubscribe", b"sunsubscribe")
_PUBLISHED = {b"message": 3, b"pmessage": 4, b"smessage": 3}
_MONITOR_LINE = re.compile(rb"\d+\.\d{6} \[\d+ ")
_GUESS = Fault("inferred", "the first bytes after a loss that look like a reply; they may be part of a longer one")


_MANY = 64  # items of a command that take more than their bytes tell
_AWAITED = 100  # bytes that one takes


class _Awaited:
    """A command that is answered otherwise than by one reply. `left`: confirmations still to come."""

    __slots__ = ("word", "left", "answered")

    def __init__(self, word: bytes, left: int) -> None:
        self.word = word
        self.left = left
        self.answered = False


class Redis(Dissector):
    """Both halves of a connection to a Redis server.

    After a gap that swallows the end of a message, the next chunk that begins like one is where reading
    goes on; the core decides what still can be paired.
    """

    protocol: ClassVar[str] = "redis"
    variables = VARIABLES

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._kept = Kept(limits)
        self._readers = (Reader(limits, True), Reader(limits, False))
        self._astray = [False, False]
        self._open = 0  # commands without their reply, as far as seen
        self._awaited: deque[_Awaited] = deque()
        self._subscribed = False
        self._monitoring = False
        self._silent = False
        self._skip = 0
        self._replica = False
        self._guess = False  # the replies that follow may be items of an array whose beginning was lost

    def begin(self, context: Context) -> Iterable[Output]:
        self._kept = context.kept
        for reader in self._readers:
            reader.kept = context.kept
        return ()

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        return judge(client, server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
        reader = self._readers[side]
        if self._astray[side] and data:
            if not begins(side, data):
                reader.skip(len(data))
                yield Undecoded(side, len(data), "after a gap")
                return
            self._astray[side] = False
            self._guess = self._guess or side is not CLIENT
        for found in reader.feed(data, at):
            yield self._command(found, side) if side is CLIENT else self._reply(found, side)
            if self._replica and side is not CLIENT:
                raise Malformed("a replication stream follows")

    def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
        reader = self._readers[side]
        if not self._astray[side] and reader.gap(size):
            return
        self._astray[side] = True
        self._open = 0
        self._awaited.clear()
        yield from self._drop(side, "gap")
        reader.skip(size)

    def close(self, side: Side, at: int) -> Iterator[Output]:
        yield from self._drop(side, "cut off")

    def _drop(self, side: Side, reason: str) -> Iterator[Output]:
        size = self._readers[side].drop()
        if size:
            yield Undecoded(side, size, reason)

    def pending(self, side: Side) -> int:
        return self._readers[side].pending()

    def weight(self) -> int:
        return sum([reader.weight() for reader in self._readers]) + _AWAITED * len(self._awaited)

    def _command(self, found: Found, side: Side) -> RedisCommand:
        items = found.value.items
        # A client that waits for one answer before it sends on: the server's next byte begins a reply.
        self._guess = self._guess and self._readers[1].pending() > 0
        if len(items) > _MANY:
            self._kept.beside += ITEM * len(items)
        word = items[0].text.lower() if items else b""
        if word == b"client" and len(items) > 2 and items[1].text.lower() == b"reply":
            mode = items[2].text.lower()
            self._silent = mode == b"off"
            self._skip = 2 if mode == b"skip" else 0
        if self._silent or self._skip:
            self._skip = max(self._skip - 1, 0)
            return RedisUnanswered(found, side)
        if word in _CONFIRMED:
            self._subscribed |= word in _SUBSCRIBE
            self._awaited.append(_Awaited(word, max(found.value.size - 1, 1)))
            if len(self._awaited) > self.limits.pipeline:
                self._awaited.popleft()
        self._monitoring |= word == b"monitor"
        self._replica |= word in (b"psync", b"sync")
        self._open += 1
        return RedisCommand(found, side)

    def _reply(self, found: Found, side: Side) -> RedisReply:
        answer = self._is_answer(found.value)
        if answer:
            self._open = max(self._open - 1, 0)
        reply = RedisReply(found, side) if answer else RedisPush(found, side)
        if self._guess:
            reply.faults += (_GUESS,)
        return reply

    def _is_answer(self, value: Value) -> bool:
        kind, items = value.kind, value.items
        if kind == "simple_string":
            asked = self._open and not self._monitoring
            return bool(asked) or not _MONITOR_LINE.match(value.text)
        if kind not in ("push", "array"):
            return True
        word = items[0].text if items else b""
        if word in _CONFIRMED and len(items) == 3 and items[2].kind == "integer":
            answers = self._confirms(word)
            if answers is not None:
                return answers
        if kind == "push":
            return False
        # RESP2 has no type for what was published: it looks like any array.
        published = _PUBLISHED.get(word) == len(items) and (self._subscribed or not self._open)
        return not published

    def _confirms(self, word: bytes) -> bool | None:
        """Whether this is the first confirmation of a command; later ones stand alone. None: of no command."""
        awaited = self._awaited
        while awaited and awaited[0].answered and awaited[0].word != word:
            awaited.popleft()
        if not awaited or awaited[0].word != word:
            return False if self._subscribed or not self._open else None
        first = not awaited[0].answered
        awaited[0].answered = True
        awaited[0].left -= 1
        if awaited[0].left <= 0:
            awaited.popleft()
        return first
