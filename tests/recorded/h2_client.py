"""A client on the h2 package, for what other clients do not do: tunnels, resets, padding, many fields."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from types import TracebackType

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PushedStreamReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings

from recorded.said import Headers, Said, digest

PATIENCE = 20  # seconds

Fields = Sequence[tuple[bytes, bytes]]


def decoded(fields: Fields) -> Headers:
    return [(name.decode(), value.decode()) for name, value in fields]


def regular(fields: Fields) -> Headers:
    """Without pseudo-header fields."""
    return [(name, value) for name, value in decoded(fields) if name[0] != ":"]


def _pseudo(fields: Fields, name: str) -> str:
    return dict(decoded(fields))[name]


def settings(client: bool, table: int) -> Settings:
    """What a side begins with. `table`: SETTINGS_HEADER_TABLE_SIZE; extended CONNECT is allowed by servers."""
    values = {SettingCodes.HEADER_TABLE_SIZE: table}
    if not client:
        values[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    return Settings(client, values)


class H2Client:
    """One connection with prior knowledge; `lines()` is what it saw."""

    def __init__(self, port: int, table: int = 4096) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local: int = self.socket.getsockname()[1]
        self.authority = f"127.0.0.1:{port}"
        self.h2 = H2Connection(H2Configuration())
        self.h2.local_settings = settings(client=True, table=table)
        self.h2.decoder.max_allowed_table_size = max(4096, table)
        self.h2.initiate_connection()
        self.said: dict[int, Said] = {}
        self.contents: dict[int, bytes] = {}
        self.done: set[int] = set()
        self.ended = False
        self.flush()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ended:
            self.h2.close_connection()
            self.flush()
            self.socket.shutdown(socket.SHUT_WR)
            self.until(lambda: self.ended)
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Sequence[bytes] = (),
        fields: Headers | None = None,
        trailers: Headers | None = None,
        pad: int | None = None,
        open_end: bool = False,
    ) -> int:
        """Send a request and give its stream; `body`: a DATA frame each."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", path)]
        self.begin(number, [*head, *(fields or [])], Said(self.local, method, path), not (body or trailers or open_end))
        for at, part in enumerate(body, 1):
            ends = at == len(body) and not (trailers or open_end)
            self.h2.send_data(number, part, end_stream=ends, pad_length=pad)
        if trailers:
            self.h2.send_headers(number, trailers, end_stream=True)
        self.flush()
        return number

    def connect(self, target: str, protocol: str = "") -> int:
        """RFC 9113 §8.5, and RFC 8441 §4 where there is a protocol; wait for the answer's head."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":authority", target)]
        if protocol:
            head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", target)]
            head.append((":authority", self.authority))
        self.begin(number, head, Said(self.local, "CONNECT", target), ends=False)
        self.until(lambda: self.said[number].status is not None)
        return number

    def begin(self, number: int, head: Headers, said: Said, ends: bool) -> None:
        self.said[number], self.contents[number] = said, b""
        self.h2.send_headers(number, head, end_stream=ends)
        self.flush()

    def through(self, number: int, data: bytes) -> None:
        """Send through a tunnel, and wait for as much."""
        due = len(self.contents[number]) + len(data)
        self.h2.send_data(number, data)
        self.flush()
        self.until(lambda: len(self.contents[number]) >= due)

    def end(self, number: int) -> None:
        self.h2.end_stream(number)
        self.flush()
        self.finish(number)

    def reset(self, number: int, error: ErrorCodes = ErrorCodes.CANCEL) -> None:
        self.h2.reset_stream(number, error)
        self.said[number].odd = True
        self.flush()

    def resize(self, table: int) -> None:
        """SETTINGS_HEADER_TABLE_SIZE, from now on; and a table of that size of our own."""
        self.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: table})
        self.h2.encoder.header_table_size = min(table, 4096)
        self.flush()

    def finish(self, *numbers: int) -> None:
        self.until(lambda: self.done.issuperset(numbers))

    def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            data = self.socket.recv(65536)
            if not data:
                self.ended = True
                return
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event: Event) -> None:
        match event:
            case InformationalResponseReceived(stream_id=number, headers=fields):
                said = self.said[number]
                said.interim = [*(said.interim or []), int(_pseudo(fields, ":status"))]
            case ResponseReceived(stream_id=number, headers=fields):
                said = self.said[number]
                said.status, said.headers = int(_pseudo(fields, ":status")), regular(fields)
            case TrailersReceived(stream_id=number, headers=fields):
                self.said[number].trailers = regular(fields)
            case DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                self.contents[number] += data
                self.h2.acknowledge_received_data(size, number)
            case PushedStreamReceived(pushed_stream_id=int(number), headers=list(fields)):
                said = Said(self.local, _pseudo(fields, ":method"), _pseudo(fields, ":path"))
                said.request_headers = regular(fields)
                self.said[number], self.contents[number] = said, b""
            case StreamEnded(stream_id=number):
                self.done.add(number)
            case StreamReset(stream_id=number):
                self.done.add(number)
                self.said[number].odd = True

    def lines(self) -> list[Said]:
        for number, said in self.said.items():
            if said.status is not None and number in self.done:
                said.size, said.sha256 = len(self.contents[number]), digest(self.contents[number])
        return [*self.said.values()]
