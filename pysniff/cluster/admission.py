"""Whom a listening side lets in before a WebSocket is opened: by the request's head alone."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from pysniff.cluster.access import Access, is_loopback
from pysniff.cluster.frames import MESSAGE
from pysniff.cluster.pace import CLOSING

# RFC 9110 §7.2: a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII)


class NotAdmitted(Exception):
    """`status` and `reason` are those of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def response(self) -> web.Response:
        headers = {hdrs.WWW_AUTHENTICATE: "Bearer"} if self.status == 401 else {}
        return web.Response(status=self.status, text=self.reason + "\n", headers=headers)


def admit(request: web.BaseRequest, access: Access) -> web.WebSocketResponse:
    """The WebSocket to prepare for a worker or hub that dials in; raise NotAdmitted.

    A browser may not speak here, and it says Origin with every WebSocket (RFC 6455 §4.1). Without a token the Host
    must mean this machine, or a name that an attacker's DNS points here would do.
    """
    if request.method != hdrs.METH_GET:
        raise NotAdmitted(405, "only GET")
    if hdrs.ORIGIN in request.headers:
        raise NotAdmitted(403, "no browser may speak here")
    hosts = request.headers.getall(hdrs.HOST, [])
    host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None:
        raise NotAdmitted(400, "one Host is needed")
    if access.token is None and not is_loopback(host[1]):
        raise NotAdmitted(403, "without a token only loopback is served")
    sent = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(sent) > 1 or not access.admits(sent[0] if sent else None):
        raise NotAdmitted(401, "the token is wrong or missing")
    websocket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE, timeout=CLOSING)
    if not websocket.can_prepare(request):
        raise NotAdmitted(426, "this is a WebSocket")
    return websocket
