"""Packets of any shape become TCP segments and UDP datagrams: the slow path, complete and safe.

decode() never raises, whatever the bytes, and opens at most limits.layers headers on the way to one message.
A packet is peeled in a loop: each layer opens one header and names the next one (layer.py). Messages side by side
share no byte, so that their number and the work are bounded by the packet's size.

dpkt reads the headers of PPPoE and of both cooked captures (link.py), each given its header alone. The rest is
own code, each for the reason that its module gives: dpkt's classes decode all that a header holds, layer in layer
without bound, and lose what the snapshot cut (link.py, tunnels.py); it lacks the layer or misreads it (wireless.py,
netfilter.py, tunnels.py, IPv6 extension headers); or it costs too much: IPv4, TCP and UDP took half of a packet's
time here, 15-29 us with dpkt and 6-14 us without (internet.py).
"""

from __future__ import annotations

from collections.abc import Hashable

from pysniff import tunnels, wireless
from pysniff.fragments import FragmentTable
from pysniff.internet import PROTOCOL_NAMES, PROTOCOLS, ipv4, ipv6
from pysniff.layer import IPV4, IPV6, Fragment, Guess, Layer, Next, Part, Several, Space, Span, Unfit, link
from pysniff.limits import DEFAULT, Limits
from pysniff.link import ETHERTYPE_NAMES, LINKS, TAGS
from pysniff.netfilter import NETLINKS
from pysniff.packet import Datagram, Rejected, Segment

LAYERS: dict[Space, dict[int, Layer]] = {
    Space.LINK: {**LINKS, **wireless.LINKS, **NETLINKS},
    Space.ETHERTYPE: {IPV4: ipv4, IPV6: ipv6, **TAGS, **wireless.IN_ETHERNET, **tunnels.IN_ETHERNET},
    Space.PROTOCOL: {**PROTOCOLS, **tunnels.IN_IP},
}

Found = Segment | Datagram | Rejected


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

    def decode(
        self, data: bytes, linktype: int, wire_length: int, time_ns: int, interface: Hashable = ""
    ) -> tuple[Found, ...]:
        """What one captured packet holds, in its order: one, or more where several messages share a packet.

        A datagram in fragments is given with the one that completes it. `interface`: where it was captured.
        """
        found: list[Found] = []
        steps: list[tuple[Next | Part, int]] = [
            (link(linktype, Span(data, 0, max(wire_length, len(data)))), self._layers)
        ]
        while steps:
            result, budget = self._peel(*steps.pop())
            if isinstance(result, Several):
                steps += [(part, budget) for part in reversed(result.parts)]
            elif isinstance(result, Fragment):
                whole = self.fragments.add(result, time_ns, interface)
                if isinstance(whole, Rejected):
                    found.append(whole)
                else:
                    span = Span(whole.data, 0, whole.size, result.span.addresses)
                    steps.append((Next(Space.PROTOCOL, whole.protocol, span), budget))
            else:
                found.append(result)
        return tuple(found)

    def _peel(self, step: Next | Part, budget: int) -> tuple[Found | Fragment | Several, int]:
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


def _layer(step: Next | Part) -> Layer:
    """Who reads a step; raise Unfit, with its name, where nobody does."""
    if isinstance(step, Part):
        return step.layer
    layer = LAYERS[step.space].get(step.number)
    if layer is not None:
        return layer
    if step.space is Space.PROTOCOL:
        raise Unfit("other_ip", PROTOCOL_NAMES.get(step.number, str(step.number)))
    if step.space is Space.LINK:
        raise Unfit("not_ip", f"link type {step.number}")
    name = ETHERTYPE_NAMES.get(step.number)
    raise Unfit("not_ip", name or "unknown type", sane=name is not None)
