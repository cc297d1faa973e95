"""Connections that are open now, by process: those whose keys nobody can read any more."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pysniff.limits import MIB

_PROC = Path("/proc")
_ESTABLISHED = 1  # include/net/tcp_states.h
# Of one network namespace: 150 bytes a connection.
_TABLE_BYTES = 64 * MIB
# File descriptors of one process that are looked at.
_DESCRIPTORS = 262_144
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class OpenConnection(NamedTuple):
    """`family`: AF_INET or AF_INET6, as the socket's; addresses of 4 or 16 bytes. `inode`: of the socket."""

    family: int
    local: bytes
    port: int
    remote: bytes
    remote_port: int
    inode: int


class Holding(NamedTuple):
    """A process and one of its descriptors that is a connection."""

    pid: int
    descriptor: int
    connection: OpenConnection


def held_by(pids: Iterable[int]) -> Iterator[Holding]:
    """The established TCP connections of these processes; nothing of those that are gone or not to be looked at."""
    tables: dict[str, dict[int, OpenConnection]] = {}
    for pid in pids:
        try:
            namespace = str((_PROC / str(pid) / "ns" / "net").readlink())
            if namespace not in tables:
                tables[namespace] = {one.inode: one for one in established(pid)}
        except OSError:
            continue
        table = tables[namespace]
        if table:
            for descriptor, inode in _sockets(pid):
                if inode in table:
                    yield Holding(pid, descriptor, table[inode])


def still_held(holding: Holding) -> bool:
    """Whether that descriptor is still that socket."""
    return _inode(holding.pid, str(holding.descriptor)) == holding.connection.inode


def established(pid: int) -> Iterator[OpenConnection]:
    """Those of the network namespace that a process is in; OSError."""
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            with open(_PROC / str(pid) / "net" / name, "rb") as file:
                lines = file.read(_TABLE_BYTES).split(b"\n")[1:]
        except FileNotFoundError:
            if family == socket.AF_INET:
                raise
            continue  # a kernel without IPv6
        for line in lines:
            one = _parsed(family, line.split())
            if one is not None:
                yield one


def _parsed(family: int, fields: list[bytes]) -> OpenConnection | None:
    if len(fields) < 10 or int(fields[3], 16) != _ESTABLISHED:
        return None
    (local, port), (remote, remote_port) = (_end(field) for field in fields[1:3])
    return OpenConnection(family, local, port, remote, remote_port, int(fields[9]))


def _end(field: bytes) -> tuple[bytes, int]:
    """`0100007F:1F90`: words of the address in this machine's order."""
    address, _, port = field.partition(b":")
    words = (int(address[place : place + 8], 16) for place in range(0, len(address), 8))
    return b"".join(struct.pack("=I", word) for word in words), int(port, 16)


def _sockets(pid: int) -> Iterator[tuple[int, int]]:
    try:
        names = [entry.name for entry in islice((_PROC / str(pid) / "fd").iterdir(), _DESCRIPTORS)]
    except OSError:
        return
    for name in names:
        inode = _inode(pid, name)
        if inode is not None:
            yield int(name), inode


def _inode(pid: int, descriptor: str) -> int | None:
    try:
        found = _SOCKET.fullmatch(str((_PROC / str(pid) / "fd" / descriptor).readlink()))
    except OSError:
        return None
    return int(found[1]) if found else None
