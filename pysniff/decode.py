"""Packets of any shape become TCP segments and UDP datagrams: the slow path, complete and safe.

decode() never raises, whatever the bytes, and opens at most limits.layers headers. A packet is peeled
in a loop: each layer opens one header and names the next one (layer.py).
"""

from __future__ import annotations

from pysniff import tunnels, wireless
from pysniff.fragments import FragmentTable
from pysniff.internet import PROTOCOL_NAMES, PROTOCOLS, ipv4, ipv6
from pysniff.layer import IPV4, IPV6, Fragment, Guess, Layer, Next, Space, Span, Unfit, link
from pysniff.limits import DEFAULT, Limits
from pysniff.link import ETHERTYPE_NAMES, LINKS, TAGS
from pysniff.netfilter import NETLINKS
from pysniff.packet import Datagram, Rejected, Segment

LAYERS: dict[Space, dict[int, Layer]] = {
    Space.LINK: {**LINKS, **wireless.LINKS, **NETLINKS},
    Space.ETHERTYPE: {IPV4: ipv4, IPV6: ipv6, **TAGS, **wireless.IN_ETHERNET, **tunnels.IN_ETHERNET},
    Space.PROTOCOL: {**PROTOCOLS, **tunnels.IN_IP},
}


class Decoder:
    """Decodes packets one by one; keeps fragments until their datagram is whole.

    `tunnelled`: packets whose segment or datagram was inside a UDP tunnel. `not_tunnelled`: datagrams
    on a tunnel's port whose inside made no sense, so that they stand as datagrams.
    """

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.fragments = FragmentTable(limits)
        self.tunnelled = 0
        self.not_tunnelled = 0
        self._layers = limits.layers

    def decode(self, data: bytes, linktype: int, wire_length: int, time_ns: int) -> Segment | Datagram | Rejected:
        """What one captured packet holds. A datagram in fragments is given with the one that completes it."""
        step = link(linktype, Span(data, 0, max(wire_length, len(data))))
        budget = self._layers
        while True:
            result, budget = self._peel(step, budget)
            if not isinstance(result, Fragment):
                return result
            whole = self.fragments.add(result, time_ns)
            if isinstance(whole, Rejected):
                return whole
            step = Next(Space.PROTOCOL, whole.protocol, Span(whole.data, 0, whole.size, result.span.addresses))

    def _peel(self, step: Next, budget: int) -> tuple[Segment | Datagram | Rejected | Fragment, int]:
        """Open headers until one is the last; also how many may still be opened."""
        outside: Datagram | None = None
        try:
            while budget:
                budget -= 1
                result = _layer(step)(step.span)
                if isinstance(result, Next):
                    step = result
                elif isinstance(result, Guess):
                    outside, step = result
                else:
                    self.tunnelled += outside is not None
                    return result, budget
            raise Unfit("malformed", "too many headers")
        except Unfit as unfit:
            if outside is None or unfit.sane:
                return unfit.rejected, budget
            self.not_tunnelled += 1
            return outside, budget


def _layer(step: Next) -> Layer:
    """Who reads a step; raise Unfit, with its name, where nobody does."""
    layer = LAYERS[step.space].get(step.number)
    if layer is not None:
        return layer
    if step.space is Space.PROTOCOL:
        raise Unfit("other_ip", PROTOCOL_NAMES.get(step.number, str(step.number)))
    if step.space is Space.LINK:
        raise Unfit("not_ip", f"link type {step.number}")
    name = ETHERTYPE_NAMES.get(step.number)
    raise Unfit("not_ip", name or "unknown type", sane=name is not None)
