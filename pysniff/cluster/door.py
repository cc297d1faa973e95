"""Listens for WebSockets: no more connections than allowed, and none that takes its time to say what it wants."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from ssl import SSLContext

from aiohttp import web

from pysniff.cluster.pace import CLOSING
from pysniff.limits import KIB

STRANGERS = 64  # connections that have not been let in; the oldest makes room for the next
PAUSE = 1.0  # seconds until the next try where the process may open no more files
_log = logging.getLogger(__name__)
_SILENT = logging.getLogger(f"{__name__}.aiohttp")  # what strangers send is no news
_SILENT.setLevel(logging.CRITICAL)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Door:
    """A server whose connections are strangers until welcome(): they are few, and out after `seconds`.

    One that never ends its TLS handshake is a stranger too, which asyncio's own servers do not bound.
    """

    def __init__(self, handler: Handler, seconds: float) -> None:
        self.turned_away = 0  # strangers that took too long, or made room
        self._handler = handler
        self._seconds = seconds
        self._server: web.Server | None = None
        self._strangers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._connections: dict[asyncio.BaseProtocol, socket.socket] = {}  # of strangers
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int, tls: SSLContext | None) -> tuple[str, int]:
        """The address that is served from now on; raise OSError."""
        if self._server is None:
            self._server = web.Server(
                self._handler,
                access_log=None,
                logger=_SILENT,
                keepalive_timeout=1.0,
                lingering_time=0.0,
                max_line_size=4 * KIB,
                max_field_size=4 * KIB,
                max_headers=32,
            )
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.create_server(found[0][4][:2], family=found[0][0], backlog=STRANGERS)
        listening.setblocking(False)
        self._spawn(self._accept(listening, tls))
        name = listening.getsockname()
        return str(name[0]), int(name[1])

    def welcome(self, connection: asyncio.BaseProtocol | None) -> None:
        """A connection, as a request names it, is no stranger any more."""
        found = self._connections.pop(connection, None) if connection is not None else None
        if found is not None:
            self._strangers.pop(found).cancel()

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stranger in list(self._strangers):
            self._turn_away(stranger)
        if self._server is not None:
            await self._server.shutdown(1.0)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, tls: SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listening)
                except OSError as error:
                    _log.warning("no connection can be accepted: %s", error.strerror)
                    await asyncio.sleep(PAUSE)
                    continue
                self._met(accepted)
                self._spawn(self._serve(accepted, tls))

    async def _serve(self, accepted: socket.socket, tls: SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        assert self._server is not None
        connection = self._server()
        self._connections[connection] = accepted
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=self._seconds if tls else None,
                ssl_shutdown_timeout=CLOSING if tls else None,
            )
        except OSError:  # ssl.SSLError is one
            accepted.close()

    def _met(self, stranger: socket.socket) -> None:
        if len(self._strangers) >= STRANGERS:
            self._turn_away(next(iter(self._strangers)))
        timer = asyncio.get_running_loop().call_later(self._seconds, self._turn_away, stranger)
        self._strangers[stranger] = timer

    def _turn_away(self, stranger: socket.socket) -> None:
        self._strangers.pop(stranger).cancel()
        for connection in [one for one, its in self._connections.items() if its is stranger]:
            del self._connections[connection]
        if stranger.fileno() >= 0:  # it has not left by itself
            self.turned_away += 1
            with suppress(OSError):
                stranger.shutdown(socket.SHUT_RDWR)
