"""`/api/services`: who calls whom, of what all workers have stored; docs/services.md says what the figures mean."""

from __future__ import annotations

import asyncio

from aiohttp import web

from pysniff.cluster.asked import Back
from pysniff.cluster.frames import End, Error, Value
from pysniff.cluster.hub.bodies import answer
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.window import window
from pysniff.errors import PysniffError
from pysniff.services.merging import Merger

# Until all workers have looked through their stores.
WAIT = 120.0
MAPS = 4  # made at a time, in all: 37 MB each


def routes(hub: Hub) -> list[web.RouteDef]:
    room = asyncio.Semaphore(MAPS)

    async def services(request: web.Request) -> web.StreamResponse:
        asked = await window(request, hub.filters)
        if room.locked():
            hub.counts.refuse("queries")
            raise Refused(503, "busy", f"{MAPS} maps are made already", hint="wait until others end")
        async with room:
            return answer(await _map(hub, asked.params, asked.nodes))

    return [web.get("/api/services", services)]


async def _map(hub: Hub, params: dict[str, object], wanted: list[str]) -> dict[str, object]:
    """The map, and `nodes_failed`: whose calls are not in it, and why."""
    merger = Merger()
    failed = {name: worker.reason for name, worker in hub.workers.known.items()
              if worker.state != "connected" and (not wanted or name in wanted)}  # fmt: skip
    failed |= {name: "no worker is called so" for name in wanted if name not in hub.workers.known}
    nodes = [name for name in hub.workers.known if name not in failed and (not wanted or name in wanted)]
    reasons = await asyncio.gather(*(_columns(hub, name, params, merger) for name in nodes))
    for name, reason in zip(nodes, reasons, strict=True):
        if reason:
            merger.forget(name)
            failed[name] = reason
    made = await asyncio.to_thread(lambda: merger.result().to_dict())
    return {**made, "nodes_failed": failed}


async def _columns(hub: Hub, name: str, params: dict[str, object], merger: Merger) -> str:
    """Give a worker's answer to the merger; why it is not whole, or ""."""
    asked = hub.workers.ask(name, "services", params)
    try:
        async with asyncio.timeout(WAIT):
            async for frame in asked:
                match frame:
                    case Value():
                        merger.add(name, frame.value)
                        asked.grant(asked.size)
                    case Error():
                        return f"{frame.code}: {frame.message}"
                    case Back(False):
                        break
                    case End():
                        return ""
    except TimeoutError:
        return f"late: no answer within {WAIT:g} s"
    except PysniffError as error:
        return error.message
    finally:
        asked.cancel()
    return "away: the worker went away"
