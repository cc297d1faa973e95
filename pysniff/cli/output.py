"""Standard output as bytes in large pieces: a write is a system call, an entry is not."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from pysniff.errors import WriteError
from pysniff.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pysniff.entry import Entry

PIECE = 256 * 1024  # bytes collected before they are written where nobody waits for them


class Sink(Protocol):
    """Where entries go."""

    def show(self, entries: Iterable[Entry]) -> None:
        """Take entries in the order in which they completed."""

    def close(self) -> None:
        """Bring out what is still held."""


class Silent:
    """-q and `-w -`: entries go nowhere."""

    def show(self, entries: Iterable[Entry]) -> None:
        pass

    def close(self) -> None:
        pass


class Output:
    """Collects pieces for a binary stream; `live` writes each call through, for whoever reads along.

    Raises WriteError; BrokenPipeError passes, it is not a failure.
    """

    def __init__(self, stream: IO[bytes], *, live: bool) -> None:
        self._stream = stream
        self._live = live
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size >= PIECE:
                self.flush()
        if self._live:
            self.flush()

    def flush(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        try:
            if pieces:
                write_whole(self._stream, b"".join(pieces))
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WriteError(f"standard output: {error.strerror}") from error
