"""The filter variables of gRPC; all of HTTP's are there too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysniff.dissectors.grpc_messages import GrpcMessage, GrpcRequest, GrpcResponse
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import INT, STRING

if TYPE_CHECKING:
    from pysniff.entry import Entry

GRPC = "gRPC"


def _service(entry: Entry) -> str:
    request = entry.request
    return request.grpc_service if isinstance(request, GrpcRequest) else ""


def _method(entry: Entry) -> str:
    request = entry.request
    return request.grpc_method if isinstance(request, GrpcRequest) else ""


def _status(entry: Entry) -> int:
    response = entry.response
    status = response.grpc_status if isinstance(response, GrpcResponse) else None
    return -1 if status is None else status


def _status_message(entry: Entry) -> str:
    response = entry.response
    return response.grpc_message if isinstance(response, GrpcResponse) else ""


def _request_messages(entry: Entry) -> int:
    request = entry.request
    return request.message_count if isinstance(request, GrpcMessage) else 0


def _response_messages(entry: Entry) -> int:
    response = entry.response
    return response.message_count if isinstance(response, GrpcMessage) else 0


VARIABLES = (
    Variable("grpc_service", STRING, "with its package: shop.Cart", GRPC, _service),
    Variable("grpc_method", STRING, "the name behind the last slash of the path", GRPC, _method),
    Variable("grpc_status", INT, "0 is OK; -1 where there is none, as in entries of other protocols", GRPC, _status),
    Variable("grpc_message", STRING, "what the server said about the status", GRPC, _status_message),
    Variable("grpc_request_messages", INT, "messages that the client sent", GRPC, _request_messages),
    Variable("grpc_response_messages", INT, "messages that the server sent", GRPC, _response_messages),
)
