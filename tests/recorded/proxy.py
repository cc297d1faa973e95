"""A proxy that knows CONNECT only, and logs the tunnels it opened."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from recorded.ports import listen
from recorded.said import Log, Said

OPENED = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: tiny\r\n\r\n"


@contextmanager
def proxy(log: Log) -> Iterator[int]:
    """A proxy for one connection; gives its port."""
    with listen() as listener:
        thread = threading.Thread(target=_tunnel, args=(listener, log), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(20)


def _tunnel(listener: socket.socket, log: Log) -> None:
    connection, peer = listener.accept()
    with connection, connection.makefile("rb", buffering=0) as reader:
        method, target, _ = reader.readline().decode().split()
        while reader.readline() != b"\r\n":
            pass
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            log.add(Said(peer[1], method, target, 200, "Connection established", size=0, request_size=0))
            connection.sendall(OPENED)
            back = threading.Thread(target=_pump, args=(server, connection), daemon=True)
            back.start()
            _pump(connection, server)
            back.join(20)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
