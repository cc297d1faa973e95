"""The protocols that are known: ours, then plugins from the entry-point group pysniff.dissectors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from pysniff.dissector import Dissector
from pysniff.dissectors.dns import Dns, DnsOverTcp
from pysniff.dissectors.grpc import Grpc
from pysniff.dissectors.http1 import Http1
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.redis import Redis
from pysniff.dissectors.websocket import WebSocket
from pysniff.refinement import Refinement
from pysniff.tls.dissector import Tls

# Asked in this order: the most common first, the least strict last.
BUILT_IN: tuple[type[Dissector], ...] = (Http1, Http2, Tls, Dns, DnsOverTcp, Redis, WebSocket)
REFINEMENTS: tuple[type[Refinement], ...] = (Grpc,)
GROUP = "pysniff.dissectors"


@cache
def known() -> Mapping[str, tuple[type[Dissector], ...]]:
    """By transport, in the order in which they are asked. A plugin that does not load is left out with a warning."""
    every = [*BUILT_IN, *[one for one in _plugins() if issubclass(one, Dissector)]]
    return {transport: tuple(one for one in every if one.transport == transport) for transport in ("tcp", "udp")}


@cache
def refinements() -> tuple[type[Refinement], ...]:
    """Those too come from plugins."""
    return (*REFINEMENTS, *[one for one in _plugins() if issubclass(one, Refinement)])


@cache
def _plugins() -> tuple[type[Dissector] | type[Refinement], ...]:
    found: list[type[Dissector] | type[Refinement]] = []
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            if not issubclass(loaded, (Dissector, Refinement)):
                raise TypeError(f"{loaded!r} is neither a Dissector nor a Refinement")
        except Exception as problem:
            import warnings

            warnings.warn(f"dissector {point.name} ({point.value}): {problem}", RuntimeWarning, stacklevel=2)
        else:
            found.append(loaded)
    return tuple(found)
