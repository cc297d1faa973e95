"""A filter and its variables as JSON types: what `pysniff filter --json` prints and the hub's `/api/filter` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pysniff.entry import rfc3339
from pysniff.kfl.explain import Explanation, explained
from pysniff.kfl.variables import schema

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter
    from pysniff.kfl.schema import Variable
    from pysniff.kfl.words import Word


def record(compiled: Filter, explanation: Explanation | None = None) -> dict[str, Any]:
    """What a filter means; `start` and `end` are RFC 3339 or None."""
    found = explanation or explained(compiled)
    return {
        "filter": found.text,
        "type": "bool",
        "variables": [row(variable) for variable in used(compiled)],
        "index": {
            "variables": list(found.indexed),
            "condition": found.index or None,
            "start": moment(found.start),
            "end": moment(found.end),
        },
        "dissected": list(found.dissected),
    }


def row(variable: Variable) -> dict[str, str]:
    name, kind, meaning, section, _ = variable
    return {"name": name, "type": str(kind), "meaning": meaning, "section": section}


def word_row(word: Word) -> dict[str, Any]:
    return word._asdict() | {"takes": list(word.takes)}


def used(compiled: Filter) -> list[Variable]:
    """The variables that a filter names, in the order of the table."""
    return [variable for variable in schema() if variable.name in compiled.variables]


def moment(time_ns: int | None) -> str | None:
    return None if time_ns is None else rfc3339(time_ns)
