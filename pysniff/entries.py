"""Entries of a source as they complete: an iterator, also for async loops."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pysniff.entry import Entry
from pysniff.errors import CaptureError, ReadError
from pysniff.ledger import Ledger
from pysniff.packet import Block
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer
from pysniff.sources import Chosen, Files, Interfaces

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter
    from pysniff.launched.belonging import Belonging
    from pysniff.plain import PlainChunk
    from pysniff.tracing import Tracing


class Entries:
    """Entries as they complete: an iterator, also asynchronous, and a context manager that ends the capture.

    `secrets`: what decrypts. `undecrypted`: TLS connections that were not, so far, by reason. `tracing`: what reads in
    running programs.
    """

    def __init__(
        self,
        sniffer: Sniffer,
        packets: Files | Interfaces,
        stack: ExitStack,
        chosen: Chosen,
        filter: Filter | None = None,
        *,
        secrets: Secrets,
        tracing: Tracing | None = None,
        dissect: bool = True,
    ) -> None:
        self.tracing = tracing
        self._heard: deque[PlainChunk] = deque()  # later than the packets so far
        self.secrets = secrets
        self.undecrypted: Counter[str] = Counter()
        self._sniffer = sniffer
        self._packets = packets
        self._stack = stack
        self._chosen = chosen
        self._filter = filter
        self._dissects = dissect
        self._stopped = False
        self._batches = self._run()
        self._entries = (entry for batch in self._batches for entry in batch)
        self._ready: deque[Entry] = deque()  # for the asynchronous iteration
        self._taking = Lock()  # a thread whose task was cancelled may still wait for the next batch

    @property
    def ledger(self) -> Ledger:
        """The account as of now."""
        ledger = self._sniffer.ledger
        self._packets.account(ledger)
        return ledger

    @property
    def interfaces(self) -> Sequence[str]:
        """Names of the interfaces that are captured; none for files."""
        return self._packets.interfaces

    @property
    def notices(self) -> Sequence[str]:
        """What a person should know, in order: an interface that went away, a followed file that was replaced."""
        return self._packets.notices

    def only(self, belonging: Belonging) -> None:
        """Take the packets alone that it lets through: of a live capture that has not been iterated yet."""
        if isinstance(self._packets, Interfaces):
            self._packets.belonging = belonging

    def stop(self) -> None:
        """End the capture soon; what was captured is still yielded. Safe in a signal handler and other threads."""
        self._stopped = True
        self._packets.stop()

    def finish(self) -> None:
        """As stop(), behind everything that has passed by now; it may take a second. Safe in other threads."""
        self._packets.settle()
        self.stop()

    def close(self) -> None:
        """End the capture and release everything; entries not yet taken are dropped."""
        self.stop()
        with self._taking:
            self._entries.close()
            self._batches.close()
            self._ready.clear()
            self._stack.close()

    def batches(self) -> Iterator[list[Entry]]:
        """Entries in the lists in which they come: none is empty."""
        return self._batches

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def __next__(self) -> Entry:
        return next(self._entries)

    async def __aiter__(self) -> AsyncIterator[Entry]:
        import asyncio

        while bool(self._ready) or await asyncio.to_thread(self._take):
            while self._ready:
                yield self._ready.popleft()

    def _take(self) -> bool:
        """Wait for the next entries, if none are ready; whether there are any."""
        with self._taking:
            if not self._ready:
                self._ready.extend(next(self._batches, ()))
            return bool(self._ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        self.stop()
        await asyncio.to_thread(self.close)

    def _run(self) -> Generator[list[Entry], None, None]:
        sniffer, chosen = self._sniffer, self._chosen
        failure: ReadError | CaptureError | None = None
        with self._stack:
            try:
                for item in self._packets:
                    if told := self._packets.lessons():
                        sniffer.learn(told)
                    if not self._dissects:
                        self.secrets.poll()  # for who keeps them beside the packets
                    if not isinstance(item, Block):
                        entries = [*self._overheard(item.time_ns), *sniffer.advance(item.time_ns)]
                    else:
                        block = chosen.of(item, sniffer)
                        entries = self._overheard(block.records[0][0]) if self.tracing and block.records else []
                        entries += sniffer.feed_block(block) if self._dissects and block.records else []
                    if entries and (wanted := self._matching(entries)):
                        yield wanted
                    if (self._stopped and isinstance(self._packets, Files)) or chosen.over:
                        break
            except (ReadError, CaptureError) as error:
                failure = error  # what was good before it comes first
            sniffer.learn(self._packets.lessons())
            entries = [*self._overheard(None), *sniffer.close()]
            self._packets.account(sniffer.ledger)
            if entries and (wanted := self._matching(entries)):
                yield wanted
        if failure is not None:
            raise failure

    def _overheard(self, before: int | None) -> list[Entry]:
        """Entries of what was read in programs up to that time, or of all of it: not ahead of packets still to come."""
        heard = self._heard
        if self.tracing is None:
            return []
        heard.extend(self.tracing.chunks())
        ready: list[PlainChunk] = []
        while heard and (before is None or heard[0].time_ns <= before):
            ready.append(heard.popleft())
        return self._sniffer.feed_plain(ready) if ready else []

    def _matching(self, entries: list[Entry]) -> list[Entry]:
        """Those that the display filter lets through; the ledger has the others."""
        for entry in entries:
            if entry.protocol == "tlsx":
                if reason := getattr(entry.response, "not_decrypted", ""):
                    self.undecrypted[reason] += 1
                if self.tracing is not None:
                    self.tracing.saw(entry)
        filter = self._filter
        if filter is None:
            return entries
        failed = filter.errors
        wanted = [entry for entry in entries if filter.matches(entry)]
        ledger = self._sniffer.ledger
        ledger.filter_errors += filter.errors - failed
        ledger.not_matching += len(entries) - len(wanted)
        return wanted
