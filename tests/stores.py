"""Stores for tests: what is recorded into one, and what is asked of it, beside what reading the same packets gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pysniff
from pysniff.capture.files import open_capture
from pysniff.entry import Entry
from pysniff.errors import PysniffError
from pysniff.keylogs import CaptureSecrets
from pysniff.kfl.variables import compile
from pysniff.names import Names
from pysniff.packet import Block, Packet
from pysniff.secrets import Secret, SecretSource
from pysniff.sniffer import Sniffer
from pysniff.store.query import Query
from pysniff.store.question import Question
from pysniff.store.recording import Recording

KIB = 1024
SEGMENT = 64 * KIB
ROOM = 4_000_000_000

Record = dict[str, object]


def blocks_of(path: Path) -> list[Block]:
    """Of a capture, up to where it is damaged."""
    found: list[Block] = []
    try:
        with open_capture(path) as source:
            for one in source:
                found += [one] if isinstance(one, Block) else []
    except PysniffError:
        pass
    return found


class Known:
    """Secrets that are all there from the beginning; each reader of them asks one of its own."""

    complete = True

    def __init__(self, name: str, secrets: Iterable[Secret]) -> None:
        self.name = name
        self._secrets = [*secrets]

    def take(self) -> list[Secret]:
        secrets, self._secrets = self._secrets, []
        return secrets


def secrets_of(path: Path) -> list[Known] | None:
    """What a capture says of secrets of TLS."""
    found: list[Secret] = []
    try:
        with open_capture(path) as source:
            secrets = CaptureSecrets([source])
            for _ in source:
                found += secrets.take()
    except PysniffError:
        pass
    return [Known("pcapng", found)] if found else None


def read(path: Path) -> list[Entry]:
    """What `pysniff -r` gives, up to where the capture is damaged; without the names that stand in no packet."""
    found: list[Entry] = []
    try:
        with pysniff.read(path, names=Names(captures=False)) as entries:
            found += entries
    except PysniffError:
        pass
    return found


def fed(packets: Iterable[Packet | Block]) -> list[Entry]:
    """What one Sniffer makes of packets."""
    sniffer = Sniffer()
    found: list[Entry] = []
    for one in packets:
        found += sniffer.feed_block(one) if isinstance(one, Block) else sniffer.feed([one])
    return found + sniffer.close()


def recorded(
    directory: Path,
    blocks: Iterable[Packet | Block],
    *,
    limit: int = ROOM,
    segment_size: int | None = SEGMENT,
    keep_all: bool = True,
    flush_every: int = 0,
    secrets: Sequence[SecretSource] | None = None,
) -> Recording:
    """Record packets, and close; `flush_every`: so many blocks, but for those flushes that are due by themselves."""
    recording = Recording(directory, limit, segment_size=segment_size, keep_all=keep_all, secrets=secrets)
    for number, block in enumerate(blocks):
        recording.add(block if isinstance(block, Block) else Block.of(block))
        if flush_every and number % flush_every == flush_every - 1:
            recording.flush()
    recording.close()
    assert not recording.counts.imbalance()
    return recording


def question(text: str = "", **values: object) -> Question:
    return Question(filter=compile(text), **values)  # type: ignore[arg-type]


def asked(directory: Path, text: str = "", **values: object) -> list[Entry]:
    """Every entry of a query; its account balances."""
    with Query(directory, question(text, **values)) as query:
        found = list(query)
    assert not query.ledger.imbalances()
    return found


def dicts(entries: Iterable[Entry]) -> list[Record]:
    return [entry.to_dict() for entry in entries]


def different(want: Sequence[Record], got: Sequence[Record]) -> str:
    """Words about the first place where two lists of entries differ; "" where they are the same."""
    for number, (mine, other) in enumerate(zip(want, got, strict=False)):
        if mine != other:
            keys = [key for key in mine if mine.get(key) != other.get(key)]
            values = {key: (mine.get(key), other.get(key)) for key in keys}
            return f"entry {number} of {len(want)}: {str(values)[:2000]}"
    return "" if len(want) == len(got) else f"{len(want)} entries were expected, {len(got)} are there"


def segment_files(directory: Path) -> list[Path]:
    """Oldest first."""
    return sorted(directory.glob("*.pcapng"), key=lambda path: int(path.stem))


def stored(directory: Path) -> Iterator[Block]:
    """The packets of a store, as any reader of pcapng finds them in its segments."""
    for path in segment_files(directory):
        yield from blocks_of(path)


def disk_use(directory: Path) -> tuple[int, int]:
    """Bytes of a directory's files, as written and as the disk gives them away."""
    size = pages = 0
    for path in directory.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        size, pages = size + status.st_size, pages + status.st_blocks * 512
    return size, pages
