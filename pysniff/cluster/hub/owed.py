"""What a worker may send again once what it sent has gone to the client."""

from __future__ import annotations

from collections import deque

from pysniff.cluster.hub.links import Asked


class Owed:
    """Of one worker. Things leave a merge in nearly the order in which they came, so their number decides."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, int, Asked]] = deque()  # things that are still here, bytes of all, whom to grant

    def add(self, count: int, size: int, asked: Asked) -> None:
        """A frame came with so many things; one without any has been used."""
        if count:
            self._frames.append((count, size, asked))
        else:
            asked.grant(size)

    def released(self, count: int) -> None:
        """So many of them have gone."""
        frames = self._frames
        while count and frames:
            left, size, asked = frames.popleft()
            if left > count:
                frames.appendleft((left - count, size, asked))
                return
            count -= left
            asked.grant(size)
