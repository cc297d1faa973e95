"""read() and sniff(): entries from files and interfaces, for loops and async loops."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pysniff.descriptors import Paths, schemas
from pysniff.entry import Entry
from pysniff.errors import CaptureError, ReadError
from pysniff.keylogs import CaptureSecrets, key_logs
from pysniff.ledger import Ledger
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.names import Lesson
from pysniff.packet import Block
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer

if TYPE_CHECKING:
    from pysniff.capture import Idle
    from pysniff.capture.bpf import Program
    from pysniff.capture.dumpcap import Dumpcap
    from pysniff.capture.files import CaptureFile
    from pysniff.capture.live import Live
    from pysniff.hosts import Source as NameFile
    from pysniff.keylogs import Paths as KeyLogs
    from pysniff.kfl.filter import Filter
    from pysniff.launched.belonging import Belonging
    from pysniff.plain import PlainChunk
    from pysniff.tracing import Tracing


class Taker(Protocol):
    """Who takes packets on their way: a Writer, a store's Recorder."""

    def write(self, block: Block) -> None: ...


Progress = Callable[[int, int | None], None]
DecodeAs = Mapping[tuple[str, int], str]


def read(
    *paths: str | os.PathLike[str],
    filter: str | Filter = "",
    bpf: str = "",
    follow: bool = False,
    duration: float | None = None,
    decode_as: DecodeAs | None = None,
    proto: Paths = (),
    names: NameFile = None,
    keylog: KeyLogs = (),
    limits: Limits = DEFAULT,
    write: Taker | None = None,
    progress: Progress | None = None,
    dissect: bool = True,
) -> Entries:
    """Entries of capture files, several merged by time; "-" is standard input.

    `filter`: a display filter; entries that do not match are counted, not given. `bpf`: a capture filter.
    `follow`: wait for more where a file ends. `duration`: seconds of packet time. `proto`: files with protobuf
    descriptor sets. `names`: a file with names of addresses, or a Names; beside it those count that DNS answers in the
    packets and the captures themselves tell. `keylog`: files with secrets that decrypt TLS, as SSLKEYLOGFILE has them,
    beside those that the captures bring; where packets are waited for, secrets are, too.
    `write`: takes the packets that the filter lets through. `progress`: called with bytes read and bytes in all.
    `dissect`: without it there are no entries, and packets only go to `write`.
    Raises FileError and a display filter's FilterError at once, a capture filter's with the first packet (whether it
    makes sense depends on the link type), and ReadError after the last good entry of a damaged file.
    """
    from pysniff.capture.files import open_capture
    from pysniff.hosts import names_from

    if not paths:
        raise TypeError("read() needs at least one path")
    schema, called = schemas(proto), names_from(names)
    wanted = _compiled(filter)
    stack = ExitStack()
    try:
        # Only the Sniffer knows what to do with runs.
        runs = len(paths) == 1 and not bpf and duration is None and write is None
        files = [stack.enter_context(open_capture(path, follow=follow, runs=runs)) for path in paths]
        secrets = Secrets(CaptureSecrets(files), *key_logs(keylog, follow or None in [file.size for file in files]))
    except BaseException:
        stack.close()
        raise
    packets = _Files(files, progress, named=called.captures)
    sniffer = Sniffer(
        limits=limits, decode_as=decode_as, proto=schema, capture_source="file", names=called, secrets=secrets
    )
    return Entries(sniffer, packets, stack, _Chosen(bpf, duration, write), wanted, secrets=secrets, dissect=dissect)


def sniff(
    *interfaces: str,
    filter: str | Filter = "",
    bpf: str = "",
    duration: float | None = None,
    decode_as: DecodeAs | None = None,
    proto: Paths = (),
    names: NameFile = None,
    keylog: KeyLogs = (),
    tls: str | Tracing = "",
    limits: Limits = DEFAULT,
    write: Taker | None = None,
    netns: Sequence[str] = (),
) -> Entries:
    """Entries from interfaces, as they happen; without a name, from every interface that is up, or comes up.

    `filter`: a display filter. `duration`: seconds on the clock; otherwise until close(). `proto`: files with
    protobuf descriptor sets. `names`: as of read(). `netns`: network namespaces to capture in, by name, path or
    process number, or "all". `keylog`: files with secrets that decrypt TLS; they may grow, and need not exist yet.
    `tls`: "keys" or "plaintext", read out of running programs through the kernel, or a Tracing, which ends with the
    capture. Raises CaptureError, PrivilegeError, FilterError or FileError.
    """
    from pysniff.capture.live import open_live
    from pysniff.hosts import names_from

    schema, called = schemas(proto), names_from(names)
    wanted = _compiled(filter)
    secrets = Secrets(*key_logs(keylog, follow=True))
    stack = ExitStack()
    tracing = _tracing(tls)
    try:
        if tracing is not None:
            stack.enter_context(tracing)
            if tracing.secrets is not None:
                secrets.attach(tracing.secrets)
        live = open_live(interfaces, bpf, netns=netns)
        stack.enter_context(live)
    except BaseException:
        stack.close()
        raise
    sniffer = Sniffer(
        limits=limits,
        decode_as=decode_as,
        proto=schema,
        capture_source="libpcap",
        names=called,
        secrets=secrets,
        plain_alone=not bpf and not netns and (not interfaces or "any" in interfaces),
    )
    packets = _Interfaces(live, duration)
    chosen = _Chosen("", None, write)
    return Entries(sniffer, packets, stack, chosen, wanted, secrets=secrets, tracing=tracing)


