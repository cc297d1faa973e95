"""`/api/entries/{id}`: one call in full, or in the words of an export format, from the node that its id begins with."""

from __future__ import annotations

import re

from aiohttp import web

from pysniff.cluster.hub import single
from pysniff.cluster.hub.bodies import answer
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.problems import Refused
from pysniff.errors import OptionError
from pysniff.limits import MIB

# Until a worker has found and dissected one call: its conversation may be most of a store.
WAIT = 60.0
LARGEST_BODY = 2 * MIB  # bytes of each body that one message carries
# What `as` may say; never a type that a browser would run.
_TYPES = {"curl": "text/plain", "har": "application/json"}
_ID = re.compile(r"(.{1,128})\.[0-9a-f]{16}\.s?[0-9a-f]{1,16}", re.ASCII)
_STATUS = {"notfound": 404, "gone": 404, "away": 404, "option": 400, "unsupported": 400, "late": 504, "busy": 503}


def routes(hub: Hub) -> list[web.RouteDef]:
    async def one(request: web.Request) -> web.StreamResponse:
        id, limit = request.match_info["id"], _body_limit(request.query.get("body_limit"))
        format = request.query.get("as", "")
        if not format:
            return answer(await entry(hub, id, limit))
        if format not in _TYPES:
            raise OptionError(f"as: {format[:32]!r} is no format", hint=f"there are {', '.join(_TYPES)}")
        found = await _asked(hub, id, {"body_limit": limit, "as": format})
        written = found.get("bytes")
        if not isinstance(written, bytes):
            raise Refused(502, "internal", f"{node_of(id)}: it answered with something else", hint="update the worker")
        return web.Response(body=written, content_type=_TYPES[format], charset="utf-8")

    return [web.get("/api/entries/{id}", one)]


async def entry(hub: Hub, id: str, body_limit: int) -> dict[str, object]:
    """The entry as JSON types, with `nodes`; raise Refused, 404 where it is gone or its node is away."""
    return await _asked(hub, id, {"body_limit": body_limit}) | {"nodes": [node_of(id)]}


async def _asked(hub: Hub, id: str, params: dict[str, object]) -> dict[str, object]:
    node = node_of(id)
    asked_for(hub, node)
    try:
        return await single.value(hub.workers, node, "entry", {"id": id, **params}, WAIT)
    except single.NoAnswer as error:
        raise Refused(_STATUS.get(error.code, 502), error.code, f"{node}: {error.message}", hint=error.hint) from None


def node_of(id: str) -> str:
    """The node that an id begins with; raise OptionError for what is no id."""
    match = _ID.fullmatch(id)
    if match is None:
        raise OptionError("that is no id of an entry", hint="an id is like node1.5f3a9c0012ab34cd.00000001")
    return match[1]


def asked_for(hub: Hub, node: str) -> None:
    """Raise Refused with 404 and the reason where a node cannot be asked."""
    worker = hub.workers.known.get(node)
    if worker is None:
        raise Refused(404, "notfound", f"no worker is called {node}", hint="see /api/workers for those that are")
    if worker.state != "connected":
        raise Refused(404, "away", f"{node} is {worker.state}: {worker.reason}", hint="try again when it is back")


def _body_limit(text: str | None) -> int:
    if text is None:
        return MIB
    if not re.fullmatch(r"\d{1,8}", text, re.ASCII) or int(text) > LARGEST_BODY:
        raise OptionError(f"body_limit is a number of bytes, at most {LARGEST_BODY}")
    return int(text)
