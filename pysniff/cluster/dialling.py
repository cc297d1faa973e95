"""Keeps one connection to an address: dials, greets, serves, and tries again when it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
)

from pysniff.cluster.access import Access
from pysniff.cluster.frames import MESSAGE, Hello
from pysniff.cluster.handshake import Ending, Refused
from pysniff.cluster.link import Link
from pysniff.cluster.pace import CLOSING, Backoff, Pace
from pysniff.cluster.unreached import why_unreached

_log = logging.getLogger(__name__)
WORKER_PATH = "/link"  # of a worker that listens
HUB_PATH = "/api/link"  # of a hub
CONNECT = 5.0  # seconds for a TCP connection: two SYNs that were lost

Serve = Callable[[Link, Hello], Awaitable[Ending]]
"""Takes a connection over once both sides have greeted, until it ended."""


async def _no_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Nobody whom we dial may send us to another address."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise aiohttp.ClientError(f"answered with a redirection ({response.status})")
    return response


def client_session() -> ClientSession:
    """For all connections of a process: no proxies, cookies or redirections, and DNS asked each time."""
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, force_close=True)
    return ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT),
        trust_env=False,
        auto_decompress=False,
        middlewares=(_no_redirects,),
    )


class Dialling:
    """`url` is http or https; `name` that of the certificate where the URL has an address from DNS."""

    def __init__(self, url: str, own: Hello, access: Access, pace: Pace, *, name: str | None = None) -> None:
        self.url = url
        self._own = own
        self._access = access
        self._pace = pace
        self._name = name

    async def keep(self, session: ClientSession, serve: Serve, ended: Callable[[Ending], None]) -> None:
        """Go on for ever; `ended` is told of each attempt and connection that came to its end."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._pace)
        while True:
            lasted = 0.0
            try:
                link, peer = await self._open(session)
                connected = loop.time()
                ending = await serve(link, peer)
                lasted = loop.time() - connected
            except Refused as refused:
                ending = refused.ending
            except Exception as error:  # a bug of ours: said where people look, and tried again
                _log.exception("the connection to %s failed", self.url)
                ending = Ending("internal", type(error).__name__)
            ended(ending)
            await asyncio.sleep(backoff.wait(lasted=lasted, refused=ending.refused))

    async def _open(self, session: ClientSession) -> tuple[Link, Hello]:
        """A connection whose sides have greeted each other; raise Refused."""
        link: Link | None = None
        try:
            async with asyncio.timeout(self._pace.handshake):
                link = Link(await self._connect(session), self._pace)
                await link.say(self._own)
                return link, await link.heard(self._own)
        except TimeoutError:
            refused = Refused("silent", f"no answer within {self._pace.handshake:g} s")
        except Refused as error:
            refused = error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = _why(error)
        if link is not None:
            await link.refuse(refused)
        raise refused

    async def _connect(self, session: ClientSession) -> ClientWebSocketResponse:
        return await session.ws_connect(
            self.url,
            headers=self._access.headers(),
            ssl=self._access.dial or True,
            server_hostname=self._name if self.url.startswith("https:") else None,
            max_msg_size=MESSAGE,
            compress=0,
            timeout=ClientWSTimeout(ws_close=CLOSING),
        )


def _why(error: Exception) -> Refused:
    """In few words, and whether somebody must mend something."""
    match error:
        case aiohttp.WSServerHandshakeError(status=401 | 403):
            return Refused("token", f"the other side refused the token (HTTP status {error.status})")
        case aiohttp.WSServerHandshakeError(status=status) if status < 500:
            return Refused("http", f"no hub or worker is there (HTTP status {status})")
        case aiohttp.WSServerHandshakeError():
            return Refused("lost", f"HTTP status {error.status}")
        case aiohttp.ClientConnectorCertificateError():
            return Refused("tls", f"the other side's certificate was refused: {error.certificate_error}")
        case aiohttp.ClientConnectorSSLError():
            return Refused("tls", f"TLS: {error.os_error}")
        case aiohttp.InvalidURL():
            return Refused("http", "not a URL that can be dialled")
    return Refused("lost", why_unreached(error))