def _tracing(tls: str | Tracing) -> Tracing | None:
    """Probes, if they are wanted."""
    if not isinstance(tls, str):
        return tls
    if not tls:
        return None
    from pysniff.tracing import Tracing

    return Tracing(tls)


def _compiled(filter: str | Filter) -> Filter | None:
    """None for the filter that everything matches."""
    if isinstance(filter, str):
        if not filter.strip():
            return None
        from pysniff.kfl.variables import compile

        filter = compile(filter)
    return None if filter.tree is None else filter


class Entries:
    """Entries as they complete: an iterator, also asynchronous, and a context manager that ends the capture.

    `secrets`: what decrypts. `undecrypted`: TLS connections that were not, so far, by reason. `tracing`: what reads in
    running programs.
    """

    def __init__(
        self,
        sniffer: Sniffer,
        packets: _Files | _Interfaces,
        stack: ExitStack,
        chosen: _Chosen,
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
        if isinstance(self._packets, _Interfaces):
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
                    if (self._stopped and isinstance(self._packets, _Files)) or chosen.over:
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
            if entry.protocol == "tlsx" and (reason := getattr(entry.response, "not_decrypted", "")):
                self.undecrypted[reason] += 1
        filter = self._filter
        if filter is None:
            return entries
        failed = filter.errors
        wanted = [entry for entry in entries if filter.matches(entry)]
        ledger = self._sniffer.ledger
        ledger.filter_errors += filter.errors - failed
        ledger.not_matching += len(entries) - len(wanted)
        return wanted


class _Chosen:
    """Which packets are dissected: by capture filter and time; they are written on the way."""

    def __init__(self, bpf: str, duration: float | None, write: Taker | None) -> None:
        self._bpf = bpf
        self._programs: dict[int, Program] = {}
        self._duration = None if duration is None else int(duration * SECOND)
        self._end: int | None = None
        self._write = write
        self.over = False

    def of(self, block: Block, sniffer: Sniffer) -> Block:
        if self._bpf:
            program = self._programs.get(block.linktype)
            if program is None:
                from pysniff.capture.bpf import compile

                program = self._programs[block.linktype] = compile(self._bpf, block.linktype)
            block, dropped = program.filtered(block)
            sniffer.filtered(dropped)
        if self._duration is not None and block.records:
            block = self._in_time(block, self._duration)
        if self._write is not None and block.records:
            self._write.write(block)
        return block

    def _in_time(self, block: Block, duration: int) -> Block:
        if self._end is None:
            self._end = block.records[0][0] + duration
        records = [record for record in block.records if record[0] < self._end]
        self.over = len(records) < len(block.records)
        return Block(block.data, records, block.linktype, block.interface)


class _Files:
    """Packets of files, by time."""

    interfaces: Sequence[str] = ()

    def __init__(self, files: Sequence[CaptureFile], progress: Progress | None, *, named: bool = True) -> None:
        self._files = files
        self._named = named
        self._progress = progress

    def __iter__(self) -> Iterator[Block | Idle]:
        from pysniff.capture.merge import merge

        files, progress = self._files, self._progress
        sizes = [file.size for file in files]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        items: Iterable[Block | Idle] = files[0] if len(files) == 1 else merge(files)
        for item in items:
            yield item
            if progress is not None:
                progress(sum(file.position for file in files), total)

    def lessons(self) -> list[Lesson]:
        """Names that the files brought with them, up to the packets that came last: such a name has no time."""
        names = [Lesson(0, *pair) for file in self._files for pair in file.take_names()]
        return names if self._named else []

    @property
    def notices(self) -> Sequence[str]:
        return [notice for file in self._files for notice in file.notices]

    def stop(self) -> None:
        for file in self._files:
            file.close()

    def settle(self) -> None:
        """A file has what it has."""

    def account(self, ledger: Ledger) -> None:
        ledger.recorded_drops = sum(file.dropped for file in self._files)


class _Interfaces:
    """Packets of interfaces, as they come."""

    def __init__(self, live: Live | Dumpcap, duration: float | None) -> None:
        self._live = live
        self._duration = duration
        self._received = 0
        self.belonging: Belonging | None = None
        self._others = 0  # packets that it kept away, as far as they are accounted for

    @property
    def interfaces(self) -> Sequence[str]:
        return self._live.interfaces

    def __iter__(self) -> Iterator[Block | Idle]:
        from threading import Timer

        timer = None
        if self._duration is not None:
            timer = Timer(self._duration, self._live.stop)
            timer.daemon = True
            timer.start()
        try:
            for item in self._live:
                if isinstance(item, Block):
                    self._received += len(item)
                if self.belonging is None:
                    yield item
                else:
                    yield from self.belonging.pass_on(item)
            if self.belonging is not None:
                yield from self.belonging.rest()
        finally:
            if timer is not None:
                timer.cancel()

    def lessons(self) -> list[Lesson]:
        """Interfaces bring no names with them."""
        return []

    @property
    def notices(self) -> Sequence[str]:
        return self._live.notices

    def stop(self) -> None:
        self._live.stop()

    def settle(self) -> None:
        """Wait until what has passed was handed over, or will be all the same when it is stopped."""
        from time import sleep

        sleep(self._live.settles)

    def account(self, ledger: Ledger) -> None:
        counts = self._live.counts()
        ledger.live_packets = self._received
        ledger.kernel_received = counts.received_by_kernel
        ledger.kernel_dropped = counts.dropped_by_kernel
        ledger.interface_dropped = counts.dropped_by_interface
        if self.belonging is not None:
            left_out, self._others = self.belonging.others - self._others, self.belonging.others
            ledger.packets += left_out
            ledger.filtered += left_out
