"""One run of a hub: from its options to its end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pysniff import __version__
from pysniff.cluster import access as tls
from pysniff.cluster.access import Access
from pysniff.cluster.endpoint import written
from pysniff.cluster.handshake import new_hello
from pysniff.cluster.hub.hosts import WILDCARDS
from pysniff.cluster.hub.hub import new_hub
from pysniff.cluster.hub.links import Links, Worker
from pysniff.cluster.hub.own_traffic import OwnTraffic
from pysniff.cluster.hub.server import bound
from pysniff.cluster.hub.serving import serving
from pysniff.cluster.workers import Workers
from pysniff.errors import OptionError

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """`token`: what clients show, `worker_token`: what links to workers show. `tell` gets a line for people,
    `tell_more` one for those who want to know of clients too. TLS as docs/hub.md says.
    """

    name: str
    listen: Address
    tell: Callable[[str], None]
    tell_more: Callable[[str], None] = lambda line: None
    workers: tuple[Address, ...] = ()
    workers_dns: tuple[Address, ...] = ()
    token: str | None = None
    worker_token: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    worker_tls_ca: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    replay_targets: tuple[Address, ...] = ()


class Served(NamedTuple):
    """A hub that serves: its address as a URL, those that it listens on, and its workers."""

    url: str
    addresses: tuple[Address, ...]
    workers: Workers


async def run(options: HubOptions, started: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop`; `started` is told the hub's address as a URL. Raises OptionError and FileError."""
    async with running(options) as hub:
        hub.workers.on_change.append(Arrivals(hub.workers, options.tell).changed)
        started(hub.url)
        for host, port in options.workers:
            hub.workers.dial(host, port)
        for name, port in options.workers_dns:
            hub.workers.dial_dns(name, port)
        await stop.wait()


@asynccontextmanager
async def running(options: HubOptions) -> AsyncIterator[Served]:
    """Serve while the block runs, and dial nobody. Raises OptionError and FileError."""
    serve, dial = _tls(options)
    access = Access(options.token, serve, dial)
    link = Access(options.worker_token, serve, dial)
    access.allow(options.listen[0])
    names = (*options.allowed_hosts, options.listen[0])
    listeners = bound(*options.listen)
    workers = Workers(new_hello("hub", options.name, f"pysniff {__version__}"), link)
    hub = new_hub(workers, replay_targets=options.replay_targets, tell=options.tell, tell_more=options.tell_more)
    workers.on_unresolved.append(lambda name, why: options.tell(f"workers of {name}: {why}; DNS is asked again"))
    async with serving(hub, listeners, access, link=link, allowed_hosts=names) as server:
        own_traffic = OwnTraffic(workers, server.addresses)
        hub.closing.append(own_traffic.close)
        url = _url(*server.addresses[0], secure=serve is not None)
        yield Served(url, tuple(server.addresses), workers)


class Arrivals:
    """One line for each worker that comes or goes, or cannot be reached for another reason than before."""

    def __init__(self, links: Links, tell: Callable[[str], None]) -> None:
        self._links = links
        self._tell = tell
        self._told: dict[str, tuple[str, str]] = {}  # by name, of workers that are known

    def changed(self, worker: Worker) -> None:
        said = (worker.state, worker.reason)
        before = self._told.get(worker.name)
        self._told = {name: told for name, told in self._told.items() if name in self._links.known}
        self._told[worker.name] = said
        if said == before or (before is None and worker.state == "away"):  # not connected yet
            return
        name = worker.name if worker.name == worker.address else f"{worker.name} ({worker.address})"
        self._tell(f"worker {name}: {worker.state}" + (f", {worker.reason}" if worker.reason else ""))


def _tls(options: HubOptions) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """TLS of the side that serves, where there is a certificate, and towards workers, where there is a CA of theirs."""
    certificate, key = options.tls_cert, options.tls_key
    if (certificate is None) != (key is None):
        raise OptionError("--tls-cert and --tls-key go together", hint="give both, as PEM files")
    if options.tls_ca is not None and certificate is None:
        raise OptionError("--tls-ca needs a certificate to serve with", hint="--worker-tls-ca is towards workers alone")
    serve = tls.listening(certificate, key, options.tls_ca) if certificate and key else None
    authority = options.worker_tls_ca or options.tls_ca
    return serve, tls.dialling(authority, certificate, key) if authority else None


def _url(host: str, port: int, *, secure: bool) -> str:
    scheme = "https" if secure else "http"
    return f"{scheme}://{written('localhost' if host in WILDCARDS else host, port)}/"
