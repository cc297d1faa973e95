"""Where packets come from, files and interfaces in the same words, and which of them are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from pysniff.ledger import Ledger
from pysniff.limits import SECOND
from pysniff.names import Lesson
from pysniff.packet import Block
from pysniff.sniffer import Sniffer

if TYPE_CHECKING:
    from pysniff.capture import Idle
    from pysniff.capture.bpf import Program
    from pysniff.capture.dumpcap import Dumpcap
    from pysniff.capture.files import CaptureFile
    from pysniff.capture.live import Live
    from pysniff.launched.belonging import Belonging

Progress = Callable[[int, int | None], None]


class Taker(Protocol):
    """Who takes packets on their way: a Writer, a store's Recorder."""

    def write(self, block: Block) -> None: ...


class Files:
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


class Interfaces:
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


class Chosen:
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
