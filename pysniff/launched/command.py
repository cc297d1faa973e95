"""A command as a child of ours: it has the terminal, gets the signals that we get, and its end is ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from types import FrameType
from typing import Self

from pysniff.errors import OptionError

# Those that a person or a program sends on purpose; what a shell does with the others is the kernel's business.
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
_PR_SET_CHILD_SUBREAPER = 36
# As shells report it.
NOT_EXECUTABLE, NOT_FOUND = 126, 127


class NotStarted(OptionError):
    """There is no such command, or it cannot be run; `exit_code` is what a shell would say."""

    def __init__(self, message: str, exit_code: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code  # type: ignore[misc]


class Command:
    """Started when made. Raises NotStarted."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        adopt_orphans()
        try:
            self._process = subprocess.Popen(list(words), env=dict(environment))
        except FileNotFoundError:
            raise NotStarted(f"{words[0]}: no such command", NOT_FOUND) from None
        except (OSError, ValueError) as error:
            raise NotStarted(f"{words[0]}: {getattr(error, 'strerror', None) or error}", NOT_EXECUTABLE) from None
        self.pid = self._process.pid

    def when_over(self, call: Callable[[], None]) -> None:
        """Call that, from another thread, once the command has ended."""

        def wait() -> None:
            self._process.wait()
            call()

        Thread(target=wait, name="pysniff-command", daemon=True).start()

    def wait(self) -> int:
        """Until it has ended: its exit code, or 128 and the number of the signal that ended it."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def send(self, number: int) -> None:
        """A signal; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class PassingOn:
    """Within it, signals that come to us go to the command; those of the keyboard reach it by themselves.

    Begun before there is a command, which gets what came until then: none may end us and leave it behind.
    """

    def __init__(self) -> None:
        self._command: Command | None = None
        self._waiting: list[int] = []
        self._before: dict[int, object] = {}

    def to(self, command: Command) -> None:
        self._command = command
        while self._waiting:
            command.send(self._waiting.pop(0))

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in (*PASSED_ON, *_KEYBOARD)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._command is None:
            self._waiting.append(number)
        elif number not in _KEYBOARD or not _at_the_keyboard():
            self._command.send(number)


def adopt_orphans() -> None:
    """What the command leaves running in the background becomes a child of ours, so that its sockets are known too."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _at_the_keyboard() -> bool:
    """Whether the terminal sends its signals to us and the command alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
