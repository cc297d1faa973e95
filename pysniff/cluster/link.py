"""One connection between a worker and a hub, whoever dialled: frames in fair turns, heartbeats, its end.

What an answer is made of is not known here. Nothing waits in a Link but one frame of each answer, and small frames
up to OUTBOX.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio.trsock import TransportSocket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from struct import unpack_from
from typing import TypeAlias

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from pysniff.cluster.frames import Bye, Frame, Hello, Ping, Pong, decode, encode
from pysniff.cluster.handshake import Ending, Refused, greeted
from pysniff.cluster.pace import CLOSING, Heartbeat, Pace
from pysniff.cluster.packed import FrameError

OUTBOX = 1024  # small frames that wait for the peer to read: more than its requests can ask for at a time
PINGS = 100  # in a quarter of a beat; an honest peer sends one in a beat, and one to see whether we live
WebSocket: TypeAlias = "ClientWebSocketResponse | web.WebSocketResponse"
Address: TypeAlias = tuple[str, int]
Ends: TypeAlias = tuple[Address, Address]  # ours, theirs
_LAST_DATA_RECEIVED = 52  # the place of tcpi_last_data_recv, in milliseconds, in Linux' struct tcp_info
_log = logging.getLogger(__name__)
_BROKE = Ending("lost", "the connection broke")


class LinkLost(Exception):
    """The connection ended before a frame was sent."""


class Link:
    """An open WebSocket. First say() and heard(), then run(); other tasks send() and post() meanwhile."""

    def __init__(self, websocket: WebSocket, pace: Pace) -> None:
        self.pace = pace
        self.ending: Ending | None = None
        self.ends = _ends(websocket)
        self._websocket = websocket
        self._socket: TransportSocket | None = websocket.get_extra_info("socket")
        self._control: deque[bytes] = deque()
        self._pong: Pong | None = None
        self._turns: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._work = asyncio.Event()
        self._message = asyncio.Event()  # one came since somebody cleared it
        self._ended = asyncio.Event()
        self._said = False  # whether the peer said Bye
        self._pings = 0  # heard since the last beat
        self.closed = asyncio.Event()
        self._heartbeat = Heartbeat(pace, asyncio.get_running_loop().time())

    # The handshake

    async def say(self, frame: Frame) -> None:
        """Send a frame before run(); raise Refused."""
        try:
            await self._websocket.send_bytes(encode(frame))
        except (OSError, RuntimeError) as error:
            raise Refused("lost", str(error) or _BROKE.message, told=True) from None

    async def heard(self, own: Hello) -> Hello:
        """The peer's Hello; raise Refused. The caller bounds the time."""
        message = await self._websocket.receive()
        if message.type is not WSMsgType.BINARY:
            raise Refused("lost", "the other side closed the connection", told=True)
        return greeted(own, message.data)

    async def refuse(self, refused: Refused) -> Ending:
        """Say why, and close."""
        self.end(*refused.ending)
        await self._close(Bye(*refused.ending) if not refused.told else None)
        return refused.ending

    async def lives(self) -> bool:
        """Whether the peer answers within pace.probe: a connection may be dead without anybody knowing."""
        self._message.clear()
        self.post(Ping(0))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pace.probe):
                await self._message.wait()
        return self.ending is None and self._message.is_set()

    # Sending

    async def send(self, frame: bytes) -> None:
        """Send a frame of an answer in its turn: each answer has one frame waiting. Raises LinkLost."""
        if self.ending is not None:
            raise LinkLost
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append((frame, sent))
        self._work.set()
        await sent

    def post(self, frame: Frame) -> None:
        """Send a small frame before the answers. A peer that lets too many wait does not read: it ends."""
        if self.ending is not None:
            return
        if isinstance(frame, Pong):
            self._pong = frame  # of Pings that come faster than Pongs leave, the last is answered
        else:
            self._control.append(encode(frame))
        self._work.set()
        if len(self._control) > OUTBOX:
            self.end("protocol", "too many frames wait to be read")

    async def _write(self) -> None:
        while self.ending is None:
            await self._work.wait()
            self._work.clear()
            while self.ending is None and (self._pong or self._control or self._turns):
                await self._write_one()

    async def _write_one(self) -> None:
        sent: asyncio.Future[None] | None = None
        if self._pong:
            data, self._pong = encode(self._pong), None
        elif self._control:
            data = self._control.popleft()
        else:
            data, sent = self._turns.popleft()
            if sent.done():
                return
        loop = asyncio.get_running_loop()
        # aiohttp's waiting to send must not be cancelled: all of a connection's wait for one future.
        stuck = loop.call_later(self.pace.message, self._stuck)
        lost = True
        try:
            await self._websocket.send_bytes(data)
            self._heartbeat.sent(loop.time())
            lost = False
        except (OSError, RuntimeError) as error:
            self.end("lost", str(error) or _BROKE.message)
        finally:
            stuck.cancel()
            _settle(sent, lost=lost)

    def _stuck(self) -> None:
        self.end("silent", "the other side does not read")
        self._cut()

    # Receiving

    async def run(self, receive: Callable[[Frame, int], None]) -> Ending:
        """Hand over each frame with its size in bytes until the connection ends; say why it did.

        Ping, Pong and Bye are dealt with here. `receive` must not wait and not raise.
        """
        loop = asyncio.get_running_loop()
        writing = loop.create_task(self._write())
        tasks = [writing, *map(loop.create_task, (self._read(receive), self._beat(), self._ended.wait()))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            results = await self._finish(writing, tasks)
        for result in results:
            if isinstance(result, Exception):  # a bug of ours
                _log.error("a connection failed", exc_info=result)
                return Ending("internal", type(result).__name__)
        assert self.ending is not None
        return self.ending

    async def _finish(self, writing: asyncio.Task[None], tasks: Iterable[asyncio.Task[object]]) -> list[object]:
        """Say Bye, close, and end the tasks; gives their results."""
        self.end(*_BROKE)
        assert self.ending is not None
        try:
            _, stuck = await asyncio.wait([writing], timeout=self.pace.closing)
            if stuck:
                self._cut()
            tell = not stuck and not self._said and self.ending.code != "lost"
            await self._close(Bye(*self.ending) if tell else None)
        finally:
            for task in tasks:
                task.cancel()
            results: list[object] = await asyncio.gather(*tasks, return_exceptions=True)
        return results

    async def _read(self, receive: Callable[[Frame, int], None]) -> None:
        loop = asyncio.get_running_loop()
        while self.ending is None:
            message = await self._websocket.receive()
            self._heartbeat.heard(loop.time())
            self._message.set()
            if message.type is WSMsgType.BINARY:
                self._receive(message.data, receive)
            elif message.type is WSMsgType.TEXT:
                self.end("frame", "a text message, frames are binary")
            elif message.type is WSMsgType.ERROR:
                self.end("frame", f"WebSocket: {message.data}")
            else:
                self.end(*_BROKE)

    def _receive(self, data: bytes, receive: Callable[[Frame, int], None]) -> None:
        if self.ending is not None:
            return  # it ended while this was read
        try:
            frame = decode(data)
        except FrameError as error:
            self.end("frame", error.message)
            return
        match frame:
            case Ping(number):
                self._pings += 1
                self.post(Pong(number))
                if self._pings > PINGS:
                    self.end("protocol", "too many Pings")
            case Pong():
                pass
            case Bye(code, message):
                self._said = True
                self.end(code, message)
            case Hello():
                self.end("protocol", "a second Hello")
            case _:
                receive(frame, len(data))

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.pace.beat / 4)
            self._pings = 0
            now = loop.time()
            idle = _idle(self._socket)
            if idle is not None:
                self._heartbeat.arriving(now - idle)
            if self._heartbeat.is_dead(now):
                self.end("silent", "nothing was heard any more")
            number = self._heartbeat.ping(now)
            if number is not None:
                self.post(Ping(number))

    # The end

    def end(self, code: str, message: str) -> None:
        """End it: run() says Bye and returns. Waiting senders are told at once."""
        if self.ending is not None:
            return
        self.ending = Ending(code, message)
        self._ended.set()
        self._work.set()
        while self._turns:
            _settle(self._turns.popleft()[1], lost=True)

    async def _close(self, bye: Bye | None) -> None:
        # Neither a peer that does not read nor one that is gone may hold this up.
        try:
            async with asyncio.timeout(self.pace.closing):
                if bye is not None:
                    await self._websocket.send_bytes(encode(bye))
                await self._websocket.close()
            # A transport that is closed still waits for what it has written to be read.
            asyncio.get_running_loop().call_later(self.pace.closing, self._cut)
        except (TimeoutError, OSError, RuntimeError):
            self._cut()
        except asyncio.CancelledError:
            self._cut()
            if _is_cancelled():  # and not the future of another task that waited to send
                raise
        finally:
            self.closed.set()

    def _cut(self) -> None:
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


async def closed(links: Iterable[Link]) -> None:
    """Wait for connections that were told to end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * CLOSING + 1):
            await asyncio.gather(*(link.closed.wait() for link in links))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _settle(sent: asyncio.Future[None] | None, *, lost: bool) -> None:
    if sent is None or sent.done():
        return
    if lost:
        sent.set_exception(LinkLost())
    else:
        sent.set_result(None)


def _ends(websocket: WebSocket) -> Ends:
    """Addresses and ports of this side and the other."""
    names = (websocket.get_extra_info("sockname"), websocket.get_extra_info("peername"))
    ours, theirs = ((str(name[0]), int(name[1])) if name else ("", 0) for name in names)
    return ours, theirs


def _idle(connection: TransportSocket | None) -> float | None:
    """Seconds since bytes came, also those of a long message that is not whole yet; None where nobody knows."""
    number = getattr(socket, "TCP_INFO", None)
    if connection is None or number is None:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, number, _LAST_DATA_RECEIVED + 4)
    except OSError:
        return None
    return float(unpack_from("=I", info, _LAST_DATA_RECEIVED)[0]) / 1000 if len(info) > _LAST_DATA_RECEIVED else None
