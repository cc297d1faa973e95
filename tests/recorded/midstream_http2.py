"""How much of connections joined in the middle is right: shares of calls, and what may never be wrong.

A call is known by its stream, so that of a whole connection and that of its rest can be compared. Of values there are
three kinds: right, unknown (a placeholder such as ?-12, or nothing), and wrong, which only an entry may show that says
`inferred`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple

import pysniff
from pysniff.packet import Packet
from recorded.connections import Connection, ends
from recorded.http2_blocks import Block, blocks

CUTS = (1, 10, 50)  # percent of the packets
Record = dict[str, Any]
SAID = ("method", "url", "path", "host", "status", "grpc_service", "grpc_method", "grpc_status", "grpc_message")


@dataclass
class Shares:
    """Calls that begin after the cut.

    `..._sent`: those whose path or status was sent after the cut, which is what is known without inference.
    `..._inferred`: right, and not sent.
    """

    calls: int = 0
    path_sent: int = 0
    status_sent: int = 0
    path: int = 0
    path_inferred: int = 0
    path_wrong: int = 0
    path_unknown: int = 0
    status: int = 0
    status_inferred: int = 0
    status_wrong: int = 0
    status_unknown: int = 0
    missing: int = 0  # calls of which no entry is there; path and status count as unknown
    wrong: list[str] = field(default_factory=list)  # shown wrong, and no mark says so: must stay empty
    doubted: list[str] = field(default_factory=list)  # sent wholly after the cut, and marked: must stay empty
    unlearnt: list[str] = field(default_factory=list)  # sent after the cut, and not right: must stay empty

    def add(self, other: Shares) -> None:
        for it in fields(self):
            setattr(self, it.name, getattr(self, it.name) + getattr(other, it.name))

    def __str__(self) -> str:
        def percent(count: int) -> str:
            return f"{100 * count / max(1, self.calls):.1f} %"

        return (
            f"{self.calls} calls ({self.missing} missing): path {percent(self.path)} (sent {percent(self.path_sent)}, "
            f"inferred {percent(self.path_inferred)}, {self.path_wrong} wrong), status {percent(self.status)} "
            f"(sent {percent(self.status_sent)}, inferred {percent(self.status_inferred)}, {self.status_wrong} wrong); "
            f"{len(self.wrong)} wrong unmarked, {len(self.unlearnt)} sent and not right"
        )


class Setting(Enum):
    """What a Sniffer has besides one connection's rest."""

    ALONE = "nothing"
    TOGETHER = "the rests of all other connections"
    ACQUAINTED = "the same, but the first connection of each two programs is whole"


class Whole(NamedTuple):
    """What is true of a connection: its calls by stream, and its header blocks."""

    connection: Connection
    calls: dict[int, Any]
    blocks: list[Block]


def whole(connection: Connection) -> Whole:
    packets = connection.packets
    return Whole(connection, calls(entries(pysniff.Sniffer(), packets)), blocks(packets))


def measure(
    connections: Sequence[Connection],
    percent: int,
    sniffer: Callable[[], pysniff.Sniffer] = pysniff.Sniffer,
    setting: Setting = Setting.ALONE,
) -> Shares:
    """Every connection without the first `percent` of its packets; those that are whole are not counted."""
    return _measure([whole(connection) for connection in connections], percent, sniffer, setting)


def measure_all(
    connections: Sequence[Connection], sniffer: Callable[[], pysniff.Sniffer] = pysniff.Sniffer
) -> dict[tuple[int, Setting], Shares]:
    """The same for all cuts and settings."""
    wholes = [whole(connection) for connection in connections]
    return {(percent, setting): _measure(wholes, percent, sniffer, setting) for percent in CUTS for setting in Setting}


def _measure(wholes: Sequence[Whole], percent: int, sniffer: Callable[[], pysniff.Sniffer], setting: Setting) -> Shares:
    connections = [one.connection for one in wholes]
    uncut = _first_of_each_pair(connections) if setting is Setting.ACQUAINTED else set()
    rests = [
        connection.packets[0 if number in uncut else cut_of(connection, percent) :]
        for number, connection in enumerate(connections)
    ]
    if setting is Setting.ALONE:
        found = {_ports(rest[0]): entries(sniffer(), rest) for rest in rests}
    else:
        found = {_ports(rest[0]): [] for rest in rests}
        merged = sorted((packet for rest in rests for packet in rest), key=lambda packet: packet.time_ns)
        for entry in entries(sniffer(), merged):
            found[frozenset((entry.src.port, entry.dst.port))].append(entry)
    total = Shares()
    for number, one in enumerate(wholes):
        if number not in uncut:
            total.add(compare(one, percent, found[_ports(one.connection.packets[0])]))
    return total


def _first_of_each_pair(connections: Sequence[Connection]) -> set[int]:
    """Numbers of the connections that are the first between two programs."""
    first: dict[str, int] = {}
    for number, connection in enumerate(connections):
        first.setdefault(connection.name.rpartition(" ")[0], number)
    return set(first.values())


def _ports(packet: Packet) -> frozenset[int]:
    return frozenset(ends(packet))


