"""One message of any protocol, as a dissector hands it to the core.

A protocol subclasses Message with its own fields; heads and bodies stay raw until somebody asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from enum import Enum, IntEnum
from typing import Any, ClassVar, NamedTuple

from pysniff.kept import FREE, MESSAGE, Share
from pysniff.limits import DEFAULT


class Side(IntEnum):
    """Who sent it. An IntEnum so that per-half state can live in a two-element list."""

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Side:
        return SERVER if self is CLIENT else CLIENT


CLIENT, SERVER = Side.CLIENT, Side.SERVER


class Role(Enum):
    """What it is in the dialogue; not the same as the side: a pushed request comes from the server."""

    REQUEST = "request"
    RESPONSE = "response"
    ALONE = "alone"


class Fault(NamedTuple):
    """Something that is odd, lost or unknown about an entry.

    `kind` is gap, malformed, unanswered, unrequested, truncated, midstream, inferred or overlap;
    `bytes` how many it concerns, 0 where that has no meaning.
    """

    kind: str
    message: str
    bytes: int = 0


# Bytes of a head, and of a body without a share.
_MOST = DEFAULT.head_bytes + FREE
# Faults of one message that are told apart.
_FAULTS = 16


def noted(faults: tuple[Fault, ...], fault: Fault) -> tuple[Fault, ...]:
    """These and one more; those alike are one, with all their bytes: a lossy download has thousands."""
    full = len(faults) >= _FAULTS
    for place, known in enumerate(faults):
        if known[:2] == fault[:2] or (full and known.kind == fault.kind):
            if not fault.bytes:
                return faults
            merged = known._replace(bytes=known.bytes + fault.bytes)
            return (*faults[:place], merged, *faults[place + 1 :])
    return (*faults, fault)


class Parts(ABC):
    """Whose the bytes of a half are where messages are interleaved, from the first byte of any message on."""

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[tuple[Hashable, int]]:
        """Take the next bytes; keys of messages, and how many bytes of the half are each one's. What cannot be told
        yet comes with a later call."""


class Message:
    """A request, a response, or a message that stands alone.

    `first` and `last`: packet times (ns) of its first and last byte. `position`: offset of its first
    byte since its side's first feed() or gap(), what was lost included. `size`: bytes on the wire, framing
    included, what was lost not. `share`: of what all messages keep, where this one keeps much; until it is given.
    """

    __slots__ = ("side", "first", "last", "position", "size", "faults", "share")

    protocol: ClassVar[str]
    role: ClassVar[Role]
    # Of a message alone: the half of the entry in which it stands, where that is not its sender's.
    stands_in: ClassVar[Role | None] = None
    # None: answered in order. Anything else: answered by the message with the same key.
    key: Hashable = None
    # Whose bytes come between its first and its last, where messages with keys are interleaved.
    parts: ClassVar[type[Parts] | None] = None
    # Of a request with a key: words that say why no answer can come, "" while one may.
    hopeless: str = ""

    side: Side
    first: int
    last: int
    position: int
    size: int
    faults: tuple[Fault, ...]
    share: Share | None  # unset unless it keeps much

    def __init__(
        self, side: Side, first: int, last: int, position: int, size: int, faults: tuple[Fault, ...] = ()
    ) -> None:
        self.side = side
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.faults = faults

    @property
    def is_answer(self) -> bool:
        """Of a message alone: whether it stands in the response of its entry."""
        return bool(self.side) if self.stands_in is None else self.stands_in is Role.RESPONSE

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        """`faults`, and those that only decoding finds: touching them decodes."""
        return self.faults

    def mentions(self, word: bytes) -> bool:
        """Whether the head may have `word` in it, as it is written here: quick, for it is asked of every message."""
        return True

    def weight(self) -> int:
        """About how many bytes of memory it takes while it waits to be given, without its `share`."""
        return MESSAGE + min(self.size, _MOST)

    @property
    def version(self) -> str:
        """Protocol version as it is commonly written, or ""."""
        return ""

    @property
    def summary(self) -> str:
        """One line without control characters: the method and path, the question, the command."""
        return ""

    @property
    def headline(self) -> str:
        """The summary with everything that fits a terminal's line."""
        return self.summary

    @property
    def status_text(self) -> str:
        """Of a response: its status as the protocol writes it, "" where there is none."""
        return ""

    @property
    def ok(self) -> bool:
        """Of a response: whether it reports success."""
        return True

    def names(self) -> Iterable[tuple[bytes, str]]:
        """Addresses (4 or 16 bytes) and what it says that they are called; asked once, of messages of a dissector that
        `names`."""
        return ()

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        """The protocol's record as in docs/schema.json; `body_limit` bytes kept of each body."""
        raise NotImplementedError


def printable(words: str) -> str:
    """The same on one line: what is not printable as \\x1b and the like."""
    if words.isprintable():
        return words
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in words])
