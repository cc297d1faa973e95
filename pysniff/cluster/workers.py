"""All workers of one hub: those that it dials, by address or DNS, and those that dial in."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import count

from aiohttp import ClientSession, web

from pysniff.cluster.access import Access
from pysniff.cluster.admission import NotAdmitted, admit
from pysniff.cluster.asked import Asked
from pysniff.cluster.dialling import WORKER_PATH, Dialling, client_session
from pysniff.cluster.frames import Hello
from pysniff.cluster.handshake import Ending, Refused
from pysniff.cluster.known_worker import Worker
from pysniff.cluster.link import Ends, Link, closed
from pysniff.cluster.pace import Pace
from pysniff.errors import NotFoundError
from pysniff.limits import MIB

WORKERS = 1024  # known at a time; of those that dialled in and are away the one away longest makes room
STRANGERS = 64  # connections that have dialled in and not said Hello
_log = logging.getLogger(__name__)


class _Dialled:
    """An address that this hub dials, and which worker it found there last."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.by_hand = False  # not from DNS alone
        self.told = True  # by DNS, when it was last asked
        self.worker: Worker | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self.worker is not None and self.worker.link is not None


class Workers:
    """`known` is keyed by Worker.name, or its address while nobody knows the name. `figures` counts, by name."""

    def __init__(self, hello: Hello, access: Access, pace: Pace | None = None) -> None:
        self.known: dict[str, Worker] = {}
        self.on_change: list[Callable[[Worker], None]] = []
        self.on_unresolved: list[Callable[[str, str], None]] = []  # called with such a name, and why
        self.figures: Counter[str] = Counter()
        self.unresolved: dict[str, str] = {}  # names that DNS does not tell addresses of now, and why
        self._hello = hello
        self._access = access
        self._pace = pace or Pace()
        self._ids = count(1)
        self._client: ClientSession | None = None
        self._dialled: dict[str, _Dialled] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers = 0
        self._closing = False

    def ask(self, name: str, what: str, params: dict[str, object], credit: int = MIB) -> Asked:
        """Ask a worker; while it is away the request waits. Raises NotFoundError."""
        worker = self.known.get(name)
        if worker is None:
            raise NotFoundError(f"no worker is called {name}", hint="see /api/workers for those that are")
        return worker.ask(what, params, credit)

    def endpoints(self) -> list[Ends]:
        """Address and port of both ends of each connection, ours first."""
        return [worker.link.ends for worker in self.known.values() if worker.link is not None]

    async def close(self) -> None:
        """End all connections and requests."""
        self._closing = True
        links = [worker.link for worker in self.known.values() if worker.link is not None]
        for worker in list(self.known.values()):
            worker.close()
        for link in links:
            link.end("closing", "the hub ends")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, closed(links), return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    # Workers that are dialled

    def dial(self, host: str, port: int) -> None:
        """Keep connected to a worker; needs a running loop."""
        self._dialled[self._dial(host, port, None)].by_hand = True

    def dial_dns(self, name: str, port: int) -> None:
        """Keep connected to a worker at each address of a name, which is resolved again and again."""
        self._spawn(self._follow(name, port))

    def _dial(self, host: str, port: int, name: str | None) -> str:
        """The address as text. `name`: in the certificate, where it is not the host."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if address not in self._dialled:
            if self._client is None:
                self._client = client_session()
            scheme = "https" if self._access.dial is not None else "http"
            url = f"{scheme}://{address}{WORKER_PATH}"
            dialled = self._dialled[address] = _Dialled(address)
            self._failed(dialled, None)
            dialling = Dialling(url, self._hello, self._access, self._pace, name=name)

            async def serve(link: Link, peer: Hello) -> Ending:
                return await self._serve(link, peer, dialled)

            keep = dialling.keep(self._client, serve, lambda ending: self._failed(dialled, ending))
            dialled.task = self._spawn(keep)
        return address

    async def _follow(self, name: str, port: int) -> None:
        """Dial what DNS tells; leave what it tells no more, once that is not connected."""
        loop = asyncio.get_running_loop()
        ours: set[str] = set()
        while True:
            try:
                found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
                self.unresolved.pop(name, None)
                told = {self._dial(str(one[4][0]), port, name) for one in found[:WORKERS]}
                for address in ours | told:
                    self._dialled[address].told = address in told
                    self._leave(self._dialled[address])
                ours = {address for address in ours | told if address in self._dialled}
            except OSError as error:  # what was known stays
                why = error.strerror or str(error)
                if self.unresolved.get(name) != why:
                    self.unresolved[name] = why
                    for callback in self.on_unresolved:
                        callback(name, why)
            await asyncio.sleep(self._pace.resolve)

    def _leave(self, dialled: _Dialled) -> None:
        """Dial an address no more that nobody tells, unless it is connected."""
        if dialled.connected or dialled.told or dialled.by_hand:
            return
        del self._dialled[dialled.address]
        if dialled.task is not None:
            dialled.task.cancel()
        if dialled.worker is not None:
            self._forget(dialled.worker)

    def _failed(self, dialled: _Dialled, ending: Ending | None) -> None:
        """It is not connected, or no more; None: not yet."""
        if ending is not None:
            self.figures[ending.figure] += 1
        if dialled.worker is None or dialled.connected:  # or its worker is connected by another way
            dialled.worker = self.known[dialled.address] = self._new(dialled.address)
        if ending is not None:
            dialled.worker.failed(ending)
        else:
            self._changed(dialled.worker)
        self._leave(dialled)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Workers that dial in

    async def accept(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve a worker that dials in, until it leaves; the token is checked here."""
        try:
            websocket = admit(request, self._access)
            if self._strangers >= STRANGERS or self._closing:
                raise NotAdmitted(503, "too many are at the door")
        except NotAdmitted as refusal:
            self.figures[f"refused_{refusal.status}"] += 1
            return refusal.response()
        link: Link | None = None
        self._strangers += 1
        try:
            async with asyncio.timeout(self._pace.handshake):
                await websocket.prepare(request)
                link = Link(websocket, self._pace)
                peer = await link.heard(self._hello)
        except (Refused, TimeoutError) as error:
            refused = error if isinstance(error, Refused) else Refused("silent", "no Hello came")
            self.figures[refused.ending.figure] += 1
            if link is not None:
                await link.refuse(refused)
            return websocket
        finally:
            self._strangers -= 1
        ending = await self._serve(link, peer, None)
        self.figures[ending.figure] += 1
        return websocket

    # Connections

    async def _serve(self, link: Link, peer: Hello, dialled: _Dialled | None) -> Ending:
        """Have a worker until the connection ends."""
        worker: Worker | None = None
        ending = Ending("closing", "the hub ends")
        try:
            worker = await self._claim(link, peer, dialled)
            if dialled is None:
                await link.say(self._hello)
            ending = await link.run(worker.receive)
        except Refused as refused:
            ending = await link.refuse(refused)
        finally:
            if worker is not None:
                worker.detach(link, ending)
        return ending

    async def _claim(self, link: Link, peer: Hello, dialled: _Dialled | None) -> Worker:
        """The worker of that name, now with this connection; raise Refused where it has one that lives."""
        known = self.known.get(peer.name)
        if known is not None and known.link is not None and await known.link.lives():
            self.figures["names_refused"] += 1
            raise Refused("name", f"the name {peer.name} is that of the worker at {known.address}")
        if self._closing:
            raise Refused("closing", "the hub ends")
        worker = self.known.get(peer.name)
        if worker is None:
            self._make_room()
            worker = self._new("")
        elif worker.link is not None:
            worker.link.end("again", "the worker connected again")
        if dialled is not None:
            self._settle(dialled, worker)
        host, port = link.ends[1]
        worker.address = (
            dialled.address if dialled is not None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        )
        self.known[peer.name] = worker
        worker.attach(link, peer)
        return worker

    def _settle(self, dialled: _Dialled, worker: Worker) -> None:
        """This is who answers at an address; what stood for it until now goes."""
        before, dialled.worker = dialled.worker, worker
        if before is not None and before is not worker and before.hello is None:
            self._forget(before)

    def _make_room(self) -> None:
        if len(self.known) < WORKERS:
            return
        kept = {id(dialled.worker) for dialled in self._dialled.values()}
        idle = [one for one in self.known.values() if one.link is None and id(one) not in kept]
        if not idle:
            raise Refused("busy", f"this hub has {WORKERS} workers")
        self._forget(min(idle, key=lambda one: one.since_ns))

    def _new(self, address: str) -> Worker:
        return Worker(address, self._ids, self.figures, self._changed)

    def _forget(self, worker: Worker) -> None:
        if self.known.get(worker.name) is worker:
            del self.known[worker.name]
        worker.close()
        self._changed(worker)

    def _changed(self, worker: Worker) -> None:
        for callback in self.on_change:
            try:
                callback(worker)
            except Exception:  # who listens must not end the connection
                _log.exception("a listener failed")
