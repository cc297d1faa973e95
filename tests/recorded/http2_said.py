"""Entries of HTTP/2 against the lines of logs: streams are told apart by what they ask for, once in each scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from recorded.said import Said, compare


def differences(entries: Iterable[Any], log: Iterable[Said]) -> list[str]:
    """[] where they are the same calls. A log that does not know ports says 0."""
    calls, lines = [*entries], [*log]
    ports = any(line.client for line in lines)
    keys = [(entry.src.port * ports, entry.request.url if entry.request is not None else "") for entry in calls]
    ours = dict(zip(keys, calls, strict=True))
    theirs = {(line.client, line.target or ""): line for line in lines}
    wrong = [f"more than once: {key}" for key, count in Counter(keys).items() if count > 1]
    wrong += [f"not in the log: {ours[key]!r}" for key in ours.keys() - theirs.keys()]
    wrong += [f"no entry: {theirs[key]}" for key in theirs.keys() - ours.keys()]
    assert len(lines) == len(theirs), "a scene asks for everything once"
    for key in ours.keys() & theirs.keys():
        wrong += [f"{key}: {text}" for text in _differences(ours[key], theirs[key])]
    return wrong


def _differences(entry: Any, line: Said) -> list[str]:
    if line.status is not None:
        return compare(entry, line)
    # Never answered.
    wrong = [] if entry.response is None else [f"answered with {entry.response!r}"]
    if entry.request.method != line.method:
        wrong.append(f"method {entry.request.method!r}, said {line.method!r}")
    if not entry.faults:
        wrong.append("not answered, and no fault says so")
    return wrong
