"""What decrypts TLS: secrets by label and client random, as key logs have them (draft-ietf-tls-keylogfile).

Sources are asked when a secret is missing, so one may be known long after the packets that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from pysniff.limits import MIB

# Kept in all; a TLS 1.3 connection has five or six of about 200 bytes each. The oldest go.
SECRETS = 32 * MIB // 256


class Secret(NamedTuple):
    """`label` in upper case, as CLIENT_RANDOM or SERVER_TRAFFIC_SECRET_0; `random`: the client's, 32 bytes."""

    label: str
    random: bytes
    value: bytes


class TlsConnection(NamedTuple):
    """One that was captured from its ClientHello on. `random`: the client's; `key`: its ends, as of Segment, whichever
    of them sent it; `keyed`: whether any secret of it is known."""

    random: bytes
    key: bytes
    keyed: bool


class SecretSource(Protocol):
    """Where secrets come from. `name`: what entries say: keylog, pcapng or kernel."""

    name: str

    def take(self) -> Iterable[Secret]:
        """Those that are new since this was last called; quick, for it is asked whenever one is missing."""

    @property
    def complete(self) -> bool:
        """Whether there will be no more: nobody need wait."""


class Secrets:
    """Those of several sources, bounded. `kept`: sources that nobody named, of what a store keeps. `added`: how many
    secrets there were so far; `forgotten`: how many went for newer ones."""

    def __init__(self, *sources: SecretSource, kept: Iterable[SecretSource] = ()) -> None:
        self.added = 0
        self.forgotten = 0
        self._named: list[SecretSource] = list(sources)
        self._sources: list[SecretSource] = [*kept, *sources]
        self._known: dict[tuple[str, bytes], tuple[bytes, str]] = {}
        self._hearers: list[Callable[[Secret, str], None]] = []
        self._used: dict[bytes, None] = {}  # client randoms
        self._newest: dict[bytes, int] = {}  # by client random

    def __len__(self) -> int:
        return len(self._known)

    @property
    def complete(self) -> bool:
        """Whether what is missing now will be missing for ever."""
        return all(source.complete for source in self._sources)

    @property
    def sources(self) -> tuple[SecretSource, ...]:
        """Those that somebody named."""
        return tuple(self._named)

    def attach(self, source: SecretSource) -> None:
        self._named.append(source)
        self._sources.append(source)

    def find(self, label: str, random: bytes) -> tuple[bytes, str] | None:
        """The secret and the name of its source; asks the sources for news where it is not known."""
        found = self._known.get((label, random))
        if found is None and self.poll():
            found = self._known.get((label, random))
        if found is not None and random not in self._used:
            if len(self._used) >= SECRETS:
                del self._used[next(iter(self._used))]
            self._used[random] = None
        return found

    def newest(self, random: bytes) -> int:
        """How many secrets there were when the last one of this connection was told; 0 where there is none."""
        return self._newest.get(random, 0)

    def used(self) -> list[Secret]:
        """What is known of every connection of which something was found."""
        known = self._known.items()
        return [Secret(label, random, value) for (label, random), (value, _) in known if random in self._used]

    def tell(self, hear: Callable[[Secret, str], None]) -> None:
        """Have somebody told each secret and the name of its source: those that are known, and those to come."""
        self._hearers.append(hear)
        for (label, random), (value, source) in self._known.items():
            hear(Secret(label, random, value), source)

    def poll(self) -> bool:
        """Ask the sources; whether there is any news."""
        news = False
        for source in self._sources:
            for secret in source.take():
                news |= self.add(secret, source.name)
        return news

    def add(self, secret: Secret, source: str) -> bool:
        """Know it from now on; whether it was not known."""
        key = secret.label, secret.random
        if key in self._known:
            return False
        if len(self._known) >= SECRETS:
            del self._known[next(iter(self._known))]
            self.forgotten += 1
        self._known[key] = secret.value, source
        self.added += 1
        if len(self._newest) >= SECRETS and secret.random not in self._newest:
            del self._newest[next(iter(self._newest))]
        self._newest[secret.random] = self.added
        for hear in self._hearers:
            hear(secret, source)
        return True
