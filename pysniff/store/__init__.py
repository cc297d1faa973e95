"""Raw packets on disk, bounded, and the entries in them when somebody asks: Store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pysniff.descriptors import Paths, schemas
from pysniff.entry import Entry
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.packet import Packet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pysniff.hosts import Source as NameFile
    from pysniff.keylogs import Paths as KeyLogs
    from pysniff.kfl import Filter
    from pysniff.secrets import SecretSource
    from pysniff.store.query import Query
    from pysniff.store.recorder import Recorder

Time = datetime | int


class Store:
    """A directory of packets. One process records into it, any number ask it, also while it is recorded.

    `limit`: bytes that the directory never exceeds, the index included, as a number or like "200MB"; the oldest packets
    go first. `node`: with this the ids of entries begin. `keylog`: files with secrets of TLS, for every question,
    beside those that the store keeps. Nothing is opened, and no directory made, before it is needed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limit: int | str = 200_000_000,
        *,
        node: str = "local",
        keylog: KeyLogs = (),
    ) -> None:
        self.path = Path(path)
        self.limit = size(limit)
        self.node = node
        self.keylog = keylog

    def record(
        self,
        *,
        keep_all: bool = False,
        capture_source: str = "file",
        wait: bool = False,
        secrets: Sequence[SecretSource] | None = None,
        keep_secrets: bool = True,
    ) -> Recorder:
        """The one that writes: `with store.record() as recorder: recorder.write(block)`.

        `keep_all`: also what is beyond the first 64 KiB of a half that nobody recognises. `wait`: where the disk is
        slow, let write() wait; a capture would lose packets elsewhere then, a file has time.
        `secrets`: where secrets of TLS come from that are kept beside the packets of their connections; without, none
        are; Recorder.learn() tells more. `keep_secrets`: otherwise connections with keys are counted, and no key is
        kept. Raises WriteError where another process records into it, or the directory cannot be written, and
        OptionError for a limit too small.
        """
        from pysniff.store.recorder import Recorder

        return Recorder(
            self.path,
            self.limit,
            keep_all=keep_all,
            capture_source=capture_source,
            wait=wait,
            secrets=secrets,
            keep_secrets=keep_secrets,
        )

    def query(
        self,
        filter: str | Filter = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        since: Time | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        follow: bool = False,
        decode_as: Mapping[tuple[str, int], str] | None = None,
        proto: Paths = (),
        names: NameFile = None,
        keylog: KeyLogs = (),
        limits: Limits = DEFAULT,
    ) -> Query:
        """The entries that match, as they are found: an iterator, with close().

        `start`, `end`: of the entries' timestamps, both included; a datetime without zone is local time, an int
        nanoseconds. `since`: only what completed then or later, or was last heard and is open still. `limit`: so many
        entries. `newest_first`: from the newest timestamp back. `follow`: then go on with what is recorded, until
        close(). `names`, `keylog`: as of read(). Raises FileError and FilterError.
        """
        from pysniff.errors import OptionError
        from pysniff.hosts import names_from
        from pysniff.keylogs import key_logs
        from pysniff.store.query import Query
        from pysniff.store.question import Question

        if newest_first and follow:
            raise OptionError("newest_first and follow exclude each other", hint="what follows is always newer")
        question = Question(
            filter=_filter(filter),
            start=_nanoseconds(start),
            end=_nanoseconds(end),
            since=_nanoseconds(since),
            limit=limit,
            newest_first=newest_first,
            follow=follow,
            decode_as=decode_as or {},
            proto=schemas(proto),
            names=names_from(names),
            limits=limits,
            node=self.node,
            secrets=[*self._secrets(follow), *key_logs(keylog, follow)],
        )
        return Query(self.path, question)

    def is_recorded(self) -> bool:
        """Whether a process records into it now."""
        from pysniff.store.catalogue import Catalogue

        return Catalogue(self.path).is_recorded()

    def entry(self, id: str, *, names: NameFile = None, limits: Limits = DEFAULT) -> Entry:
        """The entry with this id, as a query gives it; raise NotFound, and FileError for a wrong file of names."""
        from pysniff.hosts import names_from
        from pysniff.store.find import find_entry

        return find_entry(self.path, id, limits, self.node, names_from(names), self._secrets())

    def packets(self, id: str) -> list[Packet]:
        """The packets that carry an entry, in the order of their capture; raise NotFound."""
        from pysniff.store.find import find_packets

        return find_packets(self.path, id, self.node, self._secrets())

    def stream(self, id: str) -> Iterator[Packet]:
        """Every packet of a connection, named by Entry.stream or by the id of one of its entries; raise NotFound."""
        from pysniff.store.find import find_stream

        return find_stream(self.path, id)

    def _secrets(self, follow: bool = False) -> list[SecretSource]:
        """Sources for one question."""
        from pysniff.keylogs import key_logs

        return key_logs(self.keylog, follow)


def size(text: int | str) -> int:
    """Bytes of 200000000, "200MB" or "1GiB"; raise OptionError."""
    if isinstance(text, int):
        return text
    from pysniff.sizes import bytes_of

    return bytes_of(text)


def _filter(text: str | Filter) -> Filter:
    from pysniff.kfl.variables import compile

    return compile(text) if isinstance(text, str) else text


def _nanoseconds(time: Time | None) -> int | None:
    if isinstance(time, datetime):
        return int(time.timestamp()) * SECOND + time.microsecond * 1000
    return time
