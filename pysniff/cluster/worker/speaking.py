"""What a child process of a worker says, from its own side: lines, in the words of capturing_words.py."""

from __future__ import annotations

import os
from threading import Lock

from pysniff.cluster.worker.capturing_words import line_of
from pysniff.limits import MIB

# What waits for a worker that does not read: more reports are left out, and the next one tells what they had to.
_UNREAD = MIB


class Speaking:
    """Lines to the worker; never waits for it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._waiting = b""
        self._lock = Lock()
        self.heard = True  # somebody is there

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > _UNREAD

    def say(self, **said: object) -> None:
        with self._lock:
            self._waiting += line_of(said)
            try:
                while self._waiting:
                    self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
            except BlockingIOError:
                pass
            except OSError:
                self.heard, self._waiting = False, b""
