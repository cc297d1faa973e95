"""By which names a hub may be called, and which origin a page must have.

Against DNS rebinding: a page of evil.example whose name now means 127.0.0.1 still says `Host: evil.example`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from pysniff.cluster.access import is_loopback

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::"})
_PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """Host, in lower case, without brackets and final dot; and port."""

    host: str
    port: int


def authority(text: str, default_port: int) -> Authority | None:
    """What a Host header says (RFC 9110 §7.2), or None where that is nothing like a host."""
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in "@/?#\\, "):
        return None
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").removesuffix(".")
    return Authority(host, default_port if port is None else port) if host else None


def origin(text: str) -> Authority | None:
    """An Origin header's authority (RFC 6454 §7); None for `null` and what is not of the web."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _PORTS:
        return None
    return authority(rest, _PORTS[scheme])


class Hosts:
    """The names of one hub: `listening` are the addresses of its sockets, `allowed` the names it was given."""

    def __init__(self, listening: Sequence[tuple[str, int]], allowed: Iterable[str]) -> None:
        self.port = listening[0][1]
        self.only_loopback = all(is_loopback(host) for host, _ in listening)
        names = {name.lower().strip("[]").removesuffix(".") for name in (*allowed, *(host for host, _ in listening))}
        self._names = names - WILDCARDS | LOOPBACK_NAMES

    def knows(self, called: Authority, arrived_at: str) -> bool:
        """Whether `called` may mean us; `arrived_at` is the address at which the connection came in."""
        return called.host in self._names or called.host == arrived_at

    def is_loopback(self, called: Authority) -> bool:
        """Whether `called` is us as only programs on this machine, or a tunnel to it, can say."""
        return self.only_loopback and called.host in LOOPBACK_NAMES and called.port == self.port
