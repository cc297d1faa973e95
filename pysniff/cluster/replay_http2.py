"""Sends recorded calls over HTTP/2 (RFC 9113), gRPC among them: one connection, many calls at once.

h2 keeps the protocol's state; nothing that a recorded call says goes anywhere but into its own stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter_ns

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from pysniff.body import BodyBuilder
from pysniff.cluster.replay_call import Answer, Call, NoAnswer, Octets, Reply, compared, content_of
from pysniff.cluster.replay_http1 import ANSWER, KEPT, READ
from pysniff.dissectors.hpack_strings import text
from pysniff.dissectors.http import Fields, content_fields
from pysniff.limits import KIB, MIB

STREAMS = 100  # at once, or fewer where the target wants that
# RFC 9113 §8.2.2, and what Connection would list; TE may only say trailers.
_CONNECTION = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings"}
_WINDOW = 256 * KIB  # of an answer that may be on its way
_SETTINGS = {
    h2.settings.SettingCodes.ENABLE_PUSH: 0,
    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 64 * KIB,
}


class _Stream:
    """An answer that is on its way."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self.fields: Fields = ()
        self.trailers: Fields = ()
        self.body = BodyBuilder(KEPT)

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        fields = _texts(headers)
        code = next((value for name, value in fields if name == ":status"), "")
        self.status = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 0
        self.fields = tuple(field for field in fields if field[0][:1] != ":")
        self.body = BodyBuilder(KEPT, *content_fields(self.fields))

    def fail(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(NoAnswer(reason))
            self.ended.exception()  # whoever waits gets it; where nobody does, nothing is to be said

    def answer(self) -> Answer:
        return Answer(self.status, compared(self.fields, self.trailers), *content_of(self.body.body()))


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    return tuple([(text(name), text(value)) for name, value in headers])


class Http2Line:
    """begin() it, then exchange(); `usable`: another call may be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # Recorded fields are sent as they were, odd ones too; those that concern the connection are left out below.
        config = h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, _Stream] = {}
        self._moved = asyncio.Event()  # a window opened, or a stream ended
        self._settled = asyncio.Event()  # the target's settings are here, or never will be
        self._ended = ""  # why nothing more comes
        self._reading: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the target speaks HTTP/2."""
        return self._settled.is_set() and not self._ended

    @property
    def usable(self) -> bool:
        return not self._ended and self._h2.highest_outbound_stream_id < 1 << 30

    async def begin(self) -> None:
        """Say what HTTP/2 says first, and wait until the target has; raise NoAnswer where it does not."""
        self._h2.local_settings = h2.settings.Settings(initial_values=_SETTINGS)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(MIB)
        self._flush()
        self._reading = asyncio.create_task(self._read())
        await self._settled.wait()
        if self._ended:
            raise NoAnswer(self._ended)

    async def exchange(self, call: Call) -> Reply:
        """Send a call and read its answer; raise NoAnswer."""
        while not self._ended and self._h2.open_outbound_streams >= self._most():
            await self._wait()
        if self._ended:
            raise NoAnswer(self._ended)
        begun = perf_counter_ns()
        try:
            number = self._open(call)
        except h2.exceptions.H2Error as problem:
            raise NoAnswer(f"HTTP/2: {problem}") from None
        stream = self._streams[number]
        sending = asyncio.ensure_future(self._send(number, call))
        try:
            await stream.ended
            return Reply(stream.answer(), (perf_counter_ns() - begun) // 1000)
        finally:
            sending.cancel()
            del self._streams[number]
            self._forget(number)

    def abort(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._end("the run is over")
        self._writer.transport.abort()

    def _most(self) -> int:
        return min(STREAMS, self._h2.remote_settings.max_concurrent_streams)

    # Sending

    def _open(self, call: Call) -> int:
        pseudo = [(b":method", call.method), (b":scheme", call.scheme or b"http"), (b":authority", call.authority)]
        head = [*(field for field in pseudo if field[1]), (b":path", call.target), *_regular(call)]
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, head, end_stream=not call.body and not call.trailers)
        self._streams[number] = _Stream()
        self._flush()
        return number

    async def _send(self, number: int, call: Call) -> None:
        """The body, as the target's windows allow, and the trailers."""
        body, at = call.body, 0
        try:
            while at < len(body):
                room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
                if room <= 0:
                    await self._wait()
                    continue
                piece = body[at : at + room]
                at += len(piece)
                self._h2.send_data(number, piece, end_stream=at == len(body) and not call.trailers)
                self._flush()
                await self._writer.drain()
            if call.trailers:
                self._h2.send_headers(number, list(call.trailers), end_stream=True)
                self._flush()
        except (h2.exceptions.H2Error, OSError):
            pass  # the stream or the connection has ended: whoever reads says why

    def _forget(self, number: int) -> None:
        """The call is over, answered or not: neither side has more to say about it."""
        try:
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            self._flush()
        except h2.exceptions.H2Error:
            pass  # it has ended both ways, as it should
        self._move()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._writer.is_closing():
            self._writer.write(data)

    async def _wait(self) -> None:
        await self._moved.wait()

    def _move(self) -> None:
        """Wake whoever waits for room."""
        self._moved.set()
        self._moved = asyncio.Event()

    # Reading

    async def _read(self) -> None:
        reason = "the target closed the connection"
        try:
            while data := await self._reader.read(READ):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
                await self._writer.drain()
        except h2.exceptions.H2Error as problem:
            reason = f"the answer is no HTTP/2, or breaks its rules: {str(problem)[:200]}"
        except OSError as error:
            reason = f"the connection broke: {error.strerror or 'no reason given'}"
        except Exception as problem:  # h2 promises nothing about bytes of an attacker
            reason = f"the answer breaks h2: {type(problem).__name__}"
        self._end(self._ended or reason)

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        for stream in self._streams.values():
            stream.fail(reason)
        self._settled.set()
        self._move()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._settled.set()
            self._move()
        elif isinstance(event, h2.events.WindowUpdated):
            self._move()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._end(f"the target ended the connection: {_code(event.error_code)}")
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(event)
        else:
            stream = self._streams.get(getattr(event, "stream_id", None) or 0)
            if stream is not None:
                self._take_of(stream, event)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.body.add(event.data or b"")
        if stream.body.size > ANSWER:
            stream.fail(f"the answer is longer than {ANSWER // MIB} MiB")

    def _take_of(self, stream: _Stream, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            stream.begin(_pairs(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = _texts(_pairs(event.headers))
        elif isinstance(event, h2.events.StreamEnded):
            if stream.status and not stream.ended.done():
                stream.ended.set_result(None)
            stream.fail("an answer without status")
        elif isinstance(event, h2.events.StreamReset):
            stream.fail(f"the target reset the stream: {_code(event.error_code)}")


def _regular(call: Call) -> Octets:
    """The fields that may be in HTTP/2, in order; the body's length as it is."""
    kept = []
    for name, value in call.fields:
        lower = name.lower()
        if lower in _CONNECTION or (lower == b"te" and value.strip().lower() != b"trailers") or lower == b"expect":
            continue
        kept.append((lower, b"%d" % len(call.body) if lower == b"content-length" else value))
    return tuple(kept)


def _pairs(headers: object) -> list[tuple[bytes, bytes]]:
    """h2 gives bytes, since it is told not to decode them."""
    assert isinstance(headers, list)
    return [(bytes(name), bytes(value)) for name, value in headers]


def _code(code: object) -> str:
    name: str = getattr(code, "name", "") or f"error {code}"
    return name[:64]
