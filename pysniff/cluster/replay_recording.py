"""Recorded calls on their way from a worker to a hub: values() takes them apart, Assembly puts them together.

A call is a map {"call": {...}}, then its body in maps {"body": bytes}; what cannot be sent is {"left_out": {...}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pysniff.cluster.replay_call import COMPARED, HEAD, Answer, Call, NotReplayed, Octets, call_of, oddity
from pysniff.entry import Entry
from pysniff.errors import PysniffError
from pysniff.limits import KIB, MIB

CALLS = 10_000  # of one recording
BODIES = 64 * MIB  # of all of them together
PIECE = 256 * KIB  # of a body in one value
LEFT_OUT = 1_000  # that are told one by one
_TEXT = 1_024  # characters of an id, or of a reason
_FIELDS = 10_000  # of one head
_NS = 1 << 63
_FORMS = {
    "id": str, "protocol": str, "version": str, "at": int, "method": bytes, "target": bytes, "scheme": bytes,
    "authority": bytes, "size": int,
}  # fmt: skip


class BadRecording(PysniffError):
    """Values that values() does not make."""


class LeftOut(NamedTuple):
    """A call that cannot be sent, and why; `id` "" stands for several."""

    id: str
    reason: str


class Recording(NamedTuple):
    """In the order in which they were sent."""

    calls: tuple[Call, ...]
    left_out: tuple[LeftOut, ...]


def values(entries: Iterable[Entry]) -> Iterator[dict[str, object]]:
    """What it takes to send an entry, or all of a connection, again; of revisions the last one counts.

    All entries are taken before the first value is given, for they are told by the time of their request.
    """
    calls, left_out = _taken(entries)
    for call in sorted(calls.values(), key=lambda call: call.at):
        yield {"call": _told(call)}
        for at in range(0, len(call.body), PIECE):
            yield {"body": call.body[at : at + PIECE]}
    for number, (id, reason) in enumerate(left_out.items()):
        if number == LEFT_OUT:
            yield {"left_out": {"id": "", "reason": f"and {len(left_out) - number} more"}}
            return
        yield {"left_out": {"id": id, "reason": reason[:_TEXT]}}


def _taken(entries: Iterable[Entry]) -> tuple[dict[str, Call], dict[str, str]]:
    """Calls, and reasons of those that are none, both by id."""
    calls: dict[str, Call] = {}
    left_out: dict[str, str] = {}
    bodies = beyond = 0
    for entry in entries:
        before = calls.pop(entry.id, None)
        bodies -= 0 if before is None else len(before.body)
        left_out.pop(entry.id, None)
        try:
            call = call_of(entry)
        except NotReplayed as reason:
            if len(left_out) < CALLS:
                left_out[entry.id] = str(reason)
            else:
                beyond += 1
            continue
        if len(calls) >= CALLS or bodies + len(call.body) > BODIES:
            beyond += 1
            continue
        bodies += len(call.body)
        calls[entry.id] = call
    if beyond:
        left_out[""] = f"{beyond} calls are too many: {CALLS} and {BODIES // MIB} MiB of bodies can be replayed"
    return calls, left_out


def _told(call: Call) -> dict[str, object]:
    answer = call.answer
    return {
        **{name: value for name, value in call._asdict().items() if name in _FORMS},
        "size": len(call.body),
        "fields": [list(field) for field in call.fields],
        "trailers": [list(field) for field in call.trailers],
        "elapsed": call.elapsed,
        "answer": None if answer is None else answer._asdict(),
    }


class Assembly:
    """add() every value in order, then recording(). Both raise BadRecording for what values() does not make."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._left_out: list[LeftOut] = []
        self._pieces: list[bytes] = []
        self._missing = 0  # bytes of the last call's body
        self._bodies = 0

    def add(self, value: Mapping[str, object]) -> None:
        """Take the next one; what is kept stays within the bounds above."""
        match value:
            case {"body": bytes(piece)} if 0 < len(piece) <= self._missing:
                self._pieces.append(piece)
                self._missing -= len(piece)
                if not self._missing:
                    self._calls[-1] = self._calls[-1]._replace(body=b"".join(self._pieces))
                    self._pieces.clear()
            case {"call": dict(told)} if not self._missing:
                self._begin(told)
            case {"left_out": {"id": str(id), "reason": str(reason)}} if not self._missing:
                if len(self._left_out) > LEFT_OUT or len(id) > _TEXT or len(reason) > _TEXT:
                    raise BadRecording("replay: too much is left out")
                self._left_out.append(LeftOut(id, reason))
            case _:
                raise BadRecording("replay: a value that is no part of a recording")

    def recording(self) -> Recording:
        if self._missing:
            raise BadRecording("replay: a body ends early")
        return Recording(tuple(self._calls), tuple(self._left_out))

    def _begin(self, told: dict[object, object]) -> None:
        call, size = _call(told)
        if len(self._calls) >= CALLS or self._bodies + size > BODIES:
            raise BadRecording("replay: too many calls, or too long ones")
        self._calls.append(call)
        self._missing = size
        self._bodies += size


def _call(told: Mapping[object, object]) -> tuple[Call, int]:
    """A call without its body, and the size of that."""
    parts = {name: told.get(name) for name in _FORMS}
    if any(type(parts[name]) is not form for name, form in _FORMS.items()):
        raise BadRecording("replay: a call lacks a part, or one is of another type")
    size, at = parts.pop("size"), parts["at"]
    assert isinstance(size, int) and isinstance(at, int)
    if not 0 <= size <= BODIES or not -_NS <= at < _NS or any(_is_long(part) for part in parts.values()):
        raise BadRecording("replay: a part of a call is out of bounds")
    elapsed = told.get("elapsed")
    call = Call(
        **parts,  # type: ignore[arg-type]  # their types were looked at
        fields=_fields(told.get("fields")),
        trailers=_fields(told.get("trailers")),
        body=b"",
        elapsed=elapsed if type(elapsed) is int and 0 <= elapsed < _NS else None,
        answer=_answer(told.get("answer")),
    )
    if odd := oddity(call):
        raise BadRecording(f"replay: {odd}")
    return call, size


def _is_long(part: object) -> bool:
    return isinstance(part, (str, bytes)) and len(part) > (_TEXT if isinstance(part, str) else HEAD)


def _fields(told: object) -> Octets:
    if not isinstance(told, list) or len(told) > _FIELDS:
        raise BadRecording("replay: header fields are a list")
    found = []
    for field in told:
        match field:
            case [bytes(name), bytes(value)]:
                found.append((name, value))
            case _:
                raise BadRecording("replay: a header field is a name and a value")
    return tuple(found)


def _answer(told: object) -> Answer | None:
    match told:
        case None:
            return None
        case {"status": int(status), "fields": None, "size": None, "sha256": str(sha256)}:
            return Answer(status, None, None, sha256[:_TEXT])
        case {"status": int(status), "fields": None, "size": int(size), "sha256": str(sha256)}:
            return Answer(status, None, size, sha256[:_TEXT])
        case {"status": int(status), "fields": dict(fields), "size": None | int() as size, "sha256": str(sha256)}:
            known = {name: value for name in COMPARED if isinstance(value := fields.get(name), str)}
            return Answer(status, {name: value[:_TEXT] for name, value in known.items()}, size, sha256[:_TEXT])
    raise BadRecording("replay: no answer looks like that")
