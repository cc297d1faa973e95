"""What a hub says to its clients, taken apart: the other side of hub/messages.py and hub/problems.py; see docs/api.md.

A hub may be anybody: nothing here raises but what it says.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from typing import NamedTuple

from pysniff.cluster.packed import FrameError, unpack_map
from pysniff.errors import FilterError, NotFoundError, OptionError, PrivilegeError, PysniffError, ReadError
from pysniff.limits import KIB

TOKEN_HINT = "give --token-file FILE, or set PYSNIFF_TOKEN"


class Told(NamedTuple):
    """An entry's summary, and on which nodes it was seen."""

    summary: dict[str, object]
    nodes: tuple[str, ...]


class Status(NamedTuple):
    """What became of one worker."""

    node: str
    state: str
    severity: str
    text: str
    hint: str


class Missed(NamedTuple):
    """So many entries the hub did not send, for this client was too slow."""

    entries: int


class CaughtUp(NamedTuple):
    """What follows is new."""


Said = list[Told] | Status | Missed | CaughtUp


def said_in(data: bytes, url: str) -> Said | None:
    """One message; [] for one that says nothing here, None for the last one.

    Raises ReadError for what is none, and what an error says as FilterError, OptionError or ReadError.
    """
    try:
        message = unpack_map(data)
        match message.get("type"):
            case "batch":
                return _batch(message)
            case "status":
                words = [message.get(name, "") for name in ("node", "state", "severity", "text", "hint")]
                return Status(*[word if isinstance(word, str) else "" for word in words])
            case "missed":
                count = message.get("count")
                return Missed(count if isinstance(count, int) else 0)
            case "caught_up":
                return CaughtUp()
            case "error":
                raise _problem_of(message)
            case "end":
                return None
        return []
    except FrameError as error:
        raise ReadError(f"{url}: what the hub says is no message: {error.message}") from None


def _batch(message: Mapping[str, object]) -> list[Told]:
    match message:
        case {"nodes": list(nodes), "of": bytes(of), "lengths": bytes(lengths), "entries": bytes(entries)}:
            sets = [_names(each) for each in nodes]
        case _:
            raise FrameError("a batch that lacks a part")
    places, sizes = _numbers("H", of), _numbers("I", lengths)
    if len(places) != len(sizes) or sum(sizes) != len(entries) or max(places, default=-1) >= len(sets):
        raise FrameError("a batch whose parts disagree")
    told, at = [], 0
    for place, size in zip(places, sizes, strict=True):
        told.append(Told(_summary(entries[at : at + size]), sets[place]))
        at += size
    return told


def _summary(data: bytes) -> dict[str, object]:
    """Empty where it is none: a hub passes on what its workers packed, and one of them ends nobody's feed."""
    try:
        return unpack_map(data)
    except FrameError:
        return {}


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FrameError("nodes that are no names")
    return tuple(value)


def _numbers(code: str, data: bytes) -> list[int]:
    numbers: array[int] = array(code)
    if len(data) % numbers.itemsize:
        raise FrameError("a part of a number")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _problem_of(message: Mapping[str, object]) -> PysniffError:
    """The exception of an error that a question got."""
    text, hint = _text(message, "message"), _text(message, "hint")
    if message.get("code") == "filter":
        line, column = message.get("line"), message.get("column")
        return FilterError(
            text,
            hint=hint,
            line=line if isinstance(line, int) else 0,
            column=column if isinstance(column, int) else 0,
            excerpt=_text(message, "excerpt"),
        )
    return OptionError(text, hint=hint) if message.get("code") == "option" else ReadError(text, hint=hint)


def _text(message: Mapping[str, object], name: str) -> str:
    value = message.get(name)
    return value[: 4 * KIB] if isinstance(value, str) else ""


def refusal(status: int, problem: Mapping[str, object], url: str) -> PysniffError:
    text, hint = _text(problem, "detail") or f"the hub answers with {status}", _text(problem, "hint")
    if status == 401:
        return PrivilegeError(f"{url}: {_text(problem, 'detail') or 'the hub asks for its token'}", hint=TOKEN_HINT)
    if status == 404 and _text(problem, "code"):
        return NotFoundError(text, hint=hint)
    if status in (400, 422):
        return FilterError(text, hint=hint) if problem.get("code") == "filter" else OptionError(text, hint=hint)
    return ReadError(f"{url}: {text}", hint=hint)