def cut_of(connection: Connection, percent: int) -> int:
    """The number of the first packet that is left."""
    return max(1, len(connection.packets) * percent // 100)


def compare(one: Whole, percent: int, found: Iterable[Any]) -> Shares:
    """What was found in the rest of a connection, against what is found in the whole."""
    ours = calls(found)
    name = one.connection.name
    shares = Shares()
    for stream, entry in ours.items():
        shares.wrong += [f"{name}, stream {stream}: {text}" for text in _wrongs(entry, one.calls.get(stream))]
    for stream, sent in later_calls(one.blocks, cut_of(one.connection, percent)).items():
        _count(shares, one.calls[stream], ours.get(stream), sent, f"{name}, stream {stream}")
    return shares


def entries(sniffer: pysniff.Sniffer, packets: Iterable[Packet]) -> list[Any]:
    """What is in them, the last revision of each."""
    every = sniffer.feed(packets) + sniffer.close()
    return list({entry.id: entry for entry in every}.values())


def calls(some: Iterable[Any]) -> dict[int, Any]:
    """By stream; what is not HTTP/2 is left out."""
    found: dict[int, Any] = {}
    for entry in some:
        message = entry.request or entry.response
        if entry.protocol in ("http", "grpc"):
            found.setdefault(message.stream_id, entry)
    return found


class Sent(NamedTuple):
    """What was sent of a call after the cut, literally or by reference to what was: nobody needs to guess it."""

    path: bool
    status: bool
    whole: bool  # all its fields


def later_calls(some: Iterable[Block], cut: int) -> dict[int, Sent]:
    """By stream: calls whose request begins after the cut."""
    later: dict[int, list[Block]] = {}
    for block in some:
        later.setdefault(block.stream, []).append(block)
    return {
        stream: Sent(
            _sent(of[:1], (":path",), cut),
            _sent(of[1:], ("grpc-status", ":status"), cut),
            all(field.needs is None or field.needs >= cut for block in of for field in block.fields),
        )
        for stream, of in later.items()
        if of[0].side == 0 and of[0].begin >= cut
    }


def _sent(some: Iterable[Block], names: Sequence[str], cut: int) -> bool:
    """Whether the first of these fields that is there at all was sent after the cut."""
    found = {field.name: field.needs for block in some for field in block.fields}
    needs = next((found[name] for name in names if name in found), -1)
    return needs is None or needs >= cut


def unknown(value: Any) -> bool:
    """A placeholder, or nothing."""
    return value in (None, "", 0) or (isinstance(value, str) and value.lstrip("/").startswith("?-"))


def inferred(entry: Any) -> bool:
    return any(fault.kind == "inferred" for fault in entry.faults)


def _wrongs(entry: Any, truth: Any) -> list[str]:
    """What an entry shows that is not so, where it does not say that it has inferred something."""
    if truth is None:
        return [f"there is no such call: {entry!r}"]
    if inferred(entry):
        return []
    marked = bool(entry.faults)
    if not marked:
        ours, theirs = entry.to_dict(), truth.to_dict()
        keys = ("protocol", "status", "ok", "summary", "request", "response")
        return [f"{key}: {ours[key]!r}, is {theirs[key]!r}" for key in keys if ours[key] != theirs[key]]
    wrong = []
    for half in ("request", "response"):
        ours, theirs = entry.to_dict(0)[half] or {}, truth.to_dict(0)[half] or {}
        wrong += [f"{half} {text}" for text in _contradictions(ours, theirs)]
    return wrong


def _contradictions(ours: Record, theirs: Record) -> Iterable[str]:
    """Of a half that is known to be incomplete: values that are shown, and are others in truth."""
    for key in (
        "method",
        "url",
        "path",
        "host",
        "status",
        "grpc_service",
        "grpc_method",
        "grpc_status",
        "grpc_message",
    ):
        if not unknown(ours.get(key)) and key in theirs and ours[key] != theirs[key]:
            yield f"{key}: {ours[key]!r}, is {theirs[key]!r}"
    # Of trailers whose head was lost nobody can say that they are trailers.
    known = [tuple(pair) for key in ("headers", "trailers") for pair in theirs.get(key, ())]
    names, values = {name for name, _ in known}, {value for _, value in known}
    for key in ("headers", "trailers"):
        for name, value in ours.get(key, ()):
            unsure = unknown(name) or unknown(value)
            possible = (unknown(name) or name in names) and (unknown(value) or value in values)
            if not possible or not (unsure or (name, value) in known):
                yield f"{key}: {name}: {value}, is none of {known}"


def _count(shares: Shares, truth: Any, found: Any, sent: Sent, where: str) -> None:
    shares.calls += 1
    shares.path_sent += sent.path
    shares.status_sent += sent.status
    shares.missing += found is None
    request = None if found is None else found.request
    path = None if request is None else request.path
    status = None if found is None else found.status
    if found is not None and found.protocol != truth.protocol and status == str(truth.response.status):
        status = None  # HTTP's, which does not say how a gRPC call ended
    guessed = found is not None and inferred(found)
    path_is = _kind(path, truth.request.path)
    status_is = _kind(None if status == "0" else status, truth.status)
    for name, kind in (("path", path_is), ("status", status_is)):
        counter = {"right": name, "wrong": f"{name}_wrong", "unknown": f"{name}_unknown"}[kind]
        setattr(shares, counter, getattr(shares, counter) + 1)
    for name, kind, known in (("path", path_is, sent.path), ("status", status_is, sent.status)):
        if kind == "right" and not known:
            setattr(shares, f"{name}_inferred", getattr(shares, f"{name}_inferred") + 1)
            if not guessed:
                shares.wrong.append(f"{where}: {name} is right, was not sent, and nothing says that it is inferred")
    if sent.whole and found is not None and found.faults != truth.faults:
        shares.doubted.append(f"{where}: {found.faults}")
    if (sent.path and path_is != "right") or (sent.status and status_is != "right"):
        shares.unlearnt.append(f"{where}: path {path!r}, status {status!r}; is {truth!r}")


def _kind(value: Any, truth: Any) -> str:
    if value == truth:
        return "right"
    return "unknown" if unknown(value) else "wrong"
