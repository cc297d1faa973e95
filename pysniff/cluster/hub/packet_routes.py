"""`/api/pcap` and `/api/entries/{id}/pcap`: packets of any number of nodes as one pcapng, of any size, as it comes.

What cannot be had is never left out silently: before the first byte it is an error; behind it a note in the file, and
the transfer is broken off, which every client reports.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from aiohttp import hdrs, web

from pysniff.cluster.hub.entry_routes import asked_for, entry, node_of
from pysniff.cluster.hub.gathering import Gathering
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.packet_file import PacketFile
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.hub.window import window
from pysniff.errors import OptionError

# Downloads at a time: each keeps a dissecting process of each worker busy.
DOWNLOADS = 8
# How long a client may take nothing.
STALLED = 30.0
# Until an answer begins, though no worker has a packet yet.
FIRST = 5.0
_STREAM = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_STATUS = {"notfound": 404, "filter": 400, "option": 400, "unsupported": 400, "busy": 503, "away": 503}


def routes(hub: Hub) -> list[web.RouteDef]:
    downloads = Downloads(hub)

    async def pcap(request: web.Request) -> web.StreamResponse:
        if "stream" in request.query:
            node, stream = _connection(request)
            asked_for(hub, node)
            comments = [f"every packet of connection {stream} on {node}"]
            return await downloads.send(request, [node], {"stream": stream}, comments, (), f"{stream}.pcapng")
        asked = await window(request, hub.filters)
        nodes = _connected(hub, asked.nodes)
        comments = _comments(hub, nodes, asked.filter)
        return await downloads.send(request, nodes, asked.params, comments, (), "pysniff.pcapng")

    async def of_entry(request: web.Request) -> web.StreamResponse:
        id = request.match_info["id"]
        found = await entry(hub, id, 0)
        comments = [f"packets of {id}: {found.get('summary', '')}"]
        return await downloads.send(request, [node_of(id)], {"id": id}, comments, _names(found), f"{id}.pcapng")

    return [web.get("/api/pcap", pcap), web.get("/api/entries/{id}/pcap", of_entry)]


class Downloads:
    """Those of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open = 0

    async def send(
        self,
        request: web.Request,
        nodes: Sequence[str],
        params: Mapping[str, object],
        comments: Sequence[str],
        names: Sequence[tuple[str, str]],
        file_name: str,
    ) -> web.StreamResponse:
        """Raise Refused while nothing has been sent."""
        if self._open >= DOWNLOADS:
            self._hub.counts.refuse("queries")
            raise Refused(503, "busy", f"{DOWNLOADS} downloads go on already", hint="wait until others end")
        self._open += 1
        gathering = Gathering(self._hub.workers, nodes, params)
        try:
            gathering.start()
            await gathering.first(FIRST)
            if gathering.failed and not gathering.packets and len(gathering.failed) == len(nodes):
                raise _refused(*next(iter(gathering.failed.items())))
            file = PacketFile(nodes, f"packets of a node, merged by PySniff of {len(nodes)}")
            response = _response(file_name)
            await response.prepare(request)
            await _write(request, response, file.begin(comments, names))
            async for items in gathering.steps():
                file.interfaces(gathering.interfaces())
                await _write(request, response, file.names(gathering.names()) + file.packets(items))
            for node, (code, message) in gathering.failed.items():
                note = f"packets of {node} are missing from here on: {code}: {message}"
                await _write(request, response, file.incomplete(nodes.index(node), note))
            if gathering.failed:
                _break_off(request)
            await response.write_eof()
            return response
        finally:
            self._open -= 1
            await gathering.close()


def _connection(request: web.Request) -> tuple[str, str]:
    """Node and stream of a request for all of a connection; raise OptionError."""
    query = request.query
    nodes, streams = query.getall("node", []), query.getall("stream")
    if len(nodes) != 1 or len(streams) != 1 or set(query) != {"stream", "node"}:
        raise OptionError("a stream goes with its node alone", hint="give stream=... and node=... as a call has them")
    if _STREAM.fullmatch(streams[0]) is None:
        raise OptionError(f"no stream is called {streams[0][:64]!r}", hint="give the `stream` of a call")
    return nodes[0], streams[0]


def _response(file_name: str) -> web.StreamResponse:
    quoted = "".join(one if one.isalnum() or one in "._-" else "_" for one in file_name)
    headers = {
        hdrs.CONTENT_TYPE: "application/x-pcapng",
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{quoted}"',
    }
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    return response


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    try:
        async with asyncio.timeout(STALLED):
            await response.write(data)
    except TimeoutError:
        _transport(request).abort()
        raise ConnectionResetError("the client does not read") from None


def _break_off(request: web.Request) -> NoReturn:
    """Close without the last chunk, once everything before it has left: RFC 9112 §8, the message is incomplete."""
    _transport(request).close()
    raise ConnectionResetError("packets are missing")


def _transport(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the client is gone")
    return request.transport


def _connected(hub: Hub, wanted: Sequence[str]) -> list[str]:
    """The nodes to ask; raise Refused where one that was named is not there, or none is."""
    known = hub.workers.known
    for name in wanted:
        asked_for(hub, name)
    nodes = [name for name, worker in known.items() if worker.state == "connected" and (not wanted or name in wanted)]
    if not nodes:
        raise Refused(503, "away", "no worker is connected", hint="see /api/workers")
    return sorted(nodes)


def _comments(hub: Hub, nodes: Sequence[str], filter: str) -> list[str]:
    comments = [f"filter: {filter}" if filter.strip() else "every packet", f"nodes: {', '.join(nodes)}"]
    away = [name for name, worker in hub.workers.known.items() if worker.state != "connected"]
    return comments + ([f"not connected, so not here: {', '.join(sorted(away))}"] if away else [])


def _names(found: Mapping[str, object]) -> list[tuple[str, str]]:
    """What an entry calls its ends."""
    ends = (found.get("src"), found.get("dst"))
    told = [(end.get("ip"), end.get("name")) for end in ends if isinstance(end, dict)]
    return [(ip, name) for ip, name in told if isinstance(ip, str) and isinstance(name, str) and name]


def _refused(node: str, failure: tuple[str, str]) -> Refused:
    code, message = failure
    return Refused(_STATUS.get(code, 502), code, f"{node}: {message}")
