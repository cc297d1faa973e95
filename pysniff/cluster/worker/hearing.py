"""Plain text of programs on its way from the process that reads it to the one that records: a message a chunk, through
a pair of sockets that outlives both. The other way go the TLS connections that were recorded, for whose they are.

Who tells never waits: what has no room is dropped and counted; of plain text it is a gap in its conversation.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable, Iterator

from pysniff.limits import KIB, MIB
from pysniff.plain import PlainChunk
from pysniff.plain_block import decode, encode
from pysniff.secrets import TlsConnection

# Bytes that wait beside those that the kernel holds.
_WAITING = 16 * MIB
_BUFFER = 4 * MIB
_SO_SNDBUFFORCE = 32  # socket(7)
# The longest message: a chunk of 64 KiB and its head.
_LONGEST = 80 * KIB
# Chunks taken at once, so that packets need not wait.
_SOME = 512
# Of a connection: its random, whether it has a key, the length of its ends; how many there are in a message at most,
# and how many wait.
_CONNECTION = struct.Struct("<32s?B")
_TOGETHER, _CONNECTIONS = 400, 16_384
_KEYS = (12, 36)  # lengths of Segment.key


class Way:
    """Both ends, as whoever starts the two processes has them: descriptors to be inherited. Raises OSError."""

    def __init__(self) -> None:
        told, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for option in (socket.SO_SNDBUF, _SO_SNDBUFFORCE):
            with contextlib.suppress(OSError):  # without the privilege it is smaller
                told.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self.told, self.heard = told.detach(), heard.detach()

    def close(self) -> None:
        os.close(self.told)
        os.close(self.heard)


class Teller:
    """`dropped`: bytes of plain text for which there was no room."""

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._bytes = 0

    def tell(self, chunks: Iterable[PlainChunk]) -> None:
        for chunk in chunks:
            with contextlib.suppress(ValueError):
                message = encode(chunk)
                self._waiting.append((message, len(chunk.data)))
                self._bytes += len(message)
        while self._waiting:
            try:
                self._socket.send(self._waiting[0][0])
            except BlockingIOError:
                break
            except OSError:  # longer than the kernel takes, or nobody is there
                self.dropped += self._waiting[0][1]
            self._bytes -= len(self._waiting.popleft()[0])
        while self._bytes > _WAITING:
            message, size = self._waiting.popleft()
            self._bytes -= len(message)
            self.dropped += size

    def take(self) -> list[TlsConnection]:
        """Connections that were recorded."""
        found: list[TlsConnection] = []
        while len(found) < _CONNECTIONS:
            try:
                message = self._socket.recv(_LONGEST)
            except OSError:
                break
            if not message:
                break
            found += _connections(message)
        return found

    def close(self) -> None:
        self._socket.close()


class Hearer:
    """`take()` what has come. `untold`: connections for which there was no room."""

    def __init__(self, fd: int) -> None:
        self.untold = 0
        self._begun: deque[TlsConnection] = deque()
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    def take(self) -> list[PlainChunk]:
        found: list[PlainChunk] = []
        while len(found) < _SOME:
            try:
                message = self._socket.recv(_LONGEST)
            except OSError:
                break
            if not message:
                break
            chunk = decode(message)
            if chunk is not None:
                found.append(chunk)
        return found

    def begun(self, connection: TlsConnection) -> None:
        """Have it told with the next tell(); any thread may call this."""
        self._begun.append(connection)

    def tell(self) -> None:
        """Tell of connections, as far as there is room."""
        while self._begun:
            some = [self._begun.popleft() for _ in range(min(len(self._begun), _TOGETHER))]
            try:
                self._socket.send(b"".join(map(_packed, some)))
            except BlockingIOError:
                self._begun.extendleft(reversed(some))
                break
            except OSError:  # nobody is there
                self.untold += len(some)
        while len(self._begun) > _CONNECTIONS:
            self._begun.popleft()
            self.untold += 1

    def close(self) -> None:
        self._socket.close()


def _packed(connection: TlsConnection) -> bytes:
    return _CONNECTION.pack(connection.random, connection.keyed, len(connection.key)) + connection.key


def _connections(message: bytes) -> Iterator[TlsConnection]:
    at = 0
    while at + _CONNECTION.size <= len(message):
        random, keyed, size = _CONNECTION.unpack_from(message, at)
        at += _CONNECTION.size
        if size not in _KEYS or at + size > len(message):
            return
        yield TlsConnection(random, message[at : at + size], keyed)
        at += size
