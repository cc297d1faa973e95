"""What a filter means, for people and for programs: what it reads, and what an index leaves out for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pysniff.kfl.plan import All, Atom, Known, Not, Part, indexed, plan
from pysniff.kfl.written import written

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`text`: the filter, its constants worked out. `index`: what must be possible in a conversation that is dissected,
    "" where any may have a match; `start`, `end`: the times of the entries that can match, in ns.

    `indexed`: the variables that an index may know, `dissected`: those that nobody knows before.
    """

    text: str
    index: str
    start: int | None
    end: int | None
    indexed: tuple[str, ...]
    dissected: tuple[str, ...]


def explained(filter: Filter) -> Explanation:
    if filter.tree is None:
        return Explanation("", "", None, None, (), ())
    found = plan(filter.tree)
    text = condition(found.tree)
    known = indexed() | {"timestamp"}
    names = sorted(filter.variables)
    return Explanation(
        written(filter.tree),
        "" if text in (_UNKNOWN, "true") else text,
        found.start,
        found.end,
        tuple(name for name in names if name in known),
        tuple(name for name in names if name not in known),
    )


def condition(part: Part) -> str:
    """A part of a plan as a filter; what is unknown and changes nothing is left out, `?` is left where nothing is."""
    return _condition(part, negated=False)[0]


def _condition(part: Part, *, negated: bool) -> tuple[str, bool]:
    """The same, and whether it is several that are joined."""
    match part:
        case Known():
            return {True: "true", False: "false", None: _UNKNOWN}[part.value], False
        case Atom():
            return part.text, False
        case Not():
            inner, _ = _condition(part.part, negated=not negated)
            return (inner if inner == _UNKNOWN else f"!{inner}" if inner.isidentifier() else f"!({inner})"), False
        case All():
            leaves_out, sign = not negated, " && "
        case _:
            leaves_out, sign = negated, " || "
    told = [found for each in part.parts if (found := _condition(each, negated=negated))[0] != _UNKNOWN]
    if not told or (len(told) < len(part.parts) and not leaves_out):
        return _UNKNOWN, False
    if len(told) == 1:
        return told[0]
    return sign.join(f"({text})" if several else text for text, several in told), True
