"""What the routes of one hub share. The hub keeps nothing on disk but its token."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pysniff.cluster.hub.configuration import Configuration
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.figures import Figures
from pysniff.cluster.hub.filters import Filters
from pysniff.cluster.hub.limits import DEFAULT, HubLimits
from pysniff.cluster.hub.links import Links
from pysniff.cluster.hub.sockets import Sockets


@dataclass(slots=True, kw_only=True)
class Hub:
    """One a process. A route module takes it: `def routes(hub: Hub) -> list[web.RouteDef]`."""

    workers: Links
    figures: Figures  # what workers say of themselves, a second old at most
    configuration: Configuration
    limits: HubLimits
    counts: Counts
    sockets: Sockets  # WebSockets of clients
    replay_targets: tuple[tuple[str, int], ...]  # host and port that may be dialled for a replay, no others
    tell: Callable[[str], None]  # one line for whoever runs the hub
    filters: Filters = field(default_factory=Filters)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # called once, when the hub ends

    async def close(self) -> None:
        """Tell every client that the hub goes; end what it does by itself."""
        for close in (self.sockets.close, *self.closing, self.configuration.close, self.workers.close):
            try:
                await close()
            except Exception as error:  # the rest is to be closed all the same
                self.tell(f"at its end: {type(error).__name__}: {error} (this is a bug)")
        self.filters.close()


def new_hub(
    workers: Links,
    *,
    limits: HubLimits = DEFAULT,
    replay_targets: tuple[tuple[str, int], ...] = (),
    tell: Callable[[str], None] = lambda line: None,
    tell_more: Callable[[str], None] = lambda line: None,
) -> Hub:
    """A hub of these workers; runs in an event loop."""
    counts = Counts()
    return Hub(
        workers=workers,
        figures=Figures(workers, limits, time.monotonic),
        configuration=Configuration(workers, limits, tell),
        limits=limits,
        counts=counts,
        sockets=Sockets(limits, counts, tell_more),
        replay_targets=replay_targets,
        tell=tell,
    )
