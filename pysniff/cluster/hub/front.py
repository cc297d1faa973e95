"""Around every handler: errors become problems, answers get the headers of a closed house, slow readers are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.problems import described, problem, translated
from pysniff.errors import PysniffError

# No CORS headers: no other origin may read an answer.
HEADERS = {
    # blob: for pictures that were captured, of raster types alone. Trusted types: text that the page was told can
    # become markup or script through no interface of the browser.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "pysniff",
}


_STARTED: Final = web.RequestKey("started", bool)


async def closed_house(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: before the head of an answer is sent, streams and WebSockets too."""
    request[_STARTED] = True
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


class Front:
    """The outermost middleware. `tell` gets a line for every bug that a request found."""

    def __init__(self, limits: HubLimits, counts: Counts, tell: Callable[[str], None]) -> None:
        self._sending = limits.sending
        self._counts = counts
        self._tell = tell

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._answered(request, handler)
        if request.get(_STARTED) and isinstance(response, web.Response) and not response.prepared:
            # An answer whose head is sent cannot become a problem: it breaks off, which its reader sees.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the answer broke off")
        self._counts.answered(response.status)
        if isinstance(response, web.Response) and not response.prepared:
            await self._send(request, response)
        return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except PysniffError as error:
            return described(error)
        except web.HTTPException as error:
            return translated(error)
        except ConnectionError:
            raise  # the client is gone: nobody is left to be told
        except Exception as error:
            self._tell(f"{request.method} {request.path}: {type(error).__name__}: {error} (this is a bug)")
            return problem(500, "internal", "the hub made a mistake; its log says which")

    async def _send(self, request: web.Request, response: web.Response) -> None:
        """Send within the time that the limits give; who reads slower loses the connection."""
        try:
            async with asyncio.timeout(self._sending):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            self._counts.refuse("slow")
            if request.transport is not None:
                request.transport.abort()
