"""A hub from its parts, from the first connection to the last."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from pysniff.cluster.access import Access
from pysniff.cluster.hub.application import application
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.server import Server


@asynccontextmanager
async def serving(
    hub: Hub,
    listeners: list[socket.socket],
    access: Access,
    *,
    link: Access | None = None,
    allowed_hosts: Iterable[str] = (),
) -> AsyncIterator[Server]:
    """`access` is what clients show, `link` what workers do that dial in: the same unless told.

    Serve while the block runs; then tell every client that the hub goes, and let go within seconds."""
    addresses = [listener.getsockname()[:2] for listener in listeners]
    made = application(
        hub, access, link or access, addresses, allowed_hosts=allowed_hosts, secure=access.listen is not None
    )
    server = Server(made, listeners, hub.limits, hub.counts, access.listen)
    await server.start()
    try:
        yield server
    finally:
        server.stop_listening()
        try:
            await hub.close()
        finally:
            await server.close()
