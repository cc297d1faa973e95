"""Calls from other threads, made by the one that iterates: what it uses changes only between two batches."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from pysniff.errors import CaptureError

# Seconds that a caller waits for its turn, where nobody takes packets.
_PATIENCE = 10.0


class _Call:
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._problem: BaseException | None = None
        self._done = threading.Event()

    def make(self) -> None:
        try:
            self._call()
        except BaseException as problem:  # for the thread that waits
            self._problem = problem
        self._done.set()

    def wait(self) -> bool:
        """Whether it was made in time; raises what it raised."""
        if not self._done.wait(_PATIENCE):
            return False
        if self._problem is not None:
            raise self._problem
        return True


class Turns:
    """`reader` is readable when a call waits. While nobody iterates, calls are made at once, one at a time."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._lock = threading.RLock()
        self._thread = 0
        self._waiting: deque[_Call] = deque()

    def do(self, call: Callable[[], None]) -> None:
        """Raises what the call raises, and CaptureError where its turn does not come."""
        with self._lock:
            if self._thread in (0, threading.get_ident()):
                call()
                return
            one = _Call(call)
            self._waiting.append(one)
            try:
                os.write(self._writer, b"\0")
            except OSError:  # full: it is awake already
                pass
        if one.wait():
            return
        with self._lock:
            if one in self._waiting:
                self._waiting.remove(one)
                raise CaptureError("the capture takes no packets just now, and no changes")
        one.wait()

    def begin(self) -> None:
        """This thread iterates."""
        with self._lock:
            self._thread = threading.get_ident()

    def take(self) -> None:
        """Make the calls that wait."""
        if not self._waiting:
            return
        try:
            os.read(self.reader, 4096)
        except OSError:
            pass
        while self._waiting:
            with self._lock:
                one = self._waiting.popleft() if self._waiting else None
            if one is not None:
                one.make()

    def end(self) -> None:
        """Nobody iterates any more."""
        with self._lock:
            self.take()
            self._thread = 0

    def close(self) -> None:
        with self._lock:
            if self._writer >= 0:
                os.close(self.reader)
                os.close(self._writer)
                self.reader = self._writer = -1
