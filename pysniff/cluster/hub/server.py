"""Listens, and counts connections from the moment they are accepted: TLS handshakes are among them.

aiohttp bounds what one connection may send; how many there may be is bounded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine

from aiohttp import web

from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.rates import party
from pysniff.errors import OptionError

_BACKLOG = 256  # connections that wait to be accepted
_NO_DESCRIPTORS = 0.1  # seconds to wait after accept() failed, for want of descriptors mostly
_SILENT = logging.getLogger(f"{__name__}.aiohttp")
_SILENT.setLevel(logging.CRITICAL + 1)


def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets listening on every address of `host`, all with one port; raise OptionError."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if port == 0 and sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            with contextlib.ExitStack() as stack:
                listener = stack.enter_context(socket.socket(family, kind, protocol))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.setblocking(False)
                listener.bind(address)
                listener.listen(_BACKLOG)
                stack.pop_all()
            sockets.append(listener)
    except OSError as error:
        # localhost often is ::1 too, which a container without IPv6 does not have.
        if not sockets:
            raise OptionError(
                f"--listen {host}:{port}: {error.strerror}", hint="give an address of this machine and a free port"
            ) from error
    return sockets


class Server:
    """Serves one application on sockets that listen."""

    def __init__(
        self,
        application: web.Application,
        listeners: list[socket.socket],
        limits: HubLimits,
        counts: Counts,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listeners = listeners
        self._limits = limits
        self._counts = counts
        self._tls = tls
        self._peers: Counter[str] = Counter()  # connections by address
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._runner = web.AppRunner(
            application,
            access_log=None,  # a token may stand in a query
            logger=_SILENT,  # what strangers send is no news; bugs of ours are told by front.py
            shutdown_timeout=limits.shutdown,
            keepalive_timeout=limits.idle,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.fields,
            lingering_time=1.0,
            auto_decompress=False,
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [listener.getsockname()[:2] for listener in self._listeners]

    @property
    def peers(self) -> dict[str, int]:
        """Connections that are open, by address."""
        return dict(self._peers)

    async def start(self) -> None:
        await self._runner.setup()
        for listener in self._listeners:
            self._accepting.append(self._keep(self._accept(listener)))

    def stop_listening(self) -> None:
        for task in self._accepting:
            task.cancel()
        for listener in self._listeners:
            listener.close()

    async def close(self) -> None:
        """Let answers that are under way end within the limits' time, and close the rest."""
        self.stop_listening()
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was cut is closed in the loop's next round

    def _keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_NO_DESCRIPTORS)
                continue
            peer = party(address[0])
            if reason := self._full(peer):
                self._counts.refuse(reason)
                connection.close()
                continue
            self._peers[peer] += 1
            self._keep(self._serve(connection, peer))

    def _full(self, peer: str) -> str:
        """Why there is no room for one more, or ""."""
        if self._peers.total() >= self._limits.connections:
            return "connections"
        return "connections_peer" if self._peers[peer] >= self._limits.connections_peer else ""

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        server = self._runner.server
        assert server is not None
        guest = Guest(server)
        try:
            _give_up(connection, self._limits.sending)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.tls_handshake if self._tls else None,
            )
            await guest.gone.wait()
        except (OSError, ssl.SSLError):
            connection.close()  # no TLS handshake, or gone before anything was said
        except asyncio.CancelledError:
            if not guest.cut():
                connection.close()
            raise
        finally:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]


class Guest(asyncio.Protocol):
    """One connection: aiohttp's protocol does the work, `gone` says when it is over."""

    def __init__(self, server: Callable[[], asyncio.Protocol]) -> None:
        self.gone = asyncio.Event()
        self._protocol = server()
        self._transport: asyncio.BaseTransport | None = None
        self.data_received = self._protocol.data_received  # type: ignore[method-assign]

    def cut(self) -> bool:
        """End it now, whatever waits to be sent; whether there was a connection yet."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def _give_up(connection: socket.socket, seconds: float) -> None:
    """Let the kernel end a connection whose peer takes nothing for so long, even if it acknowledges probes.

    RFC 5482; Linux counts a window that stays closed (tcp_timer.c, tcp_probe_timer). Other systems lack the option.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
