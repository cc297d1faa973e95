"""From what programs tell to chunks: each direction of a TLS object is one stream of bytes with its own offsets.

Bytes are given to a connection only when it is known which socket they belong to; until then they wait, bounded. Where
both ends of a connection are on this machine, the one that spoke first tells it.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from zlib import crc32

from pysniff.limits import MIB, SECOND
from pysniff.plain import PlainChunk
from pysniff.tracer.plaintext_records import Event, PlainRecord
from pysniff.tracer.plaintext_state import SENT

# TLS objects remembered; the longest silent go, and what they say afterwards is a new stream.
_MOST = 65_536
# What waits for its socket to become known: bytes and pieces of all together, and ns.
_WAITING_BYTES, _WAITING_PIECES, _WAITING = 16 * MIB, 65_536, 10 * SECOND

Ends = tuple[bytes, bytes]
Name = tuple[int, int, int]  # process, object, when it was born


@dataclass(slots=True)
class Losses:
    """What no chunk was made of, in bytes. `doubled`: the other end told them; `unknown`: no socket was ever known."""

    doubled: int = 0
    unknown: int = 0


@dataclass(slots=True)
class _Stream:
    ends: Ends | None = None
    held: list[PlainRecord] = field(default_factory=list)


@dataclass(slots=True)
class _Teller:
    """Who tells a connection: its `name`, `ends` and `pid`, when it spoke last (ns since boot), how far it came.

    `reader`: its number; another object of the same process is another reader.
    """

    name: Name
    ends: Ends
    pid: int
    last: int
    from_start: bool
    reached: list[int] = field(default_factory=lambda: [0, 0])
    gone: bool = False
    reader: int = field(init=False)

    def __post_init__(self) -> None:
        self.reader = crc32(repr(self.name).encode())


class PlainStreams:
    """`library`: what encrypts in the file of a number; `is_whole`: whether a record, at offset 0, is its first."""

    def __init__(self, library: Callable[[int], str], is_whole: Callable[[PlainRecord, Ends], bool]) -> None:
        self.losses = Losses()
        self.given = 0  # bytes
        self._offset = 0  # from the time since boot to that of packets, ns
        self._library, self._is_whole = library, is_whole
        self._streams: OrderedDict[Name, _Stream] = OrderedDict()
        self._tellers: OrderedDict[Ends, _Teller] = OrderedDict()  # by the ends in ascending order
        self._waiting: deque[tuple[int, Name]] = deque()
        self._waiting_bytes = self._waiting_pieces = 0

    @property
    def waiting(self) -> int:
        """Bytes whose socket is not known yet."""
        return self._waiting_bytes

    def take(self, records: Iterable[PlainRecord], offset: int) -> list[PlainChunk]:
        """Chunks in the order of their time, which is the records' with `offset` ns added."""
        chunks: list[PlainChunk] = []
        self._offset = offset
        for record in records:
            name = record.process, record.object, record.born
            stream = self._streams.get(name)
            if stream is None:
                stream = self._streams[name] = _Stream()
                if len(self._streams) > _MOST:
                    self._give_up(next(iter(self._streams)))
                    self._streams.popitem(last=False)
            else:
                self._streams.move_to_end(name)
            stream.ends = record.ends or stream.ends
            if stream.ends is not None and stream.held:
                for one in self._released(stream):
                    self._give(chunks, name, stream, one)
            if record.event == Event.DATA:
                if stream.ends is None:
                    self._hold(name, stream, record)
                else:
                    self._give(chunks, name, stream, record)
            elif record.event == Event.GONE:
                self._end(chunks, name, stream, record)
        chunks.sort(key=_time)
        return chunks

    def expire(self, now: int) -> None:
        """Give up what has waited for too long; `now`: ns since boot."""
        while self._waiting and self._waiting[0][0] + _WAITING < now:
            self._give_up(self._waiting.popleft()[1])

    def _hold(self, name: Name, stream: _Stream, record: PlainRecord) -> None:
        if not stream.held:
            self._waiting.append((record.at, name))
        stream.held.append(record)
        self._waiting_bytes += record.size
        self._waiting_pieces += 1
        while self._waiting_bytes > _WAITING_BYTES or self._waiting_pieces > _WAITING_PIECES:
            self._give_up(self._waiting.popleft()[1])

    def _give_up(self, name: Name) -> None:
        stream = self._streams.get(name)
        if stream is not None and stream.held:
            self.losses.unknown += sum(one.size for one in self._released(stream))

    def _released(self, stream: _Stream) -> list[PlainRecord]:
        """What it held."""
        held, stream.held = stream.held, []
        self._waiting_bytes -= sum(one.size for one in held)
        self._waiting_pieces -= len(held)
        return held

    def _give(self, chunks: list[PlainChunk], name: Name, stream: _Stream, record: PlainRecord) -> None:
        assert stream.ends is not None
        teller = self._teller(chunks, name, stream, record)
        if teller is None:
            self.losses.doubled += record.size
            return
        teller.reached[record.direction] = record.offset + record.size
        teller.last = max(teller.last, record.at)
        self.given += record.size
        chunks.append(self._chunk(teller, record))

    def _teller(self, chunks: list[PlainChunk], name: Name, stream: _Stream, record: PlainRecord) -> _Teller | None:
        """The connection's, if this is it: it stays who was first, so that no bytes are told by two."""
        assert stream.ends is not None
        connection = _sorted(stream.ends)
        teller = self._tellers.get(connection)
        if teller is not None and teller.name == name:
            return teller
        follows = teller is not None and not teller.gone and teller.name[0] != name[0]
        if teller is not None:
            if teller.ends == stream.ends:
                # A newer object at the same end: the same ports again, or TLS within that connection's TLS.
                if record.born <= (teller.last if teller.gone else teller.name[2]):
                    return None
            elif record.born <= teller.last + _silence(teller):
                return None
            if not teller.gone:
                self._say_end(chunks, teller, record)
        from_start = not follows and self._is_whole(record, stream.ends)
        self._tellers[connection] = teller = _Teller(name, stream.ends, record.pid, record.at, from_start)
        self._tellers.move_to_end(connection)
        if len(self._tellers) > _MOST:
            self._tellers.popitem(last=False)
        return teller

    def _end(self, chunks: list[PlainChunk], name: Name, stream: _Stream, record: PlainRecord) -> None:
        self._give_up(name)
        del self._streams[name]
        teller = self._tellers.get(_sorted(stream.ends)) if stream.ends is not None else None
        if teller is not None and teller.name == name and not teller.gone:
            teller.gone, teller.last = True, record.at
            self._say_end(chunks, teller, record)

    def _say_end(self, chunks: list[PlainChunk], teller: _Teller, record: PlainRecord) -> None:
        for direction, reached in enumerate(teller.reached):
            last = record._replace(direction=direction, offset=reached, size=0, data=b"")
            chunks.append(self._chunk(teller, last))

    def _chunk(self, teller: _Teller, record: PlainRecord) -> PlainChunk:
        local, remote = teller.ends
        sender, receiver = (local, remote) if record.direction == SENT else (remote, local)
        key = sender[:-2] + receiver[:-2] + sender[-2:] + receiver[-2:]
        at, library = record.at + self._offset, self._library(record.file)
        return PlainChunk(at, key, record.offset, record.data, teller.from_start, None, teller.reader, library)


def _silence(teller: _Teller) -> int:
    """ns of silence after which the other end's object must be another connection's, by the same ports.

    One end may begin to read when the other is gone already, and its process too.
    """
    if teller.gone:
        return 2 * SECOND
    return 60 * SECOND if _runs(teller.pid) else 10 * SECOND


def _sorted(ends: Ends) -> Ends:
    return ends if ends[0] < ends[1] else (ends[1], ends[0])


def _time(chunk: PlainChunk) -> int:
    return chunk.time_ns


def _runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        with suppress(PermissionError):
            os.kill(pid, 0)
        return True
    return False
