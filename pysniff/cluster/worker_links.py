"""All hubs of one worker: those that dial in, and those that it dials."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import ClientSession, web

from pysniff.cluster.access import Access
from pysniff.cluster.admission import NotAdmitted, admit
from pysniff.cluster.dialling import HUB_PATH, WORKER_PATH, Dialling, client_session
from pysniff.cluster.door import Door
from pysniff.cluster.endpoint import written
from pysniff.cluster.frames import Hello
from pysniff.cluster.handshake import Ending, Refused
from pysniff.cluster.hub_session import Answers, HubSession
from pysniff.cluster.link import Ends, Link, closed
from pysniff.cluster.pace import Pace
from pysniff.errors import OptionError

HUBS = 8  # hubs that are connected, or whose answers are kept


@dataclass(slots=True)
class _Dialled:
    """A hub that this worker dials, while it is not connected."""

    url: str
    reason: str = "not connected yet"
    state: str = "away"
    since_ns: int = field(default_factory=time.time_ns)
    session: HubSession | None = None


class WorkerLinks:
    """Answers come from `answers`. `figures` counts, by name; `on_change` is called when a hub comes or goes."""

    def __init__(self, answers: Answers, hello: Hello, access: Access, pace: Pace | None = None) -> None:
        self.figures: Counter[str] = Counter()
        self.on_change: list[Callable[[], None]] = []
        self._answers = answers
        self._hello = hello
        self._access = access
        self._pace = pace or Pace()
        self._door = Door(self._greet, self._pace.handshake)
        self._dialled: list[_Dialled] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._client: ClientSession | None = None
        self._sessions: dict[str, HubSession] = {}
        self._total = [0]
        self._closing = False

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Serve hubs at /link; gives the address, port 0 being any. Raises OptionError."""
        self._access.allow(host)
        try:
            return await self._door.listen(host, port, self._access.listen)
        except OSError as error:
            raise OptionError(
                f"{host}:{port}: {error.strerror or error}", hint="give an address of this machine and a free port"
            ) from None

    def dial(self, url: str) -> None:
        """Keep connected to the hub at http[s]://HOST:PORT; needs a running loop. Raises OptionError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise OptionError(f"{url} is no hub's URL", hint="as http://HOST:8898")
        if self._client is None:
            self._client = client_session()
        dialled = _Dialled(url)
        self._dialled.append(dialled)

        def ended(ending: Ending) -> None:
            dialled.state = "refused" if ending.refused else "away"
            dialled.reason, dialled.since_ns, dialled.session = ending.message, time.time_ns(), None
            self._count(ending)
            self._changed()

        async def serve(link: Link, peer: Hello) -> Ending:
            return await self._serve(link, peer, dialled)

        dialling = Dialling(url.rstrip("/") + HUB_PATH, self._hello, self._access, self._pace)
        self._tasks.append(asyncio.create_task(dialling.keep(self._client, serve, ended)))

    def hubs(self) -> list[dict[str, object]]:
        """Each hub: address, name, session, since_ns, state (connected, away, refused), reason, requests."""
        self._prune()
        away = [one for one in self._dialled if one.session is None or one.session.link is None]
        return [_of_session(session) for session in self._sessions.values()] + [
            {
                "address": one.url, "name": "", "session": "", "since_ns": one.since_ns, "state": one.state,
                "reason": one.reason, "requests": 0,
            }
            for one in away
        ]  # fmt: skip

    def endpoints(self) -> list[Ends]:
        """Address and port of both ends of each connection, ours first."""
        links = [session.link for session in self._sessions.values()]
        return [link.ends for link in links if link is not None]

    async def close(self) -> None:
        """End all connections and answers."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        sessions = list(self._sessions.values())
        links = [session.link for session in sessions if session.link is not None]
        for link in links:
            link.end("closing", "the worker ends")
        await asyncio.gather(*(session.close() for session in sessions), closed(links))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._door.close()
        if self._client is not None:
            await self._client.close()

    # Connections

    async def _greet(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.path != WORKER_PATH:
                raise NotAdmitted(404, "hubs speak at " + WORKER_PATH)
            websocket = admit(request, self._access)
        except NotAdmitted as refusal:
            self.figures[f"refused_{refusal.status}"] += 1
            return refusal.response()
        await websocket.prepare(request)
        link = Link(websocket, self._pace)
        try:
            async with asyncio.timeout(self._pace.handshake):
                peer = await link.heard(self._hello)
            self._door.welcome(request.protocol)
            ending = await self._serve(link, peer, None)
        except Refused as refused:
            ending = await link.refuse(refused)
        except TimeoutError:
            ending = await link.refuse(Refused("silent", "no Hello came"))
        self._count(ending)
        if not self._closing:
            self._changed()
        return websocket

    async def _serve(self, link: Link, peer: Hello, dialled: _Dialled | None) -> Ending:
        """Have a hub's requests answered until the connection ends."""
        session: HubSession | None = None
        try:
            session = await self._claim(link, peer)
            if dialled is None:
                await link.say(self._hello)
            else:
                dialled.session = session
            self._changed()
            return await link.run(session.receive)
        except Refused as refused:
            return await link.refuse(refused)
        finally:
            if session is not None:
                session.detach(link)

    async def _claim(self, link: Link, peer: Hello) -> HubSession:
        """The session of a hub's process; raise Refused where it is connected already, or there are too many."""
        self._prune()
        known = self._sessions.get(peer.session)
        if known is not None and known.link is not None and await known.link.lives():
            raise Refused("name", "this hub is connected already")
        if self._closing:
            raise Refused("closing", "the worker ends")
        session = self._sessions.get(peer.session)
        if session is None:
            if len(self._sessions) >= HUBS:
                raise Refused("busy", f"this worker has {HUBS} hubs")
            session = self._sessions[peer.session] = HubSession(self._answers, peer, self.figures, self._total)
        if session.link is not None:
            session.link.end("again", "the hub connected again")
        session.attach(link)
        session.address = written(*link.ends[1])
        return session

    def _prune(self) -> None:
        for name in [name for name, session in self._sessions.items() if session.is_over]:
            del self._sessions[name]

    def _count(self, ending: Ending) -> None:
        self.figures[ending.figure] += 1

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()


def _of_session(session: HubSession) -> dict[str, object]:
    link = session.link
    return {
        "address": session.address,
        "name": session.hello.name,
        "session": session.hello.session,
        "since_ns": session.since_ns,
        "state": "connected" if link is not None else "away",
        "reason": "" if link is not None else "the connection broke",
        "requests": session.requests,
    }
