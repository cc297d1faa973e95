"""Sends recorded calls over HTTP/1 (RFC 9112): one connection, one call at a time.

The request is framed anew, so that it is one message whatever its fields say; the answer is read by the dissector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter_ns

from pysniff.cluster.replay_call import Call, NoAnswer, Octets, Reply, answer_of
from pysniff.dissector import Malformed, Switch, Undecoded
from pysniff.dissectors.http1 import Http1
from pysniff.dissectors.http1_messages import Http1Response
from pysniff.limits import DEFAULT, KIB, MIB
from pysniff.message import CLIENT, SERVER

READ = 64 * KIB  # bytes at a time
ANSWER = 64 * MIB  # bytes of one answer; what is longer is given up
# Bodies are hashed as they come, hardly kept.
KEPT = replace(DEFAULT, body_bytes=64 * KIB)
_CHUNK = 16 * KIB
# RFC 9110 §7.6.1: between two hops only, so they are ours to say. Expect: the body is sent at once.
_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"http2-settings", b"expect"}
_FRAMING = {b"content-length", b"transfer-encoding"}


def request_octets(call: Call) -> Iterator[bytes]:
    """The message in pieces: fields in their order, hop-by-hop ones left out, one that says where the body ends."""
    names = {name.lower() for name, _ in call.fields}
    # RFC 9112 §6.1: not in HTTP/1.0, which knows no chunks.
    chunked = b"transfer-encoding" in names and call.version == "1.1"
    lines = [b"%b %b HTTP/%b" % (call.method, call.target, call.version.encode())]
    framing = _framing(call, chunked=chunked, named=bool(names & _FRAMING))
    left_out = _HOP_BY_HOP | _listed(call.fields)
    for name, value in call.fields:
        lower = name.lower()
        if lower in _FRAMING:
            lines += framing
            framing = []
        elif lower not in left_out:
            lines.append(name + b": " + value)
    yield b"\r\n".join([*lines, *framing, b"", b""])
    if chunked:
        yield from _chunks(call)
    else:
        for at in range(0, len(call.body), READ):
            yield call.body[at : at + READ]


def _framing(call: Call, *, chunked: bool, named: bool) -> list[bytes]:
    if chunked:
        return [b"Transfer-Encoding: chunked"]
    return [b"Content-Length: %d" % len(call.body)] if call.body or named else []


def _listed(fields: Octets) -> set[bytes]:
    """What Connection says is for this hop alone (RFC 9110 §7.6.1); never what says where the message ends."""
    values = [value for name, value in fields if name.lower() == b"connection"]
    return {word.strip().lower() for value in values for word in value.split(b",")} - _FRAMING - {b"host"}


def _chunks(call: Call) -> Iterator[bytes]:
    """RFC 9112 §7.1."""
    for at in range(0, len(call.body), _CHUNK):
        chunk = call.body[at : at + _CHUNK]
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    trailers = [name + b": " + value for name, value in call.trailers if name.lower() not in _FRAMING]
    yield b"\r\n".join([b"0", *trailers, b"", b""])


class Http1Line:
    """`usable`: another call may be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._usable = True

    @property
    def usable(self) -> bool:
        return self._usable and not self._reader.at_eof() and not self._writer.is_closing()

    async def exchange(self, call: Call) -> Reply:
        """Send a call and read its answer; raise NoAnswer. After anything but a whole answer it is not usable."""
        self._usable = False
        dissector = Http1(KEPT)
        # All that it has to know of the request: whether its answer has a body.
        dissector.feed(CLIENT, b"HEAD / HTTP/1.1\r\n\r\n" if call.method == b"HEAD" else b"GET / HTTP/1.1\r\n\r\n", 0)
        begun = perf_counter_ns()
        sending = asyncio.ensure_future(self._send(call))
        try:
            response, until_close = await self._response(dissector)
            elapsed = (perf_counter_ns() - begun) // 1000
            is_sent = sending.done()
        finally:
            sending.cancel()
        closes = "close" in response.header("connection").lower() or not response.version == call.version == "1.1"
        self._usable = is_sent and not until_close and not closes and not dissector.pending(SERVER)
        return Reply(answer_of(response), elapsed)

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _send(self, call: Call) -> None:
        try:
            for piece in request_octets(call):
                self._writer.write(piece)
                await self._writer.drain()
        except OSError:
            self._usable = False  # what it has answered is still read

    async def _response(self, dissector: Http1) -> tuple[Http1Response, bool]:
        """The final response, and whether only the end of the connection ended it."""
        came = 0
        while True:
            try:
                data = await self._reader.read(READ)
                outputs = list(dissector.feed(SERVER, data, 0) if data else dissector.close(SERVER, 0))
            except OSError as error:
                raise NoAnswer(f"the connection broke: {error.strerror or 'no reason given'}") from None
            except Malformed as problem:
                raise NoAnswer(f"the answer is no HTTP/1: {problem}") from None
            came += len(data)
            if any(isinstance(output, Switch) for output in outputs):
                raise NoAnswer("the target goes on in another protocol")
            for output in outputs:
                if isinstance(output, Http1Response):
                    return _whole(output), not data
            if any(isinstance(output, Undecoded) for output in outputs):
                raise NoAnswer("the answer is no HTTP/1")
            if not data:
                raise NoAnswer("the target closed the connection" + (" within its answer" if came else ""))
            if came > ANSWER:
                raise NoAnswer(f"the answer is longer than {ANSWER // MIB} MiB")


def _whole(response: Http1Response) -> Http1Response:
    """The same; raise NoAnswer where it broke off, or nobody can tell where it ends."""
    broken = [fault.message for fault in response.faults if fault.kind in ("truncated", "malformed")]
    if broken or not response.status:
        raise NoAnswer(f"the answer is broken: {broken[0] if broken else 'it has no status'}")
    return response
