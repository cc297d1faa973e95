"""Labels of secrets, also where a program could not read one: it is at the same place for every process of a file.

A label is a constant in the file, and in a process's memory only after somebody has touched it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.tracer.key_program import KeyRecord

# Places that are known: a library has about ten of them.
_MOST_PLACES = 4_096
# Records that wait for another process to have the label at their place.
_MOST_WAITING = 1_024


class Labels:
    """`lost`: records that can wait no longer, as too many do."""

    def __init__(self) -> None:
        self.lost = 0
        self._known: dict[tuple[int, int], str] = {}
        self._waiting: list[KeyRecord] = []

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def of(self, record: KeyRecord) -> Iterator[tuple[str, KeyRecord]]:
        """The record with its label, and then those that it tells the label of; nothing while nobody knows."""
        place = record.file, record.distance
        label = record.label or self._known.get(place, "")
        if label:
            yield label, record
            if place not in self._known and len(self._known) < _MOST_PLACES:
                self._known[place] = label
                yield from ((label, one) for one in self._released(place))
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(record)
        else:
            self.lost += 1

    def _released(self, place: tuple[int, int]) -> list[KeyRecord]:
        waited = [one for one in self._waiting if (one.file, one.distance) == place]
        if waited:
            self._waiting = [one for one in self._waiting if (one.file, one.distance) != place]
        return waited
