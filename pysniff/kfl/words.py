"""What a filter may say beside variables, for completion: each function, method, operator and macro with its meaning.

Types come from the checker's own signatures (functions.py); what the grammar alone knows (logic, macros) stands here.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.kfl.functions import FUNCTIONS, Overload
from pysniff.kfl.infer import Parameter
from pysniff.kfl.types import BOOL, DYN, ListType, MapType, Type

METHOD, FUNCTION, OPERATOR, MACRO = "method", "function", "operator", "macro"

MEANINGS: dict[str, str] = {
    "==": "is equal",
    "!=": "is not equal",
    "<": "is less",
    "<=": "is less or equal",
    ">": "is greater",
    ">=": "is greater or equal",
    "in": "is an element of the list, or a key of the map",
    "+": "adds; joins strings, bytes and lists",
    "-": "subtracts",
    "*": "multiplies",
    "/": "divides; fails where it is by zero",
    "%": "what is left of a division",
    "-_": "the negative",
    "[]": "the element at a place of the list, or of a key of the map; fails where there is none",
    "size": "number of characters, bytes, elements or keys",
    "contains": "has this text anywhere",
    "startsWith": "begins with this text",
    "endsWith": "ends with this text",
    "matches": "has a match of the regular expression (RE2) anywhere",
    "bool": "as a bool",
    "int": "as an int; of a timestamp the seconds since 1970",
    "uint": "as an unsigned int",
    "double": "as a number with a fraction",
    "string": "as text",
    "bytes": "as bytes in UTF-8",
    "timestamp": 'an instant: timestamp("2026-11-21T20:00:00Z")',
    "duration": 'a length of time: duration("5m"), duration("1h30m")',
    "type": "the type of a value",
    "dyn": "leaves the check of types until the filter runs",
    "getFullYear": "the year",
    "getMonth": "the month, 0 is January",
    "getDate": "the day of the month, 1 is the first",
    "getDayOfMonth": "the day of the month, 0 is the first",
    "getDayOfWeek": "the day of the week, 0 is Sunday",
    "getDayOfYear": "the day of the year, 0 is the first",
    "getHours": "the hour of the day; of a duration all its hours",
    "getMinutes": "the minute of the hour; of a duration all its minutes",
    "getSeconds": "the second of the minute; of a duration all its seconds",
    "getMilliseconds": "the thousandths of the second; of a duration too",
    "map_get": "what the map has for a key, or what is given for where it has none",
    "now": "when the filter was compiled",
    "&&": "both",
    "||": "one of both, or both",
    "!": "not",
    "has": "the map has this key: has(request.headers.cookie)",
    "all": "the test holds for every element; of a map, key",
    "exists": "the test holds for an element; of a map, key",
    "exists_one": "the test holds for exactly one element; of a map, key",
    "filter": "the elements for which the test holds",
    "map": "what becomes of each element",
}

_BOTH = (Overload((BOOL, BOOL), BOOL),)
_LIST, _MAP = ListType(Parameter()), MapType(Parameter(), Parameter())


def _macro(gives: Type) -> tuple[Overload, ...]:
    return (Overload((_LIST,), gives, method=True), Overload((_MAP,), gives, method=True))


# What the parser makes of a name, and how it is written: `x` is the name that each element, or key, gets.
_GRAMMAR: dict[str, tuple[str, tuple[Overload, ...], str]] = {
    "&&": (OPERATOR, _BOTH, ""),
    "||": (OPERATOR, _BOTH, ""),
    "!": (OPERATOR, (Overload((BOOL,), BOOL),), ""),
    "has": (FUNCTION, (Overload((DYN,), BOOL),), "has(map.key) -> bool"),
    **{name: (MACRO, _macro(BOOL), f"list.{name}(x, test) -> bool") for name in ("all", "exists", "exists_one")},
    "filter": (MACRO, _macro(_LIST), "list.filter(x, test) -> list"),
    "map": (MACRO, _macro(_LIST), "list.map(x, value) -> list"),
}


class Word(NamedTuple):
    """`of`: the type of what it stands behind, "" of a function; `_` is any type. `takes`: of its arguments."""

    name: str
    kind: str
    of: str
    takes: tuple[str, ...]
    gives: str
    signature: str
    meaning: str


def words() -> list[Word]:
    """One for each signature."""
    found = []
    for name, overloads in FUNCTIONS.items():
        for overload in overloads:
            kind = METHOD if overload.method else FUNCTION if name.isidentifier() and name != "in" else OPERATOR
            found.append(_word(name, kind, overload))
    for name, (kind, overloads, signature) in _GRAMMAR.items():
        found += [_word(name, kind, overload, signature) for overload in overloads]
    return found


def _word(name: str, kind: str, overload: Overload, signature: str = "") -> Word:
    takes = [str(one) for one in overload.takes]
    gives = str(overload.gives)
    written = signature or f"{_written(name, kind, overload.takes)} -> {gives}"
    # A prefix stands before its operand, as a function does.
    behind = kind in (METHOD, MACRO) or (kind == OPERATOR and len(takes) > 1)
    of, rest = (takes[0], takes[1:]) if behind else ("", takes)
    return Word(name, kind, of, tuple(rest), gives, written, MEANINGS[name])


def _written(name: str, kind: str, takes: tuple[Type, ...]) -> str:
    first, *rest = map(str, takes) if takes else ("",)
    if kind == METHOD:
        return f"{first}.{name}({', '.join(rest)})"
    if kind == FUNCTION:
        return f"{name}({', '.join(map(str, takes))})"
    if name == "[]":
        return f"{first}[{rest[0]}]"
    return f"{first} {name} {rest[0]}" if rest else f"{name.rstrip('_')}{first}"
