"""Has every file probed that processes map: those that are mapped now, and each new one as soon as it is."""

from __future__ import annotations

import os
import select
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread, get_native_id

from pysniff.tracer.attachments import Attachments
from pysniff.tracer.hook import Mapped
from pysniff.tracer.watch import Watch

# Seconds from one search for files that nobody maps any more to the next, where there is no room for others.
_SWEEP_PAUSE = 60.0
_PRIORITY = -15  # of setpriority(2), which needs CAP_SYS_NICE
# Seconds between two looks of a watch that cannot wake anybody.
_LOOK = 1.0
# Processes of which is remembered what they had mapped, also when they have ended: the latest.
_REMEMBERED = 4_096


class Follower:
    """Files of `installed` and those mapped `now` have their probes when this is made; a thread sees to the others.

    `failure`: why the thread has given up, in words; "" while it has not.
    `watch` has to begin before `now` looks, so that nothing is missed between; it is closed with this.
    """

    def __init__(
        self,
        attachments: Attachments,
        watch: Watch,
        *,
        installed: Callable[[], Iterable[str]],
        now: Callable[[], Iterable[Mapped]],
    ) -> None:
        self._attachments, self._now, self.watch = attachments, now, watch
        self.failure = ""
        self._met: OrderedDict[int, dict[int, None]] = OrderedDict()  # numbers of files, by process
        for mapped in now():
            self._meet(mapped)
        for path in installed():
            attachments.meet_path(path)
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC)
        self._thread: Thread | None = Thread(target=self._follow, name="pysniff-tracer", daemon=True)
        self._thread.start()

    def files_of(self, pid: int) -> list[int]:
        """Numbers of the files with TLS that a process has or had mapped, as far as that is remembered."""
        return [*self._met.get(pid, ())]

    def close(self) -> None:
        """Stop looking; probes stay."""
        if self._thread is None:
            return
        os.write(self._wake, b"\0")
        self._thread.join()
        self._thread = None
        os.close(self._wake)
        os.close(self._woken)
        self.watch.close()

    def _follow(self) -> None:
        # What a program does next may be its first handshake; this thread runs for a few ms at a time.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _PRIORITY)
        try:
            self._follow_until_woken()
        except Exception as error:  # whatever it is, it must not end in silence
            self.failure = f"programs that start now are not seen any more: {type(error).__name__}: {error}"

    def _follow_until_woken(self) -> None:
        ready, waking = select.poll(), self.watch.descriptors()
        for descriptor in (*waking, self._woken):
            ready.register(descriptor, select.POLLIN)
        pause = None if waking else 1_000 * _LOOK
        refused, swept = self._attachments.refused, -_SWEEP_PAUSE
        while all(descriptor != self._woken for descriptor, _ in ready.poll(pause)):
            for mapped in self.watch.take():
                self._meet(mapped)
            if self._attachments.refused != refused and time.monotonic() - swept > _SWEEP_PAUSE:
                refused, swept = self._attachments.refused, time.monotonic()
                self._attachments.sweep(self._now())

    def _meet(self, mapped: Mapped) -> None:
        file = self._attachments.meet(mapped)
        if file is not None:
            self._met.setdefault(mapped.pid, {})[file.number] = None
            if len(self._met) > _REMEMBERED:
                self._met.popitem(last=False)
