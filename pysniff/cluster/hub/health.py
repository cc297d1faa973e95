"""`/healthz`: the hub is alive. `/readyz`: at least one worker is connected and captures, or serves a capture that is
finished.

Probes ask without a token and get no details; who is signed in gets them.
"""

from __future__ import annotations

from aiohttp import web

from pysniff.cluster.hub.admission import SIGNED_IN
from pysniff.cluster.hub.bodies import answer
from pysniff.cluster.hub.hub import Hub


def routes(hub: Hub) -> list[web.RouteDef]:
    async def healthz(request: web.Request) -> web.StreamResponse:
        """The event loop answers: that is all there is to being alive."""
        return answer({"alive": True})

    async def readyz(request: web.Request) -> web.StreamResponse:
        found = await hub.figures.all()
        rows, ready = [], False
        for name, (worker, status) in found.items():
            finished = status.finished
            reason = worker.reason or status.error or ("" if status.capturing else finished or "not capturing")
            ready |= worker.state == "connected" and (status.capturing or bool(finished))
            rows.append(
                {
                    "node": name,
                    "connected": worker.state == "connected",
                    "capturing": worker.state == "connected" and status.capturing,
                    "reason": reason,
                }
            )
        body: dict[str, object] = {
            "alive": True,
            "ready": ready,
            "connected": sum(bool(row["connected"]) for row in rows),
            "capturing": sum(bool(row["capturing"]) for row in rows),
        }
        if request[SIGNED_IN]:
            body["workers"] = rows
            body["unresolved"] = dict(hub.workers.unresolved)
        return answer(body, 200 if ready else 503)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]
