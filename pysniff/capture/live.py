"""Captures on interfaces through libpcap, until stop().

Whatever the kernel received is delivered or counted as dropped, to the packet.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import pcapy

from pysniff.capture import Idle, LiveCounts
from pysniff.capture.dumpcap import Dumpcap, may_capture
from pysniff.capture.handle import RETIRE, SETTLED, Handle, Statistics
from pysniff.capture.interfaces import exists, names_up
from pysniff.capture.interfaces import list_interfaces as list_interfaces
from pysniff.capture.stream import Wake
from pysniff.errors import CaptureError, PrivilegeError
from pysniff.limits import MIB
from pysniff.packet import Block

SNAPLEN = 262_144
# Kernel buffers of all interfaces together, and of one.
BUFFERS = 128 * MIB
LARGEST_BUFFER, SMALLEST_BUFFER = 64 * MIB, 4 * MIB
# A packet is handed over at most this long after its time stamp, in nanoseconds, unless the machine is choking.
LATEST = 4 * RETIRE * 1_000_000


def open_live(
    interfaces: Sequence[str] = (), bpf: str = "", snaplen: int = SNAPLEN, promiscuous: bool = False
) -> Live | Dumpcap:
    """Capture here if this process may, else through dumpcap if that may. Raises as Live does."""
    try:
        return Live(interfaces, bpf, snaplen, promiscuous=promiscuous)
    except PrivilegeError:
        if not may_capture():
            raise
        names = names_up() if not interfaces or "any" in interfaces else interfaces
        return Dumpcap(names, bpf, snaplen, promiscuous=promiscuous)


class Live:
    """Iterate for Blocks, in the order of arrival, and Idle when nothing comes; after stop() for what is left.

    No interfaces, or "any" among them, means all that are up: Linux' own "any" shows a routed packet twice.
    `buffer_size`: bytes of kernel buffer for each, 0 to choose. `notices`: what a person should know, in order.
    Raises CaptureError, PrivilegeError and FilterError.
    """

    def __init__(
        self,
        interfaces: Sequence[str] = (),
        bpf: str = "",
        snaplen: int = SNAPLEN,
        buffer_size: int = 0,
        promiscuous: bool = False,
    ) -> None:
        self.notices: list[str] = []
        everything = not interfaces or "any" in interfaces
        names = names_up() if everything else list(dict.fromkeys(interfaces))
        if not names:
            raise CaptureError("no interface is up", hint="pysniff -D lists them")
        share = buffer_size or min(max(BUFFERS // len(names), SMALLEST_BUFFER), LARGEST_BUFFER)
        self._handles: dict[int, Handle] = {}
        self._down: set[int] = set()  # file descriptors of handles
        self._finished: list[Statistics] = []
        self._wake = Wake()
        try:
            for name in names:
                self._add(name, snaplen, share, promiscuous, optional=everything)
            if not self._handles:
                raise CaptureError(f"no interface can be captured on: {'; '.join(self.notices)}")
            for _ in self._drained():
                pass  # it came in before there was a filter
            for handle in self._handles.values():
                handle.accept(bpf)
        except BaseException:
            self.close()
            raise

    @property
    def interfaces(self) -> list[str]:
        """Those still captured on."""
        return [handle.name for handle in self._handles.values()]

    def stop(self) -> None:
        """End the iteration once the kernel's buffers are empty; callable from a signal handler or another thread."""
        self._wake.call()

    def counts(self) -> LiveCounts:
        each = self._finished + [handle.statistics() for handle in self._handles.values()]
        return LiveCounts(
            sum(one.received for one in each), sum(one.dropped for one in each), sum(one.missed for one in each)
        )

    def close(self) -> None:
        """Give everything back; without stop() first, what waits in the kernel is lost."""
        for handle in list(self._handles.values()):
            self._remove(handle)
        self._wake.call()
        self._wake.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Block | Idle]:
        poller = select.poll()
        poller.register(self._wake.reader, select.POLLIN)
        for fd in self._handles:
            poller.register(fd, select.POLLIN)
        while not self._wake.called:
            before = time.time_ns()
            ready = [fd for fd, _ in poller.poll(2 * RETIRE) if fd in self._handles]
            if not ready and not self._wake.called:
                yield Idle(before - LATEST)
            if self._down:
                self._look_for_gone(poller)
            yield from self._batches(poller, ready)
        yield from self._drained()

    def _drained(self) -> Iterator[Block]:
        """Let nothing more in, and yield what is waiting."""
        poller = select.poll()
        for fd, handle in self._handles.items():
            # Where the flow cannot be stopped, it would never end.
            if handle.reject():
                poller.register(fd, select.POLLIN)
        while self._handles and (ready := [fd for fd, _ in poller.poll(SETTLED)]):
            yield from self._batches(poller, ready, last=True)

    def _batches(self, poller: select.poll, ready: list[int], last: bool = False) -> Iterator[Block]:
        for fd in ready:
            handle = self._handles[fd]
            try:
                block = handle.batch()
            except pcapy.PcapError as error:
                self._failed(poller, handle, error, last)
                continue
            if block is not None:
                if self._down:
                    self._down.discard(fd)
                yield block

    def _failed(self, poller: select.poll, handle: Handle, error: pcapy.PcapError, last: bool) -> None:
        # The socket of an interface that is merely down goes on when it comes up again.
        if not exists(handle.index) and not last:
            self._gone(poller, handle)
        elif handle.fd not in self._down and not last:
            self._down.add(handle.fd)
            self.notices.append(f"{handle.name}: {error}; waiting for it to come back")

    def _look_for_gone(self, poller: select.poll) -> None:
        """An interface that was down before it went says nothing any more."""
        for fd in list(self._down):
            if not exists(self._handles[fd].index):
                self._gone(poller, self._handles[fd])

    def _gone(self, poller: select.poll, handle: Handle) -> None:
        poller.unregister(handle.fd)
        self._remove(handle)
        self.notices.append(f"{handle.name}: the interface is gone")
        if not self._handles:
            raise CaptureError(f"{handle.name}: the interface is gone, and no other is left")

    def _add(self, name: str, snaplen: int, buffer_size: int, promiscuous: bool, optional: bool) -> None:
        try:
            handle = Handle(name, snaplen, buffer_size, promiscuous)
        except PrivilegeError:
            raise
        except CaptureError as error:
            # Among all interfaces, one that cannot be captured on is not worth failing for.
            if not optional:
                raise
            self.notices.append(str(error))
            return
        self._handles[handle.fd] = handle

    def _remove(self, handle: Handle) -> None:
        self._handles.pop(handle.fd, None)
        self._down.discard(handle.fd)
        self._finished.append(handle.statistics())
        handle.close()
