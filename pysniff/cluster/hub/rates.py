"""How often somebody may do something: a bucket of tokens for each address.

The table is bounded: the address that was quiet longest is forgotten first, and begins anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address


class Rates:
    """`burst` at once and `rate` per second for each of at most `addresses` addresses; `clock` gives seconds."""

    def __init__(self, rate: float, burst: float, addresses: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._addresses = addresses
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: (tokens, when)

    def wait(self, address: str) -> float:
        """Seconds until `address` has a token; 0 where it has one now."""
        return max(0.0, (1.0 - self._tokens(address)) / self._rate)

    def spend(self, address: str) -> None:
        """Take one token, or what is left of it."""
        tokens = max(0.0, self._tokens(address) - 1.0)
        self._buckets[address] = (tokens, self._clock())
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._addresses:
            self._buckets.popitem(last=False)

    def _tokens(self, address: str) -> float:
        tokens, when = self._buckets.get(address, (self._burst, 0.0))
        return min(self._burst, tokens + (self._clock() - when) * self._rate)


def party(address: str) -> str:
    """Who is meant by a peer's address: of IPv6 the /64, of which any host can use every address (RFC 4291 §2.5.4)."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
