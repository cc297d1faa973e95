"""One entry of a store, its packets, its whole connection: found again by their ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pysniff.entry import Entry
from pysniff.errors import NotFoundError
from pysniff.kfl.variables import compile
from pysniff.limits import DEFAULT, Limits
from pysniff.names import NOTHING, Names
from pysniff.packet import Packet
from pysniff.secrets import SecretSource
from pysniff.store.carriers import carriers, chapters_of, packets_of
from pysniff.store.carrying import Carried
from pysniff.store.catalogue import Catalogue
from pysniff.store.query import Query
from pysniff.store.question import Question

_ID = re.compile(r"(?:.+\.)?([0-9a-f]{16})(?:\.s?[0-9a-f]+)?")
_GONE = "its packets may have been dropped since"


def find_entry(
    directory: Path,
    id: str,
    limits: Limits = DEFAULT,
    node: str = "local",
    names: Names = NOTHING,
    secrets: Sequence[SecretSource] = (),
) -> Entry:
    """The newest revision of an entry; raise NotFoundError."""
    found = None
    with _entries(directory, stream_of(id), limits, node, names, secrets) as query:
        for entry in query:
            if entry.id == id:
                found = entry
                if entry.state == "closed":
                    break
    if found is None:
        raise NotFoundError(f"{id}: no such entry in {directory}", hint=_GONE)
    return found


def find_packets(directory: Path, id: str, node: str = "local", secrets: Sequence[SecretSource] = ()) -> list[Packet]:
    """Packets that carry bytes of an entry, in the order of their capture; raise NotFoundError."""
    found = [
        packet
        for packet, _ in carriers(directory, [Carried.of(find_entry(directory, id, DEFAULT, node, secrets=secrets))])
    ]
    return sorted(found, key=lambda packet: packet.time_ns)  # fragments come when their datagram is whole


def find_stream(directory: Path, id: str) -> Iterator[Packet]:
    """Packets of a connection; raise NotFoundError before the first one."""
    stream = stream_of(id)
    chapters = [chapter for chapter in chapters_of(directory, {stream}) if chapter.has_chosen()]
    whole = (packet for chapter in chapters for packet, *_ in packets_of(chapter))
    if chapters and not any(chapter.has_shared() for chapter in Catalogue(directory).chapters()):
        return whole
    with _entries(directory, stream, DEFAULT) as query:  # what came in fragments has no row in the index
        calls = {entry.id: Carried.of(entry) for entry in query}
    found = dict.fromkeys([*whole, *(packet for packet, _ in carriers(directory, calls.values()))])
    if not found:
        raise NotFoundError(f"{id}: no such connection in {directory}", hint=_GONE)
    return iter(sorted(found, key=lambda packet: packet.time_ns))


def _entries(
    directory: Path,
    stream: str,
    limits: Limits,
    node: str = "local",
    names: Names = NOTHING,
    secrets: Sequence[SecretSource] = (),
) -> Query:
    name = frozenset([bytes.fromhex(stream)])
    question = Question(filter=compile(""), flows=name, limits=limits, node=node, names=names, secrets=secrets)
    return Query(directory, question)


def stream_of(id: str) -> str:
    """The stream in an entry's id, or the id itself; raise NotFoundError for what is neither."""
    match = _ID.fullmatch(id)
    if match is None:
        raise NotFoundError(
            f"{id!r} is no id of an entry or a stream", hint="an id is like local.5f3a9c0012ab34cd.00000001"
        )
    return match[1]
