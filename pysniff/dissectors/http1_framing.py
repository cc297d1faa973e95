"""Where each HTTP/1 message of one half ends (RFC 9112 §6, §7), whatever cuts and losses there are.

A state is a method that takes data from a position on and returns how far it came; feed() calls states until the
data is used up. Every byte since `begin` belongs to the message being read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from pysniff.body import BodyBuilder
from pysniff.dissector import Output, Undecoded
from pysniff.dissectors.http import Content, Fields, content_fields
from pysniff.dissectors.http1_fields import read_fields
from pysniff.dissectors.http1_head import CHUNKED, ENDS, end_of_head
from pysniff.kept import FREE, Kept
from pysniff.limits import DEFAULT, MIB, Limits
from pysniff.message import Fault, Message, Side, noted

# Pieces of a body kept as they are; more are joined now and then, for a small bytes object weighs more than it holds.
_PIECES = 256
_PIECE = 40  # bytes that one takes beside its content
_USUAL = (DEFAULT.head_bytes, MIB, DEFAULT.decoded_bytes)
State = Callable[[bytes, int, int, list[Output]], int]

_HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
_LENGTHS = re.compile(rb"\ncontent-length[ \t]*:([^\r\n]*)")
_CODINGS = re.compile(rb"\ntransfer-encoding[ \t]*:([^\r\n]*)")


class Framing:
    """One half."""

    side: ClassVar[Side]
    start: ClassVar[re.Pattern[bytes]]  # a start line
    again: ClassVar[re.Pattern[bytes]]  # a start line that is one even where anything may stand before it

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.kept = Kept(limits)
        self.state: State = self.expect_head
        self.offset = 0  # of the first byte of the data being fed
        self.begin = 0
        self.first = 0  # packet time of the byte at `begin`
        self.last = 0
        self.head = b""
        self.faults: tuple[Fault, ...] = ()
        self.buffer = bytearray()  # an incomplete head, line or trailer section
        self._pieces: list[bytes] = []  # the body, while it is short
        self._body: BodyBuilder | None = None  # and when it is not
        self._room = 0  # bytes of it that are still kept
        self._filling = False  # a body of known length is being read
        self.reading = False  # the head is read, the body is not
        # No bound can matter within one segment, however large: only then are there short ways.
        bounds = (limits.head_bytes, limits.body_bytes, limits.decoded_bytes)
        self._usual = all(map(operator.ge, bounds, _USUAL))
        self.plain = self._usual  # the first byte of a message is due, and nothing before it matters to it
        self._continued = False  # bytes before the next head belong to its message
        self._need = 0  # bytes of a body or chunk still to come
        self._missing = 0  # bytes since `begin` that were lost
        self._resumed: tuple[Fault, ...] = ()  # for the first message after a loss
        self._skipped = 0  # bytes since that loss

    # What the two kinds of messages add

    def framed(self, head: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """A head with a sane start line: decide how long the body is."""
        raise NotImplementedError

    def begin_plain(self, data: bytes, at: int, out: list[Output]) -> int:
        """The common case in one step, where data begins with a head that has nothing odd about it.

        How far it came: 0 where it is not so, and nothing was done; expect_head() finds out the same with care.
        """
        return 0

    def message(self, size: int, at: int, body: Content, trailers: Fields) -> Message:
        """What was read, from `begin` on."""
        raise NotImplementedError

    def partial(self) -> None:
        """A head of which only the beginning came: nothing is known of a body."""

    def lost(self) -> None:
        """Whole messages may be missing."""

    # Feeding

    def feed(self, data: bytes, at: int) -> Sequence[Output]:
        end = len(data)
        out: list[Output] = []
        if self._filling and end <= self._need:  # most data is all body
            body = self._body
            if body is not None:
                body.add(data)
            elif end < self._room and len(self._pieces) < _PIECES:
                self._pieces.append(data)
                self._room -= end
            else:
                self.add(data)
            self._need -= end
            self.last = at
            if not self._need:
                self.finish(self.collected(), end, at, out)
            self.offset += end
            return out
        position = self.begin_plain(data, at, out) if self.plain else 0
        while position < end:
            position = self.state(data, position, at, out)
        self.offset += end
        self.last = at
        return out

    def pending(self) -> int:
        return self.offset - self.begin - self._missing

    def weight(self) -> int:
        """About how many bytes of memory the message being read takes, without its share."""
        body = self._body
        kept = sum([len(piece) for piece in self._pieces]) if body is None else min(body.size, FREE)
        return len(self.head) + len(self.buffer) + kept + _PIECE * len(self._pieces)

    def snapshot(self) -> Message | None:
        """The message being read, as far as it came."""
        return self.message(self.pending(), self.last, self.collected(), ()) if self.reading else None

    def gap(self, size: int, at: int) -> list[Output]:
        out: list[Output] = []
        fault = Fault("gap", "bytes of this message were lost", size)
        in_body = self.state in (self._more_fixed, self._chunk_data)
        if in_body and 0 < size <= self._need:
            self._need -= size
            self._miss(size, fault)
            if not self._need and self.state == self._chunk_data:
                self.state = self._chunk_end
            elif not self._need:
                self.finish(self.collected(), 0, at, out)
        elif self.state == self.until_close:
            self._miss(size, fault)
        else:
            self._cut(fault, at, out)
            self.lost()
            self.offset += size
            self.begin = self.offset
            self._resume(Fault("gap", "bytes before this message were lost", size))
        return out

    def _miss(self, size: int, fault: Fault) -> None:
        """Bytes of the body being read are missing."""
        self.offset += size
        self._missing += size
        self.faults = noted(self.faults, fault)

    def close(self, at: int) -> list[Output]:
        out: list[Output] = []
        if self.state == self.until_close:
            self.finish(self.collected(), 0, self.last, out)
        self._cut(Fault("truncated", "the connection ended within this message"), self.last, out)
        return out

    def finish(self, body: Content, position: int, at: int, out: list[Output], trailers: Fields = ()) -> None:
        """The message ends at `position` of the data being fed."""
        end = self.offset + position
        message = self.message(end - self.begin - self._missing, at, body, trailers)
        if self._body is not None:
            message.share, self._body = self._body.share, None
        elif self._pieces:  # they are the message's
            self._pieces = []
        out.append(message)
        self.begin = end
        self._missing = 0
        self.reading = self._continued = self._filling = False
        self.plain = self._usual
        self.state = self.expect_head

    # Heads

    def expect_head(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        self.plain = False
        if not self._continued:
            self.begin = self.offset + position
            self.first = at
        if data[position] in b"\r\n":  # RFC 9112 §2.2: empty lines before a start line mean nothing
            position = _empty_lines(data, position).end()  # type: ignore[union-attr]  # matches anything
            self._continued = True
            if position == len(data):
                return position
        end, size = end_of_head(data, position)
        if end < 0:
            self.buffer += data[position:]
            self.state = self._more_head
            return self._check_start(len(data), at, out)
        return self._read_head(data[position:end], size, data, end + size, at, out)

    def _more_head(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        buffer = self.buffer
        known = len(buffer)
        buffer += data[position:]
        end, size = end_of_head(buffer, max(0, known - 3))
        if end < 0:
            return self._check_start(len(data), at, out)
        head = bytes(buffer[:end])
        buffer.clear()
        return self._read_head(head, size, data, position + end + size - known, at, out)

    def _check_start(self, end: int, at: int, out: list[Output]) -> int:
        """Give up early on what cannot become a head."""
        buffer = self.buffer
        if len(buffer) > self.limits.head_bytes:
            return self._pass_over("header block too long", end, at, out)
        if b"\n" in buffer:
            if self.start.match(buffer) is None:
                return self._abandon("not HTTP", end, at, out)
        elif len(buffer) > self.limits.line_bytes:
            return self._abandon("start line too long", end, at, out)
        return end

    def _read_head(self, head: bytes, size: int, data: bytes, position: int, at: int, out: list[Output]) -> int:
        if len(head) + size > self.limits.head_bytes:
            self.buffer += head + ENDS[size]
            return self._pass_over("header block too long", position, at, out)
        if self.start.match(head + b"\n") is None:
            self.buffer += head + ENDS[size]
            return self._abandon("not HTTP", position, at, out)
        self.head = head
        self.faults = self.faults + self._resumed if self._continued else self._resumed
        self._resumed = ()
        return self.framed(head, data, position, at, out)

    # Bodies

    def content_length(self, low: bytes) -> int:
        """The Content-Length that counts, -1 where there is none that makes sense. `low`: the head in lower case."""
        values = [value.strip() for field in _LENGTHS.findall(low) for value in field.split(b",")]
        sane = [int(value) for value in values if value.isdigit() and len(value) < 20]
        if not sane or len(sane) < len(values):
            self.faults += (Fault("malformed", "invalid Content-Length"),)
        elif len(set(sane)) > 1:
            self.faults += (Fault("malformed", "conflicting Content-Length fields; the first one stands"),)
        elif len(values) > 1:
            self.faults += (Fault("malformed", "repeated Content-Length"),)
        return sane[0] if sane else -1

    def chunked(self, low: bytes) -> bool:
        """Whether the last transfer coding is chunked; notes a Content-Length beside it (RFC 9112 §6.3)."""
        if b"\ncontent-length" in low:
            self.faults += (Fault("malformed", "Content-Length beside Transfer-Encoding, which stands"),)
        codings = b",".join(_CODINGS.findall(low)).split(b",")
        return codings[-1].strip() == b"chunked"

    def fixed(self, need: int, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """A body of known length begins here."""
        end = position + need
        if len(data) >= end and self._usual:
            self.finish(data[position:end], end, at, out)
            return end
        self.collect(self._more_fixed)
        self._filling = True
        self._need = need
        return position

    def begin_body(self, head: bytes, need: int, at: int) -> None:
        """A message began with this head, now comes its body: `need` as plain_head() says it."""
        self.begin = self.offset
        self.first = at
        self.head = head
        self.faults = ()
        if need >= 0:
            self.collect(self._more_fixed)
            self._filling = True
            self._need = need
        else:
            self.collect(self.chunk if need == CHUNKED else self.until_close)

    def collect(self, state: State) -> None:
        """A body begins that need not end in the data at hand."""
        self._pieces = []
        self._body = None
        self._room = FREE if self._usual else 0
        self.reading = True
        self.plain = False
        self.state = state

    def add(self, piece: bytes) -> None:
        """The next bytes of the body."""
        body = self._body
        if body is None:
            if len(piece) < self._room and len(self._pieces) < _PIECES:
                self._room -= len(piece)
                self._pieces.append(piece)
                return
            self._body = body = BodyBuilder(self.limits, *content_fields(read_fields(self.head)), kept=self.kept)
            for kept in self._pieces:
                body.add(kept)
            self._room = 0
        body.add(piece)

    def collected(self) -> Content:
        """The body as far as it came; nothing is read of the head that nobody asked for."""
        return list(self._pieces) if self._body is None else self._body.body()

    def _more_fixed(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        need = self._need
        rest = len(data) - position
        if rest < need:
            self.add(data[position:] if position else data)
            self._need = need - rest
            return len(data)
        end = position + need
        self.add(data[position:end])
        self.finish(self.collected(), end, at, out)
        return end

    def until_close(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        self.add(data[position:] if position else data)
        return len(data)

    # Chunks (RFC 9112 §7.1)

    def chunk(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """A chunk size line, and its chunk if it is all there."""
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end
        room = self.limits.line_bytes - len(self.buffer)
        if stop - position > room:
            return self._break_off("chunk size line too long", position + room + 1, at, out)
        if end >= 0 and not self.buffer:
            return self._sized(data[position:end], data, end + 1, at, out)
        self.buffer += data[position:stop]
        if end < 0:
            return stop
        line = bytes(self.buffer)
        self.buffer.clear()
        return self._sized(line, data, end + 1, at, out)

    def _sized(self, line: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        digits = line.partition(b";")[0].strip()
        if not _HEX.fullmatch(digits):
            return self._break_off("invalid chunk size", position, at, out)
        size = int(digits, 16)
        end = position + size
        if not size:
            if data[position : position + 2] == b"\r\n":
                self.finish(self.collected(), position + 2, at, out)
                return position + 2
            self.buffer += b"\n"  # of the last chunk, so that an empty line right behind it is seen as one
            self.state = self._trailer_section
            return position
        if data[end : end + 2] == b"\r\n":
            self.add(data[position:end])
            return end + 2
        self._need = size
        self.state = self._chunk_data
        return position

    def _chunk_data(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        end = min(len(data), position + self._need)
        self.add(data[position:end])
        self._need -= end - position
        if not self._need:
            self.state = self._chunk_end
        return end

    def _chunk_end(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        if data[position] == 13 and not self.buffer:
            self.buffer += b"\r"
            return position + 1
        self.buffer.clear()
        if data[position] != 10:
            return self._break_off("no line end behind a chunk", position, at, out)
        self.state = self.chunk
        return position + 1

    def _trailer_section(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        known = len(self.buffer)
        self.buffer += data[position:]
        end, size = end_of_head(self.buffer, max(0, known - 3))
        if end < 0:
            if len(self.buffer) > self.limits.head_bytes:
                return self._break_off("trailer section too long", len(data), at, out)
            return len(data)
        trailers = read_fields(b"-\r" + self.buffer[:end]) if end else ()
        self.buffer.clear()
        position += end + size - known
        self.finish(self.collected(), position, at, out, trailers)
        return position

    # Losses

    def _break_off(self, reason: str, position: int, at: int, out: list[Output]) -> int:
        """The framing of this message's body is broken: what was read of it stands."""
        self.faults += (Fault("malformed", reason),)
        self.buffer.clear()
        self.finish(self.collected(), position, at, out)
        self._resume(Fault("malformed", "what is before this message was not understood"))
        return position

    def _cut(self, fault: Fault, at: int, out: list[Output]) -> None:
        """Nothing more will come of the message being read."""
        if self.state == self._more_head and self.start.match(self.buffer):
            self.head = bytes(self.buffer).rstrip(b"\r\n")
            self.faults = (*self.faults, *self._resumed, fault) if self._continued else (*self._resumed, fault)
            self._resumed = ()
            self.partial()
            self.finish(b"", 0, at, out)
        elif self.reading:
            self.faults += (fault,)
            self.finish(self.collected(), 0, at, out)
        elif self.offset > self.begin:
            out.append(Undecoded(self.side, self.offset - self.begin, "cut off"))
            self.begin = self.offset
        self.buffer.clear()

    def _abandon(self, reason: str, position: int, at: int, out: list[Output]) -> int:
        """`buffer`, which ends at `position`, is no head; perhaps one begins in it."""
        text = bytes(self.buffer)
        # Not from its first byte on: that would only lead here again.
        self._refuse(1, len(text), reason, position, out)
        self._read_again(text[1:], at, out)
        return position

    def _pass_over(self, reason: str, position: int, at: int, out: list[Output]) -> int:
        """`buffer`, which ends at `position`, begins like a head, but is none: look behind it.

        Within it every line may begin like a head again, and each would be as long.
        """
        size = len(self.buffer)
        self._refuse(size, size, reason, position, out)
        return position

    def _refuse(self, size: int, buffered: int, reason: str, position: int, out: list[Output]) -> None:
        """Give back `size` bytes of what is buffered, and empty lines before them, for this reason."""
        self.buffer.clear()
        before = self.offset + position - buffered - self.begin
        if before:
            out.append(Undecoded(self.side, before, "empty lines"))
        out.append(Undecoded(self.side, size, reason))
        self.begin += before + size
        self._resume(Fault("malformed", f"what is before this message was skipped: {reason}"))

    def _resume(self, fault: Fault) -> None:
        self._resumed = (fault,)
        self._skipped = 0
        self.plain = self._continued = False
        self.state = self._search

    def _search(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """Look for a start line, which may have begun in the line that is in `buffer`."""
        text = bytes(self.buffer) + data[position:] if self.buffer else data[position:] if position else data
        found = self.again.search(text) if b"HTTP/1." in text else None  # most has no such word: 20 times as fast
        if found:
            skip = found.start()
        else:
            skip = max(text.rfind(b"\n") + 1, len(text) - self.limits.line_bytes)
        if skip:
            out.append(Undecoded(self.side, skip, "no message begins here"))
            self.begin += skip
            self._skipped += skip
        buffered = bool(self.buffer)
        self.buffer.clear()
        if not found:
            self.buffer += text[skip:]
            return len(data)
        if not (self._skipped or self._resumed[0].bytes) and self._resumed[0].kind == "gap":
            self._resumed = ()  # joined in the middle, and right at the beginning of a message
        self.state = self.expect_head
        if not buffered:
            return position + skip
        self._read_again(text[skip:], at, out)
        return len(data)

    def _read_again(self, text: bytes, at: int, out: list[Output]) -> None:
        """Run the states over bytes from `begin` on that were buffered."""
        offset, self.offset = self.offset, self.begin
        position = 0
        while position < len(text):
            position = self.state(text, position, at, out)
        self.offset = offset


_empty_lines = re.compile(rb"[\r\n]*").match
