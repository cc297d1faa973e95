"""The filter variables of WebSocket: a message is its entry's request where the client sent it, else its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysniff.dissectors.websocket_messages import WebSocketMessage
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, INT, STRING

if TYPE_CHECKING:
    from pysniff.entry import Entry

WEBSOCKET = "WebSocket"


def _opcode(entry: Entry) -> str:
    message = entry.request or entry.response
    return message.opcode if isinstance(message, WebSocketMessage) else ""


def _is_request(entry: Entry) -> bool:
    return isinstance(entry.request, WebSocketMessage)


def _is_response(entry: Entry) -> bool:
    return isinstance(entry.response, WebSocketMessage)


def _request_text(entry: Entry) -> str:
    request = entry.request
    return request.text if isinstance(request, WebSocketMessage) else ""


def _request_length(entry: Entry) -> int:
    request = entry.request
    return request.payload_size if isinstance(request, WebSocketMessage) else 0


def _response_length(entry: Entry) -> int:
    response = entry.response
    return response.payload_size if isinstance(response, WebSocketMessage) else 0


VARIABLES = (
    Variable("ws_opcode", STRING, "text, binary, close, ping, pong", WEBSOCKET, _opcode),
    Variable("ws_request", BOOL, "the client sent it", WEBSOCKET, _is_request),
    Variable("ws_response", BOOL, "the server sent it", WEBSOCKET, _is_response),
    Variable(
        "ws_request_payload_data", STRING, 'what the client sent as text, "" for binary', WEBSOCKET, _request_text
    ),
    Variable("ws_request_payload_length", INT, "bytes that the client sent, inflated", WEBSOCKET, _request_length),
    Variable("ws_response_payload_length", INT, "bytes that the server sent, inflated", WEBSOCKET, _response_length),
)
