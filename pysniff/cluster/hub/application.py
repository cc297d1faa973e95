"""The aiohttp application of one hub, from its route modules.

A route module has `def routes(hub: Hub) -> list[web.RouteDef]`, stands in ROUTES below, and describes its paths in a
file of openapi/. Handlers raise Refused (or any exception of PySniff's) for what they do not answer; whoever gets to
them may ask. A WebSocket is `async with hub.sockets.accept(request) as socket`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from aiohttp import web

from pysniff.cluster.access import Access
from pysniff.cluster.hub import (
    configuration_routes,
    entry_routes,
    feed,
    filter_routes,
    health,
    metrics,
    openapi,
    packet_routes,
    page,
    replay_routes,
    service_routes,
    worker_routes,
)
from pysniff.cluster.hub.admission import Admission
from pysniff.cluster.hub.front import Front, closed_house
from pysniff.cluster.hub.hosts import Hosts
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.signin import Cookies

ROUTES = (openapi.routes, filter_routes.routes, worker_routes.routes, configuration_routes.routes, health.routes,
          metrics.routes, feed.routes, entry_routes.routes, packet_routes.routes, service_routes.routes,
          replay_routes.routes)  # fmt: skip


def application(
    hub: Hub,
    access: Access,
    link: Access,
    listening: Sequence[tuple[str, int]],
    *,
    allowed_hosts: Iterable[str] = (),
    secure: bool = False,
) -> web.Application:
    """`access` is what clients show, `link` what workers do that dial in.

    `listening`: the addresses of the sockets it will be served on. `allowed_hosts`: other names that it goes by.
    """
    hosts = Hosts(listening, allowed_hosts)
    cookies = Cookies(hosts.port, secure=secure, clock=time.time)
    admission = Admission(access, link, hosts, cookies, hub.limits, hub.counts, secure=secure)
    front = Front(hub.limits, hub.counts, hub.tell)
    made = web.Application(middlewares=[front.answer, admission.check], client_max_size=hub.limits.body_bytes)
    made.on_response_prepare.append(closed_house)
    made.add_routes(page.routes(admission, cookies))
    for routes in ROUTES:
        made.add_routes(routes(hub))
    return made
