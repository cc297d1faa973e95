"""Records from a thread of its own: whoever captures hands over packets and never waits for the disk.

Between the two stands a queue with a bound; what does not fit is dropped and counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Self

import numpy as np

from pysniff.errors import WriteError
from pysniff.ledger import Ledger
from pysniff.limits import MIB
from pysniff.packet import Block
from pysniff.plain import PlainChunk
from pysniff.secrets import Secret, SecretSource, TlsConnection
from pysniff.store.bounds import check_limit
from pysniff.store.counts import Counts
from pysniff.store.recording import Recording

# Bytes of packets that wait for the disk: a second of a busy link.
QUEUE = 64 * MIB
# Packets of live blocks that are joined: most of what a block costs does not depend on its size. A quiet link's wait
# for each other half the flush interval, and so much less for the flush.
JOINED = 2_048


class Recorder:
    """`write()` blocks in the order of their capture; close() when done. Raises as Recording does.

    `dropped`, `dropped_bytes`: packets that came while the queue was full.
    """

    def __init__(
        self,
        directory: Path,
        limit: int,
        *,
        keep_all: bool = False,
        segment_size: int | None = None,
        capture_source: str = "file",
        queue: int = QUEUE,
        wait: bool = False,
        secrets: Sequence[SecretSource] | None = None,
        keep_secrets: bool = True,
    ) -> None:
        self._recording = Recording(
            directory,
            limit,
            keep_all=keep_all,
            segment_size=segment_size,
            capture_source=capture_source,
            wait=wait,
            secrets=secrets,
            keep_secrets=keep_secrets,
        )
        self.dropped = 0
        self.dropped_bytes = 0
        self._most = queue
        self._wait = wait
        self._waiting: deque[Block] = deque()
        self._orders: deque[Callable[[], None]] = deque()  # for the thread that writes
        self._bytes = 0
        self._packets = 0
        self._arrived: deque[float] = deque()  # when each of those that wait came
        self._live = False  # whether the last one that went was captured live
        self._changed = Condition()
        self._closing = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="pysniff store", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """What became of the packets that left the queue."""
        return self._recording.counts

    @property
    def notices(self) -> list[str]:
        return self._recording.notices

    @property
    def segment(self) -> int:
        """The number of the segment that is written now."""
        return self._recording.segment

    @property
    def used(self) -> int:
        """Bytes on disk that count for the limit, as of the last flush."""
        return self._recording.used

    @property
    def flush_interval(self) -> float:
        """Seconds after which packets are on disk at the latest."""
        return self._recording.flush_interval

    @flush_interval.setter
    def flush_interval(self, seconds: float) -> None:
        self._recording.flush_interval = seconds
        with self._changed:
            self._changed.notify_all()

    @property
    def tls(self) -> tuple[int, int]:
        """TLS connections that began, and those of them whose keys came; of a recording with sources of secrets."""
        keeping = self._recording.secrets
        return (0, 0) if keeping is None else (keeping.connections, keeping.with_keys)

    def tell_begun(self, hear: Callable[[TlsConnection], None]) -> None:
        """Have somebody told of each TLS connection that begins, in the thread that writes: as soon as it has a key, or
        when it has waited for one. Of a recording with sources of secrets."""
        keeping = self._recording.secrets
        if keeping is not None:
            keeping.on_begun.append(hear)

    def write_plain(self, chunks: Sequence[PlainChunk]) -> None:
        """Hand over plain text of connections whose packets are recorded, in the order of its time."""
        if chunks:
            with self._changed:
                self._orders.append(lambda: self._recording.add_plain(chunks))
                self._changed.notify_all()

    def learn(self, secret: Secret, source: str) -> None:
        """Keep it where secrets are kept, and its connection is recorded; `source`: as of SecretSource.name."""
        keeping = self._recording.secrets
        if keeping is not None:
            with self._changed:
                self._orders.append(lambda: keeping.learn(secret, source))
                self._changed.notify_all()

    def resize(self, limit: int) -> None:
        """Have another limit, soon: the oldest packets make room. Raises OptionError for one that is too small."""
        check_limit(limit)
        with self._changed:
            self._orders.append(lambda: self._recording.resize(limit))
            self._changed.notify_all()

    def account(self, ledger: Ledger) -> None:
        """Write what became of every packet into a ledger."""
        counts = self.counts
        with self._changed:
            ledger.store_packets = counts.packets + self._packets + self.dropped
            ledger.store_waiting = counts.waiting + self._packets
            ledger.store_queue_full = self.dropped
        ledger.store_written, ledger.store_cut = counts.stored, counts.cut
        ledger.store_disk_full, ledger.store_evicted = counts.full, counts.evicted
        ledger.tables_missed, ledger.names_missed = counts.tables_missed, counts.names_missed

    def write(self, block: Block) -> None:
        """Hand over packets; raise WriteError where recording has failed for good."""
        size = block.captured()
        with self._changed:
            if self._failure is not None:
                raise WriteError(f"recording failed: {self._failure}")
            while self._wait and self._waiting and self._bytes + size > self._most and self._failure is None:
                self._changed.wait()
            if self._waiting and self._bytes + size > self._most:
                self.dropped += len(block)
                self.dropped_bytes += size
                return
            self._waiting.append(block)
            self._arrived.append(time.monotonic())
            self._bytes += size
            self._packets += len(block)
            self._changed.notify_all()

    def close(self) -> None:
        """Write everything that waits; again does nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise WriteError(f"recording failed: {failure}")

    def imbalance(self) -> str:
        """Words where a packet is unaccounted for, else ""."""
        return self._recording.counts.imbalance()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        recording = self._recording
        try:
            while (block := self._next()) is not None:
                if isinstance(block, Block):
                    recording.add(block)
                self._obey()
                if not self._due():
                    recording.flush()
                recording.keep_late()
            self._obey()  # what was said since
            recording.close()
        except BaseException as problem:  # the one that captures must learn of it
            with self._changed:
                self._failure = problem
                self._changed.notify_all()

    def _obey(self) -> None:
        while self._orders:
            self._orders.popleft()()

    def _due(self) -> float:
        """Seconds until what was taken is to be on disk."""
        return max(self._recording.due() - self._live * self.flush_interval / 2, 0.0)

    def _next(self) -> Block | bool | None:
        """The next block; True where it is time to flush; None at the end."""
        with self._changed:
            if not self._waiting and not self._closing and not self._orders:
                self._changed.wait(self._due())
            if not self._waiting:
                return None if self._closing else True
            if self._waiting[0].meta and self._packets < JOINED and not self._closing and not self._orders:
                left = self._arrived[0] + self.flush_interval / 2 - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, self._due()))
                    return True
            block = self._take()
            self._changed.notify_all()
            return block

    def _take(self) -> Block:
        """The first block, and those behind it that go together with it, as one."""
        blocks = [self._popped()]
        first = blocks[0]
        count = len(first)
        self._live = bool(first.meta)
        while self._live and self._waiting and self._waiting[0].meta:
            block = self._waiting[0]
            if (block.linktype, block.interface) != (first.linktype, first.interface) or count + len(block) > JOINED:
                break
            count += len(block)
            blocks.append(self._popped())
        self._bytes -= sum(block.captured() for block in blocks)
        self._packets -= count
        return joined(blocks) if len(blocks) > 1 else first

    def _popped(self) -> Block:
        self._arrived.popleft()
        return self._waiting.popleft()


def joined(blocks: Sequence[Block]) -> Block:
    """One live block of several of one interface."""
    parts: list[bytes | memoryview] = []
    metas, size = [], 0
    for block in blocks:
        meta = np.frombuffer(block.meta, np.uint32).reshape(-1, 4).copy()
        meta[:, _START] += size
        metas.append(meta.tobytes())
        parts.append(memoryview(block.data)[: -Block.PADDING])
        size += block.captured()
    parts.append(bytes(Block.PADDING))
    return Block.padded(b"".join(parts), b"".join(metas), blocks[0].linktype, blocks[0].interface)


_START = 2  # of the numbers that a live block has of each packet: where it begins
