"""One half of a TLS connection: its records out of bytes cut anywhere, and how far it has come.

Behind a loss the next record is looked for: first by its header, and who opens records says whether it is one.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum
from struct import Struct
from typing import NamedTuple

from pysniff.dissector import Malformed
from pysniff.message import Side
from pysniff.tls.handshakes import Handshakes
from pysniff.tls.opener import Opened, Opener
from pysniff.tls.reasons import Reason

HEADER = 5
# RFC 5246 §6.2.3 allows 2,048 bytes more than the 16,384 of plain text; TLS 1.3 256.
LONGEST = 16_384 + 2_048
# Bytes at the end of a record: a block, and a MAC behind it.
TAIL = 16 + 48
_HEADER = Struct("!BBBH")
_CANDIDATE = re.compile(rb"[\x14-\x17]\x03[\x00-\x03](?=[\x00-\x48])")
# In place of a content type, of what stands in the queue and is no record.
LOSS, END = -1, -2


class Epoch(Enum):
    """Which secret protects the next record."""

    PLAIN = "plain"
    EARLY = "early"
    HANDSHAKE = "handshake"
    APPLICATION = "application"


class Key(NamedTuple):
    """An opener, where it comes from, and what it takes to make the next one after a KeyUpdate: a traffic secret of TLS
    1.3, else b""."""

    opener: Opener
    secret: bytes
    source: str

    def __repr__(self) -> str:
        return "Key()"  # secrets stand in no log


# The arrival of a record that has not waited.
NEWEST = 1 << 62


class Onward(NamedTuple):
    """Where a half goes on that was read up to here: the number of its next record, how often its key was renewed, and
    what Opener.chain() said."""

    sequence: int
    updates: int
    chain: bytes


class Record(NamedTuple):
    """`position`: of its first byte in the half; `first` and `at`: when that came, and the last one. `arrival`: its
    number among those of both halves that wait."""

    kind: int
    header: bytes
    body: memoryview
    position: int
    first: int
    at: int
    arrival: int = NEWEST

    @property
    def size(self) -> int:
        return HEADER + len(self.body)


class Half:
    """Framing, and how far the half has come: session.py moves it on.

    `size`: bytes that are no whole record yet, and `need`: how many it takes to go on. `dropped`: bytes that belong
    to no record, since this was last set to 0. `searching`: the next record may begin anywhere; `torn`: it was so
    once."""

    def __init__(self, side: Side, limit: int) -> None:
        self.side = side
        self.size = 0
        self.need = HEADER
        self.dropped = 0
        self.searching = False
        self.torn = False
        self.minor = -1  # of the version in headers, once known
        self._pieces: list[bytes] = []
        self._data = b""
        self._begin = 0
        self._position = 0
        self._skip = 0  # rest of a record that was damaged
        self._first = 0
        self.ended = False
        # Handshake records with a hello that is not whole yet.
        self.handshakes = Handshakes(limit)
        self.run = self.run_position = self.run_first = 0
        # What waits for a secret or for the other half, and its bytes.
        self.queue: deque[Record] = deque()
        self.queued = 0
        # What is encrypted.
        self.sealed = False
        self.epoch = Epoch.PLAIN
        self.key: Key | None = None
        self.opened: Opened | None = None  # of the record that take() gave, where it was opened to find out
        self.opened_any = False
        self.spoke = False  # application data
        self.unopened: Reason | None = None  # what records are that come before the first one that opens
        self.patience = 0  # how many of those may come
        self.failures = 0  # in a row
        self.good = 0  # where the last record ended that was understood
        self.lost = False  # records are missing since, or changed
        self.unsure = False  # and nobody knows how many bytes
        self.missing: int | None = None  # plain bytes that are, 0: nobody knows how many
        self.over = False  # it said close_notify
        self.told = False  # its end
        self.dead: Reason | None = None  # why nothing more of it can be read
        # What it takes to go on from here without what came before, or from there.
        self.records = 0  # that were encrypted so far
        self.slack = 0  # how many more there may have been
        self.updates = 0  # KeyUpdates
        self.tail = b""  # the end of the last record that nobody opened, where it takes it to open the next one
        self.onward: Onward | None = None  # where the first key begins
        self.trial = False  # nobody knows which key, nor quite which record

    def add(self, data: bytes, at: int) -> bool:
        """The next bytes; whether it is worth looking at them."""
        if not self.size:
            self._first = at
        self._pieces.append(data)
        self.size += len(data)
        return self.size >= self.need

    def take(self, at: int) -> Record | None:
        """The next record if it is whole: then it has to be accepted or rejected. Raises Malformed where none can
        begin."""
        if self._pieces:
            self._pieces.insert(0, self._data[self._begin :])
            self._data, self._begin, self._pieces = b"".join(self._pieces), 0, []
        if self._skip:
            size = min(self._skip, self.size)
            self._skip -= size
            self._drop(size, at)
            if self._skip:
                self.need = 1
                return None
        while True:
            if self.searching and not self._found(at):
                self.need = HEADER
                return None
            if self.size < HEADER:
                self.need = HEADER
                return None
            kind, major, minor, length = _HEADER.unpack_from(self._data, self._begin)
            if not (20 <= kind <= 24 and major == 3 and minor <= 4 and 0 < length <= LONGEST):
                if not self.torn:
                    raise Malformed("no record of TLS begins here")
                self.searching = True
                continue
            if self.size < HEADER + length:
                self.need = HEADER + length
                return None
            begin = self._begin + HEADER
            header = self._data[self._begin : begin]
            body = memoryview(self._data)[begin : begin + length]
            return Record(kind, header, body, self._position, self._first if self._first >= 0 else at, at)

    def accept(self, record: Record) -> None:
        size = HEADER + len(record.body)
        self._begin += size
        self._position += size
        self.size -= size
        self._first = record.at
        self.searching = False

    def reject(self, at: int) -> None:
        """It is none: look on behind its first byte."""
        self._drop(1, at)
        self.searching = True

    def lose(self, size: int, at: int) -> bool:
        """Bytes are missing behind what was added; whether it is known where the next record begins."""
        self.torn = True
        held = self.size
        if self._skip:
            known, rest = not self.searching and size <= self._skip, self._skip - size
        else:
            if self._pieces:
                self._pieces.insert(0, self._data[self._begin :])
                self._data, self._begin, self._pieces = b"".join(self._pieces), 0, []
            rest = -1
            if held >= HEADER and not self.searching:
                rest = HEADER + _HEADER.unpack_from(self._data, self._begin)[3] - held - size
            known = size > 0 and rest >= 0
        self._drop(held, at)
        self._position += size
        self._skip = rest if known else 0
        self.searching = not known
        self.need = 1 if self._skip else HEADER
        return known

    def clear(self) -> int:
        """Forget what is no whole record; how many bytes that was."""
        size, self.size = self.size, 0
        self._pieces, self._data, self._begin = [], b"", 0
        self.need = HEADER
        self._position += size
        return size

    def rest(self) -> bytes:
        """What is no whole record yet."""
        return b"".join((self._data[self._begin :], *self._pieces))

    def go_on(self, held: bytes) -> None:
        """Begin with what rest() gave: it lies before position 0."""
        self._pieces, self.size = [held] if held else [], len(held)
        self._position = self.good = -len(held)
        self._first = -1

    @property
    def is_searching(self) -> bool:
        """Whether it is not known where the next record begins, or what is left of one that was damaged comes first."""
        return self.searching or self._skip > 0

    @property
    def position(self) -> int:
        """Of the next byte that is in no record yet."""
        return self._position

    def _drop(self, size: int, at: int) -> None:
        self._begin += size
        self._position += size
        self.size -= size
        self.dropped += size
        self._first = at

    def _found(self, at: int) -> bool:
        """Go to what may be a header; of what cannot be one nothing stays."""
        data, begin = self._data, self._begin
        for candidate in _CANDIDATE.finditer(data, begin):
            place = candidate.start()
            if place + HEADER > len(data):
                break
            length = data[place + 3] << 8 | data[place + 4]
            if 0 < length <= LONGEST and self.minor in (-1, data[place + 2]):
                self._drop(place - begin, at)
                return True
        self._drop(max(self.size - HEADER + 1, 0), at)
        return False
