"""Who may ask: one middleware before every handler. Closed by default.

A request passes with the right token (`Authorization: Bearer`), with a browser's cookie, or without either from this
machine while the hub listens on loopback alone. What is refused is counted by reason and never reaches a handler.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from pysniff.cluster.access import Access, is_loopback
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.hosts import Hosts, authority, origin
from pysniff.cluster.hub.limits import HubLimits
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.rates import Rates, party
from pysniff.cluster.hub.signin import Cookies

# Without a token: the page, which holds nothing, and what a cluster's probes ask, which get no details.
LINK: Final = "/api/link"
OPEN: Final = frozenset({"/", "/healthz", "/readyz"})
PAGE_FILES: Final = "/static/{name}"
SIGNED_IN: Final = web.RequestKey("signed_in", bool)

# A proxy on this machine would make everybody a neighbour.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
_SIGN_IN = "send Authorization: Bearer with the hub's token, or open its sign-in link in a browser"


class Admission:
    """The rules of one hub; without a token in `access` only this machine may ask.

    `link` is what workers show that dial in, and nothing else lets them.
    """

    def __init__(
        self,
        access: Access,
        link: Access,
        hosts: Hosts,
        cookies: Cookies,
        limits: HubLimits,
        counts: Counts,
        *,
        secure: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._link = link
        self._hosts = hosts
        self._cookies = cookies
        self._counts = counts
        self._port = 443 if secure else 80  # what a Host without port means
        self._body_bytes = limits.body_bytes
        self._requests = Rates(limits.rate, limits.burst, limits.addresses, clock)
        self._guesses = Rates(limits.wrong_token_rate, limits.wrong_tokens, limits.addresses, clock)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware: raise Refused, or let the handler answer."""
        self._slow_down(request)
        self._well_formed(request)
        self._from_our_pages(request)
        signed_in = self._signed_in(request)
        if not signed_in and not _is_open(request):
            raise self._refused(401, "token", "the token is missing", _SIGN_IN, {hdrs.WWW_AUTHENTICATE: "Bearer"})
        request[SIGNED_IN] = signed_in
        return await handler(request)

    def sign_in(self, request: web.Request, token: str) -> None:
        """Raise Refused unless `token` is right."""
        who = caller(request)
        wait = self._guesses.wait(who)
        if wait:
            # A right one is refused too: otherwise the rate would not bound guesses.
            raise self._refused(
                429, "wrong_tokens", "too many wrong tokens from this address", "wait", _retry_after(wait)
            )
        access = self._link if request.path == LINK else self._access
        if access.token is None or not access.admits(f"Bearer {token}"):
            self._guesses.spend(who)
            raise self._refused(
                401, "token", "the token is wrong", _SIGN_IN, {hdrs.WWW_AUTHENTICATE: 'Bearer error="invalid_token"'}
            )

    def _slow_down(self, request: web.Request) -> None:
        who = caller(request)
        wait = self._requests.wait(who)
        if wait:
            raise self._refused(429, "rate", "too many requests from this address", "slow down", _retry_after(wait))
        self._requests.spend(who)

    def _well_formed(self, request: web.Request) -> None:
        hosts = request.headers.getall(hdrs.HOST, [])
        # RFC 9112 §3.2: 400 where there is not exactly one. A target in absolute form would name a host of its own.
        if len(hosts) != 1 or not request.raw_path.startswith("/"):
            raise self._refused(400, "request", "a request needs one Host field, and a path as its target")
        called = authority(hosts[0], self._port)
        if called is None or not self._hosts.knows(called, local_address(request)):
            hint = "pysniff hub --allowed-host NAME adds a name"
            raise self._refused(421, "host", "the hub does not go by the name in the Host field", hint)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise self._refused(415, "request", "compressed request bodies are not read", "send the body as it is")
        if (request.content_length or 0) > self._body_bytes:
            raise self._refused(413, "size", f"the body exceeds {self._body_bytes:,} bytes")

    def _from_our_pages(self, request: web.Request) -> None:
        """Refuse what a page of another origin made a browser send (RFC 6454; W3C Fetch Metadata).

        Browsers send Origin with every WebSocket and every method that changes something, and Sec-Fetch-Site with all.
        """
        said = request.headers.getall(hdrs.ORIGIN, [])
        host = authority(request.headers[hdrs.HOST], self._port)
        # Behind a proxy that speaks TLS the scheme is not ours, so that default ports differ: compare as written.
        ours = all(value.partition("://")[2].lower() == request.headers[hdrs.HOST].lower() or origin(value) == host
                   for value in said)  # fmt: skip
        site = request.headers.get("Sec-Fetch-Site", "none")
        if not ours or (site not in ("none", "same-origin") and request.path not in OPEN):
            raise self._refused(403, "origin", "pages of other origins may not ask", "open the hub's own page")

    def _signed_in(self, request: web.Request) -> bool:
        fields = request.headers.getall(hdrs.AUTHORIZATION, [])
        if fields:
            scheme, _, token = fields[0].partition(" ")
            if len(fields) > 1 or scheme.lower() != "bearer":
                raise self._refused(401, "token", "not a bearer token", _SIGN_IN, {hdrs.WWW_AUTHENTICATE: "Bearer"})
            self.sign_in(request, token.strip())
            return True
        return self._is_neighbour(request) or self._cookies.holds(request)

    def _is_neighbour(self, request: web.Request) -> bool:
        called = authority(request.headers[hdrs.HOST], self._port)
        return (
            called is not None
            and self._hosts.is_loopback(called)
            and is_loopback(request.remote or "")
            and not any(name in request.headers for name in _FORWARDED)
        )

    def _refused(
        self, status: int, reason: str, message: str, hint: str = "", headers: dict[str, str] | None = None
    ) -> Refused:
        self._counts.refuse(reason)
        return Refused(status, reason, message, hint=hint, headers=headers)


def _is_open(request: web.Request) -> bool:
    """By the handler that it comes to: a path can be written in many ways."""
    resource = request.match_info.route.resource
    return request.path in OPEN or (resource is not None and resource.canonical == PAGE_FILES)


def caller(request: web.Request) -> str:
    """Who asks, as far as limits of one client go."""
    return party(request.remote or "")


def local_address(request: web.Request) -> str:
    """The address at which the connection arrived, "" where it is gone."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if name else ""


def _retry_after(wait: float) -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(math.ceil(wait))}
