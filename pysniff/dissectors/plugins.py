"""Dissectors and refinements of others, from the entry-point group pysniff.dissectors."""

from __future__ import annotations

from functools import cache

from pysniff.dissector import Dissector
from pysniff.refinement import Refinement

GROUP = "pysniff.dissectors"


@cache
def plugins() -> tuple[type[Dissector] | type[Refinement], ...]:
    """Every one that loads; one that does not is left out with a warning."""
    from importlib.metadata import entry_points  # `import pysniff` goes without it

    found: list[type[Dissector] | type[Refinement]] = []
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            if not issubclass(loaded, (Dissector, Refinement)):
                raise TypeError(f"{loaded!r} is neither a Dissector nor a Refinement")
        except Exception as problem:
            import warnings

            warnings.warn(f"dissector {point.name} ({point.value}): {problem}", RuntimeWarning, stacklevel=2)
        else:
            found.append(loaded)
    return tuple(found)
