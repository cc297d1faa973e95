"""The network interfaces of one namespace, listed and watched: a netlink socket says when to look again.

A Links belongs to the namespace in which it was made, and works from any thread then (rtnetlink(7)).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from pysniff.capture.interfaces import configured
from pysniff.errors import CaptureError

_UP, _LOOPBACK = 1, 8  # IFF_UP, IFF_LOOPBACK
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE = 0  # NETLINK_ROUTE
_ERROR, _DONE, _NEW_LINK, _GET_LINK = 2, 3, 16, 18
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: something changed meanwhile
_NAME, _EXTENSIONS, _SKIP_STATISTICS = 3, 29, 8  # IFLA_IFNAME, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS
# RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_GROUPS = 0x1 | 0x10 | 0x100
_CHUNK = 1 << 16
_TRIES = 4
# Seconds between two looks where nobody says that something changed.
_POLL = 1.0


class Link(NamedTuple):
    number: int
    up: bool
    loopback: bool


class Links:
    """`fd`: readable when something changed, for poll; -1 where one must look by oneself. Raises CaptureError."""

    def __init__(self) -> None:
        self.fd = -1
        self._asking: socket.socket | None = None
        self._hearing: socket.socket | None = None
        self._looked = time.monotonic()
        if sys.platform != "linux":
            return
        try:
            self._asking = _netlink(0)
            self._hearing = _netlink(_GROUPS)
        except OSError:  # a sandbox without netlink
            self.close()
            return
        self._hearing.setblocking(False)
        self.fd = self._hearing.fileno()

    def changed(self) -> bool:
        """Whether anything changed since the last call, or might have."""
        if self._hearing is None:
            due = time.monotonic() - self._looked >= _POLL
            if due:
                self._looked = time.monotonic()
            return due
        found = False
        try:
            while self._hearing.recv(_CHUNK):
                found = True
        except BlockingIOError:
            return found
        except OSError:  # ENOBUFS: there was more than it could keep
            return True
        return found

    def list(self) -> dict[str, Link]:
        """Every network interface by name."""
        if self._asking is None:
            return _by_library()
        try:
            for _ in range(_TRIES):
                found = self._dump(self._asking)
                if found is not None:
                    return found
        except (OSError, struct.error) as error:
            raise CaptureError(f"the interfaces cannot be listed: {error}") from None
        raise CaptureError("the interfaces cannot be listed: they change all the time")

    def close(self) -> None:
        for one in (self._asking, self._hearing):
            if one is not None:
                one.close()
        self._asking = self._hearing = None
        self.fd = -1

    @staticmethod
    def _dump(asking: socket.socket) -> dict[str, Link] | None:
        """None where it changed meanwhile."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _ATTRIBUTE.pack(8, _EXTENSIONS) + struct.pack("=I", _SKIP_STATISTICS)
        asking.send(_HEADER.pack(_HEADER.size + len(body), _GET_LINK, _REQUEST_DUMP, 1, 0) + body)
        found: dict[str, Link] = {}
        whole = True
        while True:
            data = asking.recv(_CHUNK)
            for kind, flags, message in _messages(data):
                whole &= not flags & _INTERRUPTED
                if kind == _DONE:
                    return found if whole else None
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", message)[0], "netlink refuses")
                if kind == _NEW_LINK:
                    _, _, index, state, _ = _LINK.unpack_from(message)
                    name = _name(message[_LINK.size :])
                    if name:
                        found[name] = Link(index, bool(state & _UP), bool(state & _LOOPBACK))


def _netlink(groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE)
    try:
        made.bind((0, groups))
    except OSError:
        made.close()
        raise
    return made


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and body of each netlink message."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            return
        yield kind, flags, data[at + _HEADER.size : at + size]
        at += size + 3 & ~3


def _name(attributes: bytes) -> str:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if size < _ATTRIBUTE.size:
            return ""
        if kind == _NAME:
            return os.fsdecode(attributes[at + _ATTRIBUTE.size : at + size].rstrip(b"\0"))
        at += size + 3 & ~3
    return ""


def _by_library() -> dict[str, Link]:
    known = configured()
    found = {}
    for index, name in socket.if_nameindex():
        flags, _ = known.get(name, (0, []))
        found[name] = Link(index, bool(flags & _UP), bool(flags & _LOOPBACK))
    return found
