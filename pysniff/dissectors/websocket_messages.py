"""WebSocket messages as entries show them: the payload stays masked until somebody asks."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any, ClassVar

from pysniff.dissectors.websocket_header import CLOSE, OPCODES, TEXT
from pysniff.dissectors.websocket_payload import unmask
from pysniff.media import media, text
from pysniff.message import Fault, Message, Role, Side, printable

_SUMMARY = 80  # characters of a payload in a summary
_HEADLINE = 240  # and in a line as wide as a terminal may be
_HEX = 16  # bytes of a binary one
# RFC 6455 §7.4.1, and IANA's registry: the end is as it should be.
_WELL = (1000, 1001)
# Codes for what no endpoint says in a frame (§7.4.1).
_NEVER_SENT = (1004, 1005, 1006, 1015)


class WebSocketMessage(Message):
    """One message, or one control frame.

    `encoded_size`: payload bytes as sent, `payload_size`: after inflation. `frames`: of which it was made.
    `subprotocol`: what both ends agreed on, or "".
    """

    __slots__ = (
        "opcode_number", "encoded_size", "payload_size", "frames", "compressed", "subprotocol", "_content", "_mask",
    )  # fmt: skip
    protocol: ClassVar[str] = "ws"
    role: ClassVar[Role] = Role.ALONE

    def __init__(
        self, side: Side, first: int, last: int, position: int, size: int, opcode: int, content: bytes, mask: bytes,
        subprotocol: str = "",
    ) -> None:  # fmt: skip
        """One whole frame, nothing special about it."""
        self.side = side
        self.first = first
        self.last = last
        self.position = position
        self.size = size
        self.faults = ()
        self.opcode_number = opcode
        self.encoded_size = self.payload_size = len(content)
        self.frames = 1
        self.compressed = False
        self.subprotocol = subprotocol
        self._content = content
        self._mask = mask

    @property
    def opcode(self) -> str:
        """text, binary, close, ping, pong; continuation where the beginning was not seen; 0x3 and the like."""
        return OPCODES.get(self.opcode_number) or f"{self.opcode_number:#x}"

    @property
    def payload(self) -> bytes:
        """What is kept of the payload, inflated where that is possible."""
        if self._mask:
            self._content = unmask(self._content, self._mask)
            self._mask = b""
        return self._content

    def replace(self, content: bytes) -> None:
        """This is what the payload means: it was coded."""
        self._content = content
        self._mask = b""

    @property
    def truncated(self) -> bool:
        """Whether more was seen, or comes out, than is kept."""
        return self.payload_size > len(self._content) or any(fault.kind == "truncated" for fault in self.faults)

    @property
    def text(self) -> str:
        """The payload as text, "" where it is binary; of a close frame the reason."""
        return self._text or ""

    @property
    def _text(self) -> str | None:
        payload = self.payload
        if self.opcode_number == TEXT:
            # A character may be missing in part.
            lost = any(fault.kind == "gap" and fault.bytes for fault in self.faults)
            return payload.decode("utf-8", "replace") if lost else _utf8(payload, cut=self.truncated)
        if self.opcode_number == CLOSE:
            return _utf8(payload[2:], cut=self.truncated)
        return text(payload, media(""), cut=self.truncated)

    @property
    def code(self) -> int | None:
        """Of a close frame: why, or None where it does not say."""
        if self.opcode_number != CLOSE or len(self.payload) < 2:
            return None
        return int.from_bytes(self.payload[:2], "big")

    @property
    def reason(self) -> str:
        """Of a close frame, in words."""
        return self.text if self.opcode_number == CLOSE else ""

    def json(self) -> Any:
        """The payload as JSON; raise ValueError where it is not."""
        try:
            return json.loads(self.payload)
        except RecursionError:
            raise ValueError("JSON is nested too deep") from None

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        odd = ""
        if self.opcode_number == TEXT:
            if not self.faults and self._text is None:
                odd = "text that is not UTF-8"  # RFC 6455 §8.1
        elif self.opcode_number == CLOSE and not self.faults:
            odd = _odd_close(self.encoded_size, self.code, self._text)
        return (*self.faults, Fault("malformed", odd)) if odd else self.faults

    @property
    def version(self) -> str:
        """Of the protocol there is one: Sec-WebSocket-Version 13 (RFC 6455 §4.1)."""
        return "13"

    @property
    def summary(self) -> str:
        return f"{self.opcode} {self._shown(_SUMMARY)}".rstrip()

    @property
    def headline(self) -> str:
        return f"{self.opcode} {self._shown(_HEADLINE)}".rstrip()

    def _shown(self, most: int) -> str:
        begin = self.payload[: 4 * most]
        if self.opcode_number == CLOSE:
            return f"{'' if self.code is None else self.code} {printable(self.text[:most])}".strip()
        words = _utf8(begin, cut=True) if self.opcode_number == TEXT else text(begin, media(""), cut=True)
        if words is None:
            more = " ..." if self.payload_size > _HEX else ""
            return begin[:_HEX].hex(" ") + more
        shown = printable(words[:most])
        return shown[:most] + "..." if len(shown) > most or len(words) > most else shown

    @property
    def status_text(self) -> str:
        return "" if self.code is None else str(self.code)

    @property
    def ok(self) -> bool:
        return self.code is None or self.code in _WELL

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        payload = self.payload
        cut = self.truncated or len(payload) > body_limit
        record: dict[str, Any] = {
            "opcode": self.opcode,
            "size": self.payload_size,
            "encoded_size": self.encoded_size,
            "frames": self.frames,
            "compressed": self.compressed,
            "subprotocol": self.subprotocol,
        }
        if self.opcode_number == CLOSE:
            record["code"] = self.code
            record["reason"] = _cut(self.reason, body_limit)
        words = self._text
        if words is None:
            record["base64"] = base64.b64encode(payload[: max(body_limit, 0)]).decode("ascii")
        else:
            record["text"] = words if len(payload) <= body_limit else _cut(words, body_limit)
        record["truncated"] = cut
        return record


def _utf8(payload: bytes, *, cut: bool) -> str | None:
    """None where it is no UTF-8; `cut`: it may end inside a character."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(payload) if cut else payload.decode()
    except UnicodeDecodeError:
        return None


def _cut(words: str, limit: int) -> str:
    """What fits into so many bytes of UTF-8, cut where a character ends."""
    return words[: max(limit, 0)].encode()[: max(limit, 0)].decode("utf-8", "ignore")


def _odd_close(size: int, code: int | None, reason: str | None) -> str:
    if size == 1:
        return "a close frame with half a code"
    if code is not None and (code < 1000 or code in _NEVER_SENT or code > 4999):
        return f"close code {code}, which nobody may send"
    return "a reason that is not UTF-8" if reason is None else ""
