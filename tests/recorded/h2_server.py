"""A server on the h2 package: prior knowledge and h2c upgrade, tunnels, and whatever `h2_answers.py` says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from recorded.h2_answers import ANSWERS, Answer
from recorded.h2_client import decoded, settings
from recorded.ports import listen
from recorded.said import Headers, Log, Said, digest

PATIENCE = 20  # seconds


@dataclass
class Stream:
    """A request as far as it has come, and what is still to be sent of its answer."""

    fields: Headers
    content: bytes = b""
    trailers: Headers = field(default_factory=list)
    answer: Answer | None = None
    left: bytes = b""

    def pseudo(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    @property
    def target(self) -> str:
        return self.pseudo(":path") or self.pseudo(":authority")

    @property
    def tunnel(self) -> bool:
        return self.pseudo(":method") == "CONNECT"


@contextmanager
def h2_server(log: Log, table: int = 4096) -> Iterator[int]:
    """Serves connections one after the other or side by side; gives the port. `table`: SETTINGS_HEADER_TABLE_SIZE."""
    threads: list[threading.Thread] = []
    listener = listen()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # shut down
            thread = threading.Thread(target=_Served(connection, log, table).run, daemon=True)
            thread.start()
            threads.append(thread)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(PATIENCE)


class _Served:
    """One connection."""

    def __init__(self, connection: socket.socket, log: Log, table: int) -> None:
        self.connection, self.log, self.table = connection, log, table
        self.client: int = connection.getpeername()[1]
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.streams: dict[int, Stream] = {}
        self.over = False

    def run(self) -> None:
        with self.connection, suppress(ConnectionResetError):  # some clients go without reading all
            self.connection.settimeout(PATIENCE)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = self._begin()
            while data:
                for event in self.h2.receive_data(data):
                    self._take(event)
                for number in [*self.streams]:
                    self._go_on(number)
                self.connection.sendall(self.h2.data_to_send())
                if self.over:
                    break
                data = self.connection.recv(65536)
            with suppress(OSError):  # it may have gone
                self.connection.shutdown(socket.SHUT_WR)
            while data:  # RFC 9113 §6.8: what comes after GOAWAY is not read
                data = self.connection.recv(65536)

    def _begin(self) -> bytes:
        """RFC 7540 §3.2: an HTTP/1 request may lead here; its answer is that of stream 1."""
        self.h2.local_settings = settings(client=False, table=self.table)
        self.h2.decoder.max_allowed_table_size = max(4096, self.table)  # the client may begin with 4096
        data = self.connection.recv(65536)
        if data.startswith(b"PRI"):
            self.h2.initiate_connection()
            return data
        while b"\r\n\r\n" not in data:
            data += self.connection.recv(65536)
        head, _, rest = data.decode("latin-1").partition("\r\n\r\n")
        lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
        fields = {name.lower(): value for name, _, value in lines}
        method, target, _ = head.split("\r\n")[0].split()
        self.connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.h2.initiate_upgrade_connection(fields["http2-settings"].encode())
        self.streams[1] = Stream([(":method", method), (":path", target), ("host", fields["host"])])
        self._answer(1)
        self._go_on(1)
        self.connection.sendall(self.h2.data_to_send())
        return rest.encode("latin-1") or self.connection.recv(65536)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=number, headers=fields):
                self.streams[number] = stream = Stream(decoded(fields))
                if stream.tunnel:
                    self.h2.send_headers(number, [(":status", "200")])
            case DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                self.h2.acknowledge_received_data(size, number)
                self.streams[number].content += data
                if self.streams[number].tunnel:  # everything comes back, backwards
                    self.h2.send_data(number, data[::-1])
            case TrailersReceived(stream_id=number, headers=fields):
                self.streams[number].trailers = decoded(fields)
            case StreamEnded(stream_id=number):
                self._answer(number)
            case StreamReset(stream_id=number):
                self._note(self.streams.pop(number), Said(self.client, odd=True))
            case ConnectionTerminated():
                self.over = True

    def _answer(self, number: int) -> None:
        if self.over:
            return
        stream = self.streams[number]
        if stream.tunnel:
            self.h2.end_stream(number)
            backwards = len(stream.content)
            self._note(self.streams.pop(number), Said(self.client, status=200, headers=[], size=backwards))
            return
        answer = ANSWERS.get(stream.target.partition("?")[0]) or Answer(content=stream.content)
        for path in answer.pushes:
            self._push(number, path, stream.pseudo(":authority"))
        for status, fields in answer.interim:
            self.h2.send_headers(number, [(":status", str(status)), *fields])
        self.over |= answer.goaway
        stream.answer = answer
        stream.left = answer.content[: len(answer.content) // 2] if answer.reset else answer.content
        if answer.reset is not ErrorCodes.REFUSED_STREAM:
            ends = not (stream.left or answer.trailers or answer.reset)
            self.h2.send_headers(number, [(":status", str(answer.status)), *answer.headers], end_stream=ends)

    def _push(self, number: int, path: str, authority: str) -> None:
        promised = self.h2.get_next_available_stream_id()
        fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", authority),
            (":path", path),
            ("x-why", "push"),
        ]
        self.h2.push_stream(number, promised, fields)
        self.streams[promised] = Stream(fields)
        self._answer(promised)

    def _go_on(self, number: int) -> None:
        """Send as much of an answer as the windows allow."""
        stream = self.streams[number]
        answer = stream.answer
        if answer is None:
            return
        while stream.left:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size) - answer.pad - 1
            if room <= 0:
                return
            part, stream.left = stream.left[:room], stream.left[room:]
            ends = not (stream.left or answer.trailers or answer.reset)
            self.h2.send_data(number, part, end_stream=ends, pad_length=answer.pad or None)
        if answer.trailers:
            self.h2.send_headers(number, answer.trailers, end_stream=True)
        if answer.reset is not None:
            self.h2.reset_stream(number, answer.reset)
        if answer.goaway:
            self.h2.close_connection(last_stream_id=number)
        self._answered(self.streams.pop(number), answer)

    def _answered(self, stream: Stream, answer: Answer) -> None:
        line = Said(self.client, odd=answer.reset is not None)
        if answer.reset is not ErrorCodes.REFUSED_STREAM:
            content = answer.content[: len(answer.content) // 2] if answer.reset else answer.content
            line.status, line.headers, line.trailers = answer.status, answer.headers, answer.trailers
            line.size, line.sha256 = len(content), digest(content)
            line.interim = [status for status, _ in answer.interim]
        self._note(stream, line)

    def _note(self, stream: Stream, line: Said) -> None:
        line.method, line.target = stream.pseudo(":method"), stream.target
        line.request_size, line.request_sha256 = len(stream.content), digest(stream.content)
        line.request_trailers = stream.trailers
        if stream.pseudo(":scheme") or stream.tunnel:  # not the request that was upgraded
            line.request_headers = [(name, value) for name, value in stream.fields if name[0] != ":"]
        self.log.add(line)
