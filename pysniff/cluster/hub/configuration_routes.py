"""`/api/config` and `/api/targets`: what the workers capture, and what each of them made of it."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from pysniff.cluster.hub.bodies import answer, json_body
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.problems import Refused


def routes(hub: Hub) -> list[web.RouteDef]:
    configuration = hub.configuration

    async def config(request: web.Request) -> web.StreamResponse:
        return _tagged(hub, await configuration.report())

    async def change(request: web.Request) -> web.StreamResponse:
        expected = _if_match(request)
        await configuration.change(await json_body(request, hub.limits.body_time), expected)
        return _tagged(hub, await configuration.report())

    async def targets(request: web.Request) -> web.StreamResponse:
        return _tagged(hub, await _targets(hub))

    async def put_targets(request: web.Request) -> web.StreamResponse:
        expected = _if_match(request)
        body = await json_body(request, hub.limits.body_time)
        if not isinstance(body, dict) or set(body) != {"targets"}:
            raise Refused(400, "json", "the body is not an object with targets", hint='{"targets": ["10.0.0.7"]}')
        await configuration.change({"targets": body["targets"]}, expected)
        return _tagged(hub, await _targets(hub))

    return [
        web.get("/api/config", config),
        web.patch("/api/config", change),
        web.get("/api/targets", targets),
        web.put("/api/targets", put_targets),
    ]


async def _targets(hub: Hub) -> dict[str, object]:
    taken = await hub.configuration.taken()
    report = hub.configuration.present.to_dict()
    return {
        "version": report["version"],
        "targets": report.get("targets", []),
        "workers": {
            name: {
                "version": one.version,
                "accepted": one.accepted,
                "reason": one.reason,
                "targets": one.effective.get("targets", []),
            }
            for name, one in taken.items()
        },
    }


def _tagged(hub: Hub, value: dict[str, object]) -> web.Response:
    """The version as the ETag: If-Match with it changes nothing that somebody else has changed meanwhile."""
    response = answer(value)
    response.headers[hdrs.ETAG] = f'"{hub.configuration.present.version}"'
    return response


def _if_match(request: web.Request) -> int | None:
    """The version in If-Match (RFC 9110 §13.1.1), None where any will do."""
    text = request.headers.get(hdrs.IF_MATCH, "*").strip()
    if text == "*":
        return None
    found = re.fullmatch(r'"(\d{1,16})"', text, re.ASCII)
    if found is None:
        raise Refused(400, "request", "If-Match is not a version", hint='send the ETag as it came, "7"')
    return int(found[1])
