"""One half of a WebSocket connection: frames cut anywhere, put together to messages (RFC 6455 §5).

Every byte taken is in a message, was given back as undecoded, or is pending().
"""

from __future__ import annotations

from pysniff.dissector import Output, Undecoded
from pysniff.dissectors.websocket_building import Building, show
from pysniff.dissectors.websocket_deflate import Agreed, Inflater
from pysniff.dissectors.websocket_header import (
    BINARY,
    CONTINUATION,
    CONTROL,
    LONGEST,
    OPCODES,
    RSV1,
    TEXT,
    Header,
    careless,
    find,
    foreign,
    in_turn,
    plausible,
    read,
)
from pysniff.dissectors.websocket_messages import WebSocketMessage
from pysniff.dissectors.websocket_payload import unmask
from pysniff.kept import Kept
from pysniff.limits import KIB, Limits
from pysniff.message import CLIENT, Fault, Message, Side

# First bytes of frames that are whole messages with nothing special about them; and of compressed ones.
_PLAIN = frozenset(0x80 | opcode for opcode in OPCODES if opcode != CONTINUATION)
_CODED = frozenset((0x80 | RSV1 | TEXT, 0x80 | RSV1 | BINARY))
_SEARCHED = 256 * KIB  # bytes in which two frames must begin to be believed after a loss
_DOUBT = 2  # messages after a loss that are marked, for where they begin was found from their look
_JOINED = Fault("midstream", "the capture began within the conversation")
_ODD = 4  # frames in a row that no endpoint may send: these are none


