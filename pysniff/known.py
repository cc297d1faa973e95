"""Dissectors in the order in which they are asked; each is imported when it is its turn.

Where all is HTTP/1, nobody waits for the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from typing import NamedTuple

from pysniff.dissector import Dissector


class Place(NamedTuple):
    """Where one of ours is. `patience`: what it says there."""

    module: str
    name: str
    transport: str = "tcp"
    patience: int = 1


class Known(Collection[type[Dissector]]):
    """Ours by their places, then `others`. `patience`: the most that any of them has."""

    def __init__(self, places: Collection[Place], others: Collection[type[Dissector]] = ()) -> None:
        self._places = places
        self._others = others
        self.patience = max([1, *[one.patience for one in places], *[one.patience for one in others]])

    def __iter__(self) -> Iterator[type[Dissector]]:
        for place in self._places:
            yield _imported(place)
        yield from self._others

    def __len__(self) -> int:
        return len(self._places) + len(self._others)

    def __contains__(self, one: object) -> bool:
        return any(one is known for known in self)


def patience(dissectors: Collection[type[Dissector]]) -> int:
    """The most that any of them has."""
    if isinstance(dissectors, Known):
        return dissectors.patience
    return max([one.patience for one in dissectors], default=1)


@cache
def _imported(place: Place) -> type[Dissector]:
    found: type[Dissector] = getattr(import_module(place.module), place.name)
    return found
