"""Connections to one target: opened when a call needs one, and used again while they are good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pysniff.cluster.replay_call import Call, NoAnswer, Reply
from pysniff.cluster.replay_http1 import READ, Http1Line

if TYPE_CHECKING:
    from pysniff.cluster.replay_http2 import Http2Line

CONNECT = 5.0  # seconds that a connection may take to be there, the target's first words of HTTP/2 included
ANSWER = 30.0  # and an answer


class Route:
    """The addresses that a target had when the run began: nothing else is ever connected to.

    `address`: the first that answered, for all of the run; "" before.
    """

    def __init__(self, addresses: list[str], port: int) -> None:
        self.address = ""
        self._addresses = addresses
        self._port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; raise NoAnswer where nothing answers."""
        reason = "the target's name has no address"
        for address in [self.address] if self.address else self._addresses:
            try:
                async with asyncio.timeout(CONNECT):
                    streams = await asyncio.open_connection(address, self._port, limit=READ)
            except TimeoutError:
                reason = f"no connection within {CONNECT:g} s"
            except OSError as error:
                reason = f"no connection: {error.strerror or 'no reason given'}"
            else:
                self.address = address
                return streams
        raise NoAnswer(reason)


class Lines:
    """exchange() calls of any version; close() aborts what is still open."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._http1: list[Http1Line] = []  # open and idle
        self._busy: set[Http1Line] = set()
        self._http2: Http2Line | None = None
        self._opening = asyncio.Lock()

    async def exchange(self, call: Call) -> Reply:
        """Send a call and read its answer; raise NoAnswer."""
        line = await self._line(call.version)
        try:
            async with asyncio.timeout(ANSWER):
                return await line.exchange(call)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {ANSWER:g} s") from None
        finally:
            if isinstance(line, Http1Line):
                self._back(line)

    def close(self) -> None:
        for line in (*self._http1, *self._busy):
            line.abort()
        self._http1.clear()
        if self._http2 is not None:
            self._http2.abort()

    async def _line(self, version: str) -> Http1Line | Http2Line:
        if version == "2":
            return await self._multiplexed()
        while self._http1:
            line = self._http1.pop()
            if line.usable:
                break
            line.abort()
        else:
            line = Http1Line(*await self._route.connect())
        self._busy.add(line)
        return line

    def _back(self, line: Http1Line) -> None:
        self._busy.discard(line)
        if line.usable:
            self._http1.append(line)
        else:
            line.abort()

    async def _multiplexed(self) -> Http2Line:
        """The one connection of HTTP/2; another where it has ended."""
        from pysniff.cluster.replay_http2 import Http2Line  # h2 is needed by nobody else

        async with self._opening:
            if self._http2 is not None and self._http2.usable:
                return self._http2
            line = Http2Line(*await self._route.connect())
            try:
                async with asyncio.timeout(CONNECT):
                    await line.begin()
            except TimeoutError:
                raise NoAnswer(f"no HTTP/2 within {CONNECT:g} s") from None
            finally:
                if not line.ready:
                    line.abort()
            if self._http2 is not None:
                self._http2.abort()
            self._http2 = line
            return line
