"""The secrets that a store has beside its segments, for a Sniffer that goes through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from pysniff.limits import MIB
from pysniff.secrets import Secret
from pysniff.store.directory import SegmentFiles, read_from, segments, size_of
from pysniff.store.secrets_file import parsed

# Where secrets come from, as entries say it; files name one of these.
ORIGINS = ("keylog", "pcapng", "kernel")
# Bytes of key logs that are read at once, some 80,000 secrets; of more, those near the segments that are read.
AT_ONCE = 16 * MIB
# Segments behind the one that is read whose secrets are known: one may have come after its packets.
_AHEAD = 2
# Seconds between two looks at what a store that grows has.
_AGAIN = 0.1


class StoredSecrets:
    """`sources`: for Secrets, one for each origin, none where there is nothing. `follows`: somebody
    records into the store, and what is missing may still come."""

    def __init__(self, directory: Path, *, follows: bool = False) -> None:
        self.sources: Sequence[_Origin] = [_Origin(self, name) for name in ORIGINS]
        self.follows = follows
        self._directory = directory
        self._read: dict[SegmentFiles, int] = {}  # bytes of each file that were taken
        self._found: dict[str, deque[Secret]] = {name: deque() for name in ORIGINS}
        self._reached: int | None = None  # None: everything there is
        self._looked = 0.0
        self._look()
        if self.is_empty and not follows:
            self.sources = ()  # they would be taken for some that have no key for a connection

    @property
    def is_empty(self) -> bool:
        """Whether the store had none so far."""
        return not self._read

    @property
    def complete(self) -> bool:
        return not self.follows and self._reached is None

    def reach(self, number: int) -> None:
        """The segment with this number is read next."""
        if self._reached is not None:
            self._reached = max(self._reached, number + _AHEAD)
            self._look()

    def reach_all(self) -> None:
        """There is no segment behind."""
        if self._reached is not None:
            self._reached = None
            self._look()

    def take(self, name: str) -> list[Secret]:
        """Those of one origin that are new."""
        if self.follows and monotonic() >= self._looked + _AGAIN:
            self._look()
        found = self._found[name]
        every = [*found]
        found.clear()
        return every

    def _look(self) -> None:
        """Take what files have grown by, those that are in reach."""
        self._looked = monotonic()
        every = [files for files in segments(self._directory) if size_of(files.keylog) > self._read.get(files, 0)]
        if not self._read and self._reached is None and sum(size_of(files.keylog) for files in every) > AT_ONCE:
            self._reached = every[0].number + _AHEAD
        for files in every:
            if self._reached is None or files.number <= self._reached:
                self._take(files)

    def _take(self, files: SegmentFiles) -> None:
        at = self._read.get(files, 0)
        try:
            text = read_from(files.keylog, at)
        except OSError:
            return  # dropped meanwhile
        whole = text.rfind(b"\n") + 1  # somebody may be writing the last line
        self._read[files] = at + whole
        for _, source, _, secret in parsed(text[:whole]):
            if source in self._found:
                self._found[source].append(secret)


class _Origin:
    """A SecretSource: those of one origin. `name`: that origin, once it gave some, as the reason why a key is missing
    goes by the sources that there are."""

    def __init__(self, stored: StoredSecrets, origin: str) -> None:
        self.name = "store"
        self._origin = origin
        self._stored = stored

    @property
    def complete(self) -> bool:
        return self._stored.complete

    def take(self) -> list[Secret]:
        found = self._stored.take(self._origin)
        if found:
            self.name = self._origin
        return found
