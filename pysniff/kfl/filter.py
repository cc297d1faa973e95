"""A filter: compiled once, then asked about entries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pysniff.kfl.check import check
from pysniff.kfl.constant import folded
from pysniff.kfl.generate import predicate
from pysniff.kfl.parser import parse
from pysniff.kfl.patterns import PatternError, compiled, known_pattern
from pysniff.kfl.schema import Schema
from pysniff.kfl.source import Source
from pysniff.kfl.tree import Node, Read

if TYPE_CHECKING:
    from pysniff.entry import Entry


class Filter:
    """Says of entries whether they match.

    `tree`: checked and folded, None of the empty filter, which matches everything. `variables`: the names it reads.
    `errors`: entries on which it failed (a missing key, more than limits.STEPS steps); they do not match. `failure`:
    why it did so first, "" if it never did.
    `matches(entry)` never raises. It is an attribute, a function made for this filter.
    """

    __slots__ = ("text", "tree", "variables", "errors", "failure", "matches")

    def __init__(self, text: str, schema: Schema, *, now: int | None = None) -> None:
        """Raise FilterError. `now`: what now() gives, nanoseconds since the epoch."""
        self.text = text
        self.errors = 0
        self.failure = ""
        self.matches: Callable[[Entry], bool] = _everything
        source = Source(text)
        try:
            self.tree = _tree(source, schema, time.time_ns() if now is None else now)
            self.variables = (
                frozenset(node.name for node in self.tree.walk() if isinstance(node, Read))
                if self.tree
                else frozenset()
            )
            if self.tree is not None:
                self.matches = predicate(self.tree, schema, self._failed)
        except (RecursionError, MemoryError):
            # HEIGHT and DEPTH are well below Python's limit; the caller's own stack may be deep.
            raise source.error("the filter nests too deep", 0) from None

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        if not self.failure:
            self.failure = str(error) or type(error).__name__

    def __repr__(self) -> str:
        return f"<Filter {self.text!r}>"


def _everything(entry: Entry) -> bool:
    return True


def _tree(source: Source, schema: Schema, now: int) -> Node | None:
    tree = parse(source)
    if tree is None:
        return None
    tree = folded(check(tree, schema, source), now)
    for node in tree.walk():
        _check_pattern(node, source)
    return tree


def _check_pattern(node: Node, source: Source) -> None:
    """A regular expression that is none is found now, not with every entry."""
    pattern = known_pattern(node)
    if pattern is not None:
        try:
            compiled(pattern)
        except PatternError as error:
            hint = "the syntax is RE2's: github.com/google/re2/wiki/Syntax"
            raise source.error(str(error), node.children[1].at, hint) from None
