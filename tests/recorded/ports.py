"""Listening sockets on ports that no other scene of this run has: entries are told apart by the port."""

from __future__ import annotations

import socket

_USED: set[int] = set()


def listen(host: str = "127.0.0.1") -> socket.socket:
    """A server socket on a port that was not given before, in either family."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        listener = socket.create_server((host, 0), family=family, backlog=128)
        port = listener.getsockname()[1]
        if port not in _USED:
            _USED.add(port)
            return listener
        listener.close()
