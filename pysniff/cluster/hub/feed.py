"""`/api/entries`: a WebSocket; a question in, entries out. docs/api.md has every message.

A new question replaces the one before. One task reads, one writes, one asks.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiohttp import WSMsgType, web

from pysniff.cluster.hub import messages
from pysniff.cluster.hub.admission import caller
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.feeds import Feeds
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.outbox import Outbox
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.question import Question
from pysniff.cluster.hub.rates import Rates
from pysniff.errors import FilterError, OptionError, PysniffError

# Seconds that a client may read nothing while something waits for it.
STALLED = 30.0
# Questions of one client: at once, and per second. A filter is typed, and asked at each pause.
BURST, RATE = 20, 5.0
_log = logging.getLogger(__name__)


def routes(hub: Hub) -> list[web.RouteDef]:
    feeds = Feeds(hub.workers, hub.filters, hub.counts)
    hub.closing.append(feeds.close)

    async def entries(request: web.Request) -> web.StreamResponse:
        async with hub.sockets.accept(request) as socket:
            await Feed(socket, request.transport, feeds, hub.counts, caller(request), stalled=STALLED).run()
        return socket

    return [web.get("/api/entries", entries)]


class Feed:
    """One client. `peer`: its address, for what one address may ask. `stalled`: seconds that it may read nothing."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        feeds: Feeds,
        counts: Counts,
        peer: str,
        *,
        stalled: float,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._feeds = feeds
        self._counts = counts
        self._peer = peer
        self._stalled = stalled
        self._outbox = Outbox()
        self._answer: asyncio.Task[None] | None = None
        self._questions = 0
        self._missed = 0
        self._rates = Rates(RATE, BURST, 1, asyncio.get_running_loop().time)

    async def run(self) -> None:
        """Until the client goes."""
        loop = asyncio.get_running_loop()
        writing = loop.create_task(self._write())
        reading = loop.create_task(self._read())
        try:
            await asyncio.wait([writing, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._outbox.close()
            await _stopped(writing, reading, self._answer)
            self._count_missed()

    async def _read(self) -> None:
        async for message in self._socket:
            self._counts.client_bytes_in += len(message.data or b"")
            if message.type is not WSMsgType.TEXT:
                problem = OptionError("a question is a text message", hint='send {"filter": "http"}')
                self._outbox.say(messages.error(problem, "option"))
            elif self._rates.wait(""):
                self._counts.refuse("rate")
                problem = OptionError(f"more than {RATE:g} questions a second", hint="wait a second")
                self._outbox.say(messages.error(problem, "rate"))
            else:
                self._rates.spend("")
                await self._ask(message.data)

    async def _ask(self, text: str) -> None:
        try:
            question = await self._feeds.checked(text)
        except PysniffError as error:
            self._outbox.say(messages.error(error, "filter" if isinstance(error, FilterError) else "option"))
            return
        await _stopped(self._answer)
        self._questions += 1
        self._outbox.clear()
        self._outbox.say(messages.asked(self._questions, question), vital=True)
        self._answer = asyncio.get_running_loop().create_task(self._tell(question))

    async def _tell(self, question: Question) -> None:
        try:
            figures = await self._feeds.answer(question, self._outbox, self._peer)
        except Refused as error:
            self._outbox.say(messages.error(error, error.code), vital=True)
        except Exception as error:  # a bug of ours: nobody waits for what never comes
            _log.exception("a question failed")
            self._outbox.say(messages.error(PysniffError(f"{type(error).__name__}, a bug"), "internal"), vital=True)
        else:
            self._outbox.say(messages.end(figures), vital=True)

    async def _write(self) -> None:
        """Send what waits; end where the client does not read or is gone."""
        while (message := await self._outbox.take()) is not None:
            try:
                async with asyncio.timeout(self._stalled):
                    await self._socket.send_bytes(message.data)
            except TimeoutError:
                # A close frame would wait behind what it does not read.
                if self._transport is not None:
                    self._transport.abort()
                return
            except (OSError, RuntimeError):  # gone; aiohttp's ClientConnectionResetError is an OSError
                return
            self._counts.entries_forwarded += message.entries
            self._counts.client_bytes_out += len(message.data)
            self._count_missed()

    def _count_missed(self) -> None:
        self._counts.entries_missed += self._outbox.missed - self._missed
        self._missed = self._outbox.missed


async def _stopped(*tasks: asyncio.Task[None] | None) -> None:
    there = [task for task in tasks if task is not None]
    for task in there:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*there, return_exceptions=True)
