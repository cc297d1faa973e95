"""Dissectors and refinements of others, from the entry-point group pysniff.dissectors."""

from __future__ import annotations

import os
import sys
from functools import cache

from pysniff.dissector import Dissector
from pysniff.refinement import Refinement

GROUP = "pysniff.dissectors"
_METADATA = (".dist-info", ".egg-info", ".egg")


@cache
def plugins() -> tuple[type[Dissector] | type[Refinement], ...]:
    """Every one that loads; one that does not is left out with a warning."""
    if not any(map(_may_announce, sys.path)):
        return ()
    from importlib.metadata import entry_points

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


def _may_announce(folder: str) -> bool:
    """Whether something installed there may have plugins: to look takes 1 ms, to import importlib.metadata 15."""
    try:
        with os.scandir(folder or ".") as found:
            return any(_names_group(one.path) for one in found if one.name.endswith(_METADATA))
    except NotADirectoryError:  # an archive
        return True
    except OSError:
        return False


def _names_group(metadata: str) -> bool:
    if metadata.endswith(".egg"):
        return True
    try:
        with open(f"{metadata}/entry_points.txt", "rb") as file:
            return GROUP.encode() in file.read()
    except OSError:  # most have none
        return False
