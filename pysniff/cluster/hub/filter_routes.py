"""`/api/filter`: whether a display filter compiles and what it means; without one, what it may name."""

from __future__ import annotations

from aiohttp import web

from pysniff.cluster.hub.hub import Hub


def routes(hub: Hub) -> list[web.RouteDef]:
    async def filter(request: web.Request) -> web.StreamResponse:
        text = request.query.get("q")
        if text is None:
            return web.json_response(await hub.filters.language())
        return web.json_response(await hub.filters.explained(text))

    return [web.get("/api/filter", filter)]
