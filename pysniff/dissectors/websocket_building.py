"""A WebSocket message that is being read: its frames, its payload, and what is odd about it."""

from __future__ import annotations

from pysniff.dissectors.websocket_deflate import Inflated, Inflater, marked
from pysniff.dissectors.websocket_header import TEXT
from pysniff.dissectors.websocket_messages import WebSocketMessage
from pysniff.dissectors.websocket_payload import Payload, unmask
from pysniff.kept import Kept
from pysniff.limits import Limits
from pysniff.message import Fault, Side, noted


class Building:
    """`size`: bytes on the wire so far, headers of frames included; `last`: time of the last one."""

    __slots__ = (
        "opcode", "size", "last", "faults", "_side", "_first", "_position", "_subprotocol", "_frames", "_payload",
        "_inflater", "_mask", "_phase", "_whole",
    )  # fmt: skip

    def __init__(
        self, limits: Limits, kept: Kept, side: Side, opcode: int, first: int, position: int, subprotocol: str
    ) -> None:
        self.opcode = opcode
        self.size = 0
        self.last = first
        self.faults: tuple[Fault, ...] = ()
        self._side = side
        self._first = first
        self._position = position
        self._subprotocol = subprotocol
        self._frames = 0
        self._payload = Payload(kept, limits.body_bytes)
        self._inflater: Inflater | None = None
        self._mask = b""
        self._phase = 0
        self._whole = True  # no byte is missing so far

    def fault(self, fault: Fault) -> None:
        """Something is odd; saying so once is enough, with all the bytes that it costs."""
        self.faults = noted(self.faults, fault)

    def inflate(self, inflater: Inflater) -> None:
        """The payload is compressed."""
        self._inflater = inflater
        inflater.begin()

    def frame(self, size: int, mask: bytes, at: int) -> None:
        """A frame begins, with a header of `size` bytes that ends at this time."""
        self.size += size
        self.last = at
        self._frames += 1
        self._mask = mask
        self._phase = 0
        self._payload.frame(mask if self._inflater is None else b"")

    def add(self, piece: bytes, at: int) -> None:
        """The next bytes of its payload."""
        self.size += len(piece)
        self.last = at
        if self._inflater is not None:
            plain = unmask(piece, self._mask, self._phase)
            self._phase += len(piece)
            if self._whole:
                self._inflater.add(plain)
            piece = plain
        self._payload.add(piece)

    def skip(self, size: int) -> None:
        """So many bytes of this frame were lost."""
        self._payload.skip(size)
        self._phase += size
        self._whole = False
        self.fault(Fault("gap", "bytes of this message were lost", size))

    def spoil(self, fault: Fault) -> None:
        """It ends here, and not as it should."""
        self._whole = False
        self.fault(fault)

    def message(self, at: int) -> WebSocketMessage:
        """It is over."""
        inflater = self._inflater
        if inflater is None:
            return self._message(at, None)
        message = self._message(at, inflater.end() if self._whole else inflater.now())
        if not self._whole:
            inflater.lose()
        return message

    def snapshot(self) -> WebSocketMessage:
        """The message so far; what comes later leaves it alone."""
        return self._message(self.last, None if self._inflater is None else self._inflater.now())

    def _message(self, last: int, inflated: Inflated | None) -> WebSocketMessage:
        content, mask = self._payload.content()
        side, first, position, subprotocol = self._side, self._first, self._position, self._subprotocol
        message = WebSocketMessage(side, first, last, position, self.size, self.opcode, content, mask, subprotocol)
        message.encoded_size = message.payload_size = self._payload.size
        message.frames = self._frames
        message.faults = self.faults
        if inflated is not None:
            show(message, inflated)
        return message


def show(message: WebSocketMessage, inflated: Inflated) -> None:
    """Put what came out in the place of what was sent, unless that failed."""
    message.compressed = True
    fault = inflated.fault
    if fault is not None:
        message.faults += (fault,)
        if fault.kind == "malformed":
            return
    message.payload_size = inflated.size
    if inflated.unknown:
        words = "repeats what was said before the capture, or in a gap: unknown bytes are shown as U+FFFD or 0"
        message.faults += (Fault("midstream", words, inflated.unknown),)
        message.replace(marked(inflated) if message.opcode_number == TEXT else inflated.content)
    else:
        message.replace(inflated.content)
