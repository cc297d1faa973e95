"""Reads of segment after segment what it takes to go on behind each with its HTTP/2 and TLS connections.

Most HTTP/2 is plain and read by Skimming. What is not plain here (a packet that was sent again, a frame that is rare)
is read by a Sniffer, once; TLS, and what nobody knows yet, or joined in the middle, by one that goes through all
segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from pysniff.limits import KIB, MIB, SECOND, Limits
from pysniff.resumption import Resumption
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer
from pysniff.store import tables
from pysniff.store.catalogue import Chapter
from pysniff.store.columns import Bools
from pysniff.store.later import Later
from pysniff.store.passage import Passage
from pysniff.store.rows import KEPT, UNKNOWN
from pysniff.store.skimming import Skimming

# Nothing is shown here: what calls carry is not kept.
LIMITS = Limits(
    body_bytes=0,
    decoded_bytes=0,
    waiting_bytes=MIB,
    held_total=32 * MIB,
    conversations=16_384,
    undecrypted_bytes=256 * KIB,
    undecrypted_total=16 * MIB,
    undecrypted_wait=SECOND,  # of a segment that is read, secrets have come
)
# Payload of a half before which a conversation that nobody knows yet may still be one of ours.
_UNDECIDED = 256 * KIB
# Sniffers for what was not plain in one segment, and cannot be left at its end.
_READERS = 8


class GoingOn:
    """`read()` segment after segment, and ask for states(). `is_over`: asked meanwhile; then the process ends.
    `secrets`: what decrypts."""

    def __init__(self, is_over: Callable[[], bool], secrets: Secrets) -> None:
        self._is_over = is_over
        self._secrets = secrets
        self._protocols = tables.remembering()
        self._skimming = Skimming(LIMITS)
        self._ends: dict[bytes, int] = {}  # of those: when they were heard of last
        self._always = _Reader(secrets)
        self._readers: list[_Reader] = []
        # From an earlier process, and not plain: conversations that have said nothing since.
        self._silent: dict[bytes, Resumption] = {}
        self._over: set[bytes] = set()  # conversations that a Sniffer still has, and that do not go on
        self._time = 0

    def resume(self, states: Iterable[Resumption]) -> None:
        """Know what an earlier process left."""
        every = {tables.name_of(one): one for one in states}
        self._skimming.resume(every.values())
        self._silent = {name: one for name, one in every.items() if name not in self._skimming.known}
        self._always.passage.resume(self._silent.values())
        self._ends = dict.fromkeys(every, 0)

    def read(self, chapter: Chapter, later: Later) -> None:
        rows = chapter.index.rows
        goes_on = later.going_on(chapter)
        wanted = _ours(chapter, self._protocols) & goes_on
        for reader in self._readers:
            mine = np.isin(rows["name"], reader.array())
            wanted &= ~mine
            if mine.any() or chapter.has_shared():
                self._feed(reader, chapter, mine)
            else:
                reader.passage.advance(chapter.index.latest)
        plain = wanted & self._skimming.plain(chapter)
        strange = self._skimming.read(chapter, plain) if plain.any() else plain
        if strange.any():
            self._readers.append(self._repair(chapter, strange))
            del self._readers[:-_READERS]
        here = [row.tobytes() for row in rows["name"]]
        unread = {here[place] for place in np.flatnonzero(~plain | strange).tolist()} & self._skimming.known.keys()
        rest = wanted & ~plain
        taken = {here[place] for place in np.flatnonzero(rest).tolist()} & unread
        self._always.passage.resume([self._skimming.known[name] for name in taken])
        self._skimming.forget(unread)
        self._feed(self._always, chapter, rest)
        self._tidy(chapter, later, dict(zip(here, goes_on.tolist(), strict=True)))

    def _repair(self, chapter: Chapter, strange: Bools) -> _Reader:
        """Read these from where they were plain."""
        reader = _Reader(self._secrets)
        reader.names = {row.tobytes() for row in chapter.index.rows["name"][strange]}
        known = self._skimming.known
        reader.passage.resume([known[name] for name in reader.names if name in known])
        self._feed(reader, chapter, strange)
        return reader

    def _feed(self, reader: _Reader, chapter: Chapter, rows: Bools) -> None:
        again = Chapter(chapter.files, chapter.index)
        again.choose(rows)
        for _ in reader.passage.read(again):
            if self._is_over():
                raise SystemExit
        reader.passage.advance(reader.passage.time)

    def _tidy(self, chapter: Chapter, later: Later, here: dict[bytes, bool]) -> None:
        """Forget what does not go on; who is plain again is read so."""
        self._time = chapter.index.latest
        for name in here.keys() & self._silent.keys():
            del self._silent[name]
        for reader in self._readers:
            states = {tables.name_of(one): one for one in reader.sniffer.remember()}
            self._skimming.resume([states[name] for name in reader.names & states.keys()])
            reader.names -= self._skimming.known.keys()
            reader.names -= {name for name in reader.names if name in here and not here[name]}
        self._readers = [reader for reader in self._readers if reader.names]
        for name in self._skimming.known.keys() | self._silent.keys():
            if name in here or not self._ends.get(name):
                self._ends[name] = self._time
        over = [name for name, end in self._ends.items() if not here.get(name, later.may_go_on(name, end))]
        self._skimming.forget(over)
        for name in over:
            self._silent.pop(name, None)
            del self._ends[name]
        self._over |= {name for name, goes_on in here.items() if not goes_on}

    def states(self, oldest: int) -> list[Resumption]:
        """What goes on behind what was read; `oldest`: the segment that is."""
        found = dict(self._skimming.known)
        told = {tables.name_of(one): one for reader in self._all() for one in reader.sniffer.remember()}
        self._over &= told.keys()  # the others are forgotten there, too
        for name in told.keys() - self._over:
            found.setdefault(name, told[name])
        for name, one in self._silent.items():
            found.setdefault(name, one)
        names = {int(np.frombuffer(name, np.uint64)[0]) for name in found}
        for reader in self._all():
            reader.passage.forget(oldest, names)
        return [*found.values()]

    def _all(self) -> list[_Reader]:
        return [self._always, *self._readers]


class _Reader:
    """A Sniffer, and whose packets it is given."""

    def __init__(self, secrets: Secrets) -> None:
        self.sniffer = Sniffer(limits=LIMITS, secrets=secrets, remembering=True)
        self.passage = Passage(self.sniffer)
        self.names: set[bytes] = set()

    def array(self) -> np.ndarray:
        return np.frombuffer(b"".join(sorted(self.names)), "V8")


def _ours(chapter: Chapter, protocols: frozenset[str]) -> np.ndarray:
    """The rows to read: of these protocols, of nobody knows yet which, and the handshakes of what has said nothing."""
    rows = chapter.index.rows
    numbers = [number for number, name in enumerate(chapter.index.protocols) if name in protocols]
    young = (rows["until_a"] < _UNDECIDED) & (rows["until_b"] < _UNDECIDED) & (rows["marks"] & KEPT != 0)
    unsure = (rows["protocol"] == 0) & young
    wanted: np.ndarray = (rows["transport"] == 6) & (
        np.isin(rows["protocol"], numbers) | unsure | (rows["lead"] == UNKNOWN)
    )
    return wanted
