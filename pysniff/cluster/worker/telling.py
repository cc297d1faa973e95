"""The way of an answer's frames out of the process that makes them: each with its length before it, through a pipe.

Who reads the pipe forwards them unread; a full pipe makes this process wait, which is all the flow control there is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from time import monotonic

from msgpack import Packer

from pysniff.cluster.frames import Batch, CaughtUp, Chunk, End, Error, Frame, Notice, Value, encode
from pysniff.cluster.summary import fingerprint, summary
from pysniff.entry import Entry
from pysniff.limits import KIB

LENGTH = struct.Struct(">I")
# A batch leaves with so many entries, bytes, or seconds after its first one.
ENTRIES, BYTES, SECONDS = 256, 256 * KIB, 0.1
# So often a batch says how far the answer has come where it has no entries, in seconds.
PROMISES = 0.25
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


class Telling:
    """Frames of the answer with this id, numbered from 1. Every method raises OSError where nobody reads any more."""

    def __init__(self, fd: int, id: int) -> None:
        self._fd = fd
        self._id = id
        self._seq = 0

    def value(self, value: Mapping[str, object]) -> None:
        self._tell(Value(self._id, self._next(), dict(value)))

    def caught_up(self) -> None:
        self._tell(CaughtUp(self._id, self._next()))

    def notice(self, text: str, severity: str = "warning") -> None:
        self._tell(Notice(self._id, self._next(), severity, text))

    def batch(self, until: int, times: list[int], fingerprints: list[int], lengths: list[int], entries: bytes) -> None:
        self._tell(Batch(self._id, self._next(), until, times, fingerprints, lengths, entries))

    def chunk(self, times: list[int], lengths: list[int], data: bytes) -> None:
        self._tell(Chunk(self._id, self._next(), times, lengths, data))

    def end(self, figures: Mapping[str, object]) -> None:
        self._tell(End(self._id, self._next(), dict(figures)))

    def error(self, code: str, message: str, hint: str = "") -> None:
        self._tell(Error(self._id, self._next(), code, message, hint))

    def _next(self) -> int:
        return self._seq + 1

    def _tell(self, frame: Frame) -> None:
        """FrameError leaves nothing behind: another frame may take the number."""
        text = encode(frame)
        write(self._fd, LENGTH.pack(len(text)) + text)
        self._seq += 1


def ready(fd: int) -> None:
    """Say that the answer is over and nothing of it left: a message without bytes."""
    write(fd, LENGTH.pack(0))


def write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Batches:
    """Gathers entries into batches. What it promises (`until`) holds once all before it has left."""

    def __init__(self, telling: Telling, *, newest_first: bool) -> None:
        self._telling = telling
        self._newest_first = newest_first
        self._pack = Packer(unicode_errors="replace").pack
        self._until = 0  # told
        self._told = 0.0  # when
        self._begun = 0.0
        self._clear()

    def add(self, entries: list[Entry], until: int) -> None:
        """Take entries; afterwards nothing before `until` comes any more."""
        for entry in entries:
            self._add(entry)
        now = monotonic()
        if self._times:
            if now - self._begun >= SECONDS:
                self.flush(until)
        elif until != self._until and now - self._told >= PROMISES:
            self.flush(until)

    def flush(self, until: int = 0) -> None:
        """Tell what there is; `until`: a new promise, 0 for none."""
        until = until or self._until
        if not self._times and until == self._until:
            return
        self._telling.batch(until, self._times, self._fingerprints, self._lengths, bytes(self._entries))
        self._until, self._told = until, monotonic()
        self._clear()

    def _clear(self) -> None:
        self._times: list[int] = []
        self._fingerprints: list[int] = []
        self._lengths: list[int] = []
        self._entries = bytearray()

    def _add(self, entry: Entry) -> None:
        told = summary(entry)
        text = self._pack(told)
        if not self._times:
            self._begun = monotonic()
        time = entry.time_ns if self._newest_first else entry.completed_ns
        self._times.append(min(max(time, _FIRST), _LAST))
        self._fingerprints.append(fingerprint(entry, told))
        self._lengths.append(len(text))
        self._entries += text
        if len(self._times) >= ENTRIES or len(self._entries) >= BYTES:
            self.flush()
