"""`/api/entries/{id}`: one call in full, from the node that its id begins with."""

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
_ID = re.compile(r"(.{1,128})\.[0-9a-f]{16}\.s?[0-9a-f]{1,16}", re.ASCII)
_STATUS = {"notfound": 404, "gone": 404, "away": 404, "option": 400, "unsupported": 400, "late": 504, "busy": 503}


def routes(hub: Hub) -> list[web.RouteDef]:
    async def one(request: web.Request) -> web.StreamResponse:
        id = request.match_info["id"]
        return answer(await entry(hub, id, _body_limit(request.query.get("body_limit"))))

    return [web.get("/api/entries/{id}", one)]


async def entry(hub: Hub, id: str, body_limit: int) -> dict[str, object]:
    """The entry as JSON types, with `nodes`; raise Refused, 404 where it is gone or its node is away."""
    node = node_of(id)
    asked_for(hub, node)
    try:
        found = await single.value(hub.workers, node, "entry", {"id": id, "body_limit": body_limit}, WAIT)
    except single.NoAnswer as error:
        raise Refused(_STATUS.get(error.code, 502), error.code, f"{node}: {error.message}", hint=error.hint) from None
    return found | {"nodes": [node]}


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
