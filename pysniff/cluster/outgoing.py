"""One answer as the worker sends it: credit, and what is kept until the hub has it. No I/O, no clock."""

from __future__ import annotations

from collections import deque

from pysniff.cluster.frames import is_last
from pysniff.limits import MIB

CREDIT = 16 * MIB  # the most that one request may be owed


class Outgoing:
    """Frames of one answer, encoded, numbered 1, 2, 3 by their order.

    A frame is pulled and sent while credit is above zero, and may take it below: so at most the window and one
    frame are kept here.
    """

    __slots__ = ("credit", "over", "kept", "_window", "_frames", "_before", "_sent")

    def __init__(self, credit: int) -> None:
        self._window = min(credit, CREDIT)
        self.credit = self._window
        self.over = False  # whether its last frame was pulled
        self.kept = 0  # bytes of frames that the hub may want again
        self._frames: deque[bytes] = deque()
        self._before = 0  # the number of frames that need not be kept
        self._sent = 0  # the number of the last one sent on this connection

    @property
    def pulled(self) -> int:
        """The number of the last frame pulled."""
        return self._before + len(self._frames)

    @property
    def done(self) -> bool:
        """Whether the hub has all of it."""
        return self.over and not self._frames

    def wants(self) -> bool:
        """Whether the next frame is to be pulled.

        A hub acknowledges what it grants credit for; one that does not gets no more than the window either.
        """
        return self.credit > 0 and self.kept < self._window and not self.over and self._sent == self.pulled

    def add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self.kept += len(frame)
        self.over = is_last(frame)

    def take(self) -> bytes | None:
        """The next frame to send, None while there is none or no credit."""
        if self.credit <= 0 or self._sent == self.pulled:
            return None
        frame = self._frames[self._sent - self._before]
        self._sent += 1
        self.credit -= len(frame)
        return frame

    def grant(self, size: int, seq: int) -> bool:
        """Credit; False where it tells of frames that were never sent. More than the window is never owed."""
        if seq > self._sent:
            return False
        self._forget(seq)
        self.credit = min(self.credit + size, self._window)
        return True

    def resume(self, seq: int, credit: int) -> bool:
        """Go on behind a frame; False where what follows it is no more, or it never was."""
        if not self._before <= seq <= self.pulled:
            return False
        self._forget(seq)
        self._sent = seq
        self.credit = min(credit, self._window)
        return True

    def _forget(self, seq: int) -> None:
        while self._before < seq:
            self.kept -= len(self._frames.popleft())
            self._before += 1
