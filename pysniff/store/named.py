"""Conversations that a filter names: `stream == "..."`, `id == "..."`. The index finds those by their names."""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.kfl.constant import constant
from pysniff.kfl.tree import And, Call, Node, Or, Read


def named(tree: Node | None) -> frozenset[bytes] | None:
    """The names outside of which nothing can match; None where the filter does not say."""
    match tree:
        case And():
            found = [names for part in tree.parts if (names := named(part)) is not None]
            return frozenset.intersection(*found) if found else None
        case Or():
            every = [named(part) for part in tree.parts]
            some = [names for names in every if names is not None]
            return frozenset().union(*some) if len(some) == len(every) else None
        case Call(function="==") | Call(function="in"):
            return _compared(tree)
    return None


def _compared(node: Call) -> frozenset[bytes] | None:
    one, other = node.arguments
    if node.function == "==" and isinstance(other, Read):
        one, other = other, one
    if not isinstance(one, Read) or one.name not in ("stream", "id"):
        return None
    value = constant(other)
    values = [value] if node.function == "==" else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        return None
    return frozenset(_names(one.name, [str(text) for text in values]))


def _names(variable: str, values: list[str]) -> Iterator[bytes]:
    for value in values:
        # node.stream.position: a node's name may have dots.
        parts = value.rsplit(".", 2)
        stream = value if variable == "stream" else parts[1] if len(parts) == 3 else ""
        try:
            name = bytes.fromhex(stream)
        except ValueError:
            continue  # no conversation has such a name
        if len(name) == 8:
            yield name
