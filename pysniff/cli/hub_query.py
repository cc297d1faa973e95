"""`pysniff query http://HUB`: the same question, put to a hub; lines are made of what it says, never of packets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pysniff.cli.decryption import name_within
from pysniff.cli.errors import FINE, LOST, complain
from pysniff.cli.json_lines import line
from pysniff.cli.lines import Lines, Row
from pysniff.cli.output import Output
from pysniff.cli.terminal import terminal
from pysniff.entry import Endpoint
from pysniff.errors import NotFoundError, ReadError, WriteError
from pysniff.kfl.times import parse_timestamp
from pysniff.kfl.values import EvaluationError

if TYPE_CHECKING:
    from pysniff.cluster.client import HubClient
    from pysniff.cluster.client_messages import Status, Told

TOGETHER = 8  # whole entries that are fetched at once; a hub answers 100 requests a second
_WORTH_TELLING = ("warning", "error")
_ANSWERED = ("live", "ended")  # states of a worker that has told what it has


@dataclass(frozen=True, slots=True, kw_only=True)
class HubQuestion:
    """`decode_as`: transport and port to protocol. `write`: where packets go instead of entries, None: entries."""

    url: str
    filter: str
    start: int | None
    end: int | None
    newest_first: bool
    follow: bool
    count: int | None
    decode_as: Mapping[tuple[str, int], str]
    write: str | None
    json: bool
    quiet: bool
    body_limit: int
    strict: bool
    token_file: str | None
    tls_ca: str | None

    def told(self) -> dict[str, object]:
        """As the hub takes it."""
        return {
            "filter": self.filter,
            "from": self.start,
            "to": self.end,
            "limit": self.count,
            "newest_first": self.newest_first,
            "follow": self.follow,
            "decode_as": {f"{kind}.port=={port}": protocol for (kind, port), protocol in self.decode_as.items()},
        }


def ask_hub(question: HubQuestion) -> int:
    """Show what a hub answers, until the end or Ctrl-C; the exit code."""
    if sys.stdout is None:
        raise WriteError("standard output is closed", hint="redirect it to /dev/null")
    return asyncio.run(_run(question))


async def _run(question: HubQuestion) -> int:
    """The exit code. A signal ends it as its end would."""
    from pysniff.cluster.access import dialling
    from pysniff.cluster.client import HubClient
    from pysniff.cluster.tokens import find_token

    file = None if question.token_file is None else Path(question.token_file)
    tls = None if question.tls_ca is None else dialling(Path(question.tls_ca))
    async with HubClient(question.url, find_token(file, os.environ), tls) as hub:
        shown = _Shown(question, hub)
        work = asyncio.create_task(_download(question, hub) if question.write else shown.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            shown.output.flush()
    if not question.quiet:
        shown.tell()
    return LOST if question.strict and shown.lost else FINE


class _Shown:
    """What was shown, and what could not be."""

    def __init__(self, question: HubQuestion, hub: HubClient) -> None:
        self.output = Output(sys.stdout.buffer, live=True)
        self._question = question
        self._hub = hub
        self._lines = Lines(self.output, terminal(sys.stdout), 0, 0)
        self._missed = self._gone = self._failed = 0
        self._answered = False  # by any worker

    @property
    def lost(self) -> bool:
        return bool(self._missed or self._gone or self._failed)

    async def run(self) -> None:
        from pysniff.cluster.client_messages import Missed, Status

        async with aclosing(self._hub.ask(self._question.told())) as answer:
            async for said in answer:
                match said:
                    case list():
                        self._answered |= bool(said)
                        await self._show(said)
                    case Missed(entries):
                        self._missed += entries
                    case Status():
                        self._note(said)
        self.output.flush()
        if not self._answered:
            raise ReadError(f"{self._question.url}: no worker has answered", hint="/api/workers says how they are")

    def tell(self) -> None:
        """What is not there, on standard error."""
        if self._missed:
            complain(f"{self._missed:,} entries were not sent: this was too slow for them")
        if self._gone:
            complain(f"{self._gone:,} entries were gone before they could be fetched")

    async def _show(self, told: list[Told]) -> None:
        if self._question.quiet:
            return
        if not self._question.json:
            self._lines.show_rows([row_of(one) for one in told])
            return
        for begin in range(0, len(told), TOGETHER):
            some = told[begin : begin + TOGETHER]
            found = await asyncio.gather(*[self._whole(one) for one in some])
            self.output.write(line(entry) for entry in found if entry is not None)

    async def _whole(self, told: Told) -> dict[str, object] | None:
        """The entry, with the nodes that saw it; None where no worker has it any more."""
        id = _text(told.summary, "id")
        try:
            entry = await self._hub.entry(id, self._question.body_limit)
        except NotFoundError:
            self._gone += 1
            return None
        return {**entry, "nodes": list(told.nodes)}

    def _note(self, status: Status) -> None:
        self._answered |= status.state in _ANSWERED
        if status.severity not in _WORTH_TELLING:
            return
        self._failed += 1
        if not self._question.quiet:
            reason = f": {status.text}" if status.text else ""
            complain(f"{status.node or 'hub'}: {status.state}{reason}" + (f" ({status.hint})" if status.hint else ""))


async def _download(question: HubQuestion, hub: HubClient) -> None:
    """The packets of what matches, as one pcapng."""
    from pysniff.export.target import Target

    assert question.write is not None
    params = {"filter": question.filter, "from": question.start, "to": question.end}
    target = Target(question.write, whole=True)
    try:
        await hub.download("/api/pcap", {name: str(value) for name, value in params.items() if value}, target.write)
    except BaseException:
        target.drop()
        raise
    target.finish()


def row_of(told: Told) -> Row:
    """The line of a summary. Whoever said it may have said anything: what is missing is empty."""
    summary = told.summary
    text = partial(_text, summary)
    faults = summary.get("faults")
    kinds = tuple([kind for kind in faults if isinstance(kind, str)]) if isinstance(faults, list) else ()
    protocol, status = text("protocol"), text("status")
    elapsed = summary.get("elapsed_time")
    request, response = _number(summary, "request_size"), _number(summary, "response_size")
    ok = summary.get("ok") is True
    if protocol in ("tcp", "udp"):
        size = request + response
    else:
        size = response if status or response or isinstance(elapsed, int) else request
    return Row(
        text("id"),
        text("state"),
        _time(text("timestamp")),
        _end(summary.get("src")),
        # The first byte is the server's, and it was not asked.
        "<-" if text("id").rpartition(".")[2][:1] == "s" and "unrequested" not in kinds else "->",
        _end(summary.get("dst")),
        name_within(protocol) if summary.get("tls") else protocol,
        text("summary"),
        status if status or ok else "-",  # what nobody answers is well without one
        _styles(status, ok=ok),
        size,
        elapsed if isinstance(elapsed, int) else None,
        kinds,
    )


def _styles(status: str, *, ok: bool) -> tuple[str, ...]:
    if not ok:
        return ("red", "bold") if status else ("yellow",)
    return ("cyan",) if status[:1] == "3" else ("green",)


def _text(summary: Mapping[str, object], name: str) -> str:
    value = summary.get(name)
    return value if isinstance(value, str) else ""


def _number(summary: Mapping[str, object], name: str) -> int:
    value = summary.get(name)
    return value if isinstance(value, int) else 0


def _end(value: object) -> Endpoint:
    match value:
        # A packet's address moves no cursor, and is shown as it is; this is one that a worker says it saw.
        case {"ip": str(ip), "port": int(port), "name": str(name)} if ip.isprintable():
            return Endpoint(ip, port, name)
    return Endpoint("?", 0)


def _time(text: str) -> int:
    try:
        return int(parse_timestamp(text))
    except EvaluationError:
        return 0
