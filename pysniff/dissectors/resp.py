"""RESP2 and RESP3 values out of bytes that come cut anywhere (redis.io/docs/reference/protocol-spec).

Nothing is looked at twice and nothing recurses: open aggregates lie on a stack, a long string is kept
up to what is left of limits.body_bytes and counted beyond.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.dissector import Malformed
from pysniff.dissectors.resp_values import AGGREGATES, PAIRS, SIMPLE, STRINGS, Found, Value, integer
from pysniff.kept import FREE, Kept, Share
from pysniff.limits import Limits

DEPTH = 64  # of nested aggregates; the deepest answer of Redis itself has about ten
COUNT = 1 << 32  # items of an aggregate: what Redis allows
BULK = 1 << 32  # bytes of a string; the default of proto-max-bulk-len is 512 MiB
_COST = 64  # bytes charged for a kept value beside its content


class _Frame:
    """An aggregate that is not complete. `left`: items to come, -1 where an end mark will tell."""

    __slots__ = ("kind", "left", "seen", "items")

    def __init__(self, kind: str, left: int) -> None:
        self.kind = kind
        self.left = left
        self.seen = 0
        self.items: list[Value] = []


class Reader:
    """The values of one half. With `client`, inline commands are commands as well."""

    def __init__(self, limits: Limits, client: bool) -> None:
        self.kept = Kept(limits)
        self._limits = limits
        self._client = client
        self._fed = 0
        self._begin(0)

    def _begin(self, offset: int) -> None:
        """Be ready for a message whose first byte is at `offset`."""
        self._start = offset
        self._first = -1
        self._share: Share | None = None
        self._room = self._given = min(FREE, self._limits.body_bytes)
        self._cut = False
        self._lost = 0
        self._stack: list[_Frame] = []
        self._attributes: Value | None = None
        self._line: list[bytes] = []
        self._line_size = 0
        self._kind = ""  # of the string being read
        self._length = 0  # of it, as declared so far
        self._left = 0  # bytes of it still to come, with its CRLF
        self._content: bytes | bytearray = b""
        self._end = b""
        self._streaming = False  # a string that comes in chunks

    def pending(self) -> int:
        """Bytes of the message that is not complete."""
        return self._fed - self._start - self._lost

    def weight(self) -> int:
        """About how many bytes of memory it takes, without its share."""
        return 2 * min(self._given - self._room, FREE) + self._line_size

    def drop(self) -> int:
        """Forget the message that is not complete; how many bytes it had."""
        size = self.pending()
        self._begin(self._fed)
        return size

    def skip(self, size: int) -> None:
        """Pass over `size` bytes that were lost, or that somebody else accounts for; only between messages."""
        self._fed += size
        self._begin(self._fed)

    def gap(self, size: int) -> bool:
        """Whether the lost bytes were all inside of a string, so that its end is still known."""
        if size > self._left - 2:
            return False
        self._left -= size
        self._lost += size
        self._fed += size
        return True

    def feed(self, data: bytes, at: int) -> Iterator[Found]:
        """The values that `data` completes; raise Malformed."""
        base = self._fed
        self._fed += len(data)
        here, size = 0, len(data)
        while here < size:
            if self._first < 0:
                self._first = at
            if self._left:
                here = self._string(data, here)
                if self._left:
                    return
                value = self._string_end()
            else:
                end = data.find(b"\n", here) + 1
                if not end:
                    self._keep_line(data[here:])
                    return
                if self._line:
                    self._keep_line(data[here:end])
                    line = b"".join(self._line)
                    self._line = []
                    self._line_size = 0
                else:
                    line = data[here:end]
                here = end
                self._check_line(len(line))
                value = self._header(line)
            if value is not None:
                start, stop = self._start, base + here
                found = Found(
                    value, self._first, at, start, stop - start - self._lost, self._cut, self._lost, self._attributes
                )
                self._begin(stop)
                yield found

    def _keep_line(self, piece: bytes) -> None:
        self._line.append(piece)
        self._line_size += len(piece)
        self._check_line(self._line_size)

    def _check_line(self, size: int) -> None:
        if size > self._limits.head_bytes:
            raise Malformed(f"a line exceeds {self._limits.head_bytes} bytes")

    def _string(self, data: bytes, here: int) -> int:
        """Take what is there of a string and its CRLF; where it stops."""
        stop = min(len(data), here + self._left)
        border = min(stop, here + max(self._left - 2, 0))
        if border > here:
            size = border - here
            room = max(self._room if size <= self._room else self._more(size), 0)
            if size > room:
                self._cut = True
            self._room -= size
            self._keep(data[here : min(border, here + room)])
        if stop > border:
            self._end += data[border:stop]
        self._left -= stop - here
        return stop

    def _more(self, size: int) -> int:
        """How much of the next `size` bytes there is room for, in this message and in all."""
        if self._share is None:
            self._share = Share(self.kept, self._limits.body_bytes)
        used = self._given - self._room
        self._given = self._share.room(used + size)
        self._room = self._given - used
        return self._room

    def _keep(self, piece: bytes) -> None:
        if not self._content:
            self._content = piece
        elif isinstance(self._content, bytes):
            self._content = bytearray(self._content + piece)
        else:
            self._content += piece

    def _string_end(self) -> Value | None:
        if self._end != b"\r\n":
            raise Malformed("a string does not end where its length says")
        self._end = b""
        return None if self._streaming else self._string_value()

    def _string_value(self) -> Value | None:
        content = bytes(self._content)
        self._content = b""
        self._streaming = False
        if self._kind == "verbatim_string":
            content = content[4:]  # three characters of format and a colon
        return self._add(Value(self._kind, content, self._length))

    def _header(self, line: bytes) -> Value | None:
        if self._client and not self._stack and not self._streaming and line[0] != 0x2A:
            return self._inline(line)
        if line[-2:] != b"\r\n":
            raise Malformed("a line does not end in CRLF")
        sign, rest = line[0], line[1:-2]
        if self._streaming:
            return self._chunk(sign, rest)
        if sign in STRINGS:
            return self._begin_string(STRINGS[sign], rest)
        if sign in AGGREGATES:
            return self._begin_aggregate(AGGREGATES[sign], rest)
        if sign == 0x3A:
            return self._add(Value("integer", integer(rest)))
        if sign in SIMPLE:
            return self._add(Value(SIMPLE[sign], rest, len(rest)))
        if sign == 0x23 and rest in (b"t", b"f"):
            return self._add(Value("boolean", rest == b"t"))
        if sign == 0x5F and not rest:
            return self._add(Value("null", None))
        if sign == 0x2E and not rest and self._stack and self._stack[-1].left < 0:
            return self._close()
        raise Malformed("no RESP type starts like that")

    def _inline(self, line: bytes) -> Value | None:
        words = line.split()
        if not words:
            return None  # Redis ignores empty lines; the bytes go with the next command
        if not words[0].replace(b".", b"").replace(b"-", b"").replace(b"_", b"").isalnum():
            raise Malformed("neither an array nor an inline command")
        return Value("array", tuple(Value("bulk_string", word, len(word)) for word in words), len(words))

    def _begin_string(self, kind: str, rest: bytes) -> Value | None:
        if rest == b"-1":
            return self._add(Value("null", None))
        self._kind = kind
        self._length = 0
        if rest == b"?":
            self._streaming = True
            return None
        self._expect(rest)
        return None

    def _expect(self, digits: bytes) -> None:
        length = integer(digits)
        if not 0 <= length <= BULK:
            raise Malformed("a string of impossible length")
        self._length += length
        self._left = length + 2

    def _chunk(self, sign: int, rest: bytes) -> Value | None:
        if sign != 0x3B:
            raise Malformed("a streamed string is interrupted")
        if rest == b"0":
            return self._string_value()
        self._expect(rest)
        self._room -= _COST
        return None

    def _begin_aggregate(self, kind: str, rest: bytes) -> Value | None:
        count = -1 if rest == b"?" else integer(rest)
        if self._client and not self._stack and rest != b"?" and count <= 0:
            return None  # Redis ignores empty commands
        if rest == b"-1":
            return self._add(Value("null", None))
        if kind in PAIRS and count > 0:
            count *= 2
        if not -1 <= count <= COUNT or (count < 0 and rest != b"?"):
            raise Malformed("an aggregate of impossible length")
        if len(self._stack) >= DEPTH:
            raise Malformed(f"aggregates nested deeper than {DEPTH}")
        self._stack.append(_Frame(kind, count))
        self._room -= _COST
        return self._close() if count == 0 else None

    def _close(self) -> Value | None:
        """End the innermost aggregate."""
        frame = self._stack.pop()
        value = Value(frame.kind, tuple(frame.items), frame.seen)
        if frame.kind != "attribute":
            return self._add(value)
        # It describes the value that follows and is no item itself.
        if not self._stack:
            self._attributes = value
        return None

    def _add(self, value: Value) -> Value | None:
        """Put a value into the innermost aggregate; the outermost one, once it is whole."""
        stack = self._stack
        while stack:
            frame = stack[-1]
            frame.seen += 1
            self._room -= _COST
            if self._room > 0 or self._more(1) > 0:
                frame.items.append(value)
            else:
                self._cut = True
            if frame.left < 0:
                return None
            frame.left -= 1
            if frame.left:
                return None
            stack.pop()
            value = Value(frame.kind, tuple(frame.items), frame.seen)
            if frame.kind == "attribute":
                if not stack:
                    self._attributes = value
                return None
        return value
