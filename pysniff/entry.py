"""One API call as users get it: a request paired with its response, decoded when touched.

Docs: docs/schema.json describes to_dict(). An emitted entry never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, NamedTuple

from mypy_extensions import mypyc_attr

from pysniff.encryption import Encryption
from pysniff.limits import MIB, SECOND
from pysniff.message import CLIENT, SERVER, Fault, Message, Role, Side

SCHEMA = 1
Refine = Callable[[Message | None, Message | None], tuple[Message | None, Message | None]]
# Worst first: what an entry's completeness says when it has several faults.
_INCOMPLETE = ("gap", "truncated", "midstream", "inferred")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = 1 << 62  # lessons
_YEARS = range(-62_135_596_800 * SECOND, 253_402_300_800 * SECOND)  # 1 to 9999, which RFC 3339 can write


class Endpoint(NamedTuple):
    """One end of a conversation; `name` is "" until somebody knows one."""

    ip: str
    port: int
    name: str = ""

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@mypyc_attr(native_class=False)
class Called:
    """What an address is called from a time on; set once, where nobody knew it before (names.py).

    `since`: the number of the lesson in which it was learnt: entries made before that do not have it.
    """

    __slots__ = ("name", "time_ns", "since", "__weakref__")

    def __init__(self) -> None:
        self.name = ""
        self.time_ns = 0
        self.since = _NEVER


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Flow:
    """Who talks to whom; named at its first packet, for good.

    `key` is that of the first packet (addresses and ports of sender and receiver, as on the wire),
    `first` its time, `seq` the TCP sequence number of its first byte. `flipped`: the first sender turned out to
    be the server. `given` and `called`: what the ends of `key` are called, by sources and by traffic.
    `encryption`: out of which its entries are read, if any.
    """

    __slots__ = (
        "transport", "key", "first", "node", "capture_source", "seq", "flipped", "given", "called", "encryption",
        "_name", "_ends", "_named",
    )  # fmt: skip

    def __init__(self, transport: str, key: bytes, first: int, node: str, capture_source: str, seq: int = 0) -> None:
        self.transport = transport
        self.key = key
        self.first = first
        self.node = node
        self.capture_source = capture_source
        self.seq = seq
        self.flipped = False
        self.given = ("", "")
        self.called: tuple[Called, Called] | None = None
        self.encryption: Encryption | None = None
        self._name = ""
        self._ends: tuple[Endpoint, Endpoint] | None = None
        self._named: tuple[tuple[str, str], tuple[Endpoint, Endpoint]] | None = None

    @property
    def name(self) -> str:
        """16 hex digits that follow from the first packet alone."""
        if not self._name:
            # Times alone do not tell connections apart where a capture has none.
            number = self.first.to_bytes(16, "big", signed=True) + self.seq.to_bytes(4, "big")
            identity = self.key + self.transport.encode() + number
            self._name = blake2b(identity, digest_size=8).hexdigest()
        return self._name

    @property
    def ends(self) -> tuple[Endpoint, Endpoint]:
        """Client, server; without names."""
        if self._ends is None:
            key = self.key
            size = (len(key) - 4) // 2
            family = AF_INET if size == 4 else AF_INET6
            source = Endpoint(inet_ntop(family, key[:size]), int.from_bytes(key[-4:-2], "big"))
            target = Endpoint(inet_ntop(family, key[size : 2 * size]), int.from_bytes(key[-2:], "big"))
            self._ends = (target, source) if self.flipped else (source, target)
        return self._ends

    def named(self, lessons: int) -> tuple[Endpoint, Endpoint]:
        """Client, server; with the names that were known after so many lessons."""
        if self.called is None:
            return self.ends
        learnt = self.resolved(lessons)
        if self._named is None or self._named[0] != learnt:
            given = self.given[::-1] if self.flipped else self.given
            client, server = self.ends
            names = given[0] or learnt[0], given[1] or learnt[1]
            self._named = learnt, (client._replace(name=names[0]), server._replace(name=names[1]))
        return self._named[1]

    def resolved(self, lessons: int) -> tuple[str, str]:
        """Client, server: the names among these that traffic told."""
        if self.called is None:
            return "", ""
        one, other = self.called
        names = one.name if one.since <= lessons else "", other.name if other.since <= lessons else ""
        return names[::-1] if self.flipped else names


def _date(time_ns: int) -> datetime:
    """The nearest that can be written: a capture may claim any year."""
    known = min(max(time_ns, _YEARS[0]), _YEARS[-1])
    return _EPOCH + timedelta(microseconds=known // 1000)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return _date(seconds * SECOND).isoformat()[:19]


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds."""
    seconds, fraction = divmod(time_ns, SECOND)
    return f"{_second(seconds)}.{str(SECOND + fraction)[1:]}Z"  # nine digits: formats cost twice as much


