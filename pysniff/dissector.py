"""What a protocol implements, and the law it keeps: docs/dissector.md teaches it.

Every byte that feed() takes comes back: in a Message, an Undecoded or an Overhead, or it is still pending().
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pysniff.encryption import Encryption
from pysniff.kept import FREE, Kept
from pysniff.limits import DEFAULT, Limits
from pysniff.message import Message, Side
from pysniff.secrets import Secrets

if TYPE_CHECKING:
    from pysniff.kfl.schema import Variable


class Match(Enum):
    """Whether the first bytes of a conversation are this protocol."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


class Malformed(Exception):
    """The dissector cannot go on with this conversation; what it gave so far stands."""


class Switch(NamedTuple):
    """The conversation goes on in another protocol.

    `protocol`: its name, or None to find out from the bytes. `client`, `server`: what the dissector
    took of each half and does not belong to it; those bytes are no longer pending(). `answer`: the response that
    agreed to it, given back right before.
    """

    protocol: str | None
    client: bytes = b""
    server: bytes = b""
    answer: Message | None = None


class Undecoded(NamedTuple):
    """Bytes of one half that belong to no message; `reason` is a word or two, the same for like cases."""

    side: Side
    size: int
    reason: str


class Overhead(NamedTuple):
    """Bytes of one half that the protocol needs for itself, understood and in no message: settings, window updates."""

    side: Side
    size: int


class Within(NamedTuple):
    """From here on the dissector carries another protocol, and gives its bytes as Inside.

    `protocol`: its name, or None to find out from the bytes. `encryption`: what protects it.
    """

    protocol: str | None
    encryption: Encryption


class Inside(NamedTuple):
    """The next bytes of the protocol within: they belong to that one now, and are no longer pending().

    `position`: where in the half they lie, counted as Message.position; `at`: when they came, as they may have waited.
    """

    side: Side
    data: bytes
    position: int
    at: int


class InsideGap(NamedTuple):
    """`size` bytes of the protocol within were lost here, 0: nobody knows how many. They count as nothing else."""

    side: Side
    size: int
    at: int


class InsideEnd(NamedTuple):
    """The protocol within says nothing more in this half."""

    side: Side
    at: int


Output = Message | Switch | Undecoded | Overhead | Within | Inside | InsideGap | InsideEnd
Receiver = Callable[[bytes, int], Iterable[Output]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a dissector may know before the first byte.

    `client`: its address; `server`: address and port; "" where nobody knows. `memory`: shared by the dissectors of one
    protocol in one Sniffer; who fills it bounds it. `request`, `response`: the exchange that switched to this protocol.
    `kept`: what messages keep of their bodies, in all conversations.
    `secrets`: what decrypts; a dissector that `waits` for some calls `wait` when it begins to, and is asked again once
    there are more. `remembering`: somebody is going to ask remember().
    """

    client: str = ""
    server: str = ""
    memory: dict[Hashable, Any] = field(default_factory=dict)
    request: Message | None = None
    response: Message | None = None
    at: int = 0
    secrets: Secrets = field(default_factory=Secrets)
    kept: Kept = field(default_factory=Kept)
    remembering: bool = False
    wait: Callable[[], None] = lambda: None


class Dissector(ABC):
    """Reads both halves of one conversation; holds no socket, file, clock or thread.

    TCP: feed() gets the bytes of a half in order, cut anywhere. UDP: each call is one datagram.
    Times are packet times in nanoseconds.
    """

    protocol: ClassVar[str]
    transport: ClassVar[str] = "tcp"
    # How many times Limits.detect_bytes match() may need of a half.
    patience: ClassVar[int] = 1
    # What filters may name of its messages; the protocol's name is a flag anyway.
    variables: ClassVar[Sequence[Variable]] = ()
    # The protocols of its messages, where it is not its own name alone.
    gives: ClassVar[tuple[str, ...]] = ()
    # Words on the wire without which it never gives a Switch: a store takes what has none for what it began as.
    turns: ClassVar[tuple[bytes, ...]] = ()

    # Whether what comes later cannot be read without what came before: then it has remember() and recall().
    remembers: ClassVar[bool] = False
    # Whether its messages tell names of addresses: then they have Message.names().
    names: ClassVar[bool] = False
    # Whether it may begin behind the words of a protocol that nobody recognises, as TLS behind STARTTLS.
    begins_later: ClassVar[bool] = False
    # Whether it needs secrets: then it may wait for them, and has again().
    decrypts: ClassVar[bool] = False
    # Whether bytes wait for secrets that nobody has told yet: set anew by every call.
    waits: bool = False
    # Once it is clear that what is within cannot be read: what is known of the encryption.
    sealed: Encryption | None = None

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits

    @classmethod
    @abstractmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        """Judge the first bytes of each half; either may be empty, neither is ever all there is.

        Called again with more bytes while the answer is UNSURE, and with the halves swapped where
        nobody knows who the client is: YES must hold for one way round only.
        """

    @classmethod
    def turned(cls, data: bytes) -> str:
        """The protocol that a conversation may go on in, by a packet's payload with one of `turns`; "" for any."""
        return ""

    def begin(self, context: Context) -> Iterable[Output]:
        """Called once, before anything is fed."""
        return ()

    @abstractmethod
    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        """Take the next bytes of one half; raise Malformed where going on makes no sense."""

    def receiver(self, side: Side) -> Receiver:
        """What feed() does with the bytes of one half: a dissector may have a shorter way to there."""
        return partial(self.feed, side)

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        """`size` bytes of one half were lost here (not counted by pending()); resynchronise, or raise.

        A size of 0: nobody knows how many, for the conversation was joined in the middle; called before feed().
        """
        if size:
            raise Malformed("bytes were lost")
        return ()

    def close(self, side: Side, at: int) -> Iterable[Output]:
        """One half has ended; give back everything still pending of it."""
        return ()

    def open(self) -> Iterable[Message]:
        """Messages that have begun and not ended, as they are now: copies, which later feeding leaves alone."""
        return ()

    def remember(self) -> bytes | None:
        """What it takes to go on from here, with both halves, where everything before is gone; None where that is
        nothing, or too much."""
        return None

    def recall(self, state: bytes) -> bool:
        """Go on from there: called behind begin(), once, before anything is fed; bytes that the state holds are
        pending() then, and lie before position 0. Whether nothing is missing that was known at the beginning.

        Raises Malformed for bytes that remember() did not give, as files may be anybody's; it is not used then.
        """
        raise Malformed("nothing was remembered")

    def weight(self) -> int:
        """About how many bytes of memory it takes that a peer can make more, without what counts in Context.kept."""
        most = self.limits.head_bytes + FREE
        return min(self.pending(Side.CLIENT), most) + min(self.pending(Side.SERVER), most)

    def relieve(self) -> None:  # noqa: B027  # most have nothing of the kind
        """Memory is short: let go of what only makes it faster."""

    def again(self, at: int) -> Iterable[Output]:
        """There are more secrets than before, or a second has passed, for a dissector that `waits`."""
        return ()

    @abstractmethod
    def pending(self, side: Side) -> int:
        """Bytes of one half taken and not yet given back."""
