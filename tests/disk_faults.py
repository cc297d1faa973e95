"""A disk that fails, and a process that dies, at any system call that changes a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

CALLS = ("pwrite", "open", "truncate", "ftruncate", "unlink", "rename")


class Died(BaseException):
    """The process was killed here."""


class Calls:
    """`count`: system calls so far. `at`: how many are let through; then `happen(name, arguments)`, which may raise."""

    def __init__(self, at: int, happen: Callable[[str, tuple[Any, ...]], None]) -> None:
        self.count = 0
        self.at = at
        self.happen = happen

    @contextmanager
    def watched(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in CALLS}

        def watch(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                writes = name != "open" or (len(arguments) > 1 and arguments[1] & (os.O_WRONLY | os.O_RDWR))
                if writes:
                    self.count += 1
                    if self.count > self.at:
                        self.happen(name, arguments)
                return real[name](*arguments, **options)

            return call

        with ExitStack() as stack:
            for name in CALLS:
                stack.enter_context(patch.object(os, name, watch(name)))
            yield


def dying(random: Random) -> Callable[[str, tuple[Any, ...]], None]:
    """What was being written is on the disk up to anywhere."""
    pwrite = os.pwrite

    def happen(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "pwrite":
            fd, data, at = arguments
            pwrite(fd, data[: random.randrange(len(data) + 1)], at)
        raise Died

    return happen


def failing(number: int, times: int, random: Random) -> Callable[[str, tuple[Any, ...]], None]:
    """So many writes fail with this error, after some of their bytes; the disk is well then."""
    pwrite = os.pwrite
    left = times

    def happen(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if name in ("pwrite", "open") and left:
            left -= 1
            if name == "pwrite":
                fd, data, at = arguments
                pwrite(fd, data[: random.randrange(len(data))], at)
            raise OSError(number, os.strerror(number))

    return happen
