"""`/`: the page, and its files at `/static/`; with `?token=` it signs a browser in.

All of it is open, for it tells nothing of nodes: what it shows it asks for, and then needs the cookie or the token.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

import pysniff
from pysniff.cluster.hub.admission import PAGE_FILES, SIGNED_IN, Admission
from pysniff.cluster.hub.page_files import DOCUMENT, read
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.signin import Cookies

HOW_TO_BUILD = "in a checkout, with Node.js 20 or later: cd pysniff/web && npm ci && npm run build"

_WITHOUT = f"""\
PySniff hub

The page is not built; {HOW_TO_BUILD}

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


def built() -> Path | None:
    """The folder of the built page; None where it was not built."""
    folder = Path(pysniff.__file__).parent / "web" / "static"
    return folder if (folder / DOCUMENT).is_file() else None


def routes(admission: Admission, cookies: Cookies) -> list[web.RouteDef]:
    folder = built()
    files = {} if folder is None else dict(read(folder))
    document = files.pop(DOCUMENT, None)

    async def page(request: web.Request) -> web.StreamResponse:
        """With ?token= a cookie, and the same address without the token, so that no history keeps it.

        What stands behind the # browsers keep to themselves, and put it behind the new address.
        """
        token = request.query.get("token")
        if token is not None:
            admission.sign_in(request, token)
            response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
            cookies.give(response)
            return response
        if document is None:
            return web.Response(text=_WITHOUT + (_SIGNED_IN if request[SIGNED_IN] else _SIGNED_OUT))
        answer = document.answer(request)
        # A hub of another version may answer here next.
        answer.headers[hdrs.CACHE_CONTROL] = "no-store"
        return answer

    async def file(request: web.Request) -> web.StreamResponse:
        found = files.get(request.match_info["name"])
        if found is None:
            raise Refused(404, "notfound", "the page has no such file", hint="load the page again")
        return found.answer(request)

    return [web.get("/", page), web.get(PAGE_FILES, file)]
