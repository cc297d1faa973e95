"""One answer as the hub receives it: order, credit, and what to tell the worker. No I/O, no clock."""

from __future__ import annotations

from pysniff.cluster.frames import Credit, Resume
from pysniff.limits import KIB

ACK_BYTES = 64 * KIB  # received, until the worker is told that it need not keep them
ACK_FRAMES = 64


class Violation(Exception):
    """A worker broke the protocol: its connection ends. `code` is that of the Bye."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Incoming:
    """Credit is given out as the caller uses frames, in pieces of a quarter of the window."""

    __slots__ = ("id", "left", "seq", "_window", "_granted", "_told", "_unacknowledged", "_over")

    def __init__(self, id: int, credit: int) -> None:
        self.id = id
        self.left = credit  # what the worker may still send, as far as it knows
        self.seq = 0  # of the last frame received
        self._window = credit
        self._granted = 0  # by the caller, and not told the worker yet
        self._told = 0  # the last seq that the worker was told
        self._unacknowledged = 0  # bytes received since
        self._over = False

    def received(self, seq: int, size: int, *, last: bool) -> None:
        """A frame of `size` bytes came; raise Violation where it must not."""
        if seq != self.seq + 1 or self._over:
            raise Violation("order", f"frame {seq} of request {self.id} came behind {self.seq}")
        if self.left <= 0:
            raise Violation("credit", f"request {self.id} was sent more than its credit")
        self.seq = seq
        self.left -= size
        self._unacknowledged += size
        self._over = last

    def grant(self, size: int) -> None:
        """The caller has used so many bytes; more than were received count for nothing."""
        self._granted = min(self._granted + size, self._window - self.left)

    def credit(self) -> Credit | None:
        """What is to be sent now, or None."""
        if self._over:
            return self._settle(0) if self._told < self.seq else None
        enough = self._granted >= max(1, self._window // 4)
        behind = self._unacknowledged >= ACK_BYTES or self.seq - self._told >= ACK_FRAMES
        return self._settle(self._granted) if enough or behind else None

    def _settle(self, size: int) -> Credit:
        """Count what was granted as the worker's, and what came as told."""
        self._granted = 0
        self.left += size
        self._told, self._unacknowledged = self.seq, 0
        return Credit(self.id, size, self.seq)

    def resume(self) -> Resume:
        """What is sent on a new connection: what was lost of the old one does not matter."""
        self._settle(self._granted)
        self.left = max(0, self.left)
        return Resume(self.id, self.seq, self.left)
