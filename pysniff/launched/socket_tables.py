"""The sockets of TCP and UDP in /proc/net, as any user may read them, and those that a process has open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from pysniff.launched.owners import TCP, UDP

_FILES = (("tcp", TCP), ("tcp6", TCP), ("udp", UDP), ("udp6", UDP))
_MAPPED = b"\0" * 10 + b"\xff\xff"  # an IPv4 address in IPv6 (RFC 4291)
ANY = b""  # an address that is every one of this machine, or of anybody


class Socket(NamedTuple):
    """Addresses as on the wire, ANY where it is unbound or not connected; ports as numbers, 0 for none.

    `number`: that of its inode; 0 where no process has it open any more.
    """

    protocol: int
    address: bytes
    port: int
    peer: bytes
    peer_port: int
    number: int


def sockets(process: int | str = "self") -> Iterator[Socket]:
    """Those of the network namespace of a process; of one that is gone, none."""
    for name, protocol in _FILES:
        try:
            with open(f"/proc/{process}/net/{name}", "rb") as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split(None, 10)
            try:
                address, port = _end(words[1])
                peer, peer_port = _end(words[2])
                yield Socket(protocol, address, port, peer, peer_port, int(words[9]))
            except (ValueError, IndexError):
                continue


def open_sockets(process: int) -> set[int]:
    """Numbers of the inodes of the sockets that a process has open; raise PermissionError where nobody may know."""
    found: set[int] = set()
    try:
        with os.scandir(f"/proc/{process}/fd") as descriptors:
            for one in descriptors:
                try:
                    target = os.readlink(one.path)  # noqa: PTH115 - a Path for each takes longer than the call
                except FileNotFoundError:  # it was closed
                    continue
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def run_times(process: int, most: int) -> tuple[bytes, ...] | None:
    """Of each thread, how long and how often it ran, in the kernel's words; None for more than `most`, or where the
    kernel does not tell. The same twice: none of them did anything in between."""
    found: list[bytes] = []
    try:
        with os.scandir(f"/proc/{process}/task") as threads:
            for thread in threads:
                if len(found) >= most:
                    return None
                with open(f"{thread.path}/schedstat", "rb") as file:
                    found.append(thread.name.encode() + file.read())
    except OSError:
        return None
    return tuple(found)


def children(process: int) -> list[int]:
    """Processes that a process has started, and those that it took over; of one that is gone, none."""
    found: list[int] = []
    try:
        with os.scandir(f"/proc/{process}/task") as threads:
            for thread in threads:
                with open(f"{thread.path}/children", "rb") as file:
                    found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def _end(text: bytes) -> tuple[bytes, int]:
    """0100007F:1F90, in words of this machine's byte order."""
    words, port = text.split(b":")
    raw = bytes.fromhex(words.decode("ascii"))
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if raw.startswith(_MAPPED):
        raw = raw[12:]
    return (raw if any(raw) else ANY), int(port, 16)
