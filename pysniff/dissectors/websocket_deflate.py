"""permessage-deflate (RFC 7692): what was agreed on, and messages inflated in order.

With context takeover a message may repeat what up to 32 KiB before it said. Where that was not seen, it is inflated
twice, over a window of zeros and over one of ones: bytes that differ are those that nobody can know.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from pysniff.kept import FREE, Kept, Share
from pysniff.limits import Limits
from pysniff.message import Fault

_BLOCK = 64 * 1024  # bytes, in and out at a time
_STATE = 48 * 1_024  # bytes that zlib takes to decompress: a window, and tables
_WINDOW = 32 * 1024
_WINDOWS = (bytes(_WINDOW), b"\xff" * _WINDOW)
_TAIL = b"\x00\x00\xff\xff"  # §7.2.2: what the sender left away at the end of a message
# §7.2.3.4 allows a last block in the middle of a message; each needs a new decoder.
_RESTARTS = 64
UNKNOWN = "\ufffd".encode()


class Agreed(NamedTuple):
    """What both ends agreed on. `deflate`: None where nobody saw it. `takeover`: of client and server.

    `others`: extensions that are not undone here.
    """

    deflate: bool | None = None
    takeover: tuple[bool, bool] = (True, True)
    others: tuple[str, ...] = ()


def agreed(extensions: str) -> Agreed:
    """What the Sec-WebSocket-Extensions of a server's answer say. Window bits matter to nobody who only inflates."""
    deflate, takeover = False, (True, True)
    others = []
    for extension in extensions.lower().split(",", _EXTENSIONS)[:_EXTENSIONS]:
        name, *parameters = (part.partition("=")[0].strip() for part in extension.split(";"))
        if name == "permessage-deflate":
            deflate = True
            takeover = ("client_no_context_takeover" not in parameters, "server_no_context_takeover" not in parameters)
        elif name:
            others.append(name[:_NAME])
    return Agreed(deflate, takeover, tuple(others))


# Of one header, and characters of a name.
_EXTENSIONS = 16
_NAME = 64


class Inflated(NamedTuple):
    """`size`: bytes that came out, `content` those that are kept, `unknown` those that nobody can know.

    `differs`: 0xff in the place of each unknown byte that is kept.
    """

    content: bytes
    size: int
    unknown: int
    differs: bytes
    fault: Fault | None


class Inflater:
    """One direction. begin(), add() and end() of each message in order; lose() where one was not seen whole."""

    def __init__(self, limits: Limits, kept: Kept, takeover: bool, seen: bool) -> None:
        self._limits = limits
        self._in_all = kept
        self._share = self._own_share()
        self._takeover = takeover
        self._streams = [zlib.decompressobj(-15)]  # two while not all of the window is known
        self._known = _WINDOW  # bytes at the end of the window that are surely known
        self._kept = [bytearray()]  # of this message
        self._restarts = 0
        self.size = 0
        self.fault: Fault | None = None
        if not seen:
            self.lose()

    def weight(self) -> int:
        """Bytes of memory that it takes, but for what of the message counts in all."""
        return _STATE * len(self._streams) + sum([min(len(kept), FREE) for kept in self._kept])

    def lose(self) -> None:
        """Nothing is known of the window any more."""
        self._known = 0
        self._streams = [zlib.decompressobj(-15, zdict=window) for window in _WINDOWS]

    def begin(self) -> None:
        if not self._takeover:
            self._known = _WINDOW
            self._streams = [zlib.decompressobj(-15)]
        elif self._streams[0].eof:
            self.lose()
        self._kept = [bytearray() for _ in self._streams]
        self._share = self._own_share()
        self._restarts = 0
        self.size = 0
        self.fault = None

    def add(self, piece: bytes) -> None:
        """Take the next bytes of the message, unmasked; none are looked at after an error."""
        for start in range(0, len(piece), _BLOCK):
            self._add(piece[start : start + _BLOCK])

    def _add(self, data: bytes) -> None:
        while self.fault is None:
            # One more than is counted tells that there is more.
            most = min(_BLOCK, self._limits.decoded_bytes + 1 - self.size)
            try:
                blocks = [stream.decompress(data, most) for stream in self._streams]
            except zlib.error as error:
                self.fault = Fault("malformed", f"permessage-deflate: {error}")
                return
            self._take(blocks)
            stream = self._streams[0]
            data = stream.unused_data if stream.eof else stream.unconsumed_tail
            if not data and (stream.eof or len(blocks[0]) < most):
                return
            if stream.eof:
                self._restart()

    def end(self) -> Inflated:
        """The message is over."""
        if not self._streams[0].eof:
            self.add(_TAIL)
        inflated = self.now()
        if self.fault is not None:
            self.lose()
        elif self._known >= _WINDOW:
            del self._streams[1:]
        self._kept = []
        self._share = self._own_share()
        return inflated

    def _own_share(self) -> Share:
        return Share(self._in_all, min(self._limits.body_bytes, self._limits.decoded_bytes))

    def now(self) -> Inflated:
        """What came of the message so far."""
        content = bytes(self._kept[0]) if self._kept else b""
        differs = b"" if len(self._kept) < 2 else _differing(*self._kept)
        return Inflated(content, self.size, differs.count(255), differs, self.fault)

    def _take(self, blocks: list[bytes]) -> None:
        room = self._share.room(self.size + len(blocks[0])) - self.size
        self.size += len(blocks[0])
        if self.size > self._limits.decoded_bytes:
            self.fault = Fault("truncated", f"more than {self._limits.decoded_bytes} bytes come out")
            self.size -= 1
        if room > 0:
            for kept, block in zip(self._kept, blocks, strict=True):
                kept += block[:room]
        if len(blocks) == 2:
            differs = _differing(*blocks)
            known = len(differs) - 1 - differs.rfind(255)
            self._known = known + self._known if known == len(differs) else known

    def _restart(self) -> None:
        """The last block is over, the message is not: who sends one forgets the window, so what follows is new."""
        self._restarts += 1
        if self._restarts > _RESTARTS:
            self.fault = Fault("malformed", f"permessage-deflate: more than {_RESTARTS} last blocks")
            return
        self.lose()
        if len(self._kept) == 1:
            self._kept.append(bytearray(self._kept[0]))


def _differing(one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    """0xff where the two differ, 0 elsewhere."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def marked(inflated: Inflated) -> bytes:
    """The content of a text with a replacement character in the place of each unknown byte."""
    parts = []
    at = 0
    for run in re.finditer(rb"\xff+", inflated.differs):
        parts += [inflated.content[at : run.start()], UNKNOWN * (run.end() - run.start())]
        at = run.end()
    return b"".join([*parts, inflated.content[at:]])
