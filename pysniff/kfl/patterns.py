"""Regular expressions: RE2, which takes linear time whatever the pattern."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2

from pysniff.kfl import limits
from pysniff.kfl.limits import SCANNED, Steps
from pysniff.kfl.tree import Call, Literal, Node
from pysniff.kfl.types import STRING
from pysniff.kfl.values import EvaluationError, kind, no_overload

Search = Callable[[str], bool]
_MISSING = -1  # where a match begins if there is none


class PatternError(EvaluationError):
    """A pattern that is none, or too large."""


def compiled(pattern: str) -> Search:
    """Tells whether the pattern is found anywhere in a string; raise PatternError.

    re2 keeps the last 128 patterns, each within PATTERN_MEMORY.
    """
    if len(pattern) > limits.PATTERN:
        raise PatternError(f"a regular expression has at most {limits.PATTERN:,} characters")
    options = re2.Options()
    options.max_mem = limits.PATTERN_MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        regexp = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternError(f"no regular expression: {_said(error)}") from None
    # search() makes a generator and an object for each match: 2 us, where the method below takes 0.7.
    match = regexp._regexp.Match
    anywhere = re2._Anchor.UNANCHORED

    def search(text: str) -> bool:
        data = text.encode(errors="replace")
        return bool(match(anywhere, data, 0, len(data))[0][0] != _MISSING)

    return search


def known_pattern(node: Node) -> str | None:
    """The pattern of a call of matches() whose pattern is a literal."""
    if isinstance(node, Call) and node.function == "matches" and isinstance(node.arguments[1], Literal):
        value = node.arguments[1].value
        return value if isinstance(value, str) else None
    return None


def _said(error: Exception) -> str:
    words = error.args[0] if error.args else ""
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)


_recent = lru_cache(maxsize=16)(compiled)


def forget() -> None:
    """Have patterns cost what they cost a new process."""
    _recent.cache_clear()


def matches(steps: Steps, text: object, pattern: object) -> bool:
    """text.matches(pattern) with any pattern."""
    if kind(text) != STRING or kind(pattern) != STRING:
        raise no_overload("matches", text, pattern)
    assert isinstance(text, str)
    assert isinstance(pattern, str)
    before = _recent.cache_info().misses
    search = _recent(pattern)
    steps.spend(limits.PATTERN_STEPS if _recent.cache_info().misses != before else 1)
    return found(steps, search, text)


def found(steps: Steps, search: Search, text: object) -> bool:
    """Whether it is found, for steps by the length of the text."""
    if kind(text) != STRING:
        raise no_overload("matches", text)
    assert isinstance(text, str)
    steps.spend(1 + len(text) // SCANNED)
    return search(text)
