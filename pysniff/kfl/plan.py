"""What a flow index can say about a filter before anything is dissected: which flows may have a match, and when.

A plan never says no to a flow that has one. It thinks in three values (Kleene): true, false, and unknown, which is also
what becomes of every part that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, TypeAlias

from pysniff.kfl import tree as nodes
from pysniff.kfl.entry_variables import FLAGS
from pysniff.kfl.schema import Schema, Variable
from pysniff.kfl.span import spans
from pysniff.kfl.tree import And, Call, Conditional, Literal, Node, Or, Read
from pysniff.kfl.types import BOOL
from pysniff.kfl.written import written

# Facts that are the same for every entry of a flow; a protocol's flag is where the flow can give no such entry.
_ENDS = frozenset(("src.ip", "dst.ip", "src.port", "dst.port", "protocol"))
# Parts of a plan: `?:` and `==` name theirs twice, so that a few hundred characters could become millions of them.
_PARTS = 4_000


@dataclass(frozen=True, slots=True)
class Known:
    """True, false, or None: unknown whatever the index says."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition on facts of the index alone.

    `test` takes their values in the order of `names`, and gives None where it fails; `text`: it as a filter.
    """

    names: tuple[str, ...]
    test: Callable[..., bool | None]
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    part: Part


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Part, ...]


Part: TypeAlias = Known | Atom | Not | All | Any
UNKNOWN, TRUE, FALSE = Known(None), Known(True), Known(False)


class Plan(NamedTuple):
    """`start`, `end`: ns; no entry whose `timestamp` is outside can match. None: no bound; where none can match at all,
    the start is behind the end."""

    tree: Part
    start: int | None = None
    end: int | None = None

    def may(self, known: Mapping[str, object]) -> bool:
        """Whether a flow of which these facts are known may have an entry that matches, its time left aside."""
        return verdict(self.tree, known) is not False


def verdict(part: Part, known: Mapping[str, object]) -> bool | None:
    """True or false for every entry of such a flow, or None."""
    match part:
        case Known():
            return part.value
        case Atom():
            return part.test(*(known[name] for name in part.names)) if known.keys() >= set(part.names) else None
        case Not():
            found = verdict(part.part, known)
            return None if found is None else not found
        case All() | Any():
            decisive = isinstance(part, Any)
            found = not decisive
            for one in part.parts:
                value = verdict(one, known)
                if value is decisive:
                    return decisive
                if value is None:
                    found = None
            return found


@cache
def indexed() -> frozenset[str]:
    """The variables that an index may know: addresses, ports, and the protocols' flags."""
    from pysniff.kfl.variables import schema

    return _ENDS | {variable.name for variable in schema() if variable.section == FLAGS}


def plan(tree: Node | None) -> Plan:
    """The plan of a checked tree, None for the filter that matches everything."""
    if tree is None:
        return Plan(TRUE)
    span = spans(tree).true
    if span.is_empty:
        return Plan(FALSE, 1, 0)
    return Plan(_part(tree)[0], span.start, span.end)


def _part(node: Node) -> tuple[Part, int]:
    """A node as a part of the plan, and of how many parts that is made."""
    match node:
        case Literal(value=bool() as value):
            return Known(value), 1
        case nodes.Not():
            part, size = _part(node.operand)
            return _not(part), size + 1
        case And() | Or():
            return _joined(node)
        case Conditional():
            return _conditional(node)
    names = tuple(sorted({each.name for each in node.walk() if isinstance(each, Read)}))
    if not names:
        return Known(_test(node, names)()), 1
    if indexed().issuperset(names):
        return Atom(names, _test(node, names), written(node)), 1
    if isinstance(node, Call) and node.function in ("==", "!=") and all(each.type == BOOL for each in node.arguments):
        return _equality(node)
    return UNKNOWN, 1


def _joined(node: And | Or) -> tuple[Part, int]:
    parts: list[Part] = []
    total = 1
    for each in node.parts:
        part, size = _part(each)
        if total + size > _PARTS:
            part, size = UNKNOWN, 1
        parts.append(part)
        total += size
    return _all(*parts) if isinstance(node, And) else _any(*parts), total


def _conditional(node: Conditional) -> tuple[Part, int]:
    (test, cost), (yes, more), (no, most) = _part(node.test), _part(node.yes), _part(node.no)
    size = 2 * cost + more + most + 4
    if size > _PARTS:
        return UNKNOWN, 1
    return _any(_all(test, yes), _all(_not(test), no)), size


def _equality(node: Call) -> tuple[Part, int]:
    """Of truth values: both true or both false."""
    (one, cost), (other, more) = map(_part, node.arguments)
    size = 2 * cost + 2 * more + 6
    if size > _PARTS:
        return UNKNOWN, 1
    same = _any(_all(one, other), _all(_not(one), _not(other)))
    return (same if node.function == "==" else _not(same)), size


def _test(node: Node, names: tuple[str, ...]) -> Callable[..., bool | None]:
    """Compiled when it is first asked: who only wants the times does not wait for it."""
    compiled: list[Callable[..., bool | None]] = []

    def test(*values: object) -> bool | None:
        if not compiled:
            from pysniff.kfl.generate import function

            compiled.append(function(node, names, Schema(_read(node))))
        return compiled[0](*values)

    return test


def _read(node: Node) -> list[Variable]:
    """The variables that a condition names, as far as their types."""
    types = {each.name: each.type for each in node.walk() if isinstance(each, Read)}
    return [Variable(name, type, "", "", lambda entry: None) for name, type in types.items()]


def _not(part: Part) -> Part:
    if isinstance(part, Known):
        return part if part.value is None else Known(not part.value)
    return part.part if isinstance(part, Not) else Not(part)


def _all(*parts: Part) -> Part:
    kept = tuple(dict.fromkeys(part for part in parts if part != TRUE))
    if FALSE in kept:
        return FALSE
    return All(kept) if len(kept) > 1 else kept[0] if kept else TRUE


def _any(*parts: Part) -> Part:
    kept = tuple(dict.fromkeys(part for part in parts if part != FALSE))
    if TRUE in kept:
        return TRUE
    return Any(kept) if len(kept) > 1 else kept[0] if kept else FALSE
