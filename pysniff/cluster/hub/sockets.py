"""WebSockets of clients: bounded messages, heartbeats, and a close code for everybody when the hub ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, web

from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.problems import Refused

_CLOSING = 1.0  # seconds for a client to answer a close


class Sockets:
    """Those that are open. Their number is bounded by that of the connections."""

    def __init__(self, limits: HubLimits, counts: Counts, tell: Callable[[str], None]) -> None:
        self._limits = limits
        self._counts = counts
        self._tell = tell
        self._open: set[web.WebSocketResponse] = set()
        self._ending = False

    @asynccontextmanager
    async def accept(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        """The client's WebSocket, closed at the end of the block; raise Refused where it is none.

        Who asks has been checked before any handler runs. Answers are not compressed: entries are small beside the
        work, and what one client may see of another's bytes should not show in lengths.
        """
        socket = web.WebSocketResponse(
            max_msg_size=self._limits.message_bytes, heartbeat=self._limits.heartbeat, compress=False, timeout=_CLOSING
        )
        if not socket.can_prepare(request):
            raise Refused(
                426,
                "websocket",
                "this is a WebSocket",
                hint="connect to it with ws://",
                headers={"Upgrade": "websocket"},
            )
        await socket.prepare(request)
        self._open.add(socket)
        self._counts.clients += 1
        self._tell(f"client {request.remote}: connected to {request.path}")
        try:
            yield socket
        finally:
            self._open.discard(socket)
            self._counts.clients -= 1
            self._tell(f"client {request.remote}: away")
            await _closed(socket, WSCloseCode.GOING_AWAY if self._ending else WSCloseCode.OK)

    async def close(self) -> None:
        """Tell every client that the hub goes away (RFC 6455 §7.4.1, code 1001)."""
        self._ending = True
        await asyncio.gather(*(_closed(socket, WSCloseCode.GOING_AWAY) for socket in self._open))


async def _closed(socket: web.WebSocketResponse, code: WSCloseCode) -> None:
    """Close; a client that has read nothing for long does not get to know the code."""
    try:
        async with asyncio.timeout(_CLOSING):
            await socket.close(code=code, message=b"the hub ends" if code is WSCloseCode.GOING_AWAY else b"")
    except (TimeoutError, ConnectionError):
        pass
