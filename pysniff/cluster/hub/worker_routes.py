"""`/api/workers`: every worker that is known, whether it is there, and what it says of itself."""

from __future__ import annotations

from aiohttp import hdrs, web

from pysniff.cluster.hub.bodies import answer
from pysniff.cluster.hub.figures import Status
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.links import Worker
from pysniff.cluster.hub.problems import problem
from pysniff.entry import rfc3339

_KEPT = (hdrs.WWW_AUTHENTICATE, hdrs.UPGRADE)


def routes(hub: Hub) -> list[web.RouteDef]:
    async def workers(request: web.Request) -> web.StreamResponse:
        found = await hub.figures.all()
        rows = [shown(worker, status) for worker, status in found.values()]
        return answer({"workers": rows, "unresolved": dict(hub.workers.unresolved)})

    async def link(request: web.Request) -> web.StreamResponse:
        """A worker that dials in, because its node opens no port."""
        answered = await hub.workers.accept(request)
        if isinstance(answered, web.Response) and answered.status >= 400:
            headers = {str(name): answered.headers[name] for name in _KEPT if name in answered.headers}
            return problem(answered.status, "link", (answered.text or "").strip(), headers=headers)
        return answered

    return [web.get("/api/workers", workers), web.get("/api/link", link)]


def shown(worker: Worker, status: Status) -> dict[str, object]:
    hello = worker.hello
    return {
        "node": worker.name,
        "state": worker.state,
        "reason": worker.reason,
        "since": rfc3339(worker.since_ns),
        "address": worker.address,
        "session": worker.session,
        "software": hello.software if hello else "",
        "protocol": hello.version if hello else None,
        "figures": status.figures or None,
        "figures_error": status.error,
    }
