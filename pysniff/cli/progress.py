"""How far a long read is: one line on stderr that is gone at the end. Terminals only."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import IO

from pysniff.cli.lines import duration, size

PATIENCE = 1.0  # seconds without a word; a short read stays silent
INTERVAL = 0.2  # seconds between two drawings
ERASE = "\r\x1b[K"  # to the first column, erase to the end of the line (ECMA-48 EL)


class Progress:
    """Takes bytes read and bytes in all (None where nobody knows, as from a pipe).

    `shared`: entries are printed on the same terminal. `what`: is counted meanwhile, in `count`.
    """

    def __init__(
        self,
        stream: IO[str],
        *,
        enabled: bool,
        shared: bool = False,
        what: str = "entries",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream = stream
        self._enabled = enabled
        self._shared = shared
        self._clock = clock
        self._start = clock()
        self._next = self._start + PATIENCE
        self._shown = False
        self._what = what
        self.count = 0

    def __call__(self, done: int, total: int | None) -> None:
        if not self._enabled:
            return
        now = self._clock()
        if now < self._next:
            return
        self._next = now + INTERVAL
        self._shown = True
        self._stream.write(ERASE + self.text(done, total, now - self._start))
        self._stream.flush()

    def text(self, done: int, total: int | None, seconds: float) -> str:
        words = [f"read {size(done)}"]
        if total:
            part = min(1.0, done / total)
            words = [f"read {size(done)} of {size(total)}", f"{100 * part:.0f} %"]
        words.append(f"{self.count:,} {self._what}")
        if total and 0 < done < total:
            left = seconds * (total - done) / done
            words.append(f"{duration(int(left * 1e6)) if left < 60 else duration(round(left) * 1_000_000)} left")
        return ", ".join(words)

    def make_room(self) -> None:
        """Entries follow, perhaps where the line stands."""
        if self._shared:
            self.erase()

    def erase(self) -> None:
        if self._shown:
            self._shown = False
            self._stream.write(ERASE)
            self._stream.flush()
