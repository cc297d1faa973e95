"""Whose connections these are: by who closed them, and those that are open by the sockets of all processes.

In every network namespace that a process is in. A connection whose ends are elsewhere has no owner here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

from pysniff.launched.owners import TCP
from pysniff.launched.socket_tables import open_sockets, sockets
from pysniff.tracer import processes
from pysniff.tracer.btf import NotFound
from pysniff.tracer.closing import Closing, Owner

_PROC = Path("/proc")
# Network namespaces that are looked through.
_NAMESPACES = 1_024


class ConnectionOwners:
    """Until close(). `lacking`: what it does not see, and why; "" for nothing."""

    def __init__(self) -> None:
        self.lacking = ""
        self._closing: Closing | None = None
        try:
            self._closing = Closing()
        except (OSError, NotFound) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.lacking = f"whose a connection was is not known once it is closed: {reason or error}"

    def closed(self, key: bytes) -> list[Owner]:
        """Who has closed an end of it. `key`: as of Segment, whichever end sent it. Costs microseconds."""
        return [] if self._closing is None else self._closing.owners(key)

    def open(self, keys: Collection[bytes]) -> dict[bytes, list[Owner]]:
        """Who has an end of these open now; takes as long as looking at every socket of every process."""
        wanted = {end: key for key in keys for end in _ends(key)}
        found: dict[int, bytes] = {}  # by inode
        running = processes.running()
        for process in _of_each_namespace(running):
            for one in sockets(process):
                if one.protocol == TCP and one.number:
                    key = wanted.get((one.address, one.port, one.peer, one.peer_port))
                    if key is not None:
                        found[one.number] = key
        owners: dict[bytes, list[Owner]] = {}
        for process in running if found else ():
            try:
                held = {found[number] for number in open_sockets(process) & found.keys()}
            except PermissionError:
                continue
            for key in held:
                owners.setdefault(key, []).append(Owner(process, processes.name_of(process)))
        return owners

    def close(self) -> None:
        if self._closing is not None:
            self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_End = tuple[bytes, int, bytes, int]


def _ends(key: bytes) -> tuple[_End, _End]:
    """Address, port, peer and its port of the socket at either end."""
    size = (len(key) - 4) // 2
    one, other = key[:size], key[size : 2 * size]
    port, other_port = int.from_bytes(key[-4:-2], "big"), int.from_bytes(key[-2:], "big")
    return (one, port, other, other_port), (other, other_port, one, port)


def _of_each_namespace(running: Collection[int]) -> Iterator[int]:
    """A process in each network namespace."""
    seen: set[str] = set()
    for process in running:
        try:
            namespace = str((_PROC / str(process) / "ns" / "net").readlink())
        except OSError:
            continue
        if namespace not in seen and len(seen) < _NAMESPACES:
            seen.add(namespace)
            yield process
