"""What `/api/pcap` and `/api/services` are asked: a filter, a time, and the nodes that were named."""

from __future__ import annotations

import time
from typing import NamedTuple

from aiohttp import web

from pysniff.cluster.hub.filters import Filters
from pysniff.cluster.hub.moments import moment
from pysniff.errors import OptionError

_KNOWN = {"filter", "from", "to", "node"}


class Window(NamedTuple):
    """`start` and `end` in nanoseconds since 1970, None: open. `nodes`: those that were named, none: all."""

    filter: str
    start: int | None
    end: int | None
    nodes: list[str]

    @property
    def params(self) -> dict[str, object]:
        """As a worker is asked."""
        return {"filter": self.filter, "start": self.start, "end": self.end}


async def window(request: web.Request, filters: Filters) -> Window:
    """The request's; raise OptionError, and FilterError for a filter that does not compile."""
    query = request.query
    if unknown := sorted(set(query) - _KNOWN):
        raise OptionError(f"unknown: {unknown[0][:64]!r}", hint=f"there are {', '.join(sorted(_KNOWN))}")
    now = time.time_ns()
    start, end = moment(query.get("from"), "from", now), moment(query.get("to"), "to", now)
    filter = query.get("filter", "")
    await filters.compiled(filter)
    return Window(filter, start, end, query.getall("node", []))
