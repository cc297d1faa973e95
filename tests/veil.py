"""A protocol that hides another one, as TLS does and much smaller: for tests of what carries and is carried.

Each half begins with a hello: `VEIL?` or `VEIL!`, four letters of a name, and a letter for the protocol within. Then
come records: `\\x16V`, the size of the plain text in two bytes, the plain text with every bit turned, three bytes of
tag; a size of 0 ends the half. The key for `name` is the secret VEIL of `name` eight times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pysniff.dissector import (
    Context,
    Dissector,
    Inside,
    InsideEnd,
    InsideGap,
    Malformed,
    Match,
    Output,
    Overhead,
    Undecoded,
    Within,
)
from pysniff.encryption import Encryption
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, Message, Role, Side
from pysniff.secrets import Secret

HELLO = 10
PROTOCOLS = {"h": "http", "2": "http2", "?": None, "x": "nobody-knows"}
_TURN = bytes(255 - byte for byte in range(256))


def hello(side: Side, name: str = "abcd", within: str = "?") -> bytes:
    return (b"VEIL?" if side is CLIENT else b"VEIL!") + f"{name}{within}".encode()


def record(plain: bytes) -> bytes:
    return b"\x16V" + len(plain).to_bytes(2, "big") + plain.translate(_TURN) + b"tag"


def records(plain: bytes, size: int) -> bytes:
    """The same in records of a size."""
    return b"".join(record(plain[at : at + size]) for at in range(0, len(plain), size))


END = record(b"")


def key(name: str = "abcd") -> Secret:
    return Secret("VEIL", name.encode() * 8, b"key")


class Hello(Message):
    __slots__ = ("name", "told")
    protocol = "veilx"

    def __init__(self, side: Side, at: int, name: str, told: str) -> None:
        super().__init__(side, at, at, 0, HELLO)
        self.name = name
        self.told = told

    @property
    def summary(self) -> str:
        return f"{self.name} {self.told}"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"name": self.name, "told": self.told}


class Asking(Hello):
    __slots__ = ()
    role = Role.REQUEST


class Answering(Hello):
    __slots__ = ()
    role = Role.RESPONSE


class _Half:
    def __init__(self) -> None:
        self.data = b""
        self.position = 0
        self.greeted = False
        self.over = False


class Veil(Dissector):
    protocol = "veil"
    gives = ("veilx",)
    decrypts = True
    begins_later = True

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self.halves = (_Half(), _Half())
        self.times = [0, 0]
        self.name = ""
        self.within = ""
        self.has_key: bool | None = None

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        whole = (client + b"VEIL?"[len(client) :])[:5] == b"VEIL?" and (server + b"VEIL!"[len(server) :])[
            :5
        ] == b"VEIL!"
        if not whole:
            return Match.NO
        return Match.YES if len(client) >= 5 or len(server) >= 5 else Match.UNSURE

    def begin(self, context: Context) -> Iterable[Output]:
        self.secrets, self.wait = context.secrets, context.wait
        return ()

    def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
        half = self.halves[side]
        half.data += data
        if not half.greeted:
            if len(half.data) < HELLO:
                return
            half.greeted = True
            self.times[side] = at
            self.name, self.within = half.data[5:9].decode("latin-1"), half.data[9:10].decode("latin-1")
            half.data = half.data[HELLO:]
            half.position = HELLO
        yield from self._go_on(side, at)

    def _go_on(self, side: Side, at: int) -> Iterator[Output]:
        half = self.halves[side]
        if not all(one.greeted for one in self.halves):
            return
        if self.has_key is None and half.data:
            self.has_key = self.secrets.find("VEIL", self.name.encode("latin-1") * 8) is not None
            self.waits = not self.has_key and not self.secrets.complete
            if self.waits:
                self.wait()
                self.has_key = None
                return
            if not self.has_key and not self.waits:
                self.sealed = Encryption(sni=self.name)
            told = "read" if self.has_key else "no key"
            yield Asking(Side.CLIENT, self.times[0], self.name, told)
            yield Answering(Side.SERVER, self.times[1], self.name, told)
            if self.has_key:
                yield Within(PROTOCOLS.get(self.within), Encryption(version="1.3", sni=self.name, key_source="toy"))
        if self.has_key is None:
            return
        while len(half.data) >= 4:
            if half.data[:2] != b"\x16V":
                raise Malformed("not a record")
            size = int.from_bytes(half.data[2:4], "big")
            if len(half.data) < size + 7:
                return
            plain = half.data[4 : 4 + size].translate(_TURN)
            bad = half.data[4 + size : size + 7] != b"tag"
            position = half.position + 4
            half.data = half.data[size + 7 :]
            half.position += size + 7
            if not self.has_key or bad:
                yield Undecoded(side, size + 7, "encrypted, no key" if not self.has_key else "bad record")
                if self.has_key:
                    yield InsideGap(side, size, at)
                continue
            yield Overhead(side, 7)
            if plain:
                yield Inside(side, plain, position, at)
            elif not half.over:
                half.over = True
                yield InsideEnd(side, at)

    def again(self, at: int) -> Iterator[Output]:
        for side in Side:
            yield from self._go_on(side, at)

    def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
        """It begins again with a record: whoever loses bytes in a test loses whole ones."""
        half = self.halves[side]
        if half.data:
            yield Undecoded(side, len(half.data), "cut by a gap")
            half.data = b""
        half.position += size
        if self.has_key:
            yield InsideGap(side, 0, at)

    def close(self, side: Side, at: int) -> Iterator[Output]:
        half = self.halves[side]
        left, half.data = half.data, b""
        left_hello = HELLO if half.greeted and self.has_key is None else 0
        half.greeted = half.greeted and not left_hello
        if left or left_hello:
            yield Undecoded(side, len(left) + left_hello, "cut")
        if self.has_key and not half.over:
            half.over = True
            yield InsideEnd(side, at)

    def pending(self, side: Side) -> int:
        half = self.halves[side]
        return len(half.data) + (HELLO if half.greeted and self.has_key is None else 0)
