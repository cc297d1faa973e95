"""One structured answer of one worker, within a time: what status and configuration need."""

from __future__ import annotations

import asyncio

from pysniff.cluster.asked import Away
from pysniff.cluster.frames import End, Error, Value
from pysniff.cluster.hub.links import Links
from pysniff.errors import PysniffError


class NoAnswer(PysniffError):
    """A worker that is away, did not answer in time, or answered with an error; `code` says which."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


async def value(links: Links, name: str, what: str, params: dict[str, object], wait: float) -> dict[str, object]:
    """The worker's Value; raise NoAnswer with the code away, late, or that of its Error frame."""
    worker = links.known.get(name)
    if worker is None or worker.state != "connected":
        raise NoAnswer("away", (worker.reason if worker else "") or "not connected")
    asked = links.ask(name, what, params)
    try:
        async with asyncio.timeout(wait):
            async for frame in asked:
                match frame:
                    case Value():
                        return frame.value
                    case Error():
                        raise NoAnswer(frame.code, frame.message, hint=frame.hint)
                    case Away():
                        raise NoAnswer("away", frame.reason)
                    case End():
                        break
    except TimeoutError:
        raise NoAnswer("late", f"no answer within {wait:g} s") from None
    finally:
        asked.cancel()
    raise NoAnswer("away", "the worker went away")
