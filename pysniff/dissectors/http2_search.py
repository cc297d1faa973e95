"""Where frames begin again after a loss, or when joined in the middle.

It is decided by bytes alone, not by where packets end: what is held is as much as the decision needs.
"""

from __future__ import annotations

import re
from heapq import heappop, heappush

from pysniff.dissectors.http2_frames import HEADER, SHORT, frame_end, weight_of

# Weights as weight_of() counts them. Where a capture or the bytes behind a gap begin, a packet begins, and there most
# often a frame; anywhere else it takes more to believe it.
AT_ONCE, ANYWHERE = 2, 3
_MARKS = 256
_CANDIDATES = 256  # followed at a time
# The header of a frame, by type: length, type, flags, stream identifier; what frame_end() would refuse at once is none.
_LENGTH = rb"\x00(?:[\x00-\x3f].|\x40\x00)"
_OWNED, _NOBODYS = rb"(?!\x00\x00\x00\x00)[\x00-\x7f]...", rb"\x00\x00\x00\x00"
_candidate = re.compile(
    b"|".join(
        (
            _LENGTH + rb"\x00[\x00\x01\x08\x09]" + _OWNED,
            _LENGTH + rb"[\x01\x05][\x00-\x2d]" + _OWNED,
            rb"\x00\x00(?:\x05\x02|\x04\x03)\x00" + _OWNED,
            rb"\x00\x00[\x00-\x78]\x04[\x00\x01]" + _NOBODYS,
            rb"\x00\x00\x08\x06[\x00\x01]" + _NOBODYS,
            _LENGTH + rb"\x07\x00" + _NOBODYS,
            rb"\x00\x00\x04\x08\x00[\x00-\x7f]...",
            _LENGTH + rb"\x09[\x00\x04]" + _OWNED,
        )
    ),
    re.DOTALL,
).search


class Search:
    """Bytes of one half that may hold the start of a frame, and when they came.

    Every place where a frame may begin is followed, from frame to frame, as its bytes arrive; the first one that has
    proven itself counts. Offsets count from the loss.
    """

    def __init__(self, want: int = AT_ONCE) -> None:
        self.skipped = 0  # bytes before `held` that begin no frame
        self.held = bytearray()
        self._marks: list[tuple[int, int]] = []  # offset, time of what came from there on
        self._scanned = 1  # no other candidate begins before this
        # Candidates: offset that must be reached to judge its next frame, where it began, that frame, weight so far.
        self._candidates = [(HEADER, 0, 0, ANYWHERE - AT_ONCE)] if want == AT_ONCE else []

    def add(self, data: bytes, at: int) -> tuple[int, bool]:
        """How many of the held bytes begin no frame, which are forgotten, and whether one begins behind them."""
        marks = self._marks
        if not marks or (marks[-1][1] != at and len(marks) < _MARKS):
            marks.append((self.skipped + len(self.held), at))
        self.held += data
        start = self._advance(self.skipped + len(self.held))
        found = start >= 0
        if not found:
            start = min([candidate[1] for candidate in self._candidates], default=self._scanned)
            start = min(start, self._scanned, self.skipped + len(self.held))
        place = start - self.skipped
        del self.held[:place]
        self.skipped = start
        before = [mark for mark in marks if mark[0] <= start]
        self._marks = [*before[-1:], *marks[len(before) :]]
        return place, found

    def _advance(self, reached: int) -> int:
        """Judge what can be judged, in the order in which its bytes came; where the frame begins, or -1."""
        candidates = self._candidates
        next_one = self._scan(reached)
        while True:
            if candidates and candidates[0][0] <= min(reached, next_one + HEADER):
                _, start, place, weight = heappop(candidates)
            elif next_one < reached:
                start, place, weight = next_one, next_one, 0
                self._scanned = next_one + 1
                next_one = self._scan(reached)
                if len(candidates) >= _CANDIDATES:
                    continue
            else:
                return -1
            if self._follow(start, place, weight):
                return start

    def _scan(self, reached: int) -> int:
        """The next candidate whose header is there, or `reached`."""
        found = _candidate(self.held, self._scanned - self.skipped)
        if found is not None:
            return self.skipped + found.start()
        self._scanned = max(self._scanned, reached - HEADER + 1)
        return reached

    def _follow(self, start: int, place: int, weight: int) -> bool:
        """Judge one frame of a candidate; whether that proves it."""
        end = frame_end(self.held, place - self.skipped)
        if end == SHORT:
            size = int.from_bytes(self.held[place - self.skipped : place - self.skipped + 3], "big")
            heappush(self._candidates, (place + HEADER + size, start, place, weight))
        elif end >= 0:
            weight += weight_of(self.held, place - self.skipped)
            if weight >= ANYWHERE:
                return True
            end += self.skipped
            heappush(self._candidates, (end + HEADER, start, end, weight))
        return False

    def taken(self) -> list[tuple[bytes, int]]:
        """What is held, in the pieces in which it came."""
        begins = [max(mark - self.skipped, 0) for mark, _ in self._marks]
        ends = [*begins[1:], len(self.held)]
        times = [at for _, at in self._marks]
        pieces = [(bytes(self.held[begin:end]), at) for begin, end, at in zip(begins, ends, times, strict=True)]
        return [piece for piece in pieces if piece[0]]
