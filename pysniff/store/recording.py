"""Writes packets into a store: segments valid after every flush, an index beside each, the oldest dropped first.

Packets go to the disk before the index tells of them. A process that dies leaves whole packets and an index that may
lack the last ones; the next one, or a reader, makes up for that (rebuild.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pysniff.limits import KIB, MIB
from pysniff.packet import Block
from pysniff.plain import PlainChunk
from pysniff.secrets import SecretSource
from pysniff.store import secrets_carrying
from pysniff.store.bounds import FLUSH, LIMIT, check_limit
from pysniff.store.columns import Indexer, Ints
from pysniff.store.counts import Counts
from pysniff.store.directory import Lock, SegmentFiles, create, segments, size_of, strange
from pysniff.store.flows import FlowTable
from pysniff.store.followed import Followed
from pysniff.store.heard import Waiting, rows_of, text_of
from pysniff.store.index import MAGIC, Index, chunk, late
from pysniff.store.keeping import Keeping
from pysniff.store.plausible import Notes
from pysniff.store.rebuild import earlier_rows, repaired
from pysniff.store.secrets_keeping import SecretsKeeping
from pysniff.store.segment import SegmentText

# A store has about so many segments: with the oldest one goes this share of what it keeps.
SEGMENTS = 25
SMALLEST_SEGMENT, LARGEST_SEGMENT = 32 * KIB, 64 * MIB
# Packets reach the disk when there are so many bytes, or after a time.
FLUSH_BYTES = 4 * MIB
_VECTOR = 512  # pieces written by one call; Linux takes 1,024
_HAS_VECTORS = hasattr(os, "pwritev")


class Recording:
    """One writer: `add()` blocks, `flush()` now and then, `close()`. Not for several threads.

    `limit`: bytes that the directory never exceeds, the index included. `keep_all`: conversations that nobody
    recognises too. `secrets`: where secrets come from that are kept beside the packets; None: none are.
    `keep_secrets`: otherwise they are only counted. `notices`: what a person should know, in order. `flush_interval`:
    seconds; any thread may set it. `used`: bytes that count for the limit, as of the last flush.
    Raises WriteError and OptionError.
    """

    def __init__(
        self,
        directory: Path,
        limit: int = LIMIT,
        *,
        keep_all: bool = False,
        segment_size: int | None = None,
        capture_source: str = "file",
        wait: bool = False,
        secrets: Sequence[SecretSource] | None = None,
        keep_secrets: bool = True,
    ) -> None:
        check_limit(limit)
        self._wished_size = segment_size
        self._segment_size = self._size_within(limit)
        self.limit = limit
        self.flush_interval = FLUSH
        self.used = 0
        self.counts = Counts()
        self.notices: list[str] = []
        self._directory = directory
        self._source = capture_source
        create(directory)
        problem = strange(directory)
        if problem is not None:
            raise problem
        self._lock = Lock(directory)
        self._indexer = Indexer()
        self._table = FlowTable(keep_all=keep_all)
        self._text = SegmentText()
        self._sizes: dict[SegmentFiles, tuple[int, int]] = {}  # bytes on disk and packets, oldest first
        self._number = 0
        self._fd = -1
        self._size = 0  # of the segment, as far as it is written
        self._index_size = 0
        self._noted = 0  # interfaces that the index knows
        self._heard = Waiting()
        self._pending_heard = 0  # of what waits for the disk
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._offsets: list[Ints] = []
        self._flows: list[Ints] = []
        self._times: list[Ints] = []
        self._latest = 0  # time of the newest packet, as far as it is written
        self._since = 0.0
        self._full = False
        keeps_secrets = secrets is not None and keep_secrets
        self._keeping = Keeping(directory, limit, self._segment_size, self.notices, wait=wait, secrets=keeps_secrets)
        self._secrets = (
            None if secrets is None else SecretsKeeping(secrets, self._segment_size, self.notices, keeps=keep_secrets)
        )
        self._recover()

    # Taking packets

    def add(self, block: Block) -> None:
        """Take packets in the order of their capture."""
        self.counts.packets += len(block)
        self.counts.waiting += len(block)
        most = self._segment_size // 4
        if block.captured() <= most:
            self._add(block)
            return
        records = block.records
        while records:
            size = taken = 0
            for taken, (_, start, end, _) in enumerate(records):
                size += end - start + 32
                if size > most and taken:
                    break
            else:
                taken = len(records)
            self._add(Block(block.data, records[:taken], block.linktype, block.interface))
            records = records[taken:]
            block = Block(block.data, records, block.linktype, block.interface)

    def add_plain(self, chunks: Iterable[PlainChunk]) -> None:
        """Take plain text of connections whose packets are recorded; it is written once those have come."""
        self._heard.take(chunks)

    def _add(self, block: Block) -> None:
        if self._size + self._pending_size + block.captured() > self._segment_size and (self._size or self._pending):
            self._roll()
        columns = self._indexer.columns(block)
        cut_packets, cut_bytes = self._table.cut_packets, self._table.cut_bytes
        flows, kept = self._table.assign(columns)
        if self._secrets is not None:
            self._secrets.saw(columns, flows, self._table)
        counts = self.counts
        counts.cut += self._table.cut_packets - cut_packets
        counts.cut_bytes += self._table.cut_bytes - cut_bytes
        counts.waiting -= len(flows) - len(kept)
        counts.forgotten = self._table.forgotten
        if not len(kept):
            return
        if not self._pending:
            self._since = time.monotonic()
        if not self._size and not self._pending:
            self._wait(self._text.header())
        number, description = self._text.interface(block)
        self._wait(description)
        text, offsets = self._text.packets(columns, kept, number)
        self._offsets.append(offsets + (self._size + self._pending_size))
        self._flows.append(flows[kept])
        self._times.append(columns.time[kept])
        self._wait(text)
        if self._heard:
            self._write_heard(self._heard.ready(self._table, self._table.clock))
        if self._pending_size >= FLUSH_BYTES:
            self.flush()

    def _write_heard(self, chunks: Sequence[PlainChunk]) -> None:
        """Chunks behind the packets so far."""
        for one in chunks:
            text = text_of(one)
            if not text:
                self._heard.strange += 1
                continue
            if self._size + self._pending_size + len(text) > self._segment_size and (self._size or self._pending):
                self._roll()
            if not self._pending:
                self._since = time.monotonic()
            if not self._size and not self._pending:
                self._wait(self._text.header())
            self._offsets.append(np.array([self._size + self._pending_size]))
            self._flows.append(rows_of([one], self._table))
            self._times.append(np.array([one.time_ns]))
            self._pending_heard += 1
            self._wait(text)

    def _wait(self, text: bytes) -> None:
        if text:
            self._pending.append(text)
            self._pending_size += len(text)

    def due(self) -> float:
        """Seconds until flush() should be called."""
        return max(self._since + self.flush_interval - time.monotonic(), 0.0) if self._pending else self.flush_interval

    def resize(self, limit: int) -> None:
        """Keep to another limit from now on; the oldest packets make room at once. Raises OptionError."""
        check_limit(limit)
        self._roll()  # so that what is written now counts as old, and can be dropped
        self.limit = limit
        self._segment_size = self._size_within(limit)
        self._keeping.resize(limit, self._segment_size)
        if self._secrets is not None:
            self._secrets.segment_size = self._segment_size
        self._make_room(0)
        self.used = self._used()

    def _size_within(self, limit: int) -> int:
        """Bytes of one segment."""
        share = limit // SEGMENTS if self._wished_size is None else self._wished_size
        return min(max(share, SMALLEST_SEGMENT), LARGEST_SEGMENT, limit // 4)

    def flush(self) -> None:
        """Write what waits, and tell readers of it."""
        if self._heard:
            self._write_heard(self._heard.ready(self._table, self._table.clock))
        if self._pending:
            self._flush(self._table.touched())

    def keep_late(self) -> None:
        """Write what came after its packets were written, secrets and plain text; does nothing where packets wait."""
        if self._heard and not self._pending:
            self.flush()
        secrets = self._secrets
        if secrets is None or self._pending:
            return
        secrets.poll()
        if secrets.waits and self._sizes:
            self._make_room(secrets.room())
            files = next(reversed(self._sizes))
            secrets.write(files)
            self._sizes[files] = (files.size(), self._sizes[files][1])
            self.used = self._used()

    def _flush(self, touched: Mapping[int, Followed]) -> None:
        offsets, flows, times = (_joined(each) for each in (self._offsets, self._flows, self._times))
        covered = self._size + self._pending_size
        notes = None
        if self._noted < len(self._text.interfaces) or not self._index_size:
            notes = Notes(self._text.interfaces, self._table.protocols, self._source)
        behind = late(times, self._latest)
        newest = int(times.max()) if len(times) else self._latest
        body = (offsets, flows, behind, touched, self._table.protocols)
        told = chunk(notes, *body, covered, int(times.min()) if len(times) else newest, newest)
        if not self._index_size:
            told = MAGIC + told
        text, self._pending = self._pending, []
        size, self._pending_size = self._pending_size, 0
        self._offsets, self._flows, self._times = [], [], []
        counts = self.counts
        packets, self._pending_heard = len(offsets) - self._pending_heard, 0
        counts.waiting -= packets
        try:
            self._make_room(size + len(told) + self._secrets_room())
            if self._secrets is not None:  # before anybody can read the packets that need them
                self._secrets.write(self._files)
            self._write(text, told)
        except OSError as error:
            counts.full += packets
            counts.full_bytes += size
            self._undo(error)
            return
        if self._full:
            self._full = False
            self.notices.append(f"{self._directory}: there is room again")
        self._latest = max(self._latest, newest)
        self._size = covered
        self._index_size += len(told)
        self._noted = len(self._text.interfaces)
        counts.stored += packets
        counts.stored_bytes += size
        self._sizes[self._files] = (self._files.size(), self._sizes[self._files][1] + packets)
        self.used = self._used()

    def close(self) -> None:
        """Write what waits and finish the segment; again does nothing."""
        if self._fd < 0 and self._number < 0:
            return
        self._write_heard(self._heard.ready(self._table, self._table.clock, last=True))
        self._flush_all()
        self.keep_late()
        if self._secrets is not None:
            self._secrets.close()
        self._finish()
        if self._files not in self._sizes:
            self._files.keylog.unlink(missing_ok=True)
        self._number = -1
        self._keeping.close()
        self._lock.release()

    # Segments

    @property
    def secrets(self) -> SecretsKeeping | None:
        return self._secrets

    @property
    def segment(self) -> int:
        """The number of the segment that is written now."""
        return self._number

    @property
    def _files(self) -> SegmentFiles:
        return SegmentFiles(self._directory, self._number)

    def _write(self, text: Sequence[bytes], told: bytes) -> None:
        files = self._files
        if self._fd < 0:
            self._fd = os.open(files.packets, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._sizes[files] = (0, 0)
        _write_parts(self._fd, text, self._size)
        index = os.open(files.index, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_all(index, told, self._index_size)
        finally:
            os.close(index)

    def _undo(self, error: OSError) -> None:
        """Nothing of a flush that failed stays behind."""
        files = self._files
        for path, size in ((files.packets, self._size), (files.index, self._index_size)):
            if size_of(path) > size:
                os.truncate(path, size)
        if not self._size:
            self._drop_segment()
        else:  # what the readers were not told of conversations is told with the next segment
            self._next_segment()
        if not self._full:
            self._full = True
            what = error.strerror or str(error)
            self.notices.append(f"{files.packets}: {what}; capture goes on, what cannot be stored is counted")

    def _drop_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._sizes.pop(self._files, None)
        self._files.remove()
        self._begin()

    def _flush_all(self) -> None:
        """As flush(), and what is known of packets that were left out."""
        self.flush()
        touched = self._table.touched()
        if touched and self._size:
            self._flush(touched)

    def _roll(self) -> None:
        self._flush_all()
        if self._size:
            self._next_segment()

    def _next_segment(self) -> None:
        self._finish()
        self._begin()

    def _begin(self) -> None:
        self._number += 1
        self._table.begin_segment()
        self._text = SegmentText()
        self._size = self._index_size = self._noted = 0
        if self._keeping.is_due(self._used()):
            self._make_room(0)
        self._keeping.look()

    def _finish(self) -> None:
        """The index of a finished segment is one chunk."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        files = self._files
        index = Index()
        index.extend(files.index.read_bytes())
        text = index.whole()
        try:
            self._make_room(len(text))
            replace(files.index, text)
        except OSError:
            pass  # the chunks tell the same
        self._sizes[files] = (files.size(), self._sizes[files][1])
        self._keeping.finished(files, index)

    def _make_room(self, size: int) -> None:
        """Drop the oldest segments until so many bytes fit, and the rounding of files to pages."""
        needed = size + 4 * 4096
        current = self._files
        every = [*self._sizes, current]
        for files, following in pairwise(every):
            if self._used() + needed <= self.limit or files == current:
                return
            self._keeping.dropping(files, following)
            self.counts.tables_missed = self._keeping.missed
            self.counts.names_missed = self._keeping.names_missed
            _, packets = self._sizes.pop(files)
            if self._secrets is None:
                files.remove()
            else:
                self._secrets.remove(files, following)
                if following in self._sizes:
                    self._sizes[following] = (following.size(), self._sizes[following][1])
            self.counts.evicted += packets
            self.counts.evicted_segments += 1

    def _secrets_room(self) -> int:
        """Bytes that the secrets take which come with a flush."""
        if self._secrets is None:
            return 0
        self._secrets.poll()
        return self._secrets.room()

    def _used(self) -> int:
        """Bytes that count for the limit."""
        return sum(size for size, _ in self._sizes.values()) + self._keeping.reserved()

    def _recover(self) -> None:
        """Take over what an earlier process left."""
        found = segments(self._directory)
        for path in self._directory.glob("*.part"):
            path.unlink(missing_ok=True)
        self._keeping.tidy()
        secrets_carrying.tidy(self._directory, found)
        for place, files in enumerate(found):
            index, notice = repaired(files, found[:place])
            if notice:
                self.notices.append(notice)
                replace(files.index, index.whole())
            self._sizes[files] = (files.size(), len(index.offsets))
            self._keeping.finished(files, index)
            self._number = files.number
            self._latest = max(self._latest, index.latest)
        self._table.remember(earlier_rows(found, {}))
        self._table.clock = self._latest
        self._make_room(0)
        self._begin()


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def replace(path: Path, text: bytes) -> None:
    """Put a file in the place of another, at once."""
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, text, 0)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    part.rename(path)


def _write_parts(fd: int, parts: Sequence[bytes], at: int) -> None:
    """Without joining them first; raises OSError, and a file may end in the middle then."""
    for begin in range(0, len(parts), _VECTOR):
        some = parts[begin : begin + _VECTOR]
        size = sum(map(len, some))
        done = os.pwritev(fd, some, at) if _HAS_VECTORS else 0
        if done < size:
            _write_all(fd, b"".join(some)[done:], at + done)
        at += size


def _write_all(fd: int, text: bytes, at: int) -> None:
    """Raises OSError; a file may end in the middle of it then."""
    view = memoryview(text)
    while view:
        done = os.pwrite(fd, view, at)
        at += done
        view = view[done:]
