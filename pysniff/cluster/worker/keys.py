"""Where a worker's processes have secrets of TLS from: files that may grow, and memory that they inherit."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pysniff.keylogs import key_logs
from pysniff.secret_ring import RingReader
from pysniff.secrets import SecretSource


@dataclass(frozen=True, slots=True)
class Keys:
    """`files`: key logs, by absolute path. `ring`: the descriptor of a ring; None for none. `origin`: where the secrets
    in it come from, as of SecretSource.name."""

    files: tuple[str, ...] = ()
    ring: int | None = None
    origin: str = "kernel"

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process must inherit."""
        return () if self.ring is None else (self.ring,)

    def __bool__(self) -> bool:
        return bool(self.files) or self.ring is not None

    def sources(self, *, follow: bool = True, ring: bool = True) -> list[SecretSource]:
        """New ones, which give everything from the beginning; raise FileError. `follow`: files may grow."""
        found = key_logs(self.files, follow)
        return [*found, RingReader(self.ring, name=self.origin)] if ring and self.ring is not None else found

    def word(self) -> str:
        """For a command line, or a line of JSON."""
        return json.dumps({"files": self.files, "ring": self.ring, "origin": self.origin})

    @classmethod
    def of(cls, word: str) -> Keys:
        """Of word(); of "" none."""
        told = json.loads(word) if word else {}
        ring = told.get("ring")
        files, origin = tuple(map(str, told.get("files", ()))), str(told.get("origin", "kernel"))
        return cls(files, None if ring is None else int(ring), origin)


NO_KEYS = Keys()