def _completeness(faults: tuple[Fault, ...]) -> str:
    kinds = {fault.kind for fault in faults}
    return next((kind for kind in _INCOMPLETE if kind in kinds), "complete")


def place(message: Message) -> str:
    """The last part of an entry's id: the offset of its first byte, with s in the server's half."""
    digits = hex(message.position)[2:].zfill(8)
    return f"s{digits}" if message.side else digits


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Entry:
    """A finished or still open exchange. Read-only; heads and bodies are decoded when touched.

    `lessons`: how many names of addresses were known when it was made (names.py).
    """

    __slots__ = ("_flow", "_request", "_response", "_state", "_faults", "_refine", "_lessons")

    def __init__(
        self,
        flow: Flow,
        request: Message | None,
        response: Message | None,
        state: str,
        faults: tuple[Fault, ...] = (),
        refine: Refine | None = None,
        lessons: int = 0,
    ) -> None:
        self._flow = flow
        self._request = request
        self._response = response
        self._state = state
        self._faults = faults
        self._refine = refine  # until somebody touches what it may change
        self._lessons = lessons

    @property
    def request(self) -> Any:
        """The request's Message (http: .method .url .headers .body ...), or None where only its answer was seen."""
        if self._refine is not None:
            self._settle()
        return self._request

    @property
    def response(self) -> Any:
        """The response's Message, or None."""
        if self._refine is not None:
            self._settle()
        return self._response

    @property
    def carried_request(self) -> Message | None:
        """The request, perhaps not refined yet: cheaper, for whom what a refinement leaves as it is will do."""
        return self._request

    @property
    def carried_response(self) -> Message | None:
        """The response in the same way."""
        return self._response

    def _settle(self) -> None:
        """Let a refinement have its say; it depends on the two messages alone, so it does not matter when."""
        refine, self._refine = self._refine, None
        assert refine is not None
        self._request, self._response = refine(self._request, self._response)

    @property
    def _message(self) -> Message:
        message = self.request or self._response
        assert isinstance(message, Message)
        return message

    @property
    def _first(self) -> Message:
        """The same, refined or not: time and place are equal."""
        message = self._request or self._response
        assert message is not None
        return message

    @property
    def id(self) -> str:
        """URL-safe: node, flow, position of the first byte (s: in the server's half)."""
        return f"{self._flow.node}.{self._flow.name}.{place(self._first)}"

    @property
    def stream(self) -> str:
        return self._flow.name

    @property
    def protocol(self) -> str:
        return self._message.protocol

    @property
    def version(self) -> str:
        return self._message.version

    @property
    def time_ns(self) -> int:
        """Packet time of the first byte."""
        return self._first.first

    @property
    def timestamp(self) -> datetime:
        """The same, in UTC with microseconds."""
        return _date(self.time_ns)

    @property
    def completed_ns(self) -> int:
        """Packet time of the last byte seen."""
        request, response = self._request, self._response
        if response is None:
            return self._first.last
        return response.last if request is None else max(response.last, request.last)

    @property
    def elapsed_time(self) -> int | None:
        """Whole microseconds from the first byte of the request to the last of the response."""
        if self._request is None or self._response is None:
            return None
        return max(0, self._response.last - self._request.first) // 1000

    @property
    def src(self) -> Endpoint:
        """The client."""
        return self._flow.named(self._lessons)[0]

    @property
    def dst(self) -> Endpoint:
        """The server."""
        return self._flow.named(self._lessons)[1]

    @property
    def resolved(self) -> tuple[str, str]:
        """What answers of DNS call client and server, whatever else their names are; "" where nothing was seen."""
        return self._flow.resolved(self._lessons)

    @property
    def transport(self) -> str:
        """tcp or udp."""
        return self._flow.transport

    @property
    def sender_key(self) -> bytes:
        """Addresses and ports of the conversation's first packet, as Segment.key has them."""
        return self._flow.key

    @property
    def first_side(self) -> Side:
        """Who sent that packet."""
        return SERVER if self._flow.flipped else CLIENT

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self._flow.node,)

    @property
    def capture_source(self) -> str:
        return self._flow.capture_source

    @property
    def tls(self) -> Encryption | None:
        """What it was read out of, if it was encrypted."""
        return self._flow.encryption

    @property
    def status(self) -> str:
        response = self.response
        return "" if response is None else str(response.status_text)

    @property
    def ok(self) -> bool:
        """Answered, and the answer reports success; or a message alone that is no failure."""
        response = self.response
        if response is not None:
            return bool(response.ok)
        return self._first.role is Role.ALONE and self._first.ok

    @property
    def summary(self) -> str:
        return self._message.summary

    @property
    def headline(self) -> str:
        """The summary and more, for a line that people read: of HTTP the query too."""
        return self._message.headline

    @property
    def state(self) -> str:
        """open or closed; a closed entry replaces the open one with the same id."""
        return self._state

    @property
    def faults(self) -> tuple[Fault, ...]:
        if self._refine is not None:
            self._settle()
        faults = self._faults
        if self._request is not None:
            faults += self._request.every_fault
        if self._response is not None:
            faults += self._response.every_fault
        return faults

    @property
    def completeness(self) -> str:
        """complete, gap, truncated, midstream or inferred."""
        return _completeness(self.faults)

    def to_dict(self, body_limit: int = MIB) -> dict[str, Any]:
        """The entry as JSON types; `body_limit` bytes kept of each body."""
        request, response = self.request, self.response
        source, target = self._flow.named(self._lessons)
        name = self._flow.name
        message = self._message
        faults = self.faults
        encryption = self._flow.encryption
        return {
            "schema": SCHEMA,
            "id": f"{self._flow.node}.{name}.{place(message)}",
            "stream": name,
            "protocol": message.protocol,
            "version": message.version,
            "timestamp": rfc3339(message.first),
            "completed": rfc3339(self.completed_ns) if self._state == "closed" else None,
            "elapsed_time": self.elapsed_time,
            "src": {"ip": source.ip, "port": source.port, "name": source.name},
            "dst": {"ip": target.ip, "port": target.port, "name": target.name},
            "nodes": [self._flow.node],
            "capture_source": self._flow.capture_source,
            "tls": None if encryption is None else encryption.to_dict(),
            "status": self.status,
            "ok": self.ok,
            "summary": message.summary,
            "state": self._state,
            "request": None if request is None else request.to_dict(body_limit),
            "response": None if response is None else response.to_dict(body_limit),
            "completeness": _completeness(faults) if faults else "complete",
            "faults": [fault._asdict() for fault in faults],
        }

    def __repr__(self) -> str:
        protocol = self.protocol if self.tls is None else f"{self.protocol} (tls)"
        return f"<Entry {self.id} {self.src} > {self.dst} {protocol} {self.summary!r} {self.status}>"
