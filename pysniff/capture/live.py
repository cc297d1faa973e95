"""Captures on interfaces through libpcap, until stop().

Whatever the kernel received is delivered or counted as dropped, to the packet, whatever comes, goes or is changed
meanwhile.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import pcapy

from pysniff.capture import Idle, LiveCounts
from pysniff.capture.dumpcap import Dumpcap, may_capture
from pysniff.capture.exclusion import Endpoint
from pysniff.capture.filtering import Filtering
from pysniff.capture.gathered import Gathered, Handles, State
from pysniff.capture.handle import RETIRE, Handle
from pysniff.capture.interfaces import list_interfaces as list_interfaces
from pysniff.capture.interfaces import names_up
from pysniff.capture.places import Places, Target, Wanted
from pysniff.capture.stream import Wake
from pysniff.capture.turns import Turns
from pysniff.errors import CaptureError, FilterError, PrivilegeError
from pysniff.packet import Block

SNAPLEN = 262_144
# A packet is handed over at most this long after its time stamp, in nanoseconds, unless the machine is choking.
LATEST = 4 * RETIRE * 1_000_000
# Seconds: between two looks at what is there, while something changes, where nobody would say so, and else; until one
# that could not be opened is tried again.
_SOON, _OFTEN, _SELDOM, _AGAIN = 0.2, 1.0, 5.0, 30.0
# A look takes at most this part of the time, where there are thousands of processes to look at.
_SHARE = 50
# Interfaces opened before the others are read again: one takes 1 to 30 ms.
_TOGETHER = 4
# Notices that nobody takes out of the list: the rest is counted.
_NOTICES = 10_000


def open_live(
    interfaces: Sequence[str] = (),
    bpf: str = "",
    snaplen: int = SNAPLEN,
    promiscuous: bool = False,
    netns: Sequence[str] = (),
) -> Live | Dumpcap:
    """Capture here if this process may, else through dumpcap if that may. Raises as Live does."""
    try:
        return Live(interfaces, bpf, snaplen, promiscuous=promiscuous, netns=netns)
    except PrivilegeError:
        if netns or not may_capture():
            raise
        names = names_up() if not interfaces or "any" in interfaces else interfaces
        return Dumpcap(names, bpf, snaplen, promiscuous=promiscuous)


class Live:
    """Iterate for Blocks, in the order of arrival, and Idle when nothing comes; after stop() for what is left.

    No interfaces, or "any" among them, means all that are up, also those that come later: Linux' own "any" shows a
    routed packet twice. `netns`: in these network namespaces, by name, path or process number, or "all"; interfaces
    are shown as namespace/interface then. `wait`: what is named and not there, or went, is waited for.
    `buffer_size`: bytes of kernel buffer for each, 0 to choose. `notices`: what a person should know, in order.
    What changes the capture may be called from any thread. Raises CaptureError, PrivilegeError and FilterError.
    """

    settles = 0.0  # seconds: stop() loses nothing

    def __init__(
        self,
        interfaces: Sequence[str] = (),
        bpf: str = "",
        snaplen: int = SNAPLEN,
        buffer_size: int = 0,
        promiscuous: bool = False,
        *,
        netns: Sequence[str] = (),
        wait: bool = False,
        exclude: Iterable[Endpoint] = (),
    ) -> None:
        self.notices: list[str] = []
        self.notices_dropped = 0
        self._snaplen, self._promiscuous, self._buffer_size = snaplen, promiscuous, buffer_size
        self._wait = wait
        self._refused: dict[tuple[object, ...], float] = {}  # when to try again
        self._missed: set[str] = set()  # names that somebody was told of
        self._began = self._no_room = False
        self._poller = select.poll()
        self._handles = Handles(self._poller)
        self._wake, self._turns = Wake(), Turns()
        self._poller.register(self._wake.reader, select.POLLIN)
        self._poller.register(self._turns.reader, select.POLLIN)
        self._places = Places(self._poller, self._note, wait=wait)
        self._filtering = Filtering(self._note)
        self._due = self._looked = 0.0
        try:
            self._places.choose(Wanted.of(interfaces, netns))
            self._look(opening=True, strict=not wait)
            self._refilter(bpf, exclude)
            for _ in self._drained():
                pass  # it came in before there was a filter
            for one in self._handles:
                self._settled(one)
            self._began = True
            self._tell_absent()
        except BaseException:
            self.close()
            raise

    @property
    def interfaces(self) -> list[str]:
        """Those captured on now."""
        return [one.handle.shown for one in self._handles if one.state is not State.SETTLING]

    @property
    def absent(self) -> list[str]:
        """Those named, and namespaces, that are waited for."""
        there = {one.target.name for one in self._handles if one.state is not State.LEAVING}
        missing = [f"namespace {name}" for name in self._places.missing]
        return missing + [name for name in self._places.wanted.names if name not in there]

    @property
    def excluded(self) -> list[str]:
        """Ends whose TCP is filtered away, as host:port."""
        return self._filtering.excluded

    def set_bpf(self, bpf: str) -> None:
        """Another capture filter, on all interfaces or, where it is wrong, on none; raise FilterError."""
        self._turns.do(lambda: self._refilter(bpf, self._filtering.endpoints))

    def exclude(self, endpoints: Iterable[Endpoint]) -> None:
        """Leave out TCP from and to these, in place of those before; an unspecified address is every own one."""
        wanted = tuple(endpoints)
        self._turns.do(lambda: self._refilter(self._filtering.bpf, wanted))

    def set_interfaces(self, interfaces: Sequence[str] = (), netns: Sequence[str] = ()) -> None:
        """Capture there and nowhere else, or go on as before; raise CaptureError or PrivilegeError."""
        self._turns.do(lambda: self._choose(Wanted.of(interfaces, netns)))

    def stop(self) -> None:
        """End the iteration once the kernel's buffers are empty; callable from a signal handler or another thread."""
        self._wake.call()

    def counts(self) -> LiveCounts:
        each = self._handles.statistics()
        return LiveCounts(
            sum(one.received for one in each), sum(one.dropped for one in each), sum(one.missed for one in each)
        )

    def close(self) -> None:
        """Give everything back; without stop() first, what waits in the kernel is lost."""
        for one in self._handles:
            self._handles.remove(one)
        self._places.close()
        self._wake.call()
        self._wake.release()
        self._turns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Block | Idle]:
        self._turns.begin()
        try:
            while not self._wake.called:
                before = time.time_ns()
                polled = [fd for fd, _ in self._poller.poll(2 * RETIRE)]
                ready = [fd for fd in polled if fd in self._handles]
                if not ready and not self._wake.called:
                    yield Idle(before - LATEST)
                self._turns.take()
                self._follow(polled)
                yield from self._batches(ready)
                yield from self._ripe()
            yield from self._drained()
        finally:
            self._turns.end()

    # Packets

    def _batches(self, ready: Iterable[int], last: bool = False) -> Iterator[Block]:
        for fd in ready:
            one = self._handles.get(fd)
            if one is None:
                continue
            try:
                block = one.handle.batch()
            except pcapy.PcapError as error:
                if not last:
                    self._failed(one, error)
                continue
            if block is not None and one.state is not State.SETTLING:
                one.is_down = False
                yield block

    def _drained(self) -> Iterator[Block]:
        """Let nothing more in, and yield what is waiting."""
        for ready in self._handles.drained():
            yield from self._batches(ready, last=True)

    def _ripe(self) -> Iterator[Block]:
        """Go on with those whose time has come."""
        for one in self._handles.ripe():
            yield from one.rest()
            if one.state is State.SETTLING:
                self._settled(one)
                continue
            if one.last_words:
                self._note(one.last_words)
            self._handles.remove(one)
            if not (self._handles or self._is_patient()):
                raise CaptureError(f"{one.last_words}, and no other is left")

    def _settled(self, one: Gathered) -> None:
        """Nothing is left of what came before there was a filter."""
        handle = one.handle
        handle.begin()
        try:
            program = self._filtering.program(handle, lambda call: self._places.run(one.target.place, call))
            handle.install(self._filtering.bpf, program)
        except (CaptureError, FilterError) as error:
            if not self._is_patient():
                raise
            self._handles.remove(one)
            self._refuse(one.target, f"{handle.shown}: {error.message}")
            return
        self._handles.opened(one)

    def _failed(self, one: Gathered, error: pcapy.PcapError) -> None:
        # The socket of an interface that is merely down goes on when it comes up again.
        if one.target.number == 0:
            self._leave(one)
        elif not one.is_down and one.state is State.OPEN:
            one.is_down = True
            if not self._places.wanted.everything:
                self._note(f"{one.handle.shown}: {error}; waiting for it to come back")
        self._due = 0.0

    def _is_patient(self) -> bool:
        """Whether capture goes on although something cannot be captured on."""
        return self._wait or self._places.wanted.everything

    # What comes and goes

    def _follow(self, polled: Sequence[int]) -> None:
        now = time.monotonic()
        if self._places.changed(polled):
            self._due = 0.0
        if now >= max(self._due, self._looked + _SOON):
            self._look(opening=self._is_patient())
            self._tell_absent()

    def _choose(self, wanted: Wanted) -> None:
        before = self._places.wanted
        self._places.choose(wanted)
        try:
            self._look(opening=True, strict=not self._wait)
            self._tell_absent()
        except CaptureError:
            self._places.choose(before)
            self._look(opening=False)
            raise

    def _look(self, *, opening: bool, strict: bool = False) -> None:
        """Leave what is gone or not wanted any more, and open what is there. `strict`: all of it, or raise."""
        self._looked = time.monotonic()
        self._due = self._looked + _SELDOM
        try:
            targets = {_key(target): target for target in self._places.look()}
        except CaptureError as error:
            if strict:
                raise
            self._note(error.message)
            return
        if self._places.comes_and_goes:
            self._due = self._looked + max(_OFTEN, _SHARE * (time.monotonic() - self._looked))
        there = {_key(one.target): one for one in self._handles if one.state is not State.LEAVING}
        self._refused = {key: again for key, again in self._refused.items() if key in targets}
        if opening:
            self._open_all([target for key, target in targets.items() if key not in there], strict)
        # Last: where something cannot be opened, and that is an error, nothing was left for it.
        for key, one in there.items():
            if key not in targets:
                self._leave(one)
        self._missed -= {one.target.name for one in self._handles if one.state is not State.LEAVING}
        self._filtering.refresh(self._refilter)

    def _open_all(self, targets: Sequence[Target], strict: bool) -> None:
        everything = self._places.wanted.everything
        fresh = [one for one in targets if one.up or (strict and not everything)]
        count = 0
        for target in fresh:
            if self._refused.get(_key(target), 0.0) > self._looked:
                continue
            if count >= _TOGETHER and self._began and not strict:
                self._due = 0.0
                return
            count += 1
            opened = self._open(target, len(fresh) + len(self._handles), optional=everything or not strict)
            if self._began and opened:
                self._note(f"{target.shown}: captured from now on")
        if strict and not self._handles:
            if everything:
                self._none_is_up()
            raise CaptureError(f"{', '.join(self._places.wanted.names)}: in none of these network namespaces")

    def _none_is_up(self) -> None:
        if self.notices:
            raise CaptureError(f"no interface can be captured on: {'; '.join(self.notices)}")
        raise CaptureError("no interface is up", hint="pysniff -D lists them")

    def _open(self, target: Target, count: int, *, optional: bool) -> bool:
        """Whether it could be opened, as one of so many."""
        size = self._buffer_size or self._handles.size_for(count)
        if not size:
            self._refused[_key(target)] = self._looked + _AGAIN
            if not self._no_room:
                self._no_room = True
                self._note(f"{target.shown} and others are not captured: {len(self._handles)} interfaces are the most")
            return False

        def made() -> Handle:
            return Handle(
                target.name,
                self._snaplen,
                size,
                self._promiscuous,
                loopback=target.loopback,
                shown=target.shown,
            )

        try:
            handle = self._places.run(target.place, made)
        except PrivilegeError:
            raise
        except CaptureError as error:
            # Among all interfaces, one that cannot be captured on is not worth failing for.
            if not optional:
                raise
            self._refuse(target, str(error))
            return False
        self._handles.add(handle, target)
        return True

    def _refuse(self, target: Target, why: str) -> None:
        if _key(target) not in self._refused:
            self._note(why)
        self._refused[_key(target)] = time.monotonic() + _AGAIN

    def _leave(self, one: Gathered) -> None:
        wanted, words = self._places.wanted, ""
        if wanted.everything or one.target.name in wanted.names:
            named = self._wait and not wanted.everything
            words = f"{one.handle.shown}: the interface is gone" + ("; waiting for it" if named else "")
            self._missed.add(one.target.name)
        self._handles.leave(one, words)

    def _refilter(self, bpf: str, endpoints: Iterable[Endpoint]) -> None:
        every = [(one.handle, one.target.place) for one in self._handles if one.state is not State.LEAVING]
        running = [one.handle for one in self._handles if one.state is State.OPEN]
        self._filtering.change(bpf, tuple(endpoints), every, running, self._places.run, lenient=self._is_patient())
        self._refused.clear()

    def _tell_absent(self) -> None:
        if self._wait:
            for name in self.absent:
                if name not in self._missed and not name.startswith("namespace "):
                    self._missed.add(name)
                    self._note(f"{name}: no such interface yet, or not up; waiting for it")

    def _note(self, text: str) -> None:
        if len(self.notices) < _NOTICES:
            self.notices.append(text)
        else:
            self.notices_dropped += 1


def _key(target: Target) -> tuple[object, ...]:
    return target.place, target.number, target.name
