"""Runs a hub in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable

from pysniff.cli.peers import ending
from pysniff.cluster.hub.program import HubOptions, run

DESCRIPTORS = 4_096  # 1,000 connections of clients, as many workers, and room


def serve(options: HubOptions, started: Callable[[str], None], tell: Callable[[str], None]) -> None:
    """Until SIGINT or SIGTERM; a second one ends at once. `started` is told the URL, `tell` what libraries say."""
    prepare(tell)
    asyncio.run(_until_signal(options, started))


def prepare(tell: Callable[[str], None]) -> None:
    """Have this process be able to serve many; `tell` gets what libraries say, a line each."""
    _allow_descriptors()
    logging.basicConfig(handlers=[OneLine(tell)], level=logging.ERROR)


def _allow_descriptors() -> None:
    """As many as the limit allows that an administrator set; the usual 1,024 are fewer than a hub's connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


async def _until_signal(options: HubOptions, started: Callable[[str], None]) -> None:
    await run(options, started, ending())


class OneLine(logging.Handler):
    """What a library logs, without its traceback."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage().partition("\n")[0]
        what = record.exc_info[1] if record.exc_info else None
        self._tell(f"{record.name}: {said}" + (f": {what}" if what else ""))
