"""Messages of WebSockets in HAR, as Chrome has them: `_webSocketMessages` on the entry of the upgrade.

The upgrade waits for its messages here, within bounds; what comes later has no place any more.
"""

from __future__ import annotations

import base64
from typing import Any

from pysniff.dissectors.http import HttpRequest, HttpResponse
from pysniff.dissectors.websocket_header import CLOSE, TEXT
from pysniff.dissectors.websocket_messages import WebSocketMessage
from pysniff.entry import Entry
from pysniff.limits import MIB, SECOND

Record = dict[str, Any]
_CHATS = 1_000  # upgrades that wait at once
_HELD = 16 * MIB  # bytes of messages that wait with them, of all together
_MESSAGE = 200  # bytes that each costs beside its text


class _Chat:
    """One upgrade. `closes`: ends that said they are done."""

    __slots__ = ("record", "messages", "held", "closes")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.messages: list[Record] = []
        self.held = 0
        self.closes: set[str] = set()

    def done(self) -> Record:
        return {**self.record, "_resourceType": "websocket", "_webSocketMessages": self.messages}


class Chats:
    """Upgrades by the connection that they made a WebSocket of."""

    def __init__(self, body_limit: int) -> None:
        self._limit = max(body_limit, 0)
        self._waiting: dict[str, _Chat] = {}
        self._held = 0

    def begin(self, stream: str, record: Record) -> list[Record]:
        """Let an upgrade wait; give back those that have waited for too long, or that it takes the place of."""
        out = self._end(stream)
        if len(self._waiting) >= _CHATS:
            out += self._end(next(iter(self._waiting)))
        self._waiting[stream] = _Chat(record)
        return out

    def add(self, entry: Entry) -> list[Record] | None:
        """Put a message to its upgrade, which is given back where it ends; None: its upgrade is not here."""
        chat = self._waiting.get(entry.stream)
        if chat is None:
            return None
        message = _message(entry, self._limit)
        chat.messages.append(message)
        size = len(message["data"]) + _MESSAGE
        chat.held += size
        self._held += size
        if message["opcode"] == CLOSE:
            chat.closes.add(message["type"])
        out = self._end(entry.stream) if len(chat.closes) == 2 else []
        while self._held > _HELD:
            out += self._end(max(self._waiting, key=lambda stream: self._waiting[stream].held))
        return out

    def end(self) -> list[Record]:
        """Give back all that wait."""
        return [record for stream in list(self._waiting) for record in self._end(stream)]

    def _end(self, stream: str) -> list[Record]:
        chat = self._waiting.pop(stream, None)
        if chat is None:
            return []
        self._held -= chat.held
        return [chat.done()]


def is_upgrade(entry: Entry) -> bool:
    """Whether messages of a WebSocket follow (RFC 6455 §4): on HTTP/1, where the connection is theirs alone."""
    request, response = entry.request, entry.response
    if not isinstance(request, HttpRequest) or not isinstance(response, HttpResponse) or response.status != 101:
        return False
    return response.header("upgrade").strip().lower() == "websocket"


def _message(entry: Entry, limit: int) -> Record:
    sent = entry.request is not None
    message = entry.request if sent else entry.response
    assert isinstance(message, WebSocketMessage)
    payload = message.payload[:limit]
    text = message.opcode_number == TEXT
    data = payload.decode("utf-8", "replace") if text else base64.b64encode(payload).decode("ascii")
    return {
        "type": "send" if sent else "receive",
        "time": entry.completed_ns / SECOND,
        "opcode": message.opcode_number,
        "data": data,
    }
