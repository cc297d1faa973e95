"""`/`: signs a browser in, and for now lists what there is."""

from __future__ import annotations

from aiohttp import hdrs, web

from pysniff.cluster.hub.admission import SIGNED_IN, Admission
from pysniff.cluster.hub.signin import Cookies

_PAGE = """\
PySniff hub

/api/openapi.json   every path, its parameters and answers
/api/workers        the workers, their state and figures
/api/entries        WebSocket: calls, as a filter lets them through
/api/filter?q=      checks and explains a filter
/api/pcap           packets of all nodes, one pcapng
/api/services       who calls whom, how often and how fast
/api/replay         calls sent again (GET, POST)
/api/config         what the workers capture (GET, PATCH)
/api/targets        whose traffic (GET, PUT)
/healthz /readyz    alive, and capturing
/metrics            for Prometheus

"""
_SIGNED_IN = "You are signed in.\n"
_SIGNED_OUT = "Sign in with the link that ends with ?token=, or send Authorization: Bearer.\n"


def routes(admission: Admission, cookies: Cookies) -> list[web.RouteDef]:
    async def page(request: web.Request) -> web.StreamResponse:
        """The page; with ?token= a cookie, and the same address without the token, so that no history keeps it."""
        token = request.query.get("token")
        if token is None:
            return web.Response(text=_PAGE + (_SIGNED_IN if request[SIGNED_IN] else _SIGNED_OUT))
        admission.sign_in(request, token)
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        cookies.give(response)
        return response

    return [web.get("/", page)]