class Half:
    """`broken`: why no more frames can be read; whatever comes is pending until somebody asks for it."""

    def __init__(self, side: Side, limits: Limits, agreed: Agreed, subprotocol: str, kept: Kept) -> None:
        self.broken = ""
        self._side = side
        self._limits = limits
        self._kept = kept
        self._agreed = agreed
        self._subprotocol = subprotocol
        self._masked = 0x80 if side is CLIENT else 0
        self._inflates = agreed.deflate is True
        self._rsv1 = agreed.deflate is not False or bool(agreed.others)
        self._searched = min(_SEARCHED, limits.body_bytes)
        self._inflater: Inflater | None = None
        self._offset = 0  # of the next byte
        self._buffer = b""  # a header that is not all there
        self._first = 0  # packet time of its first byte
        self._message: Building | None = None  # which has begun, in fragments or in this frame
        self._current: Building | None = None  # whose payload is being read: that, or a control frame
        self._fin = False
        self._need = 0  # bytes of this payload still to come
        self._astray: bytearray | None = None  # bytes in which frames are searched
        self._came: list[tuple[int, int]] = []  # sizes and times of the last pieces of them
        self._enough = 0  # so many of them are needed to say more
        self._doubt = 0
        self._loss: Fault | None = None  # the last one, until a message begins behind it
        self._resumed = _JOINED  # for messages in doubt
        self._seen = agreed.deflate is not None  # every message so far, or none of the others was compressed
        self._odd = 0  # in a row
        self._plain = limits.body_bytes >= 1 << 16  # no bound can matter within a short frame

    def weight(self) -> int:
        """About how many bytes of memory decompression takes."""
        return 0 if self._inflater is None else self._inflater.weight()

    # Feeding

    def feed(self, data: bytes, at: int) -> list[Output]:
        out: list[Output] = []
        end = len(data)
        position = 0
        if self._plain and not (self._current or self._message or self._buffer or self._doubt or self._loss):
            position = self._whole_frames(data, at, out)
        while position < end and not self.broken:
            if self._need:
                position = self._more(data, position, at, out)
            elif self._astray is not None:
                known = len(self._astray)
                self._astray += data[position:]
                self._came.append((end - position, at))
                if len(self._astray) < self._enough:
                    break
                text = bytes(self._astray)
                self._offset += position - known
                start = self._search(text, False, out)
                if start < len(text):
                    return out + self._again(text, start)
                data, position, end = text, start, len(text)
            else:
                position = self._header(data, position, at, out)
        if self.broken:
            self._buffer += data[position:]
        self._offset += end
        return out

    def _again(self, text: bytes, start: int) -> list[Output]:
        """Read on where a frame was found in bytes that came before, each as of the time at which it came."""
        out: list[Output] = []
        came, self._came = self._came, []
        self._offset += start
        begin = len(text) - sum(size for size, _ in came)
        for size, at in came:
            end = begin + size
            if end > start:
                out += self.feed(text[start:end], at)
                start = end
            begin = end
        return out

    def _whole_frames(self, data: bytes, at: int, out: list[Output]) -> int:
        """The common case, from the first byte on: how far it came."""
        side, offset, masked, subprotocol = self._side, self._offset, self._masked, self._subprotocol
        end = len(data)
        position = 0
        while position + 2 <= end:
            first = data[position]
            length = data[position + 1] ^ masked
            start = position + 2
            coded = first in _CODED and self._inflates
            if length > 126 or not (first in _PLAIN or coded):
                break
            if length == 126:
                start += 2
                length = data[position + 2] << 8 | data[position + 3] if start <= end else 0
                if length < 126 or first & CONTROL:
                    break
            mask = b""
            if masked:
                start += 4
                mask = data[start - 4 : start]
            stop = start + length
            if stop > end:
                break
            place, size, opcode = offset + position, stop - position, first & 15
            payload = data[start:stop]
            if coded:
                payload, mask = unmask(payload, mask), b""
            message = WebSocketMessage(side, at, at, place, size, opcode, payload, mask, subprotocol)
            if coded:
                self._inflate(message, payload)
            out.append(message)
            position = stop
            self._odd = 0
        return position

    def _inflate(self, message: WebSocketMessage, payload: bytes) -> None:
        """A message in one frame, which is all there."""
        inflater = self._inflating()
        inflater.begin()
        inflater.add(payload)
        show(message, inflater.end())

    def _inflating(self) -> Inflater:
        if self._inflater is None:
            self._inflater = Inflater(self._limits, self._kept, self._agreed.takeover[self._side], self._seen)
        return self._inflater

    def _header(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        known = len(self._buffer)
        text = self._buffer + data[position : position + LONGEST - known]
        header = read(text, 0, len(text))
        first = self._first if known else at
        if header is None:
            self._buffer, self._first = text, first
            return len(data)
        place = self._offset + position - known
        self._buffer = b""
        problem = foreign(header, self._rsv1)
        begun = None if self._loss else self._message is not None
        if self._doubt and not (plausible(header, self._side, self._rsv1) and in_turn(header, begun)):
            self._lose(self._resumed, at, out)
            self._astray, self._enough, self._came = bytearray(text), 0, [(len(text), first)]
            return position + len(text) - known
        self._odd = self._odd + 1 if problem else 0
        if header.length >> 63 or self._odd == _ODD:
            self.broken = "no WebSocket frames" if self._odd == _ODD else "a frame of more than 2^63 bytes"
            self._buffer = text
            return position + len(text) - known
        problem = problem or careless(header, self._side)
        building = self._message if header.opcode == CONTINUATION else None
        if building is None:
            building = self._begin(header, first, place, out)
        if problem:
            building.fault(Fault("malformed", problem))
        building.frame(header.size, header.mask, at)
        self._current = building
        self._fin = header.fin or header.opcode >= CONTROL
        self._need = header.length
        if not self._need:
            self._end_of_frame(building, at, out)
        return position + header.size - known

    def _begin(self, header: Header, first: int, place: int, out: list[Output]) -> Building:
        """A message begins, or a control frame, which may stand between the fragments of a message (§5.4)."""
        opcode = header.opcode
        building = Building(self._limits, self._kept, self._side, opcode, first, place, self._subprotocol)
        if opcode >= CONTROL:
            return building
        if self._message is not None:
            self._message.spoil(Fault("malformed", "another message began before this one was over"))
            self._finish(self._message, self._message.last, out)
        self._message = building
        if opcode == CONTINUATION:
            building.fault(self._loss or Fault("malformed", "a continuation of nothing"))
        else:
            self._loss = None
            if header.bits & RSV1 and opcode in (TEXT, BINARY) and self._rsv1:
                self._coded(building)
        return building

    def _coded(self, message: Building) -> None:
        """Its first frame says that an extension changed the payload."""
        agreed = self._agreed
        if agreed.deflate is False:
            names = ", ".join(agreed.others)
            message.fault(Fault("malformed", f"coded with an extension ({names}): the payload is as it was sent"))
            return
        if agreed.deflate is None:
            message.fault(Fault("midstream", "the handshake was not seen: taken for permessage-deflate"))
        message.inflate(self._inflating())

    def _more(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """Payload of the current frame."""
        current = self._current
        assert current is not None
        end = min(len(data), position + self._need)
        if end > position:
            current.add(data[position:end] if position or end < len(data) else data, at)
            self._need -= end - position
        if not self._need:
            self._end_of_frame(current, at, out)
        return end

    def _end_of_frame(self, current: Building, at: int, out: list[Output]) -> None:
        self._current = None
        if self._fin:
            self._finish(current, at, out)

    def _finish(self, building: Building, at: int, out: list[Output]) -> None:
        if building is self._message:
            self._message = None
        if self._doubt:
            self._doubt -= 1
            building.fault(self._resumed)
        out.append(building.message(at))
        if building.opcode == CONTINUATION:
            self._forget()  # it may have been compressed

    def pending(self) -> int:
        return (
            len(self._buffer) + len(self._astray or b"") + sum([building.size for building in self._begun_messages()])
        )

    def _begun_messages(self) -> list[Building]:
        begun = (self._message, self._current if self._current is not self._message else None)
        return [building for building in begun if building is not None]

    def snapshot(self) -> Message | None:
        """The message being read, as far as it came."""
        return None if self._message is None else self._message.snapshot()

    # Losses

    def gap(self, size: int, at: int) -> list[Output]:
        out: list[Output] = []
        if size and size <= self._need:
            assert self._current is not None
            self._current.skip(size)
            self._need -= size
            if not self._need:
                self._end_of_frame(self._current, at, out)
        else:
            self._lose(Fault("gap", "the end of this message was lost", size), at, out)
            words = "bytes before this message were lost: where it begins was found anew"
            self._doubtful(Fault("gap", words) if size else _JOINED)
        self._offset += size
        return out

    def join(self) -> None:
        """Nobody knows what came before."""
        self._doubtful(_JOINED)

    def _doubtful(self, fault: Fault) -> None:
        self._resumed = self._loss = fault
        self._doubt = _DOUBT

    def close(self, at: int) -> list[Output]:
        out: list[Output] = []
        if self._astray is not None:
            text = bytes(self._astray)
            self._offset -= len(text)
            start = self._search(text, True, out)
            self._astray = None
            self._came = self._came or [(len(text), at)]
            out += self._again(text, start)
        self._lose(Fault("truncated", "the connection ended within this message"), at, out, "cut off")
        return out

    def _lose(self, fault: Fault, at: int, out: list[Output], reason: str = "gap") -> None:
        """Nothing more will come of what has begun; what follows may begin anywhere."""
        begun = self._begun_messages()
        self._current = None
        self._need = 0
        for building in begun:
            building.spoil(fault)
            self._finish(building, building.last, out)
        left = len(self._buffer) + len(self._astray or b"")
        if left:
            out.append(Undecoded(self._side, left, reason))
        self._buffer, self._astray = b"", None
        self._loss = self._resumed
        self._forget()

    def _forget(self) -> None:
        """Messages were not seen: compressed ones may repeat what they said."""
        self._seen = False
        if self._inflater is not None:
            self._inflater.lose()

    def _search(self, text: bytes, ended: bool, out: list[Output]) -> int:
        """Where frames begin again in bytes that begin at the offset, or how far that is clear."""
        found = find(text, self._side, self._rsv1, self._searched, ended)
        if found.start:
            out.append(Undecoded(self._side, found.start, "no frame begins here"))
        if found.sure:
            self._astray = None
            self._doubt = _DOUBT
            return found.start
        self._astray = bytearray(text[found.start :])
        self._enough = found.enough - found.start
        return len(text)
