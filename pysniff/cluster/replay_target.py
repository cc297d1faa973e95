"""Where calls may be sent again: the targets that whoever started the hub has named, and no others.

What a client asks for is looked up among those names, letter by letter; nothing of it is ever resolved or dialled.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

from pysniff.errors import OptionError

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?", re.ASCII).fullmatch
_HINT = "give HOST:PORT, as in 127.0.0.1:8080, shop.test:80 or [::1]:8080"


class Target(NamedTuple):
    """`name`: as it was given. `host`: a name or an address, without brackets."""

    name: str
    host: str
    port: int


class Targets:
    """Those of --replay-target; raises OptionError for what is none."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._targets = {name: _target(name) for name in names}

    @classmethod
    def of(cls, places: Iterable[tuple[str, int]]) -> Targets:
        """The same, where host and port are apart already."""
        return cls(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in places)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._targets)

    def named(self, name: str) -> Target:
        """The one that was given in these very words; raise OptionError for any other."""
        target = self._targets.get(name)
        if target is not None:
            return target
        if not self._targets:
            raise OptionError("this hub replays nothing", hint="start it with --replay-target HOST:PORT")
        raise OptionError(
            "that is no target that this hub may send to", hint=f"one of {', '.join(self._targets)}, as it stands here"
        )


def _target(name: str) -> Target:
    host, colon, digits = name.rpartition(":")
    if not colon or not re.fullmatch(r"[1-9][0-9]{0,4}", digits, re.ASCII) or int(digits) > 65_535:
        raise OptionError(f"{name[:100]!r} is no target: it has no port", hint=_HINT)
    if host[:1] == "[" and host[-1:] == "]":
        host = host[1:-1]
        if not _is_address(host, 6):
            raise OptionError(f"{name[:100]!r} is no target: in brackets stands an IPv6 address", hint=_HINT)
    elif len(host) > 253 or not _NAME(host) or (_looks_numeric(host) and not _is_address(host, 4)):
        raise OptionError(f"{name[:100]!r} is no target: it has no host", hint=_HINT)
    return Target(name, host, int(digits))


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _looks_numeric(host: str) -> bool:
    """Whether resolvers may read it as an address in one of the old ways: 127.1, 0x7f000001, 2130706433."""
    last = host.rstrip(".").rpartition(".")[2]
    return re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", last, re.ASCII) is not None


async def addresses(target: Target) -> list[str]:
    """Those that its name has now, none twice; raise OSError. A run asks once, and connects to nothing else."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))
