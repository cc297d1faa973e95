"""Exchanges that stay open: shown while they are, and again when they have moved on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pysniff.core import Core
from pysniff.entry import Entry, Flow, place
from pysniff.message import Message, Role

# Open exchanges of one conversation that are shown.
_MOST = 1_000
Exchange = tuple[Message | None, Message | None]


def exchanges(waiting: Iterable[Message], begun: Iterable[Message]) -> Iterator[Exchange]:
    """Requests that wait, with the beginning of their answers, and messages that have only begun."""
    begun = list(begun)
    answers: dict[object, list[Message]] = {}
    for message in begun:
        if message.role is Role.RESPONSE:
            answers.setdefault(message.key, []).append(message)
    for request in (*waiting, *[message for message in begun if message.role is Role.REQUEST]):
        answer = answers.get(request.key)
        yield request, answer.pop(0) if answer else None
    for message in begun:
        if message.role is Role.ALONE:
            yield message, None
    for answer in answers.values():
        for message in answer:
            yield None, message


class Ongoing:
    """What one conversation has shown of its open exchanges: by position, the time of the last byte."""

    __slots__ = ("_core", "_flow", "_shown")

    def __init__(self, core: Core, flow: Flow) -> None:
        self._core = core
        self._flow = flow
        self._shown: dict[str, int] = {}

    def show(self, found: Iterable[Exchange], now: int, *, every: bool = False) -> int | None:
        """Make entries of what has been open for long enough and has moved on; when to look again.

        `every`: of what has not been open for long, too.
        """
        wait = self._core.limits.open_after
        before, self._shown = self._shown, {}  # what has ended is forgotten
        again: int | None = None
        for request, response in found:
            message = request or response
            assert message is not None
            due = message.first + wait
            if every or due <= now:
                due = now + wait
                if len(self._shown) < _MOST:
                    self._show(message, request, response, before)
            again = due if again is None else min(again, due)
        return again

    def _show(
        self, message: Message, request: Message | None, response: Message | None, before: dict[str, int]
    ) -> None:
        if message.role is Role.ALONE and message.is_answer:
            request, response = None, message
        last = max(part.last for part in (request, response) if part is not None)
        name = place(message)
        self._shown[name] = last
        if before.get(name) != last:
            self._core.ledger.open_entries += 1
            refine = self._core.refine.get(message.protocol)
            self._core.entries.append(
                Entry(self._flow, request, response, "open", (), refine, self._core.names.lessons)
            )
