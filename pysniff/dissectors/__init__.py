"""The protocols that are known: ours, then plugins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pysniff.dissector import Dissector
from pysniff.dissectors.grpc import Grpc
from pysniff.dissectors.plugins import plugins
from pysniff.known import Known, Place
from pysniff.refinement import Refinement

# Asked in this order: the most common first, the least strict last.
PLACES = (
    Place("pysniff.dissectors.http1", "Http1"),
    Place("pysniff.dissectors.http2", "Http2", patience=4),
    Place("pysniff.tls.dissector", "Tls"),
    Place("pysniff.dissectors.dns", "Dns", "udp"),
    Place("pysniff.dissectors.dns", "DnsOverTcp"),
    Place("pysniff.dissectors.redis", "Redis"),
    Place("pysniff.dissectors.websocket", "WebSocket"),
)
BUILT_IN = Known(PLACES)
REFINEMENTS: tuple[type[Refinement], ...] = (Grpc,)


@cache
def known() -> Mapping[str, Known]:
    """By transport, in the order in which they are asked."""
    others = [one for one in plugins() if issubclass(one, Dissector)]
    return {
        transport: Known(
            [place for place in PLACES if place.transport == transport],
            [one for one in others if one.transport == transport],
        )
        for transport in ("tcp", "udp")
    }


@cache
def refinements() -> tuple[type[Refinement], ...]:
    """Those too come from plugins."""
    return (*REFINEMENTS, *[one for one in plugins() if issubclass(one, Refinement)])
