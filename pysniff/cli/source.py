"""From options to a stream of entries, and how a person at the terminal stops it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from pysniff.cli.decryption import open_tracing
from pysniff.cli.errors import INTERRUPTED
from pysniff.limits import DEFAULT, MIB, Limits

if TYPE_CHECKING:
    from pysniff.cli.options import SniffOptions
    from pysniff.entries import Entries
    from pysniff.sources import Taker

# Kept of a body even where less is shown: what is kept is decoded when touched, what is not costs at once.
LEAST_KEPT = MIB


def limits(body_limit: int) -> Limits:
    """The library's bounds, with the command line's smaller share for bodies."""
    return replace(DEFAULT, body_bytes=max(body_limit, LEAST_KEPT))


def open_source(options: SniffOptions, writer: Taker | None, progress: Callable[[int, int | None], None]) -> Entries:
    """Entries from files or interfaces; raises PysniffError before the first one where that is possible."""
    from pysniff import reading

    bounds = limits(options.body_limit)
    if options.files:
        return reading.read(
            *options.files,
            filter=options.filter or "",
            bpf=options.bpf,
            follow=options.follow,
            duration=options.duration,
            decode_as=options.decode_as,
            proto=options.proto,
            names=options.names,
            keylog=options.keylog,
            limits=bounds,
            write=writer,
            progress=progress,
            dissect=options.shows,
        )
    return reading.sniff(
        *options.interfaces,
        netns=options.netns,
        filter=options.filter or "",
        bpf=options.bpf,
        duration=options.duration,
        decode_as=options.decode_as,
        proto=options.proto,
        names=options.names,
        keylog=options.keylog,
        tls=open_tracing(options) or "",
        limits=bounds,
        write=writer,
    )


class Interrupt:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[Interrupt]:
    """Ctrl-C and SIGTERM call `stop`, which must be safe in a signal handler; the second one ends the process."""
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            os._exit(INTERRUPTED)
        interrupt.asked = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
