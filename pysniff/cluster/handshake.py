"""The first frames of a connection: two Hellos that fit together, or a Bye."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from pysniff.cluster.frames import VERSION, Bye, Hello, Role, VersionError, decode, encode
from pysniff.cluster.packed import FrameError
from pysniff.errors import OptionError

# After these it may be tried again at once; after the others somebody must mend something first.
PASSING = frozenset(("silent", "lost", "closing", "again"))
CODES = PASSING | {
    *("version", "role", "name", "busy", "frame", "order", "unknown", "credit", "protocol"),
    *("token", "http", "tls", "internal"),  # never in a Bye
}


class Ending(NamedTuple):
    """Why a connection ended, or came to nothing; a peer's Bye may have a code that is not in CODES."""

    code: str
    message: str

    @property
    def refused(self) -> bool:
        """Whether trying again soon would change nothing."""
        return self.code not in PASSING

    @property
    def figure(self) -> str:
        """What counts it; peers cannot make up new ones."""
        return f"ended_{self.code if self.code in CODES else 'other'}"


class Refused(Exception):
    """The other side cannot be spoken with; `told`: it said so itself, and needs no Bye."""

    def __init__(self, code: str, message: str, *, told: bool = False) -> None:
        super().__init__(message)
        self.ending = Ending(code, message)
        self.told = told


def new_hello(role: Role, name: str, software: str, info: dict[str, object] | None = None) -> Hello:
    """The Hello of a process that begins to live; raise OptionError where `name` cannot be one."""
    hello = Hello(VERSION, role, name, secrets.token_hex(8), software, info or {})
    try:
        encode(hello)
    except FrameError as error:
        raise OptionError(f"{name!r} is no name for a {role}: {error.message}", hint="as host names are") from None
    return hello


def greeted(own: Hello, data: bytes) -> Hello:
    """The other side's Hello, of its first message; raise Refused."""
    try:
        frame = decode(data)
    except VersionError as error:
        raise Refused("version", error.message) from None
    except FrameError as error:
        raise Refused("frame", error.message) from None
    if isinstance(frame, Bye):
        raise Refused(frame.code, frame.message, told=True)
    if not isinstance(frame, Hello):
        raise Refused("protocol", f"{type(frame).__name__} came before Hello")
    if frame.role == own.role:
        raise Refused("role", f"both sides are a {own.role}")
    if frame.session == own.session:
        raise Refused("role", "this process speaks with itself")
    return frame
