"""The one table of filter variables: what every entry has, what each dissector says of its own, what is to come.

The type checker, the documentation and the completion are made from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pysniff import dissectors
from pysniff.dissector import Dissector
from pysniff.kfl import entry_variables, variables_to_come
from pysniff.kfl.entry_variables import FLAGS, flag
from pysniff.kfl.schema import Schema, Variable
from pysniff.kfl.types import BOOL
from pysniff.refinement import Refinement

if TYPE_CHECKING:
    from pysniff.entry import Entry
    from pysniff.kfl.filter import Filter

# The order in which people read them; those of plugins follow.
SECTIONS = (
    "Network", "Identity", "Capture", "Completeness", "Protocol flags", "HTTP", "gRPC", "DNS", "TLS",
    "TCP, UDP, SCTP, ICMP", "WebSocket", "Redis", "Kafka", "AMQP", "LDAP", "Diameter", "RADIUS", "MongoDB", "MySQL",
    "PostgreSQL", "Connections and flows", "Names and Kubernetes",
)  # fmt: skip


def compile(text: str) -> Filter:
    """Compile a display filter; raise FilterError pointing at the column."""
    from pysniff.kfl.filter import Filter

    return Filter(text, schema())


@cache
def schema() -> Schema:
    """Every variable, those of plugins included."""
    protocols = tuple(dict.fromkeys(_protocols()))
    rows = dict.fromkeys(row for protocol in protocols for row in _declared(protocol))
    found = assembled([*entry_variables.VARIABLES, *rows])
    found = _and_others(found, _flags(protocols))
    found = _and_others(found, variables_to_come.variables())
    places = {section: place for place, section in enumerate(SECTIONS)}
    return Schema(sorted(found, key=lambda variable: places.get(variable.section, len(places))))


def _protocols() -> Iterator[type[Dissector] | type[Refinement]]:
    for known in dissectors.known().values():
        yield from known
    yield from dissectors.refinements()


def _declared(protocol: type[Dissector] | type[Refinement]) -> Sequence[Variable]:
    """A protocol's rows; of a plugin that has something else there, none, with a warning."""
    try:
        return [Variable(*row) for row in protocol.variables]
    except TypeError as problem:
        warnings.warn(f"filter variables of {protocol.protocol}: {problem}", RuntimeWarning, stacklevel=2)
        return ()


def _flags(protocols: Iterable[type[Dissector] | type[Refinement]]) -> Iterator[Variable]:
    """A protocol is a flag of its name."""
    for name in dict.fromkeys(protocol.protocol for protocol in protocols):
        if name.isidentifier():
            yield Variable(name, BOOL, f"an entry of the protocol {name}", FLAGS, flag(name))


def _and_others(found: list[Variable], more: Iterable[Variable]) -> list[Variable]:
    """With those of whose name there is none."""
    names = {variable.name for variable in found}
    return found + [variable for variable in more if variable.name not in names]


def assembled(rows: Iterable[Variable]) -> list[Variable]:
    """Each name once. Protocols that have a name in common share it: one says what another has not.

    A row whose type is not that of the first one of its name is left out with a warning.
    """
    found: dict[str, Variable] = {}
    for row in rows:
        known = found.get(row.name)
        if known is None:
            found[row.name] = row
        elif known.type != row.type:
            warnings.warn(
                f"filter variable {row.name} ({row.section}) is {row.type}, elsewhere {known.type}",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            found[row.name] = _shared(known, row)
    return list(found.values())


def _shared(one: Variable, other: Variable) -> Variable:
    meaning = one.meaning if one.meaning == other.meaning else f"{one.meaning}; {other.meaning}"
    return one._replace(meaning=meaning, read=_either(one.read, other.read))


def _either(one: Callable[[Entry], object], other: Callable[[Entry], object]) -> Callable[[Entry], object]:
    """What the one gives, unless that is its type's default."""

    def read(entry: Entry) -> object:
        return one(entry) or other(entry)

    return read
