"""Every question that a hub may ask of a worker, and who answers it: a process that dissects, or the worker itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

from pysniff.capture.exclusion import Endpoint
from pysniff.cluster.frames import Ask, End, Error, Value, decode, encode
from pysniff.cluster.worker.configuring import Configuring
from pysniff.cluster.worker.params import Params
from pysniff.cluster.worker.processes import Processes
from pysniff.errors import OptionError

# Answered by a process of their own.
DISSECTED = frozenset({"query", "entry", "packets", "services", "replay"})
# Seconds that libpcap may take to compile a capture filter: a few milliseconds are usual, hostile ones take minutes.
_COMPILING = 20.0
# Keys of a document; there are seven.
_SETTINGS = 100


class WorkerAnswers:
    """For cluster.worker_links. `status`: gives the figures of "status". `exclude`: takes the session of a hub and the
    ends whose traffic it wants left out of the capture from then on, in place of what that hub said before."""

    def __init__(
        self,
        processes: Processes,
        configuring: Configuring,
        status: Callable[[], Mapping[str, object]],
        exclude: Callable[[str, list[Endpoint]], None],
    ) -> None:
        self._processes = processes
        self._configuring = configuring
        self._status = status
        self._exclude = exclude

    async def answer(self, ask: Ask, hub: str) -> AsyncGenerator[bytes, None]:
        """Encoded frames, the last one an End or Error. `hub`: the session of who asks."""
        if ask.what in DISSECTED:
            async with contextlib.aclosing(self._processes.frames(ask, hub)) as frames:
                async for frame in frames:
                    yield frame
            return
        try:
            value = await self._value(ask, hub)
        except OptionError as error:
            yield encode(Error(ask.id, 1, "option", error.message, error.hint))
            return
        if value is None:
            known = ", ".join(sorted(DISSECTED | {"status", "config", "configure"}))
            yield encode(Error(ask.id, 1, "unsupported", f"{ask.what}: no such question", f"there are {known}"))
            return
        yield encode(Value(ask.id, 1, value))
        yield encode(End(ask.id, 2, {}))

    async def _value(self, ask: Ask, hub: str) -> dict[str, object] | None:
        params = Params(ask.params)
        ends = params.endpoints("exclude") if ask.what == "configure" else None
        document = params.table("config", _SETTINGS) if ask.what == "configure" and ends is None else {}
        if document is None:
            raise OptionError("config: a document is missing", hint="there are config, or exclude")
        params.done()
        match ask.what:
            case "configure" if ends is not None:
                self._exclude(hub, ends)
                return {}
            case "status":
                return dict(self._status())
            case "config":
                return self._configuring.to_dict()
            case "configure":
                return await self._configuring.configure(document)
            case _:
                return None


async def compiles(processes: Processes, bpf: str) -> str:
    """Why a capture filter does not compile, else "": found out in a process that can be killed."""
    ask = Ask(1, "bpf", {"bpf": bpf}, 1)
    try:
        async with asyncio.timeout(_COMPILING), contextlib.aclosing(processes.frames(ask)) as frames:
            async for frame in frames:
                last = decode(frame)
                if isinstance(last, Error):
                    return f"{last.message} ({last.hint})" if last.hint else last.message
    except TimeoutError:
        return f"bpf: libpcap takes more than {_COMPILING:.0f} seconds to compile it"
    return ""
