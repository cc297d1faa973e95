"""Which secrets a recording keeps: those of connections whose ClientHello is among its packets, and no others.

A secret may come before its packets (a key log of yesterday) or behind them (one that grows).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pysniff.limits import KIB
from pysniff.secrets import SECRETS, Secret, SecretSource, TlsConnection
from pysniff.store import secrets_carrying
from pysniff.store.columns import Columns, Ints
from pysniff.store.directory import SegmentFiles, size_of
from pysniff.store.flows import FOLLOWED, FlowTable
from pysniff.store.hellos import client_randoms
from pysniff.store.secrets_file import HEAD, Kept, is_useful, lines, parsed

# Of a segment's size: what its secrets may take. A handshake has 3,000 bytes of packets, and 1,000 of these lines.
_SHARE = 3
_LEAST = 8 * KIB
# Seconds after which a connection counts as one without keys: nobody who dissects waits longer for one.
_PATIENCE = 5.0
# Characters of a secret's line and its comment, but for its value.
_LINE = 220


class _Known(NamedTuple):
    secret: Secret
    source: str


class _Seen(NamedTuple):
    """A connection that began: its Flow.name, and when, in nanoseconds."""

    stream: str
    time: int


class _Keyless(NamedTuple):
    """A connection whose keys may still come, until then (of the monotonic clock)."""

    connection: TlsConnection
    until: float


class SecretsKeeping:
    """poll() now and then, saw() for every block, write() with what is flushed, and remove() in the place of
    SegmentFiles.remove().

    `segment_size`: of the store. `keeps`: without it nothing is written, and connections are counted all the same:
    `connections` that began, and those of them `with_keys`. `missed`: secrets for which there was no room beside their
    packets; words about that go to `notices`, once. `on_begun`: told of each connection that began, as soon as it has a
    key, or when it has waited for one.
    """

    def __init__(
        self, sources: Sequence[SecretSource], segment_size: int, notices: list[str], *, keeps: bool = True
    ) -> None:
        self.segment_size = segment_size
        self.keeps = keeps
        self.connections = self.with_keys = 0
        self.missed = 0
        self.on_begun: list[Callable[[TlsConnection], None]] = []
        self._keyless: OrderedDict[bytes, _Keyless] = OrderedDict()  # by random
        self._notices = notices
        self._sources = sources
        self._known: OrderedDict[bytes, list[_Known]] = OrderedDict()  # by random
        self._count = 0
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()  # by random
        self._waiting: list[Kept] = []

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def poll(self) -> None:
        """Take what is new from the sources."""
        for source in self._sources:
            for secret in source.take():
                self.learn(secret, source.name)
        self._tell_keyless(time.monotonic())

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._tell_keyless(None)

    def learn(self, secret: Secret, source: str) -> None:
        if not is_useful(secret):
            return
        here = self._known.setdefault(secret.random, [])
        if any(one.secret.label == secret.label for one in here):
            return
        here.append(_Known(secret, source))
        self._count += 1
        while self._count > SECRETS:
            self._count -= len(self._known.popitem(last=False)[1])
        seen = self._seen.get(secret.random)
        if seen is not None:
            self.with_keys += len(here) == 1
            if (waited := self._keyless.pop(secret.random, None)) is not None:
                self._tell(waited.connection._replace(keyed=True))
            self._wait([Kept(seen.stream, source, seen.time, secret)])

    def saw(self, columns: Columns, flows: Ints, table: FlowTable) -> None:
        """Look for connections that begin among packets; `flows`: their rows."""
        for place, random in client_randoms(columns):
            flow = table.touched_flow(int(flows[place]))
            if flow is None:
                continue
            seen = _Seen(flow.name.hex(), int(columns.time[place]))
            before = self._seen.get(random)
            if before is not None and before.stream == seen.stream:
                continue  # sent again, or the second one of the same handshake
            self._seen[random] = seen
            if len(self._seen) > FOLLOWED:
                self._seen.popitem(last=False)
            known = self._known.get(random, ())
            self.connections += 1
            self.with_keys += bool(known)
            self._begin(TlsConnection(random, columns.key(place), bool(known)))
            self._wait([Kept(seen.stream, source, seen.time, one) for one, source in known])

    def _begin(self, connection: TlsConnection) -> None:
        if connection.keyed or not self.on_begun:
            self._tell(connection)
            return
        self._keyless[connection.random] = _Keyless(connection, time.monotonic() + _PATIENCE)
        if len(self._keyless) > FOLLOWED:
            self._tell(self._keyless.popitem(last=False)[1].connection)

    def _tell_keyless(self, now: float | None) -> None:
        """Those that have waited long enough, or all."""
        while self._keyless and (now is None or next(iter(self._keyless.values())).until <= now):
            self._tell(self._keyless.popitem(last=False)[1].connection)

    def _tell(self, connection: TlsConnection) -> None:
        for hear in self.on_begun:
            hear(connection)

    def _wait(self, every: list[Kept]) -> None:
        if self.keeps:
            self._waiting += every

    def room(self) -> int:
        """Bytes that write() takes, at most."""
        return min(sum(_LINE + 2 * len(one.secret.value) for one in self._waiting), self._most()) + len(HEAD)

    def write(self, files: SegmentFiles) -> None:
        """Write what waits beside a segment, as far as there is room; afterwards nothing waits."""
        waiting, self._waiting = self._waiting, []
        self._append(files.keylog, waiting)

    def remove(self, files: SegmentFiles, following: SegmentFiles) -> None:
        """Drop a segment; secrets of connections that go on are kept beside the next one."""
        kept = secrets_carrying.going_on(files, following) if self.keeps else []
        files.remove()
        self._append(following.keylog, kept)

    def _most(self) -> int:
        return max(self.segment_size // _SHARE, _LEAST)

    def _append(self, path: Path, every: list[Kept]) -> None:
        if not every:
            return
        used = size_of(path)
        text = lines(every) if used else HEAD + lines(every)
        room = self._most() - used
        if len(text) > room:
            text = text[: text.rfind(b"\n", 0, room) + 1] if room > len(HEAD) else b""
            self._miss(len(every) - sum(1 for _ in parsed(text)), path, "there is no room for more of them")
        try:
            secrets_carrying.append(path, text)
        except OSError as error:
            self._miss(sum(1 for _ in parsed(text)), path, error.strerror or str(error))

    def _miss(self, count: int, path: Path, why: str) -> None:
        if not self.missed:
            self._notices.append(f"{path}: {why}: some TLS connections cannot be read out of the store")
        self.missed += count
