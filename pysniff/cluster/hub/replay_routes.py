"""`/api/replay`: a stored call, or all of a connection, sent again to a target that the hub's owner named.

docs/replay.md says what is sent, and how answers are compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web

from pysniff.cluster.frames import End, Error, Value
from pysniff.cluster.hub.bodies import answer, json_body
from pysniff.cluster.hub.entry_routes import asked_for, node_of
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.problems import Refused
from pysniff.cluster.replay import RUNS, Replays
from pysniff.cluster.replay_recording import Assembly, Recording
from pysniff.cluster.replay_target import Targets
from pysniff.errors import OptionError, PysniffError

# Until a worker has told what is to be sent: up to 64 MiB.
WAIT = 120.0
_STATUS = {"notfound": 404, "gone": 404, "away": 404, "option": 400, "unsupported": 400, "busy": 503}
_KNOWN = {"id", "stream", "node", "target", "count", "rate"}


def routes(hub: Hub) -> list[web.RouteDef]:
    replays = Replays(Targets.of(hub.replay_targets))
    room = asyncio.Semaphore(RUNS)  # a recording is up to 64 MiB

    async def targets(request: web.Request) -> web.StreamResponse:
        return answer({"targets": list(replays.targets.names)})

    async def replay(request: web.Request) -> web.StreamResponse:
        told = await json_body(request, hub.limits.body_time)
        if not isinstance(told, dict):
            raise OptionError("the body is no JSON object", hint='send {"id": "...", "target": "HOST:PORT"}')
        target, count, rate = _how(told)
        replays.targets.named(target)  # before a worker is bothered
        node, params = _what(told)
        asked_for(hub, node)
        if room.locked():
            hub.counts.refuse("queries")
            raise Refused(503, "busy", f"{RUNS} replays go on already", hint="wait for one to end, or cancel it")
        async with room:
            return await run(request, target, count, rate, await _recording(hub, node, params))

    async def run(
        request: web.Request, target: str, count: int, rate: float | None, recording: Recording
    ) -> web.StreamResponse:
        running = asyncio.ensure_future(replays.run(recording, target, count, rate))
        try:
            while not running.done():
                # Who closes the request ends the run.
                if request.transport is None or request.transport.is_closing():
                    running.cancel()
                await asyncio.wait([running], timeout=0.25)
            return answer(running.result())
        except asyncio.CancelledError:
            raise ConnectionResetError("the client is gone") from None
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, PysniffError):
                await running

    return [web.get("/api/replay", targets), web.post("/api/replay", replay)]


def _how(told: Mapping[str, object]) -> tuple[str, int, float | None]:
    """Target, count and rate; raise OptionError."""
    if unknown := sorted(map(str, told.keys() - _KNOWN)):
        raise OptionError(f"unknown: {unknown[0][:64]!r}", hint=f"there are {', '.join(sorted(_KNOWN))}")
    target, count, rate = told.get("target"), told.get("count", 1), told.get("rate")
    if not isinstance(target, str):
        raise OptionError("target is missing", hint="give HOST:PORT of a --replay-target")
    if type(count) is not int:
        raise OptionError("count is no whole number")
    if rate is not None and type(rate) not in (int, float):
        raise OptionError("rate is no number")
    return target, count, None if rate is None else float(str(rate))


def _what(told: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The node, and the parameters of the `replay` frame; raise OptionError."""
    id, stream, node = told.get("id"), told.get("stream"), told.get("node")
    if isinstance(id, str) and stream is None and node is None:
        return node_of(id), {"id": id}
    if isinstance(stream, str) and isinstance(node, str) and id is None:
        return node, {"stream": stream}
    raise OptionError("give an id, or a stream and its node", hint='{"id": "node1.5f3a9c0012ab34cd.00000001", ...}')


async def _recording(hub: Hub, node: str, params: dict[str, object]) -> Recording:
    """What a worker has of it; raise Refused, or BadRecording for what no worker sends."""
    assembly = Assembly()
    asked = hub.workers.ask(node, "replay", params)
    try:
        async with asyncio.timeout(WAIT):
            async for frame in asked:
                match frame:
                    case Value():
                        assembly.add(frame.value)
                        asked.grant(asked.size)
                    case Error():
                        raise Refused(
                            _STATUS.get(frame.code, 502), frame.code, f"{node}: {frame.message}", hint=frame.hint
                        )
                    case End():
                        return assembly.recording()
    except TimeoutError:
        raise Refused(504, "late", f"{node}: no answer within {WAIT:g} s") from None
    finally:
        asked.cancel()
    raise Refused(404, "away", f"{node}: the worker went away")
