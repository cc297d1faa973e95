"""A conversation with one dissector, written down as a transcript.

Every call checks the law of dissector.py: what was fed came back, or is pending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pysniff.dissector import (
    Context,
    Dissector,
    Inside,
    InsideEnd,
    InsideGap,
    Malformed,
    Output,
    Overhead,
    Switch,
    Undecoded,
    Within,
)
from pysniff.message import CLIENT, SERVER, Message, Role, Side


class Talk:
    """Feeds a dissector and collects what it gives. Time starts at 1 s and goes on 1 ms a call.

    `malformed`: what Malformed said; afterwards nothing more is fed, as in the core. `carried`: what it gave of a
    protocol within.
    """

    def __init__(self, dissector: Dissector, context: Context | None = None) -> None:
        self.dissector = dissector
        self.now = 1_000_000_000
        self.messages: list[Message] = []
        self.switches: list[Switch] = []
        self.undecoded: list[Undecoded] = []
        self.within: Within | None = None
        self.carried: list[Inside | InsideGap | InsideEnd] = []
        self.malformed: str | None = None
        self._fed = [0, 0]
        self._back = [0, 0]
        for output in dissector.begin(context or Context()):
            self._take(output)

    @property
    def requests(self) -> list[Message]:
        return [message for message in self.messages if message.role is Role.REQUEST]

    @property
    def responses(self) -> list[Message]:
        return [message for message in self.messages if message.role is Role.RESPONSE]

    @property
    def alone(self) -> list[Message]:
        return [message for message in self.messages if message.role is Role.ALONE]

    def client(self, *pieces: bytes) -> Talk:
        for piece in pieces:
            self.feed(CLIENT, piece)
        return self

    def server(self, *pieces: bytes) -> Talk:
        for piece in pieces:
            self.feed(SERVER, piece)
        return self

    def feed(self, side: Side, data: bytes) -> None:
        if self.malformed is None:
            self._fed[side] += len(data)
            self._call(lambda: self.dissector.feed(side, data, self.now))

    def gap(self, side: Side, size: int) -> Talk:
        if self.malformed is None:
            self._call(lambda: self.dissector.gap(side, size, self.now))
        return self

    def close(self, *sides: Side) -> Talk:
        """End the halves (both, unless named); an ended half has nothing pending."""
        if self.malformed is not None:
            return self
        for side in sides or (CLIENT, SERVER):
            self._call(lambda: self.dissector.close(side, self.now))  # noqa: B023 - called at once
            if self.malformed is None:
                assert self.dissector.pending(side) == 0, "pending after close"
        return self

    def _call(self, call: Callable[[], Iterable[Output]]) -> None:
        self.now += 1_000_000
        try:
            for output in call():
                self._take(output)
        except Malformed as error:
            self.malformed = str(error)
        self.check()

    def _take(self, output: Output) -> None:
        if isinstance(output, Message):
            assert output.size > 0 and output.first <= output.last <= self.now
            self.messages.append(output)
            self._back[output.side] += output.size
        elif isinstance(output, Overhead):
            assert output.size > 0
            self._back[output.side] += output.size
        elif isinstance(output, Undecoded):
            assert output.size > 0 and output.reason
            self.undecoded.append(output)
            self._back[output.side] += output.size
        elif isinstance(output, Within):
            assert self.within is None, "within comes once"
            self.within = output
        elif isinstance(output, (Inside, InsideGap, InsideEnd)):
            self._carry(output)
        else:
            self.switches.append(output)
            self._back[CLIENT] += len(output.client)
            self._back[SERVER] += len(output.server)

    def _carry(self, output: Inside | InsideGap | InsideEnd) -> None:
        """What is carried comes behind Within, in the order of its places, and none behind its end."""
        assert self.within is not None
        assert output.at <= self.now
        before = [one for one in self.carried if one.side is output.side]
        assert not before or not isinstance(before[-1], InsideEnd)
        if isinstance(output, Inside):
            assert output.data
            places = [one for one in before if isinstance(one, Inside)]
            assert not places or places[-1].position + len(places[-1].data) <= output.position
            self._back[output.side] += len(output.data)
        self.carried.append(output)

    def plain(self, side: Side) -> bytes:
        """The bytes of the protocol within."""
        return b"".join([one.data for one in self.carried if isinstance(one, Inside) and one.side is side])

    def check(self) -> None:
        """The law, for both halves."""
        for side in (CLIENT, SERVER):
            pending = self.dissector.pending(side)
            assert pending >= 0
            assert self._fed[side] == self._back[side] + pending, f"{side.name}: bytes got lost or were invented"


Step = tuple[Side, bytes]


def played(make: Callable[[], Dissector], steps: Iterable[Step]) -> Talk:
    """A transcript fed as it stands, then closed."""
    talk = Talk(make())
    for side, data in steps:
        talk.feed(side, data)
    return talk.close()


def in_bytes(steps: Iterable[Step]) -> list[Step]:
    """The transcript byte by byte."""
    return [(side, data[at : at + 1]) for side, data in steps for at in range(len(data))]


def cut(steps: Iterable[Step], sizes: Sequence[int]) -> list[Step]:
    """The transcript in pieces of these sizes, taken round and round."""
    pieces: list[Step] = []
    turn = 0
    for side, data in steps:
        while data:
            size = max(1, sizes[turn % len(sizes)])
            pieces.append((side, data[:size]))
            data = data[size:]
            turn += 1
    return pieces


def records(talk: Talk) -> list[tuple[object, ...]]:
    """What a talk came to, times apart: equal for every way of cutting it."""
    found: list[tuple[object, ...]] = [
        (
            message.side,
            message.role,
            message.position,
            message.size,
            message.key,
            message.summary,
            message.status_text,
            message.ok,
            message.faults,
            message.to_dict(1 << 20),
        )
        for message in talk.messages
    ]
    return [*found, ("malformed", talk.malformed)]
