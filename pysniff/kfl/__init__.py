"""KFL, the display filter: Google's CEL over one entry, compiled to Python.

A filter never raises on an entry. docs/filter.md is the user's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter
    from pysniff.kfl.schema import Schema

__all__ = ["Filter", "compile"]


def compile(text: str, schema: Schema, *, now: int | None = None) -> Filter:
    """Compile a display filter; raise FilterError pointing at the column.

    `now`: what now() gives, nanoseconds since the epoch; without it, the clock's time of this call.
    """
    from pysniff.kfl.filter import Filter

    return Filter(text, schema, now=now)


def __getattr__(name: str) -> object:
    if name == "Filter":
        from pysniff.kfl.filter import Filter

        return Filter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
